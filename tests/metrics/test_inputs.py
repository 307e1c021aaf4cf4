"""What people hand to the metrics: any type of number is taken or refused in one sentence, and none gives NaN."""

import math

import numpy as np
import pytest
import torch

from diffmemlib import empirical_score, frechet_interval, kl_from_score, kl_nearest_neighbour, memorized_fraction
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.metrics.frechet import Moments, frechet_distance
from diffmemlib.metrics.memorization import NeighbourIndex, near_duplicates

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 60_000, (50, 4))


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "int16", ">u2", ">f8", "<f4", "longdouble", "float16"])
def test_any_type_of_number_gives_the_same_neighbours(kind: str):
    values = TRAIN // {"float16": 1000, "int16": 2}.get(kind, 1)
    expected = memorized_fraction(values[:20].astype(float) + 0.0, values.astype(float)).neighbours
    found = memorized_fraction(values[:20].astype(kind), values.astype(kind)).neighbours
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.ma.masked_array(np.ones((3, 2)), mask=False), "is a masked array"),
        (torch.eye(3).to_sparse(), "is a sparse tensor: give x.to_dense"),
        (np.array([["a", "b"]]), "holds <U1 and no numbers"),
    ],
)
def test_what_holds_no_plain_numbers_is_refused_by_name(x, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        memorized_fraction(x, np.eye(3))


@pytest.mark.parametrize("k", [0, 1, 3, math.nan])
def test_a_threshold_out_of_range_is_refused_everywhere(k: float):
    for call in (lambda: near_duplicates(TRAIN, k), lambda: memorized_fraction(TRAIN, TRAIN, k)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


def test_chosen_points_are_those_of_a_list_a_mask_or_none():
    train = np.concatenate([TRAIN, TRAIN[:5] + 1]).astype(float)
    index = NeighbourIndex(train)
    whole, mask = index.has_near_duplicate(), np.arange(len(train)) % 2 == 0
    np.testing.assert_array_equal(index.has_near_duplicate(mask), whole[mask])
    assert index.has_near_duplicate([]).shape == (0,)


def test_a_generator_that_makes_one_picture_has_a_distance_with_an_interval():
    real = RNG.standard_normal((200, 3))
    value, low, high = frechet_interval(np.ones((50, 3)), real)
    assert value == pytest.approx(float(((real.mean(0) - 1) ** 2).sum() + real.var(0, ddof=1).sum()), rel=1e-9)
    assert low < value < high < math.inf


@pytest.mark.parametrize("unit", [1e-85, 1e-3, 1.0, 1e80])
def test_the_distance_scales_with_the_square_of_the_features(unit: float):
    a, b = RNG.standard_normal((100, 3)), RNG.standard_normal((100, 3)) + 1
    expected = frechet_distance(Moments.of(a), Moments.of(b))
    assert frechet_distance(Moments.of(unit * a), Moments.of(unit * b)) / unit / unit == pytest.approx(expected)


def test_features_may_carry_gradients_or_half_precision():
    a, b = torch.randn(60, 3), torch.randn(60, 3)
    expected = frechet_interval(a.bfloat16().double().numpy(), b.numpy())
    assert frechet_interval(a.bfloat16(), b.requires_grad_()) == pytest.approx(expected)


@pytest.mark.parametrize("d", [1, 3])
def test_samples_of_another_dimension_than_the_law_are_refused(d: int):
    with pytest.raises(ValueError, match=rf"samples have shape \({d},\) each, and those of the law \(2,\)"):
        kl_nearest_neighbour(torch.randn(200, d), GaussianMixture(2, 0.0))


class Uniform:
    """On the unit square, with a log-density that is -inf outside, or of a column's shape."""

    def __init__(self, column: bool) -> None:
        self.column = column

    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed % 2**31), dtype=torch.float64)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        value = torch.where(((x >= 0) & (x <= 1)).all(1), 0.0, -math.inf).double()
        return value[:, None] if self.column else value


def test_a_law_without_a_density_there_or_of_another_shape_is_told():
    with pytest.raises(ValueError, match="KL is infinite"):
        kl_nearest_neighbour(2 * Uniform(False).sample(200, 1), Uniform(False))
    with pytest.raises(ValueError, match=r"log_prob of 200 points has shape \(200, 1\)"):
        kl_nearest_neighbour(Uniform(True).sample(200, 1), Uniform(True))


def test_a_divergence_of_what_is_not_finite_is_no_number_but_an_error():
    law, x = GaussianMixture(2, 0.0), torch.randn(200, 2)
    with pytest.raises(ValueError, match="without NaN or infinite"):
        kl_from_score(lambda x, k: x, x * math.nan, law.log_prob, Schedule(), 0)
    with pytest.raises(FloatingPointError, match="has diverged"):
        kl_from_score(lambda x, k: x * math.nan, x, law.log_prob, Schedule(), 0)


@pytest.mark.parametrize(
    ("t", "scale", "sentence"),
    [(math.nan, 1, "positive, finite"), (math.inf, 1, "positive, finite"), (1e-306, 100, "beyond float64"),
     (0.1, math.nan, "holds NaN")],
)  # fmt: skip
def test_the_empirical_score_is_a_number_or_an_error(t: float, scale: float, sentence: str):
    x = torch.randn(5, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=sentence):
        empirical_score(scale * x, t, scale * torch.randn(4, 2, dtype=torch.float64))


def test_the_empirical_score_takes_arrays():
    x, train = RNG.standard_normal((5, 2)), RNG.standard_normal((4, 2))
    ours = empirical_score(x, 0.1, train, memory=1e9)
    torch.testing.assert_close(ours, empirical_score(torch.from_numpy(x), 0.1, torch.from_numpy(train)))


def test_near_duplicates_of_many_points_are_estimated_from_a_few():
    train = RNG.standard_normal((3000, 6))
    train[1000:1500] = train[:500] + 1e-6
    exact, estimate = near_duplicates(train), near_duplicates(train, sample=500)
    assert exact >= 1000
    assert abs(estimate - exact) < 4 * 3000 * (0.36 * 0.64 / 500) ** 0.5
    assert near_duplicates(train, sample=3000) == exact
