"""How crossing times scale: exponents, collapses and predictions, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from .crossings import Timescale, first_crossing, times_and_bounds

Floats = NDArray[np.float64]
Times = ArrayLike | Sequence[Timescale]
Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Fit:
    """A fitted power law tau = prefactor * x^value, and the 95% interval of its exponent.

    Attributes
    ----------
    value, low, high : float
        The exponent.
    prefactor : float
        Geometric mean over the groups.
    points : int
        Runs that entered.
    left_out : int
        Runs that could not, because a run at the same x was censored, or no other x of their group remains.
    """

    value: float
    low: float
    high: float
    prefactor: float
    points: int
    left_out: int


def exponent(x: ArrayLike, tau: Times, censored: ArrayLike | None = None, groups: ArrayLike | None = None) -> Fit:
    """Return the least-squares slope of log tau against log x, with a Student interval from the residuals.

    The residuals hold both the spread over seeds and any departure from a power law. A value of x with a censored run
    is left out whole, in its group: keeping only its faster runs would pull the slope down. Where there are no more
    runs than fitted numbers the interval is infinite, and with one more it is wide.

    Parameters
    ----------
    x
        n, or W, of every run, (m,); several runs share an x.
    tau
        Times (or other positive numbers) of the runs, (m,), or a `Timescale` each, which says what is only a bound.
    censored
        Which of them are only bounds, (m,) booleans; none unless given or said by each `Timescale`.
    groups
        (m,), a prefactor for each value, so that runs which also differ in something else (n, where x is W) share the
        exponent alone; one group unless given.

    Raises
    ------
    ValueError
        Where no group has two values of x left, and for numbers that are not positive and finite.

    Examples
    --------
    >>> fit = exponent([64, 128, 256, 512], [640, 1300, 2500, 5200])
    >>> f"{fit.value:.2f}"
    '1.00'
    """
    x, tau, censored = _runs(x, tau, censored)
    groups = np.zeros(len(x)) if groups is None else np.asarray(groups)
    keep = np.zeros(len(x), bool)
    for group in np.unique(groups):
        members = groups == group
        whole = _uncensored_sizes(x[members], censored[members])
        keep[members] = whole if len(np.unique(x[members][whole])) > 1 else False
    if not keep.any():
        raise ValueError("an exponent needs two sizes at which every run crossed the threshold")
    log_tau = np.log(tau[keep])
    rows = np.array([np.where(groups[keep] == group, log_tau, np.nan) for group in np.unique(groups[keep])])
    value, low, high, intercept = _common_slope(np.log(x[keep]), rows, 1 + len(rows))
    return Fit(value, low, high, float(np.exp(intercept.mean())), int(keep.sum()), int((~keep).sum()))


def predict(
    x: ArrayLike, tau: Times, at: float, censored: ArrayLike | None = None, slope: float | None = None
) -> Interval:
    """Return where one more run, at x = ``at``, will cross, by the power law of the others, and its 95% interval.

    Least squares in log x and log tau: y +- t_{0.975} s sqrt(1 + h), s^2 the residuals' variance, h the leverage of
    ``at``. The ends are infinite where no error can be told.

    Parameters
    ----------
    x, tau
        Runs, as of `exponent`.
    at
        Where the prediction is asked for.
    censored
        As of `exponent`; a value of x with a run that did not cross is left out whole.
    slope
        A given exponent, such as 1, instead of a fitted one.

    Raises
    ------
    ValueError
        Where nothing can be fitted, and for numbers that are not positive and finite.

    References
    ----------
    Draper and Smith, "Applied Regression Analysis", Sect. 3.1.
    """
    x, tau, censored = _runs(x, tau, censored)
    if not 0 < at < np.inf:
        raise ValueError(f"at = {at}: must be positive and finite")
    keep = _uncensored_sizes(x, censored)
    log_x, y = np.log(x[keep]), np.log(tau[keep])
    fewest = 1 if slope is not None else 2
    if len(np.unique(log_x)) < fewest:
        raise ValueError(f"{len(np.unique(log_x))} size(s) at which every run crossed: a prediction needs {fewest}")
    centred, distance = log_x - log_x.mean(), np.log(at) - log_x.mean()
    leverage = 1 / len(y) + (distance**2 / (centred**2).sum() if slope is None else 0.0)
    a = float(centred @ y / (centred**2).sum()) if slope is None else slope
    middle, residual = y.mean() + a * distance, y - y.mean() - a * centred
    free = len(y) - fewest
    half = stats.t.ppf(0.975, free) * np.sqrt((residual @ residual) / free * (1 + leverage)) if free > 0 else np.inf
    value, low, high = (float(np.exp(v)) for v in (middle, middle - half, middle + half))
    return value, low, high


@dataclass(frozen=True)
class Collapse:
    """The exponent a that best collapses curves in tau/x^a, its 95% interval, and how tight the collapse is.

    Attributes
    ----------
    value, low, high : float
        a.
    rms_factor : float
        Root mean square distance of the curves from one another along log tau, as a factor (1 is perfect).
    levels : tuple of float
        The values of the curves that were compared.
    """

    value: float
    low: float
    high: float
    rms_factor: float
    levels: tuple[float, ...]


def collapse_exponent(x: ArrayLike, curves: Sequence[tuple[ArrayLike, ArrayLike]], levels: Sequence[float]) -> Collapse:
    """Return the a for which curves value(tau / x^a) lie closest together, measured along log tau.

    At each level every curve has a crossing time; a is the slope that the levels share,
    log tau_level(x) = c_level + a log x. A level leaves out every x at which some curve does not reach it, and counts
    where two x remain. The interval is as in `exponent`; the errors of one curve's times move together.

    Parameters
    ----------
    x
        n, or W, of every curve, (m,).
    curves
        (tau, value) of each, rising.
    levels
        Of the value.

    Raises
    ------
    ValueError
        Where no level is crossed at two sizes.
    """
    x = np.asarray(x, float)
    rows = []
    for level in levels:
        tau, censored = times_and_bounds([first_crossing(tau, value, level) for tau, value in curves])
        rows.append(np.where(_uncensored_sizes(x, censored), np.log(tau), np.nan))
    log_tau = np.array(rows)
    counts = np.array([len(np.unique(x[~np.isnan(row)])) > 1 for row in log_tau])
    if not counts.any():
        raise ValueError(f"no level of {list(levels)} is crossed at two sizes: the collapse cannot be measured")
    log_x, log_tau = np.log(x), log_tau[counts]
    value, low, high, intercepts = _common_slope(log_x, log_tau, 2)
    residual = log_tau - intercepts[:, None] - value * log_x
    rms_factor = float(np.exp(np.sqrt(np.nanmean(residual**2))))
    return Collapse(value, low, high, rms_factor, tuple(np.asarray(levels, float)[counts].tolist()))


def fit_visit_and_curvature_limits(n: ArrayLike, draws: ArrayLike, tau: ArrayLike) -> tuple[Interval, Interval]:
    """Return A and B of tau = A n/draws + B n with 95% Student intervals: least squares in log tau, linearised.

    A n/draws is the time that it takes to draw every training point A times: the limit where gradients are noisy. B n
    is the time of a noiseless descent, which the curvature of the loss sets.

    Parameters
    ----------
    n, draws, tau
        Of each run, (m,): training points, draws of a point, a time and a noise in each step, and a crossing time.

    Raises
    ------
    ValueError
        For fewer than three runs, or one value of draws.
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


def _runs(x: ArrayLike, tau: Times, censored: ArrayLike | None) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    if isinstance(tau, Sequence) and any(isinstance(time, Timescale) for time in tau):
        tau, bounds_told = times_and_bounds([time for time in tau if isinstance(time, Timescale)])
        censored = bounds_told if censored is None else censored
    x, tau = np.asarray(x, float), np.asarray(tau, float)
    bounds = np.zeros(len(x), bool) if censored is None else np.asarray(censored, bool)
    if not x.shape == tau.shape == bounds.shape or x.ndim != 1:
        raise ValueError(f"x {x.shape}, tau {tau.shape}, censored {bounds.shape}: give one of each for every run")
    for name, values in (("x", x), ("tau", tau)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"{name} holds numbers that are not positive and finite")
    return x, tau, bounds


def _uncensored_sizes(x: Floats, censored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each run, whether every run at its x crossed the threshold between two milestones."""
    return np.array([not censored[x == size].any() for size in x], bool)


def _common_slope(x: Floats, y: Floats, fitted: int) -> tuple[float, float, float, Floats]:
    """Common slope of the rows of y (r, m; NaN is missing) on x (m,), its 95% interval, and each row's intercept.

    The interval is Student's, from an error that lets every column (one run) have its own spread and all its rows move
    together: HC2 of MacKinnon and White (1985), which for one row with equal spreads is the textbook's on average.
    fitted: numbers that the fit takes from the runs. Where there are no more runs than these, nothing is known of the
    error: the interval is infinite.
    """
    known = ~np.isnan(y)
    mean_x = (known * x).sum(1) / known.sum(1)
    centred = known * (x - mean_x[:, None])
    y, total = np.nan_to_num(y), (centred**2).sum()
    slope = float((centred * y).sum() / total)
    intercept = y.sum(1) / known.sum(1) - slope * mean_x
    m = int(known.any(0).sum())
    if m <= fitted:
        return slope, -np.inf, np.inf, intercept
    residual = y - known * (intercept[:, None] + slope * x)
    share = (known / known.sum(1, keepdims=True)).sum(0) / np.maximum(known.sum(0), 1)
    leverage = share + (centred**2).sum(0) / total  # how far the fit follows a column
    per_run = (centred * residual).sum(0) / np.sqrt(np.maximum(1 - leverage, 1e-9))
    half = float(stats.t.ppf(0.975, m - fitted) * np.sqrt((per_run**2).sum()) / total)
    return slope, slope - half, slope + half, intercept
