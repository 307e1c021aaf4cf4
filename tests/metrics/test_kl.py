"""Divergences where the answer is known."""

import math

import pytest
import torch

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.metrics.kl import forward_path, kl_from_score, kl_score_gap

S = Schedule()


def predict_from(score):
    """Noise prediction of an exact score(x, t), evaluated sample by sample at its own time."""

    def predict(x, k):
        out = torch.empty_like(x)
        for step in k.unique():
            here = k == step
            out[here] = -S.noise[step].to(x) * score(x[here], float(S.t[step])).to(x)
        return out

    return predict


LAW = GaussianMixture()


def shifted(a: float):
    """Score of N(a 1, I), noised for a time t."""
    return lambda x, t: a * torch.exp(torch.tensor(-t)) - x


def test_kl_of_the_exact_mixture_is_zero_within_its_error():
    x = LAW.sample(20_000, 0)
    e = kl_from_score(predict_from(LAW.score), x, LAW.log_prob, S, seed=1)
    assert e.error < 0.035
    assert abs(e.value) < 3 * e.error


def test_the_error_bar_is_the_spread_over_repetitions():
    values = [
        kl_from_score(predict_from(LAW.score), LAW.sample(1000, s), LAW.log_prob, S, seed=s, stride=50)
        for s in range(30)
    ]
    spread = torch.tensor([v.value for v in values]).std().item()
    assert spread == pytest.approx(values[0].error, rel=0.4)


def test_the_score_gap_of_the_exact_mixture_is_zero():
    e = kl_score_gap(predict_from(LAW.score), LAW.sample(1000, 0), LAW.score, S, seed=1)
    assert 0 <= e.value < 1e-9


@pytest.mark.parametrize("a", [0.5, 2.0])
def test_shifted_gaussians(a: float):
    """KL(N(a 1, I) || N(0, I)) = d a^2 / 2, by both estimators that use a score."""
    d, m = 4, 4000
    g = torch.Generator().manual_seed(0)
    x = a + torch.randn(m, d, generator=g, dtype=torch.float64)
    exact = d * a**2 / 2

    def log_prob(x):
        return torch.distributions.Normal(0, 1).log_prob(x).sum(1)

    paper = kl_from_score(predict_from(shifted(a)), x, log_prob, S, seed=1)
    assert abs(paper.value - exact) < 3 * paper.error + 0.01 * exact
    gap = kl_score_gap(predict_from(shifted(a)), x, lambda x, t: -x, S, seed=1)
    assert gap.value == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("stride", [1, 7, 10])
def test_weights_integrate_over_time(stride: int):
    """On average over samples the weights sum to the whole time, and integrate exp(-2t)."""
    path = forward_path(lambda x, k: x, torch.zeros(140, 1), S, 0, stride)
    t = S.t[path.timestep]
    assert path.weight.sum(1).mean().item() == pytest.approx(S.t[-1].item(), rel=1e-9)
    assert (path.weight * torch.exp(-2 * t)).sum(1).mean().item() == pytest.approx(0.5, rel=1e-3)


def test_bad_input_is_refused():
    x = torch.zeros(50, 2)
    with pytest.raises(ValueError, match="at least 10"):
        kl_from_score(lambda x, k: x, x, lambda x: x[:, 0], S, 0)


def test_the_score_gap_states_the_spread_over_repetitions():
    """Samples of a model that is off by 0.5 in one direction; fresh samples and noises each time."""

    def estimate(seed: int):
        g = torch.Generator().manual_seed(seed)
        x = torch.randn(400, 4, generator=g, dtype=torch.float64) * 1.5
        wide = predict_from(lambda x, t: -x / (1 + 1.25 * math.exp(-2 * t)))
        return kl_score_gap(wide, x, lambda x, t: -x, S, seed=seed, stride=40)

    estimates = [estimate(seed) for seed in range(60)]
    scatter = torch.tensor([e.value for e in estimates]).std().item()
    assert sum(e.error for e in estimates) / 60 == pytest.approx(scatter, rel=0.3)
