"""Forward process and empirical score against closed forms and automatic differentiation."""

import math

import pytest
import torch

from diffmemlib.diffusion.schedule import Schedule, delta, forward_noise
from diffmemlib.metrics.empirical import empirical_score

X64 = {"dtype": torch.float64}


def test_schedule_is_the_product_of_one_minus_beta():
    schedule = Schedule()
    abar = 1.0
    for k in range(1000):
        abar *= 1 - (1e-4 + (0.02 - 1e-4) * k / 999)
        if k in (0, 1, 40, 500, 999):
            assert schedule.signal[k].item() == pytest.approx(abar**0.5, rel=1e-12)
            assert schedule.t[k].item() == pytest.approx(-math.log(abar) / 2, rel=1e-12)
    torch.testing.assert_close(schedule.signal**2 + schedule.noise**2, torch.ones(1000, **X64), rtol=0, atol=1e-14)


def test_the_papers_t_is_index_40():
    assert Schedule().timestep_at(0.01) == 40


def test_delta_keeps_its_digits_at_small_times():
    assert delta(1e-12).item() == pytest.approx(2e-12, rel=1e-11)


def test_forward_noise_broadcasts_over_images():
    schedule, k = Schedule(), torch.tensor([0, 999])
    x0, noise = torch.randn(2, 1, 4, 4, **X64), torch.randn(2, 1, 4, 4, **X64)
    x = forward_noise(x0, k, noise, schedule)
    for i in range(2):
        torch.testing.assert_close(x[i], schedule.signal[k[i]] * x0[i] + schedule.noise[k[i]] * noise[i])


@pytest.mark.parametrize("t", [0.003, 0.1, 2.0])
def test_empirical_score_is_the_gradient_of_the_log_density(t: float):
    g = torch.Generator().manual_seed(0)
    train, x = torch.randn(50, 3, generator=g, **X64), torch.randn(7, 3, generator=g, **X64)
    x.requires_grad_()
    log_p = torch.logsumexp(-(x[:, None] - math.exp(-t) * train).square().sum(-1) / (2 * delta(t)), 1)
    (expected,) = torch.autograd.grad(log_p.sum(), x)
    for memory in (1, 500, 2**28):
        torch.testing.assert_close(empirical_score(x.detach(), t, train, memory), expected, rtol=1e-10, atol=1e-10)


def test_the_empirical_score_of_large_images_takes_bounded_memory(peak_memory):
    before, after = peak_memory(
        "import torch; from diffmemlib.metrics.empirical import empirical_score",
        "empirical_score(torch.rand(32, 1024), 0.1, torch.rand(4096, 1024))",
    )
    # The images are 16 MiB; all differences at once would be a gigabyte in float64, and their squares two.
    assert 16 * 2**20 < after - before < 500 * 2**20


def test_empirical_score_at_vanishing_noise_points_to_the_nearest_point():
    train = torch.tensor([[0.0, 0.0], [1.0, 0.0]], **X64)
    x = torch.tensor([[0.1, 0.0], [300.0, 4.0]], **X64)
    t = 1e-9  # weights of exp(-1e8) and less
    expected = (math.exp(-t) * train - x) / delta(t)
    torch.testing.assert_close(empirical_score(x, t, train), expected, rtol=1e-9, atol=0)


def test_bad_arguments_name_the_argument():
    with pytest.raises(ValueError, match="t = 0"):
        empirical_score(torch.zeros(1, 2), 0, torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"x has shape \(1, 2\) and train \(1, 3\): expected \(m, d\) and \(n, d\)"):
        empirical_score(torch.zeros(1, 2), 1, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="beta_min"):
        Schedule(beta_min=0.5, beta_max=0.1)
    with pytest.raises(ValueError, match="covers"):
        Schedule().timestep_at(9.0)
