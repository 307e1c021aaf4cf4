"""How crossing times scale: exponents, collapses and predictions, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from .timescales import Timescale, first_crossing


@dataclass(frozen=True)
class Fit:
    """An exponent with its 95% interval, the prefactor at the interval's centre, and what it rests on.

    value, low, high: the exponent. prefactor: tau = prefactor * x^value. points: runs that entered. left_out: runs
    that could not, because a run at the same x was censored, or no other x of their group is left.
    """

    value: float
    low: float
    high: float
    prefactor: float
    points: int
    left_out: int


def exponent(x: ArrayLike, times: Sequence[Timescale], groups: ArrayLike | None = None) -> Fit:
    """Least-squares slope of log tau against log x, with a Student interval from the residuals.

    x: (m,), one per run (n, or W); several runs share an x. times: their crossing times. groups: (m,), a prefactor for
    each value, so that runs which also differ in something else (n, where x is W) share the exponent alone; default one
    group. A value of x with a censored run is left out whole, in its group: keeping only its faster runs would pull the
    slope down. The residuals hold both the spread over seeds and any departure from a power law. Needs a group with two
    values of x left; where there are no more runs than fitted numbers the interval is infinite, and with one more it is
    wide. The prefactor is the groups' geometric mean.
    """
    x = np.asarray(x, float)
    groups = np.zeros(len(x)) if groups is None else np.asarray(groups)
    keep = np.zeros(len(x), bool)
    for g in np.unique(groups):
        here = groups == g
        whole = _whole(x[here], [t for t, own in zip(times, here, strict=True) if own])
        keep[here] = whole if len(np.unique(x[here][whole])) > 1 else False
    if not keep.any():
        raise ValueError("an exponent needs two sizes at which every run crossed the threshold")
    log_tau = np.log([t.tau for t, whole in zip(times, keep, strict=True) if whole])
    rows = np.array([np.where(groups[keep] == g, log_tau, np.nan) for g in np.unique(groups[keep])])
    value, low, high, intercept = _slope(np.log(x[keep]), rows, 1 + len(rows))
    return Fit(value, low, high, float(np.exp(intercept.mean())), int(keep.sum()), int((~keep).sum()))


def predict(
    x: ArrayLike, times: Sequence[Timescale], at: float, slope: float | None = None
) -> tuple[float, float, float]:
    """Where one more run, at x = `at`, will cross, by the power law of the others, with its 95% prediction interval.

    Least squares in log x and log tau: y +- t_{0.975} s sqrt(1 + h), s^2 the residuals' variance, h the leverage of
    `at` (Draper and Smith, Sect. 3.1). x, times: (m,), runs; a value of x with a run that did not cross is left out
    whole. slope: a given exponent, such as 1, instead of a fitted one. Infinite ends where no error can be told;
    ValueError where nothing can be fitted.
    """
    x = np.asarray(x, float)
    keep = _whole(x, times)
    log_x, y = np.log(x[keep]), np.log([t.tau for t, here in zip(times, keep, strict=True) if here])
    fewest = 1 if slope is not None else 2
    if len(np.unique(log_x)) < fewest:
        raise ValueError(f"{len(np.unique(log_x))} size(s) at which every run crossed: a prediction needs {fewest}")
    centred, away = log_x - log_x.mean(), np.log(at) - log_x.mean()
    fitted = slope is None
    leverage = 1 / len(y) + (away**2 / (centred**2).sum() if fitted else 0.0)
    a = float(centred @ y / (centred**2).sum()) if slope is None else slope
    middle, residual = y.mean() + a * away, y - y.mean() - a * centred
    free = len(y) - (2 if fitted else 1)
    spread = stats.t.ppf(0.975, free) * np.sqrt((residual @ residual) / free * (1 + leverage)) if free > 0 else np.inf
    value, low, high = (float(np.exp(v)) for v in (middle, middle - spread, middle + spread))
    return value, low, high


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


def collapse_exponent(x: ArrayLike, curves: Sequence[tuple[ArrayLike, ArrayLike]], levels: Sequence[float]) -> Collapse:
    """The a for which curves value(tau / x^a) lie closest together, measured along log tau.

    At each level every curve has a crossing time; a is the slope that the levels share,
    log tau_level(x) = c_level + a log x. A level leaves out every x at which some curve does not reach it, and counts
    where two x are left. x: (m,), one per curve. curves: (tau, value) pairs, rising. Interval: as in `exponent`;
    the errors of one curve's times move together.
    """
    x = np.asarray(x, float)
    times = [[first_crossing(tau, value, level) for tau, value in curves] for level in levels]
    rows = np.array([np.where(_whole(x, row), [np.log(t.tau) for t in row], np.nan) for row in times])
    counts = np.array([len(np.unique(x[~np.isnan(row)])) > 1 for row in rows])
    if not counts.any():
        raise ValueError(f"no level of {list(levels)} is crossed at two sizes: the collapse cannot be measured")
    log_x, log_tau = np.log(x), rows[counts]
    value, low, high, intercepts = _slope(log_x, log_tau, 2)
    residual = log_tau - intercepts[:, None] - value * log_x
    spread = float(np.exp(np.sqrt(np.nanmean(residual**2))))
    return Collapse(value, low, high, spread, tuple(np.asarray(levels, float)[counts].tolist()))


def looks_and_landscape(
    n: ArrayLike, draws: ArrayLike, tau: ArrayLike
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A and B of tau = A n/draws + B n with 95% Student intervals: least squares in log tau, linearised at the fit.

    n, draws, tau: (m,) of each run: training points, draws of a point, a time and a noise in each step, and a crossing
    time. A: how often a point must be drawn, where that decides. B: steps a point, however many draws a step has.
    Needs three runs with two values of draws.
    """
    n, draws, tau = (np.asarray(v, float) for v in (n, draws, tau))
    if len(tau) < 3 or len(set(draws)) < 2:
        raise ValueError(f"{len(tau)} run(s), {len(set(draws))} number(s) of draws: three runs and two are needed")
    parts, y = np.stack([1 / draws, np.ones_like(draws)], axis=1), np.log(tau / n)
    start = np.exp(y.mean()) / 2 / parts.mean(axis=0)
    fit = optimize.least_squares(lambda p: np.log(np.maximum(parts @ p, 1e-12)) - y, start, x_scale=start)
    variance = 2 * fit.cost / (len(y) - 2) * np.diag(np.linalg.inv(fit.jac.T @ fit.jac))
    half = stats.t.ppf(0.975, len(y) - 2) * np.sqrt(variance)
    (a, b), (low_a, low_b), (high_a, high_b) = (v.tolist() for v in (fit.x, fit.x - half, fit.x + half))
    return (a, low_a, high_a), (b, low_b, high_b)


def _whole(x: NDArray[np.float64], times: Sequence[Timescale]) -> NDArray[np.bool_]:
    """For each run, whether every run at its x crossed the threshold between two milestones."""
    fine = np.array([t.status == "interpolated" for t in times])
    return np.array([fine[x == v].all() for v in x], bool)


def _slope(
    x: NDArray[np.float64], y: NDArray[np.float64], fitted: int
) -> tuple[float, float, float, NDArray[np.float64]]:
    """Common slope of the rows of y (r, m; NaN is missing) on x (m,), its 95% interval, and each row's intercept.

    The interval is Student's, from an error that lets every column (one run) have its own spread and all its rows move
    together: HC2 of MacKinnon and White (1985), which for one row with equal spreads is the textbook's on average.
    fitted: numbers that the fit takes from the runs. Where there are no more runs than these, nothing is known of the
    error: the interval is infinite.
    """
    here = ~np.isnan(y)
    mean_x = (here * x).sum(1) / here.sum(1)
    centred = here * (x - mean_x[:, None])
    known, total = np.nan_to_num(y), (centred**2).sum()
    slope = float((known * centred).sum() / total)
    intercept = known.sum(1) / here.sum(1) - slope * mean_x
    m = int(here.any(0).sum())
    if m <= fitted:
        return slope, -np.inf, np.inf, intercept
    residual = known - here * (intercept[:, None] + slope * x)
    share = (here / here.sum(1, keepdims=True)).sum(0) / np.maximum(here.sum(0), 1)
    leverage = share + (centred**2).sum(0) / total  # how far the fit follows a column
    own = (centred * residual).sum(0) / np.sqrt(np.maximum(1 - leverage, 1e-9))
    half = float(stats.t.ppf(0.975, m - fitted) * np.sqrt((own**2).sum()) / total)
    return slope, slope - half, slope + half, intercept
