"""Forward process: the Ornstein-Uhlenbeck clock t, the DDPM schedule k, and the score of a training set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor


def delta(t: Tensor | float) -> Tensor:
    """Variance of the forward noise, Delta_t = 1 - exp(-2 t), exact for small t; t >= 0, any shape."""
    return -torch.expm1(-2 * torch.as_tensor(t, dtype=torch.float64))


@dataclass(frozen=True)
class Schedule:
    """DDPM noise schedule of Eq. 20-21: beta grows linearly over T steps, abar_k = prod_{j<=k} (1 - beta_j).

    T: number of steps (default 1000). beta_min, beta_max: first and last beta (1e-4, 0.02).
    A step k is an index 0 ... T-1; it is the Ornstein-Uhlenbeck time t_k = -log(abar_k)/2, so that
    sqrt(abar_k) = exp(-t_k) and 1 - abar_k = Delta_t. The paper's t = 0.01 is k = 40.
    """

    T: int = 1000
    beta_min: float = 1e-4
    beta_max: float = 0.02

    def __post_init__(self) -> None:
        if self.T < 2:
            raise ValueError(f"T = {self.T}: the schedule needs at least 2 steps")
        if not 0 < self.beta_min <= self.beta_max < 1:
            raise ValueError(
                f"beta_min = {self.beta_min}, beta_max = {self.beta_max}: need 0 < beta_min <= beta_max < 1"
            )

    @cached_property
    def t(self) -> Tensor:
        """Ornstein-Uhlenbeck time of every step, float64, shape (T,), increasing."""
        beta = torch.linspace(self.beta_min, self.beta_max, self.T, dtype=torch.float64)
        return -torch.log1p(-beta).cumsum(0) / 2

    @cached_property
    def signal(self) -> Tensor:
        """sqrt(abar_k) = exp(-t_k), float64, shape (T,)."""
        return torch.exp(-self.t)

    @cached_property
    def noise(self) -> Tensor:
        """sqrt(1 - abar_k) = sqrt(Delta_t), float64, shape (T,)."""
        return delta(self.t).sqrt()

    def step_of(self, t: float) -> int:
        """The step k whose time t_k is nearest to t (Ornstein-Uhlenbeck time, 0 <= t <= t_{T-1})."""
        if not 0 <= t <= float(self.t[-1]):
            raise ValueError(f"t = {t}: the schedule covers 0 <= t <= {float(self.t[-1]):.3f}")
        return int((self.t - t).abs().argmin())


def forward_noise(x0: Tensor, k: Tensor, noise: Tensor, schedule: Schedule) -> Tensor:
    """Noised data x_k = sqrt(abar_k) x0 + sqrt(1 - abar_k) noise (Eq. 20).

    x0, noise: (n, ...). k: steps, integer, (n,). Returns (n, ...) in the type of x0. All may have a first axis more.
    """
    shape = k.shape + (1,) * (x0.ndim - k.ndim)
    signal, sigma = (table[k].view(shape) for table in _tables(schedule, x0.device, x0.dtype))
    return signal * x0 + sigma * noise


@lru_cache(maxsize=16)
def _tables(schedule: Schedule, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """signal and noise on a device, kept there: copying them at every step would make it wait for a GPU."""
    return schedule.signal.to(device, dtype), schedule.noise.to(device, dtype)


def empirical_score(x: Tensor, t: float, train: Tensor, chunk: int = 4096) -> Tensor:
    """Score of the noised training set (Eq. 5), the perfect memoriser, by a streaming soft-max over the data.

    s(x) = sum_nu w_nu (exp(-t) x_nu - x) / Delta_t with w_nu the soft-max of -|x - exp(-t) x_nu|^2 / (2 Delta_t).
    x: (m, d). train: (n, d). t > 0. Returns (m, d) in float64. Distances are of differences, in float64, and
    weights are relative to the nearest point, so any t > 0 is safe. Memory: m x chunk x d numbers at most.
    """
    if t <= 0:
        raise ValueError(f"t = {t}: the empirical score is defined for t > 0 only")
    x, variance = x.double(), float(delta(t))
    centres = torch.exp(torch.tensor(-t, dtype=torch.float64)) * train.double()
    top = torch.full((len(x), 1), -torch.inf, dtype=torch.float64, device=x.device)
    weight = torch.zeros_like(top)
    mean = torch.zeros_like(x)  # of (exp(-t) x_nu - x) under the weights, up to their sum
    for part in centres.split(chunk):
        difference = part[None] - x[:, None]
        log_w = -difference.square().sum(-1) / (2 * variance)
        new_top = torch.maximum(top, log_w.amax(1, keepdim=True))
        rescale, w = torch.exp(top - new_top), torch.exp(log_w - new_top)
        weight = weight * rescale + w.sum(1, keepdim=True)
        mean = mean * rescale + torch.einsum("mn,mnd->md", w, difference)
        top = new_top
    return mean / weight / variance
