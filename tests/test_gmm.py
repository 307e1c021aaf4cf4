"""The mixture's density, score and draws against quadrature, automatic differentiation and each other."""

import math

import numpy as np
import pytest
import torch

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion import delta


@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 3.0])
def test_score_is_the_gradient_of_log_prob(t: float):
    law = GaussianMixture()
    x = (3 * law.sample(50, 0)).requires_grad_()
    (expected,) = torch.autograd.grad(law.log_prob(x, t).sum(), x)
    torch.testing.assert_close(law.score(x.detach(), t), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.7])
def test_log_prob_integrates_to_one_and_is_the_noised_law(t: float):
    law, x = GaussianMixture(d=1, mu=2.0), torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    p = law.log_prob(x, t).exp().numpy()
    assert np.trapezoid(p, x[:, 0].numpy()) == pytest.approx(1, abs=1e-12)
    # The forward kernel applied to P_0 by quadrature gives P_t.
    if t:
        p0, s = law.log_prob(x).exp().numpy(), math.sqrt(delta(t))
        kernel = np.exp(-((x.numpy() - math.exp(-t) * x.numpy().T) ** 2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
        np.testing.assert_allclose(np.trapezoid(kernel * p0, x[:, 0].numpy(), axis=1), p, atol=1e-10)


def test_draws_have_the_laws_moments():
    law = GaussianMixture(d=3, mu=1.5)
    x = law.sample(200_000, 1)
    torch.testing.assert_close(x.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=0.02)
    expected = torch.eye(3, dtype=torch.float64) + 1.5**2
    torch.testing.assert_close(torch.cov(x.T), expected, rtol=0, atol=0.03)


def test_a_smaller_training_set_is_the_start_of_a_larger_one():
    law = GaussianMixture()
    assert torch.equal(law.sample(10, 5), law.sample(1000, 5)[:10])
    assert not torch.equal(law.sample(10, 5), law.sample(10, 6))


def test_bad_arguments_name_the_argument():
    with pytest.raises(ValueError, match="d = 0"):
        GaussianMixture(d=0)
    with pytest.raises(ValueError, match="n = 0"):
        GaussianMixture().sample(0, 0)
