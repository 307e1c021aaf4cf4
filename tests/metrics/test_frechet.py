"""The Frechet distance: closed forms, another implementation, streams, intervals, and what it refuses."""

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance

from diffmemlib.metrics.frechet import Moments, distance_of_gaussians, frechet_distance, frechet_interval, moments

RNG = np.random.default_rng(0)


def features(m: int, d: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) + shift


def test_gaussians_that_commute_have_a_closed_form():
    a, b, shift = RNG.uniform(0.5, 3, 6), RNG.uniform(0.5, 3, 6), RNG.standard_normal(6)
    expected = (shift**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert distance_of_gaussians(shift, np.diag(a), np.zeros(6), np.diag(b)) == pytest.approx(expected, rel=1e-12)


def test_it_is_a_squared_distance():
    a, b = Moments.of(features(50, 8, 1)), Moments.of(features(60, 8, 2, shift=1.0))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


@pytest.mark.parametrize(("m", "tolerance"), [(500, 1e-10), (20, 1e-6)])
def test_it_agrees_with_pytorch_fid(m: int, tolerance: float):
    """Also where m is below the dimension and covariances are singular, through the function of Gaussians."""
    x, y = features(m, 64, 3), features(m + 10, 64, 4, shift=0.3)
    a, b = Moments.of(x), Moments.of(y)
    theirs = calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    ours = distance_of_gaussians(a.mean, a.covariance, b.mean, b.covariance)
    assert ours == pytest.approx(theirs, rel=tolerance)


def test_moments_add_up_over_batches():
    x = features(103, 5) + 1e4  # a large mean, which naive sums of squares would not survive
    whole = Moments.of(x)
    streamed = moments(torch.from_numpy(x).split(10), lambda batch: batch)
    assert streamed.count == whole.count
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(streamed.covariance, np.cov(x.T), rtol=1e-9)


def test_the_stated_error_is_the_scatter_over_fresh_sets():
    """Both sets drawn anew a hundred times: the scatter of the distance against the mean stated error."""
    mixing = np.random.default_rng(6).standard_normal((2, 6, 6))
    found = []
    for i in range(200):
        z = np.random.default_rng(100 + i).standard_normal((2, 300, 6))
        found.append(frechet_interval(z[0] @ mixing[0], z[1] @ mixing[1]))
    scatter = np.std([value for value, _, _ in found], ddof=1)
    stated = np.mean([(high - low) / 2 / 1.96 for _, low, high in found])
    assert stated == pytest.approx(scatter, rel=0.2)  # four standard errors of a scatter from 200 values


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (features(32, 32), "32 images are too few for features of 32 dimensions"),
        (features(50, 31), "features of 31 and 32 dimensions"),
        (np.full((50, 32), np.nan), "NaN or infinite"),
        (np.zeros(5), "expected one or more points along the first axis"),
        (np.zeros((5, 2, 2)), "expected one row for each image"),
        (np.full((50, 32), 1e200), "rescale the data"),
    ],
)
def test_bad_features_are_refused(x: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        frechet_distance(Moments.of(x), Moments.of(features(100, 32)))


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        moments([], lambda x: x)


def test_the_stated_error_is_that_of_every_image_moved_a_little():
    """The derivative with respect to the weight of each image, by differences, with means that lie apart.

    Skewed features, so that shifts of the mean and of the covariance go together and the signs of both matter.
    """
    rng = np.random.default_rng(7)
    x, y = rng.exponential(size=(40, 3)) + np.array([1.0, 0, 0]), rng.exponential(size=(50, 3))

    variance = 0.0
    for points, rest in ((x, y), (y, x)):
        other = Moments.of(rest)

        def weighted(weights, points=points, other=other):
            mean = weights @ points / weights.sum()
            scatter = (weights[:, None] * (points - mean)).T @ (points - mean) / weights.sum() * (len(points) - 1)
            return frechet_distance(Moments(len(points), mean, scatter), other)

        h, ones = 1e-5, np.ones(len(points))
        slopes = [
            (weighted(ones + h * unit) - weighted(ones - h * unit)) / (2 * h) * len(points)
            for unit in np.eye(len(points))
        ]
        variance += np.var(slopes) / len(points)
    value, low, high = frechet_interval(x, y)
    assert (high - value) / 1.96 == pytest.approx(variance**0.5, rel=0.03)  # n against n - 1 in the covariance
    assert value - low == pytest.approx(high - value)


def test_features_are_taken_as_tensors_with_gradients_and_as_lists():
    x = features(50, 3)
    expected = Moments.of(x)
    for form in (torch.from_numpy(x).requires_grad_(), x.tolist()):
        np.testing.assert_allclose(Moments.of(form).scatter, expected.scatter)
