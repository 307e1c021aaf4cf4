"""How often samples are nearer to the training set: all subsets by hand, chance, copies, and wrong arguments."""

from itertools import combinations

import numpy as np
import pytest
import torch

from diffmemlib import nearer_to_training
from diffmemlib.metrics import proximity


def points(count: int, seed: int, d: int = 3) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(x: torch.Tensor, train: torch.Tensor, fresh: torch.Tensor) -> float:
    """The share over every subset of the fresh points, one after another."""
    own = float((train - x).norm(dim=1).min())
    others = [
        float((fresh[list(chosen)] - x).norm(dim=1).min()) for chosen in combinations(range(len(fresh)), len(train))
    ]
    return float(np.mean([(own < other) + (own == other) / 2 for other in others]))


def test_the_share_is_that_over_all_subsets(monkeypatch):
    samples, train, fresh = points(12, 0), points(3, 1), points(8, 2)
    expected = [by_hand(x, train, fresh) for x in samples]
    assert nearer_to_training(samples, train, fresh) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(proximity, "ROWS", 5)
    assert nearer_to_training(samples, train, fresh) == pytest.approx(expected, abs=1e-12)


def test_a_fresh_point_as_near_counts_half():
    train, fresh = torch.tensor([[1.0]]), torch.tensor([[-1.0], [5.0], [6.0]])
    assert nearer_to_training(torch.zeros(1, 1), train, fresh) == pytest.approx([(0.5 + 1 + 1) / 3])
    assert nearer_to_training(torch.zeros(1, 1), train, train) == pytest.approx([0.5])


def test_chance_is_one_half_and_copies_are_always_nearer():
    shares = [
        nearer_to_training(points(50, 3 * s), points(20, 3 * s + 1), points(200, 3 * s + 2)).mean() for s in range(60)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=3 * np.std(shares) / 60**0.5) and np.std(shares) < 0.1
    train = points(20, 0)
    assert nearer_to_training(train + 1e-9, train, points(200, 1)) == pytest.approx(1)


def test_pictures_are_compared_by_their_pixels():
    pictures = torch.rand(9, 1, 4, 4)
    shares = nearer_to_training(pictures, pictures[:3], pictures[3:])
    assert shares[:3] == pytest.approx(1) and (shares[3:] <= 0.5 + 1e-9).all(), "half the sets hold the picture itself"


def test_too_few_fresh_points_are_refused():
    with pytest.raises(ValueError, match="3 fresh points for 5 training points"):
        nearer_to_training(points(2, 0), points(5, 1), points(3, 2))
    with pytest.raises(ValueError, match="fresh"):
        nearer_to_training(points(2, 0), points(2, 1), points(3, 2, d=4))
