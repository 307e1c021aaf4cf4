"""The two times of a training run, tau_gen and tau_mem, and how they scale (exponents, collapse), with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Status = Literal["interpolated", "at first point", "censored"]


@dataclass(frozen=True)
class Timescale:
    """A crossing time in training steps and how it was found.

    interpolated: between two milestones. at first point: already crossed there, so tau is an upper bound.
    censored: the run ended before, so tau is its last step, a lower bound.
    """

    tau: float
    status: Status


def first_crossing(tau: ArrayLike, value: ArrayLike, threshold: float, rising: bool = True) -> Timescale:
    """When a curve first reaches a threshold, linearly interpolated in log tau between milestones.

    tau: (m,) positive, increasing. value: (m,). rising: crossing upwards (default) or downwards.
    """
    tau, value = np.asarray(tau, float), np.asarray(value, float)
    if tau.ndim != 1 or tau.shape != value.shape or len(tau) == 0:
        raise ValueError(f"tau {tau.shape} and value {value.shape} must be two equally long lists of numbers")
    if tau[0] <= 0 or (np.diff(tau) <= 0).any():
        raise ValueError("tau must be positive and increasing")
    reached = value >= threshold if rising else value <= threshold
    if not reached.any():
        return Timescale(float(tau[-1]), "censored")
    i = int(reached.argmax())
    if i == 0:
        return Timescale(float(tau[0]), "at first point")
    share = (threshold - value[i - 1]) / (value[i] - value[i - 1])
    return Timescale(float(np.exp(np.log(tau[i - 1]) + share * np.log(tau[i] / tau[i - 1]))), "interpolated")


@dataclass(frozen=True)
class Fit:
    """An exponent with its 95% bootstrap interval, the prefactor at the interval's centre, and what it rests on.

    value, low, high: the exponent. prefactor: tau = prefactor * x^value. points: runs that entered. left_out: runs
    that could not, because a run at the same x was censored.
    """

    value: float
    low: float
    high: float
    prefactor: float
    points: int
    left_out: int


def exponent(x: ArrayLike, times: Sequence[Timescale], resamples: int = 2000, seed: int = 0) -> Fit:
    """Least-squares slope of log tau against log x, with an interval from a bootstrap of residuals.

    x: (m,), one per run (n, or W); several runs share an x. times: their crossing times. A value of x with a
    censored run is left out whole: keeping only its faster runs would pull the slope down. The residuals hold
    both the spread over seeds and any departure from a power law; they are widened by sqrt(m/(m-2)) for the two
    fitted numbers. Needs two values of x left.
    """
    x = np.asarray(x, float)
    whole = [all(t.status == "interpolated" for t, other in zip(times, x, strict=True) if other == v) for v in x]
    keep = np.array(whole, bool)
    if len(np.unique(x[keep])) < 2:
        raise ValueError("an exponent needs two sizes at which every run crossed the threshold")
    log_x, log_tau = np.log(x[keep]), np.log([t.tau for t, w in zip(times, whole, strict=True) if w])
    value, low, high, intercept = _slope(log_x, log_tau[None], resamples, seed)
    return Fit(value, low, high, float(np.exp(intercept[0])), int(keep.sum()), int((~keep).sum()))


@dataclass(frozen=True)
class Collapse:
    """The exponent a that best collapses curves in tau/x^a, its 95% interval, and how tight the collapse is.

    spread: root mean square distance of the curves from one another along log tau, as a factor (1 is perfect).
    levels: the values of the curves that were compared.
    """

    value: float
    low: float
    high: float
    spread: float
    levels: tuple[float, ...]


def collapse_exponent(
    x: ArrayLike, curves: Sequence[tuple[ArrayLike, ArrayLike]], levels: Sequence[float],
    resamples: int = 2000, seed: int = 0,
) -> Collapse:  # fmt: skip
    """The a for which curves value(tau / x^a) lie closest together, measured along log tau.

    At each level every curve has a crossing time; a is the slope that the levels share,
    log tau_level(x) = c_level + a log x. Levels that some curve does not reach are left out. x: (m,), one per
    curve. curves: (tau, value) pairs, rising. The interval is a bootstrap over curves.
    """
    log_x = np.log(np.asarray(x, float))
    times = [[first_crossing(tau, value, level) for tau, value in curves] for level in levels]
    reached = [i for i, row in enumerate(times) if all(t.status == "interpolated" for t in row)]
    if not reached:
        raise ValueError(f"no level of {list(levels)} is crossed by every curve: the collapse cannot be measured")
    log_tau = np.log([[t.tau for t in times[i]] for i in reached])
    value, low, high, intercepts = _slope(log_x, log_tau, resamples, seed)
    residual = log_tau - intercepts[:, None] - value * log_x
    return Collapse(value, low, high, float(np.exp(residual.std())), tuple(levels[i] for i in reached))


def _slope(
    x: NDArray[np.float64], y: NDArray[np.float64], resamples: int, seed: int
) -> tuple[float, float, float, NDArray[np.float64]]:
    """Common slope of the rows of y (r, m) on x (m,), its 95% interval, and the intercept of each row.

    Residuals are resampled by column, since the rows of one column come from the same run.
    """
    m = len(x)
    centred = x - x.mean()

    def fit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values @ centred).mean(-1) / (centred @ centred)  # slope of (..., r, m)

    slope = float(fit(y))
    intercept = y.mean(1) - slope * x.mean()
    line = intercept[:, None] + slope * x
    residual = (y - line) * (m / max(m - 2, 1)) ** 0.5
    picks = np.random.default_rng(seed).integers(m, size=(resamples, m))
    slopes = fit(line + np.moveaxis(residual[:, picks], 1, 0))
    low, high = np.quantile(slopes, [0.025, 0.975])
    return slope, float(low), float(high), intercept
