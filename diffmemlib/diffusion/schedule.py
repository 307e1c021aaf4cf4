"""Forward process: the signal and the noise of every step, and the Ornstein-Uhlenbeck time that it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

Prediction = Literal["eps", "x0", "v", "flow"]
MAX_BETA = 0.999  # of the cosine schedule, whose last steps would otherwise leave no signal at all


def delta(t: Tensor | float) -> Tensor:
    """Return the variance of the forward noise, Delta_t = 1 - exp(-2 t), exact for small t.

    Parameters
    ----------
    t
        Ornstein-Uhlenbeck times, at least 0, of any shape.
    """
    return -torch.expm1(-2 * torch.as_tensor(t, dtype=torch.float64))


class Schedule:
    """Noise schedule: step k turns clean data x0 into x_k = signal_k x0 + noise_k eps.

    ``Schedule()`` is the paper's, of DDPM (Eqs. 20, 21): beta grows linearly over T steps, abar_k is the product of
    1 - beta_j for j up to k, signal_k = sqrt(abar_k), noise_k = sqrt(1 - abar_k). `cosine`, `from_alphas_cumprod`,
    `from_sigmas` and `flow` make others.

    A step k = 0 ... T - 1 has the Ornstein-Uhlenbeck time t_k = log(1 + noise_k^2/signal_k^2)/2, so that
    signal_k = exp(-t_k) and noise_k^2 = Delta_t where variance is preserved. The paper's t = 0.01 is k = 40.

    Parameters
    ----------
    T
        Number of steps.
    beta_min, beta_max
        First and last beta.

    Attributes
    ----------
    T : int
        Number of steps.
    signal, noise : Tensor
        (T,), float64.
    t : Tensor
        Ornstein-Uhlenbeck time of every step, (T,), float64, increasing.

    Raises
    ------
    ValueError
        For fewer than 2 steps, or betas that are not 0 < beta_min <= beta_max < 1.

    Examples
    --------
    >>> Schedule().timestep_at(0.01)
    40
    """

    def __init__(self, T: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> None:
        if T < 2:
            raise ValueError(f"T = {T}: the schedule needs at least 2 steps")
        if not 0 < beta_min <= beta_max < 1:
            raise ValueError(f"beta_min = {beta_min}, beta_max = {beta_max}: need 0 < beta_min <= beta_max < 1")
        beta = torch.linspace(beta_min, beta_max, T, dtype=torch.float64)
        self._set_times(-torch.log1p(-beta).cumsum(0) / 2, f"Schedule(T={T}, beta_min={beta_min}, beta_max={beta_max})")

    @classmethod
    def cosine(cls, T: int = 1000, offset: float = 0.008) -> Schedule:
        """Return the cosine schedule of Nichol and Dhariwal (2021): abar_k = f(k + 1)/f(0).

        f(k) = cos^2((k/T + offset)/(1 + offset) pi/2), with no beta above 0.999.

        Parameters
        ----------
        T
            Number of steps.
        offset
            Keeps the first betas from being too small.
        """
        if T < 2:
            raise ValueError(f"T = {T}: the schedule needs at least 2 steps")
        f = np.cos((np.arange(T + 1) / T + offset) / (1 + offset) * math.pi / 2) ** 2
        beta = np.minimum(1 - f[1:] / f[:-1], MAX_BETA)
        return cls.from_alphas_cumprod(np.cumprod(1 - beta), f"Schedule.cosine(T={T}, offset={offset})")

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: ArrayLike | Tensor, name: str = "") -> Schedule:
        """Return the schedule of given abar_k, such as ``scheduler.alphas_cumprod`` of a scheduler of diffusers.

        Parameters
        ----------
        alphas_cumprod
            (T,), decreasing, between 0 and 1 and neither.
        name
            What the schedule is printed as.

        Raises
        ------
        ValueError
            Where the numbers are no such list.
        """
        abar = _numbers(alphas_cumprod, "alphas_cumprod")
        if not (bool((abar > 0).all()) and bool((abar < 1).all()) and bool((abar.diff() < 0).all())):
            raise ValueError(
                "alphas_cumprod must decrease and lie between 0 and 1; a last value of 0 has no signal left"
            )
        schedule = cls.__new__(cls)
        schedule._set_times(-abar.log() / 2, name or f"Schedule.from_alphas_cumprod(T={len(abar)})")
        return schedule

    @classmethod
    def from_sigmas(cls, sigmas: ArrayLike | Tensor) -> Schedule:
        """Return the variance-preserving schedule of given noise levels, sigma_k = noise_k/signal_k.

        Parameters
        ----------
        sigmas
            (T,), positive, increasing. A network that sees x0 + sigma eps is given signal_k times that here.

        Raises
        ------
        ValueError
            Where the numbers are no such list.
        """
        sigma = _numbers(sigmas, "sigmas")
        if not (bool((sigma > 0).all()) and bool((sigma.diff() > 0).all())):
            raise ValueError("sigmas must be positive and increasing")
        schedule = cls.__new__(cls)
        schedule._set_times(torch.log1p(sigma.square()) / 2, f"Schedule.from_sigmas(T={len(sigma)})")
        return schedule

    @classmethod
    def flow(cls, T: int = 1000) -> Schedule:
        """Return the linear path of flow matching: x_k = (1 - s) x0 + s eps, s = (k + 1)/(T + 1).

        Its variance is not preserved, so Euler-Maruyama does not take it; `ddim` is then Euler's method on the flow.

        Parameters
        ----------
        T
            Number of steps; s = 0 and s = 1 are left out.
        """
        if T < 2:
            raise ValueError(f"T = {T}: the schedule needs at least 2 steps")
        s = torch.arange(1, T + 1, dtype=torch.float64) / (T + 1)
        schedule = cls.__new__(cls)
        schedule.T, schedule.signal, schedule.noise = T, 1 - s, s
        schedule.t = torch.log1p((s / (1 - s)).square()) / 2
        schedule._name, schedule._key = f"Schedule.flow(T={T})", hash(("flow", T))
        return schedule

    def _set_times(self, t: Tensor, name: str) -> None:
        self.T, self.t, self._name = len(t), t, name
        self.signal, self.noise = torch.exp(-t), delta(t).sqrt()
        self._key = hash(t.numpy().tobytes())

    @property
    def preserves_variance(self) -> bool:
        """Whether signal_k^2 + noise_k^2 = 1 at every step, as of an Ornstein-Uhlenbeck process."""
        return bool(((self.signal.square() + self.noise.square() - 1).abs() < 1e-9).all())

    def timestep_at(self, t: float) -> int:
        """Return the step k whose time t_k is nearest to t.

        Parameters
        ----------
        t
            Ornstein-Uhlenbeck time, 0 <= t <= t_{T-1}.

        Raises
        ------
        ValueError
            Where t lies outside.
        """
        if not 0 <= t <= float(self.t[-1]):
            raise ValueError(f"t = {t}: the schedule covers 0 <= t <= {float(self.t[-1]):.3f}")
        return int((self.t - t).abs().argmin())

    def __repr__(self) -> str:
        return self._name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self is other or (torch.equal(self.signal, other.signal) and torch.equal(self.noise, other.noise))

    def __hash__(self) -> int:
        return self._key


def _numbers(values: ArrayLike | Tensor, name: str) -> Tensor:
    numbers = torch.as_tensor(np.asarray(values, dtype=np.float64).copy())
    if numbers.ndim != 1 or len(numbers) < 2 or not bool(torch.isfinite(numbers).all()):
        raise ValueError(f"{name} of shape {tuple(numbers.shape)}: give a list of at least 2 finite numbers")
    return numbers


def forward_noise(x0: Tensor, timestep: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """Return noised data, x_k = signal_k x0 + noise_k eps (Eq. 20).

    Parameters
    ----------
    x0
        Clean data, (m, ...).
    timestep
        Steps k, integers, (m,).
    eps
        Standard normal noise, (m, ...). All three may have one more axis in front, of stacked networks.
    schedule
        The forward process.

    Returns
    -------
    Tensor
        As x0, in its type.
    """
    shape = timestep.shape + (1,) * (x0.ndim - timestep.ndim)
    signal, noise = (table[timestep].view(shape) for table in device_tables(schedule, x0.device, x0.dtype))
    return signal * x0 + noise * eps


@lru_cache(maxsize=16)
def device_tables(schedule: Schedule, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return signal and noise on a device, kept there: copying them at every step would make it wait for a GPU."""
    return schedule.signal.to(dtype).to(device), schedule.noise.to(dtype).to(device)


def x0_and_eps(output: Any, x: Any, signal: Any, noise: Any, prediction: Prediction = "eps") -> tuple[Any, Any]:
    """Return the clean data and the noise that a network's prediction stands for, x = signal x0 + noise eps.

    Parameters
    ----------
    output
        What the network predicts: eps; x0; v = signal eps - noise x0 (Salimans and Ho 2022); or, of flow matching,
        eps - x0.
    x
        What the network saw.
    signal, noise
        Of its step: numbers, or tensors that broadcast to x.
    prediction
        "eps", "x0", "v" or "flow".

    Returns
    -------
    tuple
        x0 and eps, as x.

    Raises
    ------
    ValueError
        For another kind of prediction.
    """
    if prediction == "eps":
        return (x - noise * output) / signal, output
    if prediction == "x0":
        return output, (x - signal * output) / noise
    if prediction == "v":
        square = signal**2 + noise**2
        return (signal * x - noise * output) / square, (noise * x + signal * output) / square
    if prediction == "flow":
        return (x - noise * output) / (signal + noise), (x + signal * output) / (signal + noise)
    raise ValueError(f"prediction = {prediction!r}: choose one of {', '.join(get_args(Prediction))}")


def prediction_target(x0: Tensor, eps: Tensor, signal: Tensor, noise: Tensor, prediction: Prediction) -> Tensor:
    """Return what a network that makes this kind of prediction is trained on; see `x0_and_eps`."""
    targets = {"eps": lambda: eps, "x0": lambda: x0, "v": lambda: signal * eps - noise * x0, "flow": lambda: eps - x0}
    if prediction not in targets:
        raise ValueError(f"prediction = {prediction!r}: choose one of {', '.join(get_args(Prediction))}")
    return targets[prediction]()


def sampling_grid(T: int, steps: int, to_zero: bool = False) -> list[int]:
    """Return the steps k that a sampler visits: evenly spaced, from T - 1 down to 1 (k = 0 is never trained).

    Parameters
    ----------
    T
        Steps of the schedule.
    steps
        How many to visit, 1 ... T - 1.
    to_zero
        The grid of the paper's code instead: down to 0, each step cut to a whole number rather than rounded.

    Raises
    ------
    ValueError
        For another number of steps.
    """
    if not 1 <= steps <= T - 1:
        raise ValueError(f"steps = {steps}: a sampler takes 1 to T - 1 = {T - 1} steps")
    if to_zero:
        return [(T - 1) * j // max(steps - 1, 1) for j in reversed(range(steps))]
    grid: Sequence[int] = torch.linspace(T - 1, 1, steps, dtype=torch.float64).round().long().tolist()
    return list(grid)
