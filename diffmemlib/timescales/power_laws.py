"""How crossing times scale: exponents and collapses, with intervals that hold runs which are known by a bound only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from . import censored as regression
from .censored import Bounds, Floats
from .crossings import Timescale, first_crossing, share_crossing, times_and_bounds

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
    bounds : int
        Of these, the ones of which only a bound is known.
    left_out : int
        Runs of groups in which no time is known.
    """

    value: float
    low: float
    high: float
    prefactor: float
    points: int
    bounds: int
    left_out: int


def exponent(x: ArrayLike, tau: Times, censored: ArrayLike | None = None, groups: ArrayLike | None = None) -> Fit:
    """Return the slope of log tau against log x by maximum likelihood, with its interval; see `censored.fit`.

    Where every time is known this is least squares, and Student's interval from the residuals, which hold both the
    spread over seeds and any departure from a power law. A run that ended before it crossed enters as the bound that
    it is: leaving it out would keep the faster runs only. Where there are no more times than fitted numbers the
    interval is infinite, and with one more it is wide.

    Parameters
    ----------
    x
        n, or W, of every run, (m,); several runs share an x.
    tau
        Times (or other positive numbers) of the runs, (m,), or a `Timescale` each, which says what is only a bound.
    censored
        (m,): 0 for a time that is known, 1 (or True) where it is later than tau, -1 where it is earlier; all 0 unless
        given or said by each `Timescale`.
    groups
        (m,), a prefactor for each value, so that runs which also differ in something else (n, where x is W) share the
        exponent alone; one group unless given.

    Raises
    ------
    ValueError
        Where no group has known times at two values of x, and for numbers that are not positive and finite.

    Examples
    --------
    >>> fit = exponent([64, 128, 256, 512], [640, 1300, 2500, 5200])
    >>> f"{fit.value:.2f}"
    '1.00'
    """
    x, tau, bound = runs_and_bounds(x, tau, censored)
    groups = np.zeros(len(x)) if groups is None else np.asarray(groups)
    if groups.shape != x.shape:
        raise ValueError(f"groups of shape {groups.shape}: give one for each of the {len(x)} runs")
    known = [group for group in np.unique(groups) if (bound[groups == group] == 0).any()]
    keep = np.isin(groups, known)
    if not any(len(np.unique(x[(groups == group) & (bound == 0)])) > 1 for group in known):
        raise ValueError("an exponent needs two sizes at which a run crossed the threshold")
    x, y, bound, groups = np.log(x[keep]), np.log(tau[keep]), bound[keep], groups[keep]
    design = np.column_stack([x, *(groups == group for group in known)]).astype(float)
    fitted = regression.fit(design, y, bound, np.eye(design.shape[1])[0])
    prefactor = float(np.exp(fitted.coefficients[1:].mean()))
    counts = int(keep.sum()), int((bound != 0).sum()), int((~keep).sum())
    return Fit(fitted.value, fitted.low, fitted.high, prefactor, *counts)


def geometric_mean(tau: Times, censored: ArrayLike | None = None) -> Interval:
    """Return the geometric mean of times or ratios and its 95% interval, runs known by a bound entering as bounds.

    Parameters
    ----------
    tau, censored
        As of `exponent`.

    Raises
    ------
    ValueError
        Where fewer than two of them are known, and for numbers that are not positive and finite.
    """
    _, tau, bound = runs_and_bounds(np.ones(np.asarray(tau, object).shape), tau, censored)
    if (known := int((bound == 0).sum())) < 2:
        raise ValueError(f"{known} run(s) saw what is averaged here: an interval needs two or more")
    fitted = regression.fit(np.ones((len(tau), 1)), np.log(tau), bound, np.ones(1))
    value, low, high = (float(np.exp(v)) for v in (fitted.value, fitted.low, fitted.high))
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


def collapse_exponent(
    x: ArrayLike, curves: Sequence[tuple[ArrayLike, ArrayLike]], levels: Sequence[float], samples: int | None = None
) -> Collapse:
    """Return the a for which curves value(tau / x^a) lie closest together, measured along log tau.

    Every curve has a place along log tau: the mean, over the levels that it crosses, of its crossing time less that of
    the level, found for all curves and levels at once by least squares. a is the slope of the places against log x,
    with the interval of `exponent`; a curve that crosses no level enters as a bound, by the lowest one. Of shares, it
    is the mean of what two rules of interpolation give (`share_crossing`), and their difference is added to the
    interval on either side: milestones lie at other places on the rise for other x, so what a rule is off by does not
    average out over seeds.

    Parameters
    ----------
    x
        n, or W, of every curve, (m,).
    curves
        (tau, value) of each, rising.
    levels
        Of the value.
    samples
        Where the value is a share of so many, whose crossings are then found by `share_crossing`; else by
        `first_crossing`.

    Raises
    ------
    ValueError
        Where no level is crossed at two sizes.
    """
    x = np.asarray(x, float)
    if x.shape != (len(curves),) or not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError(f"x = {x.tolist()}: give a positive number for each of the {len(curves)} curves")

    if not samples:
        return _collapse(x, levels, [[first_crossing(*curve, level) for curve in curves] for level in levels])
    straight, curved = (
        _collapse(x, levels, [[share_crossing(*curve, samples, level, rule) for curve in curves] for level in levels])
        for rule in (False, True)
    )
    value, apart = (straight.value + curved.value) / 2, abs(straight.value - curved.value)
    half = (straight.high - straight.low + curved.high - curved.low) / 4 + apart
    return Collapse(value, value - half, value + half, straight.rms_factor, straight.levels)


def _collapse(x: Floats, levels: Sequence[float], crossings: Sequence[Sequence[Timescale]]) -> Collapse:
    """The collapse of curves whose crossings of each level are known."""
    times = [times_and_bounds(of_level) for of_level in crossings]
    log_tau, bound = np.log([tau for tau, _ in times]), np.array([side for _, side in times])
    used = np.array([len(np.unique(x[row == 0])) > 1 for row in bound])
    if not used.any():
        raise ValueError(f"no level of {list(levels)} is crossed at two sizes: the collapse cannot be measured")
    log_tau, bound = log_tau[used], bound[used]
    place, of_level = _places(log_tau, bound == 0)
    side = np.zeros(len(x), int)
    for i in np.flatnonzero((bound != 0).all(0)):
        lowest = int(np.flatnonzero(bound[:, i] == bound[0, i])[0])
        place[i], side[i] = log_tau[lowest, i] - of_level[lowest], bound[lowest, i]
    log_x = np.log(x)
    fitted = regression.fit(np.column_stack([log_x, np.ones_like(x)]), place, side, np.array([1.0, 0.0]))
    residual = (log_tau - of_level[:, None] - fitted.coefficients[1] - fitted.value * log_x)[bound == 0]
    rms_factor = float(np.exp(np.sqrt(np.mean(residual**2))))
    return Collapse(fitted.value, fitted.low, fitted.high, rms_factor, tuple(np.asarray(levels, float)[used].tolist()))


def _places(log_tau: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The a_i and b_l, of mean zero, of log tau_li = a_i + b_l + error over the known ones, by least squares."""
    levels, curves = known.shape
    row, column = np.nonzero(known)
    design = np.zeros((len(row) + 1, curves + levels))
    design[np.arange(len(row)), column], design[np.arange(len(row)), curves + row] = 1.0, 1.0
    design[-1, curves:] = 1.0  # of mean zero
    both = np.linalg.lstsq(design, np.append(log_tau[known], 0.0), rcond=None)[0]
    return both[:curves], both[curves:]


@dataclass(frozen=True)
class SumFit:
    """A time as a sum of delays, fitted.

    Parameters
    ----------
    coefficients : tuple
        Of each delay, with its 95% Student interval.
    aicc : float
        Akaike's criterion, corrected for few runs: of two laws for the same runs, the one with the less describes them
        better, and a difference of 2 or 3 says nothing.
    """

    coefficients: tuple[Interval, ...]
    aicc: float


def fit_sum(parts: ArrayLike, tau: ArrayLike) -> SumFit:
    """Fit c_1, c_2, ... of tau = c_1 parts_1 + c_2 parts_2 + ... by least squares in log tau, linearised.

    Parameters
    ----------
    parts
        (m, k): the delays of each of m runs, up to their coefficients.
    tau
        (m,): crossing times.

    Raises
    ------
    ValueError
        For fewer than k + 3 runs, times or delays that are not positive, or delays that these runs do not tell apart.
    """
    parts, tau = np.asarray(parts, float), np.asarray(tau, float)
    count, terms = parts.shape
    if count < terms + 3:
        raise ValueError(f"{count} run(s) are too few for {terms} delays: {terms + 3} are needed")
    if not ((tau > 0) & np.isfinite(tau)).all() or not ((parts > 0) & np.isfinite(parts)).all():
        raise ValueError("times and delays have to be positive numbers")
    if np.linalg.matrix_rank(parts / np.linalg.norm(parts, axis=0), tol=1e-6) < terms:
        raise ValueError(f"these {count} runs do not tell {terms} delays apart: add runs of other settings")
    y = np.log(tau)
    start = np.exp(np.mean(y - np.log(parts.mean(axis=1)))) * np.ones(terms) / terms
    start = np.maximum(optimize.nnls(parts / tau[:, None], np.ones(count))[0], 1e-3 * start)
    fit = optimize.least_squares(lambda c: np.log(np.maximum(parts @ c, 1e-12)) - y, start, x_scale=start)
    freedom = count - terms
    half = stats.t.ppf(0.975, freedom) * np.sqrt(2 * fit.cost / freedom * np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    fitted = terms + 1  # the scatter, too
    correction = 2 * fitted * (fitted + 1) / (count - fitted - 1)
    intervals = zip(fit.x.tolist(), (fit.x - half).tolist(), (fit.x + half).tolist(), strict=True)
    return SumFit(tuple(intervals), float(count * np.log(2 * fit.cost / count) + 2 * fitted + correction))


def runs_and_bounds(x: ArrayLike, tau: Times, censored: ArrayLike | None) -> tuple[Floats, Floats, Bounds]:
    """Return x, tau and what is only a bound of every run as arrays of one length, checked; see `exponent`."""
    if np.ma.isMaskedArray(tau) or np.ma.isMaskedArray(x):
        raise ValueError("x or tau is a masked array: leave the masked runs out")
    listed = list(tau) if isinstance(tau, Iterable) else []
    if crossings := [time for time in listed if isinstance(time, Timescale)]:
        if len(crossings) < len(listed):
            raise ValueError("tau holds numbers beside times of `first_crossing`: give all of one kind")
        tau, told = times_and_bounds(crossings)
        censored = told if censored is None else censored
    x, tau = np.asarray(x, float), np.asarray(tau, float)
    sides = np.zeros(len(x)) if censored is None else np.asarray(censored, float)
    if not np.isin(sides, (-1, 0, 1)).all():
        raise ValueError("censored holds other numbers than 0 (known), 1 (later than tau) and -1 (earlier)")
    bound = sides.astype(int)
    if not x.shape == tau.shape == bound.shape or x.ndim != 1:
        raise ValueError(f"x {x.shape}, tau {tau.shape}, censored {bound.shape}: give one of each for every run")
    for name, values in (("x", x), ("tau", tau)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"{name} holds numbers that are not positive and finite")
    return x, tau, bound
