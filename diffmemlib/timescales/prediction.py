"""When a run at another size will cross: predictions that hold where the form of the law is not known."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from .censored import Floats, Maximum, allowed, fit, interval, maximum, student
from .power_laws import Interval, Times, runs_and_bounds

CHOICE = 0.5  # coefficients that the choice between two laws counts for, by simulation of both; less of three runs
STEEPER = (1.0, 1.5, 2.0)  # powers for a tau_mem that may grow faster than n, as that of emoji did
SHARES = np.linspace(0, 1, 41)  # of tau_0 in the time at the middle of the sizes, that are tried


def predict(
    x: ArrayLike, tau: Times, at: float, censored: ArrayLike | None = None, slope: float | None = None,
    offset: bool = True, powers: Sequence[float] = (1.0,), confidence: float = 0.95,
) -> Interval:  # fmt: skip
    """Return where one more run, at x = ``at``, will cross, from the times of the others, with an interval.

    Two laws are fitted in log tau: the power law tau = C x^a, and tau = tau_0 + C x with tau_0 >= 0, which looks like
    a smaller power at small x. Which of the two holds can hardly be told from a few sizes, and far from these they
    disagree. So the law itself counts as one more unknown: the interval of the law at x holds every time that one of
    the two allows with a likelihood near the largest of both (as in `censored.fit`). The run's own spread s joins it:
    the distance of each end from the value is sqrt((that of the law)^2 + (t s)^2). Ends are infinite where no error
    can be told.

    Parameters
    ----------
    x, tau
        Runs, as of `exponent`.
    at
        Where the prediction is asked for.
    censored
        As of `exponent`.
    slope
        A given exponent, such as 1, instead of a fitted law.
    offset
        Whether tau_0 + C x is considered beside the power law.
    powers
        Exponents b of the laws tau_0 + C x^b that the interval allows. Above 1 the upper end holds a growth that
        becomes steeper; the value is still that of the first power and of the power law.
    confidence
        Of the interval: how often it should hold the time of that run.

    Raises
    ------
    ValueError
        Where nothing can be fitted, and for numbers that are not positive and finite, or no powers.

    References
    ----------
    Draper and Smith, "Applied Regression Analysis", Sect. 3.1.

    Examples
    --------
    >>> value, low, high = predict([32, 64, 128, 256], [1290, 1660, 2440, 3970], at=512)
    >>> low < 900 + 12 * 512 < high
    True
    """
    x, tau, bound = runs_and_bounds(x, tau, censored)
    if not 0 < at < np.inf:
        raise ValueError(f"at = {at}: must be positive and finite")
    if slope is not None and not np.isfinite(slope):
        raise ValueError(f"slope = {slope}: must be a finite number, or None to fit it")
    if not powers or not all(0 < b < np.inf for b in powers):
        raise ValueError(f"powers = {tuple(powers)}: give one or more, positive and finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence}: must lie between 0 and 1, as 0.95 does")
    ratio, y, count = x / at, np.log(tau), int((bound == 0).sum())
    sizes, fewest = len(np.unique(x[bound == 0])), 1 if slope is not None else 2
    if sizes < fewest:
        raise ValueError(f"{sizes} size(s) at which a run crossed: a prediction needs {fewest}")
    ones = np.ones((len(x), 1))
    if slope is not None or count <= fewest:
        line = ones if slope is not None else np.column_stack([ones, np.log(ratio)])
        shifted = y - slope * np.log(ratio) if slope is not None else y
        fitted = fit(line, shifted, bound, np.eye(line.shape[1])[0], confidence)
        return _of_one_more(fitted.value, fitted.low, fitted.high, fitted.quantile * fitted.sigma)
    # Each law, as a linear one for log tau whose first coefficient is the logarithm of the predicted time.
    laws = [(np.column_stack([ones, np.log(ratio)]), y)]
    if offset:
        middle = float(np.exp(np.log(ratio).mean()))

        def law(share: float, b: float) -> tuple[Floats, Floats]:
            """tau/T = (s + (1 - s) (x/m)^b) / (s + (1 - s) (at/m)^b), with m the middle of the sizes."""
            shape = np.log(share + (1 - share) * (np.append(ratio, 1.0) / middle) ** b)
            return ones, y - (shape[:-1] - shape[-1])

        for b in powers:
            best_share = optimize.minimize_scalar(
                lambda s, b=b: -maximum(*law(s, b), bound).likelihood, bounds=(0, 1), method="bounded",
                options={"xatol": 1e-9},
            )  # fmt: skip
            laws += [law(share, b) for share in (*SHARES, best_share.x)]
    found: list[Maximum] = [maximum(design, values, bound) for design, values in laws]
    best = max(found[: 2 + len(SHARES)], key=lambda one: one.likelihood)
    free = count - fewest - (min(CHOICE, (count - fewest) / 4) if offset else 0)
    # Of the first laws: others widen the interval, and never narrow it.
    least = best.likelihood - allowed(count, free, confidence)
    ends = [
        interval(design, values, bound, np.eye(design.shape[1])[0], one, least)
        for (design, values), one in zip(laws, found, strict=True)
        if one.likelihood >= least
    ]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    sigma = best.sigma * (count / free) ** 0.5
    return _of_one_more(float(best.coefficients[0]), low, high, student(free, confidence) * sigma)


def _of_one_more(value: float, low: float, high: float, noise: float) -> Interval:
    """The interval for one more run around that of a law, both in log tau, as times."""
    if not np.isfinite(noise):
        return float(np.exp(value)), 0.0, inf
    ends = value - np.hypot(value - low, noise), value + np.hypot(high - value, noise)
    with np.errstate(over="ignore"):
        return float(np.exp(value)), float(np.exp(ends[0])), float(np.exp(ends[1]))
