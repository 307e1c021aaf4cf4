"""Moving samples away from training data: where it acts, how far, and for every kind of prediction alike."""

import pytest
import torch

from diffmemlib import Schedule, away_from
from diffmemlib.diffusion.schedule import prediction_target, x0_and_eps

S = Schedule()
DATA = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 40.0]])
CLEAN = torch.tensor(
    [[0.1, 0.2], [2.1, 0.0], [3.5, 0.0], [0.0, 30.0]]
)  # near a point, between two, near, near the third
X, K = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.full((4,), 300)
SIGNAL, NOISE = (float(table[300]) for table in (S.signal, S.noise))


def network(kind):
    """One whose clean data are CLEAN, whatever it sees."""
    eps = (X - SIGNAL * CLEAN) / NOISE
    return lambda x, k: prediction_target(CLEAN, eps, torch.tensor(SIGNAL), torch.tensor(NOISE), kind)


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "flow"])
def test_only_what_is_near_one_point_is_moved_straight_away_from_it(kind):
    guided = away_from(network(kind), DATA, 2.0, S, kind)(X, K)
    x0, eps = x0_and_eps(guided, X, SIGNAL, NOISE, kind)
    expected = torch.tensor([[0.3, 0.6], [2.1, 0.0], [2.5, 0.0], [0.0, 10.0]])
    torch.testing.assert_close(x0, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(SIGNAL * x0 + NOISE * eps, X, atol=1e-5, rtol=1e-5)  # still the point that it saw


def test_strength_zero_is_the_network_itself_and_pictures_go_as_vectors():
    torch.testing.assert_close(away_from(network("eps"), DATA, 0.0, S)(X, K), network("eps")(X, K))
    pictures = away_from(lambda x, k: network("x0")(None, None).view(4, 1, 1, 2), DATA.view(3, 1, 1, 2), 2.0, S, "x0")
    flat = away_from(network("x0"), DATA, 2.0, S, "x0")(X, K)
    assert torch.equal(pictures(X.view(4, 1, 1, 2), K), flat.view(4, 1, 1, 2))


@pytest.mark.parametrize("data, strength", [(DATA[:1], 1.0), (DATA, -0.1), (DATA, float("nan"))])
def test_what_has_no_meaning_is_refused(data, strength):
    with pytest.raises(ValueError, match="at least 2 points, and 0 or more"):
        away_from(network("eps"), data, strength, S)
