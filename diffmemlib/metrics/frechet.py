"""Frechet distance between two sets of images, through the Gaussians that share their features' first two moments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .inputs import as_points

Features = Callable[[Tensor], Tensor]  # images (m, channels, height, width) in [0, 1] -> features (m, D)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """First two moments of features, from which Gaussians are compared.

    Parameters
    ----------
    count : int
        How many features were seen.
    mean : ndarray
        (D,).
    scatter : ndarray
        Sum of the centred outer products, (D, D).
    """

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, features: Tensor | Array) -> Moments:
        """Return the moments of features (m, D), in float64.

        ValueError for another shape, and for NaN, infinite and astronomical numbers.
        """
        x = _rows(features)
        if x.ndim != 2:
            raise ValueError(f"features have shape {x.shape}: expected one row for each image")
        centred = x - x.mean(0)
        return cls(len(x), x.mean(0), centred.T @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets together (Chan, Golub and LeVeque 1979); features need not be kept."""
        count, shift = self.count + other.count, other.mean - self.mean
        mean = self.mean + shift * other.count / count
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Array:
        """Unbiased, (D, D)."""
        return self.scatter / (self.count - 1)


def moments(images: Iterable[Tensor], features: Features) -> Moments:
    """Return the moments of the features of images that come in batches.

    Parameters
    ----------
    images
        Batches (m, channels, height, width) in [0, 1].
    features
        Images -> features (m, D).

    Raises
    ------
    ValueError
        Where there is no image.
    """
    with torch.no_grad():
        parts = [Moments.of(features(batch).double().cpu()) for batch in images]
    if not parts:
        raise ValueError("no images: the moments of nothing are not defined")
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^{1/2}), in the square of the features' unit.

    By eigenvalues of the symmetric C_a^{1/2} C_b C_a^{1/2}, which has those of C_a C_b; no complex square root is
    needed.

    Parameters
    ----------
    a, b
        Moments of the two sets.

    Raises
    ------
    ValueError
        Where a set has no more images than features have dimensions: its covariance is singular and the distance mostly
        its bias. Also where the features differ in dimension.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((500, 4))
    >>> round(frechet_distance(Moments.of(x), Moments.of(x + 1)), 6)
    4.0
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} dimensions cannot be compared")
    fewest, dimension = min(a.count, b.count), len(a.mean)
    if fewest <= dimension:
        raise ValueError(
            f"{fewest} images are too few for features of {dimension} dimensions: take more than {dimension}"
        )
    return distance_of_gaussians(a.mean, a.covariance, b.mean, b.covariance)


def distance_of_gaussians(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """Return the same from means (D,) and covariances (D, D), singular ones included."""
    shift = mean_a - mean_b
    unit = max(np.abs(shift).max(), np.sqrt(np.diag(cov_a).max()), np.sqrt(np.diag(cov_b).max()))
    if not 0 < unit < np.inf:
        return float(unit)  # 0, of two points in one place
    shift, cov_a, cov_b = shift / unit, cov_a / unit / unit, cov_b / unit / unit  # so that no product overflows
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(min=0)).sum()
    return float((shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * cross) * unit * unit)


def frechet_interval(features_a: Array, features_b: Array) -> tuple[float, float, float]:
    """Return the distance between two sets of features, and the ends of +- 1.96 standard errors.

    The error is that of the infinitesimal jackknife: the distance is smooth in both sets' moments, and the derivative
    with respect to the weight of one image x of set a is (x - mu_a)^T (I - T) (x - mu_a) + 2 (mu_a - mu_b)^T (x - mu_a)
    up to its mean, with T = C_a^{-1/2} (C_a^{1/2} C_b C_a^{1/2})^{1/2} C_a^{-1/2} the optimal map from a to b. A
    bootstrap would not do: images that repeat raise the distance. So do few images; that bias is not removed.

    Parameters
    ----------
    features_a, features_b
        (m, D), with m > D in each.
    """
    a, b = Moments.of(features_a), Moments.of(features_b)
    value = frechet_distance(a, b)
    variance = sum(
        float(np.var(_influence(_rows(x), mine, other))) / mine.count
        for x, mine, other in ((features_a, a, b), (features_b, b, a))
    )
    return value, value - 1.96 * variance**0.5, value + 1.96 * variance**0.5


def _rows(features: Tensor | Array) -> Array:
    return as_points(features, "the set of features").cpu().double().numpy()


def _influence(x: Array, mine: Moments, other: Moments) -> Array:
    if not mine.scatter.any():  # all in one place: none of them moves the covariance, and the mean is exact
        return np.zeros(len(x))
    values, vectors = np.linalg.eigh(mine.covariance)
    values = values.clip(min=values[-1] * len(values) * np.finfo(np.float64).eps)  # a feature that never changes
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    inner, basis = np.linalg.eigh(root @ other.covariance @ root)
    middle = (basis * np.sqrt(inner.clip(min=0))) @ basis.T
    centred = x - mine.mean
    curved = (centred @ (np.eye(len(values)) - inverse @ middle @ inverse) * centred).sum(1)
    return curved + 2 * centred @ (mine.mean - other.mean)
