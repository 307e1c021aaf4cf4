"""Regression where some of the values are only bounds: normal errors, profile likelihood, Student's quantiles.

A run that ended before a curve crossed its level says that the time is later than its end. Leaving such runs out, or
taking the end for the time, makes slow runs look fast; here each enters as what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special, stats

Floats = NDArray[np.float64]
Bounds = NDArray[np.int_]  # 0: the value itself; 1: it is at least this; -1: at most this
NEWTON_STEPS = 200
FAR = 1e4  # standard deviations, beyond which the hazard of a normal variable is its distance in rounding
EXACT = 1e-12  # the smallest error that is told from rounding


@dataclass(frozen=True)
class Fitted:
    """A linear combination of coefficients, its interval, and what it was found with.

    Attributes
    ----------
    value, low, high : float
        The interval is infinite on the side where the bounds leave it open, or where no error can be told.
    coefficients : ndarray
        All of them, (p,).
    sigma : float
        Standard deviation of the errors; with exact values alone, unbiased as in a textbook.
    quantile : float
        Student's, for the degrees of freedom that are left; infinite where there are none.
    """

    value: float
    low: float
    high: float
    coefficients: Floats
    sigma: float
    quantile: float


def fit(design: Floats, y: Floats, bound: Bounds, combination: Floats, confidence: float = 0.95) -> Fitted:
    """Return one combination of the coefficients of y = design @ coefficients + normal errors, some y being bounds.

    The interval holds the values a of the combination with
    2 (log-likelihood - largest log-likelihood at a) <= N log(1 + t^2 / (N - p)), N the number of exact values, p that
    of coefficients and t Student's two-sided quantile for N - p degrees of freedom. Without bounds this is the
    textbook's interval exactly.

    Parameters
    ----------
    design
        (m, p).
    y
        Values and bounds, (m,).
    bound
        (m,): 0 for a value, 1 where the value is at least y, -1 where it is at most y.
    combination
        Weights of the coefficients, (p,).
    confidence
        Of the interval.

    Raises
    ------
    ValueError
        Where the exact values alone do not determine the coefficients.

    References
    ----------
    Olsen, "Note on the uniqueness of the maximum likelihood estimator for the Tobit model", Econometrica 46 (1978).
    """
    exact, p = bound == 0, design.shape[1]
    if np.linalg.matrix_rank(design[exact]) < p:
        raise ValueError(f"{int(exact.sum())} values that are not bounds do not determine {p} coefficients")
    count, free = int(exact.sum()), int(exact.sum()) - p
    if free <= 0:  # the exact values are met, and tell nothing of errors
        coefficients = maximum(design[exact], y[exact], bound[exact]).coefficients
        return Fitted(float(combination @ coefficients), -inf, inf, coefficients, inf, inf)
    best, quantile = maximum(design, y, bound), student(free, confidence)
    low, high = interval(design, y, bound, combination, best, best.likelihood - allowed(count, free, confidence))
    sigma = best.sigma * (count / free) ** 0.5
    return Fitted(float(combination @ best.coefficients), low, high, best.coefficients, sigma, quantile)


def student(free: float, confidence: float = 0.95) -> float:
    """Return Student's two-sided quantile for a confidence and a number of degrees of freedom."""
    return float(stats.t.ppf((1 + confidence) / 2, free))


def allowed(count: int, free: float, confidence: float = 0.95) -> float:
    """Return by how much the log-likelihood falls at the ends of an interval; see `fit`."""
    return count * float(np.log1p(student(free, confidence) ** 2 / free)) / 2


def interval(
    design: Floats, y: Floats, bound: Bounds, combination: Floats, best: Maximum, least: float
) -> tuple[float, float]:
    """Return the lowest and highest combination with a log-likelihood of at least ``least``.

    Parameters
    ----------
    design, y, bound, combination
        As of `fit`.
    best
        The maximum of their likelihood.
    least
        At most that maximum.
    """
    value, count = float(combination @ best.coefficients), int((bound == 0).sum())
    if not bound.any():
        # Along the combination the sum of squares rises as (a - value)^2 / spread.
        spread = combination @ np.linalg.inv(design.T @ design) @ combination
        rise = count * best.sigma**2 * np.expm1(2 * (best.likelihood - least) / count)
        half = float(np.sqrt(rise * spread))
        return value - half, value + half
    # What is left of the coefficients once the combination is a: design @ (a along + others @ rest).
    along, others = combination / (combination @ combination), linalg.null_space(combination[None])

    def excess(a: float) -> float:
        rest, shifted = others.T @ best.coefficients, y - a * (design @ along)
        return least - _newton(design @ others, shifted, bound, rest, best.sigma).likelihood

    step = best.sigma * float(np.linalg.norm(combination)) / count**0.5
    low, high = (_end(excess, value, sign * 2 * step) for sign in (-1, 1))
    return low, high


def _end(excess: Callable[[float], float], value: float, step: float) -> float:
    """Where the excess passes zero on one side of a value; infinite where it does not within 2^40 steps."""
    inner, outer = value, value + step
    for _ in range(40):
        if excess(outer) > 0:
            return float(optimize.brentq(excess, inner, outer, xtol=1e-10, rtol=1e-12))
        inner, outer, step = outer, outer + 2 * step, 2 * step
    return float(np.copysign(inf, step))


@dataclass(frozen=True)
class Maximum:
    """The largest log-likelihood, where it is, and the standard deviation of the errors there (not unbiased)."""

    likelihood: float
    coefficients: Floats
    sigma: float


def maximum(design: Floats, y: Floats, bound: Bounds) -> Maximum:
    """Return the maximum of the likelihood of y = design @ coefficients + normal errors, some y being bounds."""
    exact = bound == 0
    coefficients = np.linalg.lstsq(design[exact], y[exact], rcond=None)[0]
    residual, count = y - design @ coefficients, int(exact.sum())
    sigma = max(float(np.sqrt((residual[exact] ** 2).mean())), EXACT)
    if exact.all() or (sigma == EXACT and (residual * bound <= 0).all()):  # and the bounds agree
        return Maximum(-count * (np.log(2 * np.pi) / 2 + np.log(sigma) + 0.5), coefficients, sigma)
    apart = np.where(exact | (residual * bound > 0), residual, 0.0)  # so that a bound that is broken sets the scale
    return _newton(design, y, bound, coefficients, float(np.sqrt((apart**2).mean())))


def _newton(design: Floats, y: Floats, bound: Bounds, start: Floats, sigma: float) -> Maximum:
    """The maximum, by Newton's steps in coefficients/sigma and 1/sigma.

    In these the log-likelihood is concave (Olsen 1978), so that there is one maximum and every step goes up.
    """
    exact, p = bound == 0, design.shape[1]
    rows = np.column_stack([-design, y])  # z = rows @ (coefficients, 1)/sigma, the residuals in units of sigma
    theta = np.append(start, 1.0) / sigma

    def likelihood(theta: Floats) -> float:
        if theta[p] <= 0:
            return -inf
        z = rows @ theta
        normal = exact.sum() * (np.log(theta[p]) - np.log(2 * np.pi) / 2) - (z[exact] ** 2).sum() / 2
        return float(normal + special.log_ndtr(-(bound * z)[~exact]).sum())

    now = likelihood(theta)
    for _ in range(NEWTON_STEPS):
        z = rows @ theta
        u = -bound * z
        with np.errstate(over="ignore"):
            hazard = np.where(u < -FAR, -u, np.exp(-(u**2) / 2 - np.log(2 * np.pi) / 2 - special.log_ndtr(u)))
        first = np.where(exact, -z, -bound * hazard)  # d/dz of the log-likelihood, and the negative second derivative
        second = np.where(exact, 1.0, hazard * (u + hazard))
        gradient, hessian = rows.T @ first, (rows.T * second) @ rows
        gradient[p] += exact.sum() / theta[p]
        hessian[p, p] += exact.sum() / theta[p] ** 2
        change = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        scale = 1.0
        while (then := likelihood(theta + scale * change)) < now and scale > 1e-12:
            scale /= 2
        theta, gained, now = theta + scale * change, then - now, max(then, now)
        if gained < 1e-11 or 1 / theta[p] < EXACT:
            break
    return Maximum(now, theta[:p] / theta[p], float(1 / theta[p]))
