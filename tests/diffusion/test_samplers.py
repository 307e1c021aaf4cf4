"""Samplers against exact maps, an independent implementation, and exact laws."""

import itertools
import math

import numpy as np
import pytest
import torch

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.samplers import ddim, euler_maruyama, sample
from diffmemlib.diffusion.schedule import Schedule, sampling_grid
from diffmemlib.randomness import SampleNoise

S = Schedule()
F64 = torch.float64


def exact_noise(variance: float):
    """Noise prediction of a centred Gaussian of this variance: eps = sqrt(Delta) x / (variance e^-2t + Delta)."""

    def predict(x, k):
        a, s = S.signal[k].to(x)[:, None], S.noise[k].to(x)[:, None]
        return s * x / (variance * a**2 + s**2)

    return predict


def mixture_noise(law: GaussianMixture):
    def predict(x, k):
        return -S.noise[k[0]].to(x) * law.score(x, float(S.t[k[0]]))

    return predict


def test_ddim_turns_unit_gaussians_by_the_exact_angle():
    """With data N(0, 1) a step from angle a to b, cos a = sqrt(abar), multiplies x by cos(a - b)."""
    x = torch.randn(5, 2, dtype=F64)
    grid = sampling_grid(1000, 10)
    angles = [math.acos(S.signal[k].item()) for k in grid] + [0.0]
    factor = math.prod(math.cos(a - b) for a, b in itertools.pairwise(angles))
    torch.testing.assert_close(ddim(exact_noise(1.0), x, S, 10), factor * x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_ddim_with_the_exact_gaussian_score_lands_on_the_exact_law(variance: float):
    """The map is linear, x_0 = c x_T, and c^2 tends to the variance: its error is of first order in the step.

    500 and 999 steps visit every second and every step, so extrapolating from both leaves the second order.
    """
    x = torch.ones(1, 1, dtype=F64)
    coarse, fine = (ddim(exact_noise(variance), x, S, steps).item() ** 2 / variance - 1 for steps in (500, 999))
    assert abs(fine) < 0.01
    assert abs(2 * fine - coarse) < 0.1 * abs(fine) + 5e-4


def test_ddim_is_the_textbook_update():
    """Song et al. 2021, Eq. 12, written out independently, at eta = 0.5."""
    law, steps, eta = GaussianMixture(d=2), 7, 0.5
    x = torch.randn(4, 2, dtype=F64)
    z = [torch.randn(4, 2, dtype=F64) for _ in range(steps)]
    taken = iter(z)
    got = ddim(mixture_noise(law), x, S, steps, eta, lambda: next(taken))
    abar, ks = S.signal**2, sampling_grid(1000, steps)
    y = x
    for i, k in enumerate(ks):
        e = mixture_noise(law)(y, torch.full((4,), k))
        before = abar[ks[i + 1]] if i + 1 < steps else torch.tensor(1.0, dtype=F64)
        sigma = eta * ((1 - before) / (1 - abar[k])).sqrt() * (1 - abar[k] / before).sqrt()
        start = before.sqrt() * (y - (1 - abar[k]).sqrt() * e) / abar[k].sqrt()
        y = start + (1 - before - sigma**2).sqrt() * e + (sigma * z[i] if i + 1 < steps else 0)
    torch.testing.assert_close(got, y, rtol=1e-12, atol=1e-12)


def test_euler_maruyama_has_the_variance_of_its_own_recursion():
    """For a Gaussian the scheme is a linear recursion, so its output variance is known exactly."""
    variance = 2.0
    v = 1.0
    for k in range(999, 1, -1):
        h = (S.t[k] - S.t[k - 1]).item()
        slope = -1 / (variance * S.signal[k].item() ** 2 + S.noise[k].item() ** 2)
        v = (1 + h * (1 + 2 * slope)) ** 2 * v + 2 * h
    v *= (S.signal[1].item() * variance / (variance * S.signal[1].item() ** 2 + S.noise[1].item() ** 2)) ** 2
    assert v == pytest.approx(variance, rel=0.01)  # the scheme itself is this close to the law
    g = torch.Generator().manual_seed(0)
    m = 20_000
    x = torch.randn(m, 1, generator=g, dtype=F64)
    y = euler_maruyama(exact_noise(variance), x, S, lambda: torch.randn(m, 1, generator=g, dtype=F64))
    assert y.var().item() == pytest.approx(v, abs=4 * v * (2 / m) ** 0.5)


@pytest.mark.parametrize("sampler", ["ddim", "euler_maruyama"])
def test_a_sample_does_not_depend_on_its_batch(sampler: str):
    law, options = GaussianMixture(d=2), {"sampler": sampler, "steps": 20, "eta": 0.3 if sampler == "ddim" else 0.0}
    whole = sample(mixture_noise(law), 9, (2,), S, 7, **options)
    parts = sample(mixture_noise(law), 9, (2,), S, 7, batch_size=4, **options)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, sample(mixture_noise(law), 9, (2,), S, 8, **options))


def test_sample_noise_is_normal_and_not_repeated():
    noise = SampleNoise(3, range(2000), (2,))
    z = torch.stack([noise() for _ in range(100)])
    assert z.mean().abs() < 0.01
    assert (z.var() - 1).abs() < 0.01
    correlation = (z[:-1] * z[1:]).mean().abs()
    assert correlation < 0.01
    assert len(z[:, 0, 0].unique()) == 100


@pytest.mark.parametrize(("steps", "grid"), [(2, [999, 1]), (4, [999, 666, 334, 1]), (999, list(range(999, 0, -1)))])
def test_the_grid_is_even_and_rounded_to_the_nearest_step(steps: int, grid: list[int]):
    assert sampling_grid(1000, steps) == grid


def test_the_papers_ddim_ends_in_the_state_at_zero():
    """Of data that are one point p every step is exact: x_k = signal_k p + noise_k eps, eps that of the start."""
    p, x = torch.tensor([[3.0, -1.0]], dtype=F64), torch.tensor([[0.3, 0.7]], dtype=F64)
    visited = []

    def one_point(x, k):
        visited.append(int(k[0]))
        return (x - S.signal[k[0]] * p) / S.noise[k[0]]

    eps = one_point(x, torch.tensor([999]))
    end = ddim(one_point, x, S, 100, to_zero=True)
    torch.testing.assert_close(end, S.signal[0] * p + S.noise[0] * eps, rtol=1e-9, atol=1e-9)
    assert float(S.noise[0]) == pytest.approx(0.01)
    assert visited[1:] == np.linspace(0, 999, 100, dtype=int)[:0:-1].tolist()  # 999, 988, 978 ... 10: 99 of them
    torch.testing.assert_close(ddim(one_point, x, S, 100), p, rtol=1e-9, atol=1e-9)
    same = sample(lambda x, k: one_point(x.double(), k).float(), 1, (2,), S, sampler="ddim_paper")
    start = SampleNoise(0, range(1), (2,), "cpu")().double()
    expected = S.signal[0] * p + S.noise[0] * one_point(start, torch.tensor([999]))
    torch.testing.assert_close(same.double(), expected, rtol=1e-3, atol=1e-4)


def test_the_last_step_of_euler_maruyama_is_the_mean_of_the_data():
    """E[x_0 | x_1] of N(0, v) data, from whatever state the steps before have led to."""
    states = []
    x = euler_maruyama(
        exact_noise(2.0), torch.randn(4, 1, dtype=F64), S, lambda: torch.randn(4, 1, dtype=F64), 3,
        callback=lambda step, k, x: states.append(x),
    )  # fmt: skip
    a, b = S.signal[1].item(), S.noise[1].item()
    torch.testing.assert_close(x, states[-2] * a * 2 / (2 * a**2 + b**2), rtol=1e-12, atol=0)


def test_bad_arguments_name_the_argument():
    x = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="steps = 1000"):
        ddim(exact_noise(1.0), x, S, 1000)
    with pytest.raises(ValueError, match="eta > 0"):
        ddim(exact_noise(1.0), x, S, 10, eta=1.0)
    with pytest.raises(ValueError, match="sampler = 'heun'"):
        sample(exact_noise(1.0), 1, (1,), S, 0, sampler="heun")
