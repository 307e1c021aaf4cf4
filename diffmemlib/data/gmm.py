"""The paper's synthetic data: two Gaussians, labelled, whose score is known at every time (Eqs. 23-24)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """The distribution P_0 = (1 - share) N(-mu 1_d, I) + share N(+mu 1_d, spread^2 I); by default that of Eq. 23.

    The Ornstein-Uhlenbeck process shrinks the centres to mu exp(-t) and moves every variance towards 1, so every P_t is
    a mixture of the same form.

    Parameters
    ----------
    d
        Dimension.
    mu
        Coordinate of the centres.
    share
        Weight of class 1, the one at +mu.
    spread
        Standard deviation of class 1; class 0 has 1.

    Raises
    ------
    ValueError
        For numbers out of range.
    """

    d: int = 8
    mu: float = 1.0
    share: float = 0.5
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.d < 1:
            raise ValueError(f"d = {self.d}: the dimension must be at least 1")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share = {self.share}: the weight of a class lies between 0 and 1")
        if not 0 < self.spread < math.inf:
            raise ValueError(f"spread = {self.spread}: a standard deviation must be positive and finite")

    def given(self, label: int) -> Self:
        """Return the distribution of one class, 0 or 1."""
        return replace(self, share=float(label))

    def labelled(self, n: int, seed: int, balanced: bool = False) -> tuple[Tensor, Tensor]:
        """Return n samples and their classes; the first m of them are the same for every n >= m.

        Parameters
        ----------
        n
            How many, at least 1.
        seed
            Of the samples.
        balanced
            Whether class 1 has its share of them exactly, rounded down, as the paper's training sets have, rather
            than by chance.

        Returns
        -------
        tuple
            (n, d), float64, and (n,).
        """
        if n < 1:
            raise ValueError(f"n = {n}: at least one sample is needed")
        # One row of d + 1 normals a sample: the first picks the Gaussian.
        z = np.random.Generator(np.random.Philox(seed)).standard_normal((n, self.d + 1))
        label = z[:, 0] > norm.ppf(1 - self.share)
        if balanced:
            so_far = np.floor(np.arange(n + 1) * self.share + 1e-9)  # of class 1; a share such as 0.2 is rounded
            label = np.diff(so_far) > 0
        centre, scale = np.where(label, self.mu, -self.mu), np.where(label, self.spread, 1.0)
        return torch.from_numpy(centre[:, None] + scale[:, None] * z[:, 1:]), torch.from_numpy(label).long()

    def sample(self, n: int, seed: int) -> Tensor:
        """Return the samples of `labelled` without their classes."""
        return self.labelled(n, seed)[0]

    def log_prob(self, x: Tensor, t: float = 0.0) -> Tensor:
        """Return log P_t(x) in nats, (m,), for x (m, d) at Ornstein-Uhlenbeck time t; in the type of x."""
        return torch.logsumexp(self._classes(x, t)[0], 0)

    def score(self, x: Tensor, t: float = 0.0) -> Tensor:
        """Return grad log P_t(x), (m, d), the average of the classes' scores under their posterior (Eq. 24)."""
        log_p, scores = self._classes(x, t)
        return (torch.softmax(log_p, 0)[..., None] * scores).sum(0)

    def _classes(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """log of weight times density of each class, (2, m), and the classes' own scores, (2, m, d)."""
        decay, log_p, scores = math.exp(-t), [], []
        for label, weight, sd in ((0, 1 - self.share, 1.0), (1, self.share, self.spread)):
            variance = 1 + decay**2 * (sd**2 - 1)
            difference = (2 * label - 1) * self.mu * decay - x
            log_weight = math.log(weight) if weight > 0 else -math.inf
            normal = -difference.square().sum(-1) / (2 * variance) - self.d / 2 * math.log(2 * math.pi * variance)
            log_p.append(log_weight + normal)
            scores.append(difference / variance)
        return torch.stack(log_p), torch.stack(scores)
