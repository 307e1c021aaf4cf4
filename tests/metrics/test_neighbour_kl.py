"""The divergence by nearest neighbours: the formula written out, exact divergences, and what its interval holds."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.metrics.neighbour_kl import kl_nearest_neighbour

LAW = GaussianMixture()


class Clouds:
    """Equal Gaussians around given points, as a model that copies its training set makes them."""

    def __init__(self, centres: torch.Tensor, sd: float) -> None:
        self.centres, self.sd = centres.numpy(), sd

    def sample(self, n: int, seed: int) -> torch.Tensor:
        g = np.random.default_rng(seed)
        chosen = self.centres[g.integers(len(self.centres), size=n)]
        return torch.from_numpy(chosen + self.sd * g.standard_normal(chosen.shape))

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        square = ((x.numpy()[:, None] - self.centres[None]) ** 2).sum(2)
        log_p = logsumexp(-square / (2 * self.sd**2), axis=1) - math.log(len(self.centres))
        return torch.from_numpy(log_p - x.shape[1] / 2 * math.log(2 * math.pi * self.sd**2))


def samplers(d: int) -> dict[str, GaussianMixture | Clouds]:
    train = GaussianMixture(d).sample(64, 1)
    return {
        "the law": GaussianMixture(d),
        "too wide": Clouds(torch.stack([torch.ones(d), -torch.ones(d)]).double(), 1.2),
        "too narrow": Clouds(torch.stack([torch.ones(d), -torch.ones(d)]).double(), 0.8),
        "one class too narrow": GaussianMixture(d, spread=0.7),
        "shifted": GaussianMixture(d, mu=0.5),
        "one mode": GaussianMixture(d).given(1),
        "unequal modes": GaussianMixture(d, share=0.8),
        "copies": Clouds(train, 0.05),
        "rough copies": Clouds(train, 0.3),
    }


def exact(p, d: int) -> float:
    x = p.sample(100_000, 99)
    return float((p.log_prob(x) - GaussianMixture(d).log_prob(x)).mean())


@pytest.mark.parametrize("d", [8, 16])
@pytest.mark.parametrize("name", samplers(8))
def test_the_interval_holds_the_exact_divergence(name: str, d: int):
    """Of samples that are wrong in every way a model's may be; that of the same law includes zero."""
    p = samplers(d)[name]
    found = [kl_nearest_neighbour(p.sample(500, seed), GaussianMixture(d)) for seed in range(4)]
    truth = exact(p, d)
    assert all(e.low < truth < e.high for e in found)
    assert np.mean([e.value for e in found]) == pytest.approx(truth, abs=0.1 * d / 8 + 0.1 * truth)


def test_the_interval_is_narrow_enough_to_tell_laws_apart():
    e = kl_nearest_neighbour(LAW.sample(2000, 0), LAW)
    assert (e.high - e.low) / 2 < 0.15
    assert kl_nearest_neighbour(GaussianMixture(mu=0.5).sample(2000, 0), LAW).low > 0.7


@pytest.mark.parametrize(("k", "d", "m"), [(1, 3, 100), (2, 1, 160)])
def test_it_is_the_formula_written_out(k: int, d: int, m: int):
    """Before the bias is taken away: psi by the harmonic numbers, volumes 2 and 4 pi/3."""
    law = GaussianMixture(d)
    x = GaussianMixture(d, mu=0.3).sample(m, 5)
    distance = torch.cdist(x, x).sort(1).values[:, k]
    harmonic = sum(1 / j for j in range(k, m))  # psi(m) - psi(k)
    volume = {1: 2.0, 3: 4 * math.pi / 3}[d]
    expected = float((-law.log_prob(x) - d * distance.log()).mean()) - harmonic - math.log(volume)
    e = kl_nearest_neighbour(x, law, neighbours=k)
    assert e.value + e.bias == pytest.approx(expected, rel=1e-9)


def test_the_bias_is_the_mean_for_samples_of_the_law_itself():
    """Found by other draws than those that calibrate."""
    raw = [(e := kl_nearest_neighbour(LAW.sample(500, 1000 + s), LAW)).value + e.bias for s in range(60)]
    assert np.mean(raw) == pytest.approx(e.bias, abs=4 * np.std(raw) / 60**0.5)
    wide = kl_nearest_neighbour(GaussianMixture(16).sample(500, 0), GaussianMixture(16))
    assert wide.bias < -0.4  # in sixteen dimensions it would be mistaken for half a nat


def test_a_law_that_is_not_hashable_will_do():
    law = Clouds(torch.zeros(1, 2).double(), 1.0)
    law.__class__.__hash__ = None
    try:
        e = kl_nearest_neighbour(law.sample(200, 0), law)
    finally:
        del law.__class__.__hash__
    assert e.low < 0 < e.high


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"50 samples, neighbours = 1: .* at least 100"):
        kl_nearest_neighbour(LAW.sample(50, 0), LAW)
    with pytest.raises(ValueError, match=r"neighbours = 10: .*20"):
        kl_nearest_neighbour(LAW.sample(200, 0), LAW, neighbours=10)
    with pytest.raises(ValueError, match="2 samples coincide with 1 others: the law they are of has no density"):
        kl_nearest_neighbour(torch.cat([x := LAW.sample(199, 0), x[:1]]), LAW)
