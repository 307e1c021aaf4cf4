"""The mixture's density, score and draws against quadrature, automatic differentiation and each other."""

import hashlib
import math

import numpy as np
import pytest
import torch

from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.schedule import delta
from diffmemlib.experiments.gmm import training_set
from diffmemlib.places import checkout

LAWS = (GaussianMixture(), GaussianMixture(share=0.2, spread=0.5), GaussianMixture(spread=2.0).given(1))


@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 3.0])
@pytest.mark.parametrize("law", LAWS)
def test_score_is_the_gradient_of_log_prob(law: GaussianMixture, t: float):
    x = (3 * law.sample(50, 0)).requires_grad_()
    (expected,) = torch.autograd.grad(law.log_prob(x, t).sum(), x)
    torch.testing.assert_close(law.score(x.detach(), t), expected, rtol=1e-12, atol=1e-12)


def test_the_balanced_law_is_that_of_the_paper():
    """Eqs. 23 and 24 as they stand there."""
    x, m = GaussianMixture().sample(20, 0), math.exp(-0.3)
    log_cosh = torch.log(torch.cosh(m * x.sum(1)))
    expected = -(x.square().sum(1) + 8 * m**2) / 2 + log_cosh - 4 * math.log(2 * math.pi)
    torch.testing.assert_close(GaussianMixture().log_prob(x, 0.3), expected)
    torch.testing.assert_close(GaussianMixture().score(x, 0.3), m * torch.tanh(m * x.sum(1, keepdim=True)) - x)


@pytest.mark.parametrize("t", [0.0, 0.7])
@pytest.mark.parametrize(("share", "spread"), [(0.5, 1.0), (0.2, 0.5)])
def test_log_prob_integrates_to_one_and_is_the_noised_law(t: float, share: float, spread: float):
    law, x = GaussianMixture(1, 2.0, share, spread), torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
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


def test_classes_have_their_shares_centres_and_spreads():
    law = GaussianMixture(d=2, mu=1.0, share=0.2, spread=0.5)
    x, label = law.labelled(100_000, 3)
    assert label.double().mean().item() == pytest.approx(0.2, abs=0.005)
    for c, (centre, spread) in enumerate([(-1.0, 1.0), (1.0, 0.5)]):
        assert x[label == c].mean().item() == pytest.approx(centre, abs=0.01)
        assert x[label == c].std().item() == pytest.approx(spread, abs=0.01)
        torch.testing.assert_close(
            law.given(c).sample(1000, 4).mean(0), torch.full((2,), centre).double(), atol=0.15, rtol=0
        )


def test_training_sets_are_those_of_the_stored_results():
    """A change of the generator would make every stored curve belong to other data."""
    for run in sweep_results("mixture-n"):
        x, _ = training_set(run.config)
        assert hashlib.sha256(x.numpy().tobytes()).hexdigest() == run.provenance["data_sha256"]


def test_the_page_of_deviations_tells_how_unbalanced_the_stored_training_sets_are():
    counts = [int(training_set({"n": 64, "seed": seed, "d": 8, "mu": 1.0})[1].sum()) for seed in range(3)]
    text = " ".join((checkout() / "book" / "deviations.md").read_text().split())
    assert "at $n = 64$ the three seeds have {}, {} and {} points in the second class".format(*counts) in text


@pytest.mark.parametrize(("share", "ones"), [(0.5, [0, 1, 16, 32]), (0.2, [0, 0, 6, 12]), (0.75, [0, 1, 24, 48])])
def test_a_balanced_training_set_has_its_share_of_each_class(share: float, ones: list[int]):
    law = GaussianMixture(2, 3.0, share)
    counts = [int(law.labelled(n, 0, balanced=True)[1].sum()) for n in (1, 2, 32, 64)]
    assert counts == ones
    x, label = law.labelled(64, 0, balanced=True)
    smaller, _ = law.labelled(32, 0, balanced=True)
    assert torch.equal(x[:32], smaller)
    by_chance, their_label = law.labelled(64, 0)
    around, before = (v - 3.0 * (2 * k[:, None] - 1) for v, k in ((x, label), (by_chance, their_label)))
    torch.testing.assert_close(around, before)  # the same points, each around the centre of its class
    settings = {"n": 64, "seed": 3, "d": 8, "mu": 1.0}
    assert int(training_set({**settings, "balanced": True})[1].sum()) == 32
    assert int(training_set(settings)[1].sum()) != 32  # as the stored runs have it


def test_a_smaller_training_set_is_the_start_of_a_larger_one():
    law = GaussianMixture()
    assert torch.equal(law.sample(10, 5), law.sample(1000, 5)[:10])
    assert not torch.equal(law.sample(10, 5), law.sample(10, 6))


def test_bad_arguments_name_the_argument():
    with pytest.raises(ValueError, match="d = 0"):
        GaussianMixture(d=0)
    with pytest.raises(ValueError, match="n = 0"):
        GaussianMixture().sample(0, 0)
    with pytest.raises(ValueError, match="share = 2"):
        GaussianMixture(share=2)
    with pytest.raises(ValueError, match="spread = 0"):
        GaussianMixture(spread=0)


def test_samples_that_coincide_have_an_infinite_divergence():
    """A network that has collapsed draws the same points again and again: their distribution has no density."""
    from diffmemlib.experiments.gmm_measures import _neighbours

    law = GaussianMixture(1, 1.0)
    x = law.sample(200, 0).float()
    assert np.isfinite(_neighbours(x, law)).all()
    assert _neighbours(torch.cat([x, x[:1]]), law) == (np.inf, np.inf, np.inf)
