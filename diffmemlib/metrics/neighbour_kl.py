"""Kullback-Leibler divergence of samples from a law of known density, by distances between the samples alone."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import KDTree
from scipy.special import digamma, gammaln
from torch import Tensor

from ..randomness import derive_seed
from .inputs import as_points

Floats = NDArray[np.float64]
PARTS = 10  # of the samples, whose spread is the statistical error
DRAWS = 20_000  # points in all, or five sets, that calibrate the bias
FEWEST = 100  # samples
# The bias that halving the samples shows goes on below what they resolve: at most so many times that, in up to 16
# dimensions, for samples that are copies of a few points (tests/metrics/test_neighbour_kl.py).
REMAINS = 4


class Law(Protocol):
    """A distribution that can be sampled and whose density is known, such as `GaussianMixture`."""

    def sample(self, n: int, seed: int) -> Tensor:
        """Return n samples, (n, d)."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log densities in nats, (m,)."""


@dataclass(frozen=True)
class NeighbourEstimate:
    """A divergence in nats with an interval.

    Parameters
    ----------
    value : float
        The estimate, its bias taken away.
    low, high : float
        At least a 95% interval: Student's for the statistical error, made wider on both sides by what is not known of
        the bias.
    bias : float
        What was taken away: the mean of the estimate for samples of the law itself.
    """

    value: float
    low: float
    high: float
    bias: float


@dataclass(frozen=True)
class Calibration:
    """The raw estimate for samples of the law itself, where the divergence is zero.

    Parameters
    ----------
    bias, error : float
        Its mean for m samples, and the error of that.
    half, double : float
        Its mean for m/2 and 2m samples.
    scatter : float
        Standard deviation of the difference between one estimate from m samples and the mean of those from its halves.
    """

    bias: float
    error: float
    half: float
    double: float
    scatter: float


def kl_nearest_neighbour(samples: Any, law: Law, neighbours: int = 1) -> NeighbourEstimate:
    """Return KL(P || Q) for draws of P and a known Q: entropy of P by Kozachenko and Leonenko, exact cross entropy.

    KL = mean_i [-log q(x_i) - d log rho_i] - psi(m) + psi(k) - log V_d, with rho_i the distance of a sample to its k-th
    nearest among the others, psi the digamma function and V_d the volume of the unit ball. No score is used. In
    many dimensions few samples leave a bias that depends on the shape of P far less than on d and m: it is measured at
    P = Q, on as many draws of Q, and taken away. What may be left of it widens the interval: the bias
    at P = Q with half and twice as many samples (P may have half the modes of Q, or twice), and what halving the
    samples at hand changes beyond chance (P may be copies of few points).

    Parameters
    ----------
    samples
        Draws of P, (m, d), tensor, array or list, 100 at least.
    law
        Q; its `log_prob` and `sample` are used.
    neighbours
        k. More of them scatter less and are biased more.

    Raises
    ------
    ValueError
        For too few samples, samples that are not of the law's shape, and where a sample coincides with k others, so
        that its distance is zero.

    References
    ----------
    Kozachenko and Leonenko, "Sample estimate of the entropy of a random vector", Problems of Information Transmission
    23 (1987).

    Examples
    --------
    >>> from diffmemlib import kl_nearest_neighbour
    >>> from diffmemlib.data.gmm import GaussianMixture
    >>> law, narrow = GaussianMixture(d=2, mu=0.0), GaussianMixture(d=2, mu=0.0, share=1.0, spread=0.5)
    >>> estimate = kl_nearest_neighbour(narrow.sample(1000, seed=0), law)
    >>> estimate.low < 2 * (0.693 - 0.375) < estimate.high  # d (log 2 + 1/8 - 1/2)
    True
    """
    x = as_points(samples, "samples").cpu().double()
    if x.shape[1:] != (expected := law.sample(1, 0).shape[1:]) or x.ndim != 2:
        raise ValueError(f"samples have shape {tuple(x.shape[1:])} each, and those of the law {tuple(expected)}")
    if len(x) < max(FEWEST, 2 * PARTS * (neighbours + 1)) or neighbours < 1:
        raise ValueError(
            f"{len(x)} samples, neighbours = {neighbours}: the estimate needs neighbours of at least 1, and samples of "
            f"at least {FEWEST} and {2 * PARTS} (neighbours + 1)"
        )
    value, (half, parts) = _raw(x, law, neighbours), (
        np.array([_raw(x[i::step], law, neighbours) for i in range(step)]) for step in (2, PARTS)
    )  # fmt: skip
    if isinstance(law, Hashable):
        calibration = _calibrate(law, len(x), neighbours)
    else:
        calibration = _calibrate.__wrapped__(law, len(x), neighbours)
    error = math.sqrt(parts.var(ddof=1) / PARTS + calibration.error**2)
    biases = (calibration.half, calibration.bias, calibration.double)
    halving = abs(value - calibration.bias - (half.mean() - calibration.half))
    unknown = max(max(biases) - min(biases), REMAINS * (halving - 2 * calibration.scatter))
    width = float(stats.t.ppf(0.975, PARTS - 1) * error + unknown)
    value -= calibration.bias
    return NeighbourEstimate(value, value - width, value + width, calibration.bias)


def _raw(x: Tensor, law: Law, neighbours: int) -> float:
    points: Floats = x.numpy()
    m, d = points.shape
    distance: Floats = KDTree(points).query(points, [neighbours + 1])[0][:, 0]  # the first is the point itself
    if (coincide := int((distance == 0).sum())) > 0:
        raise ValueError(f"{coincide} samples coincide with {neighbours} others: the law they are of has no density")
    volume = d / 2 * math.log(math.pi) - gammaln(d / 2 + 1)
    log_prob = law.log_prob(x)
    if log_prob.shape != (m,):
        raise ValueError(f"log_prob of {m} points has shape {tuple(log_prob.shape)}: it gives one number for each")
    if not torch.isfinite(log_prob).all():
        raise ValueError("the law has no density, or an infinite one, where some samples are: KL is infinite")
    terms = -log_prob.numpy() - d * np.log(distance)
    return float(terms.mean() - digamma(m) + digamma(neighbours) - volume)


@lru_cache(maxsize=64)
def _calibrate(law: Law, m: int, neighbours: int) -> Calibration:
    values, halves, doubles = [], [], []
    for i in range(max(5, DRAWS // m)):
        x = law.sample(2 * m, derive_seed(0, "calibrate", i)).cpu().double()
        doubles.append(_raw(x, law, neighbours))
        values += [_raw(part, law, neighbours) for part in (x[:m], x[m:])]
        halves += [np.mean([_raw(part[j::2], law, neighbours) for j in (0, 1)]) for part in (x[:m], x[m:])]
    error = np.std(values, ddof=1) / len(values) ** 0.5
    scatter = np.std(np.subtract(values, halves), ddof=1)
    return Calibration(*map(float, (np.mean(values), error, np.mean(halves), np.mean(doubles), scatter)))
