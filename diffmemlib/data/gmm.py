"""The paper's synthetic data: two balanced Gaussians, whose score is known at every time (Eqs. 23-24)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """P_0 = (1/2) N(+mu 1_d, I) + (1/2) N(-mu 1_d, I), Eq. 23.

    d: dimension (default 8). mu: coordinate of the centres (default 1). The Ornstein-Uhlenbeck process keeps the
    covariance I and shrinks the centres to mu exp(-t), so every P_t is a mixture of the same form.
    """

    d: int = 8
    mu: float = 1.0

    def __post_init__(self) -> None:
        if self.d < 1:
            raise ValueError(f"d = {self.d}: the dimension must be at least 1")

    def sample(self, n: int, seed: int) -> Tensor:
        """n independent draws, float64, shape (n, d); the first m of them are the same for every n >= m."""
        if n < 1:
            raise ValueError(f"n = {n}: at least one sample is needed")
        # One row of d + 1 normals a sample: the sign of the first picks the Gaussian.
        z = np.random.Generator(np.random.Philox(seed)).standard_normal((n, self.d + 1))
        return torch.from_numpy(self.mu * np.sign(z[:, :1]) + z[:, 1:])

    def log_prob(self, x: Tensor, t: float = 0.0) -> Tensor:
        """log P_t(x) at Ornstein-Uhlenbeck time t; x: (m, d), returns (m,), in nats, in the type of x."""
        m = self.mu * math.exp(-t)
        quadratic = x.square().sum(-1) + self.d * m**2
        log_cosh = torch.logaddexp(m * x.sum(-1), -m * x.sum(-1)) - math.log(2)
        return -quadratic / 2 + log_cosh - self.d / 2 * math.log(2 * math.pi)

    def score(self, x: Tensor, t: float = 0.0) -> Tensor:
        """grad log P_t(x) = m tanh(m 1.x) 1 - x with m = mu exp(-t) (Eq. 24); x: (m, d), returns (m, d)."""
        m = self.mu * math.exp(-t)
        return m * torch.tanh(m * x.sum(-1, keepdim=True)) - x
