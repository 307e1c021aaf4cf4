"""The two times of a training run, tau_gen and tau_mem: when a curve crosses a level, and what lies between sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, optimize

Status = Literal["interpolated", "at first point", "censored"]
BOUND: dict[Status, str] = {"interpolated": "", "censored": "> ", "at first point": "< "}  # in front of a time, as text


@dataclass(frozen=True)
class Timescale:
    """A crossing time in training steps, and how it was found.

    Parameters
    ----------
    tau : float
        The time.
    status : str
        "interpolated", between two milestones; "at first point", where the curve has crossed already, so that tau is an
        upper bound; "censored", where the run ended before, so that tau is its last step, a lower bound.
    """

    tau: float
    status: Status


def first_crossing(
    tau: ArrayLike, value: ArrayLike, threshold: float, rising: bool = True, lasting: bool = False
) -> Timescale:
    """Return when a curve first reaches a threshold, linearly interpolated in log tau between milestones.

    Parameters
    ----------
    tau
        Training times, (m,), positive and increasing.
    value
        The curve there, (m,).
    threshold
        What it crosses.
    rising
        Whether upwards or downwards.
    lasting
        Whether to leave out crossings from which the curve came back before its largest value, or its smallest where it
        falls: of a curve that dips early and then returns, such a dip is not the fall.

    Raises
    ------
    ValueError
        For two lists of different lengths, times that do not increase, and NaN or infinite numbers.

    Examples
    --------
    >>> first_crossing([1, 10, 100], [0.0, 0.0, 0.4], 0.2)
    Timescale(tau=31.62277..., status='interpolated')
    """
    if not np.isfinite(threshold):
        raise ValueError(f"threshold = {threshold}: must be a finite number")
    tau, value = checked_curve(tau, value)
    reached = value >= threshold if rising else value <= threshold
    if not reached.any():
        return Timescale(float(tau[-1]), "censored")
    i = int(reached.argmax())
    if lasting:
        extreme = int((value if rising else -value).argmax())
        i = int(np.flatnonzero(np.r_[True, ~reached[:extreme]])[-1])
    if i == 0:
        return Timescale(float(tau[0]), "at first point")
    share = (threshold - value[i - 1]) / (value[i] - value[i - 1])
    return Timescale(float(np.exp(np.log(tau[i - 1]) + share * np.log(tau[i] / tau[i - 1]))), "interpolated")


def share_crossing(tau: ArrayLike, share: ArrayLike, samples: int, threshold: float, curved: bool = False) -> Timescale:
    """Return when a share of samples that rises with training time, such as f_mem, reaches a threshold.

    The shares are first made monotone by maximum likelihood (of as many samples at each milestone, that is isotonic
    regression), so that one milestone with a hit more than usual is not taken for the rise. Between milestones the
    empirical logit, log((hits + 1/2)/(misses + 1/2)), is interpolated linearly in log tau: f_mem rises as a power of
    tau, and an interpolation of the share itself, which is convex there, finds the crossing too early.

    Parameters
    ----------
    tau
        Training times, (m,), positive and increasing.
    share
        Share of the samples there, (m,), in [0, 1].
    samples
        At each milestone.
    threshold
        What the share crosses, between 0 and 1.
    curved
        Whether to interpolate by the monotone cubic of Fritsch and Carlson instead. The two differ where milestones are
        far apart, by about as much as either may be off.

    Raises
    ------
    ValueError
        As `first_crossing`, and for shares, samples or a threshold out of range.

    Examples
    --------
    The share rises as tau^3, and is 0.02 at tau = 543; interpolated linearly it would be there at 499.

    >>> share_crossing([100, 200, 400, 800], [0.0, 0.001, 0.008, 0.064], 1000, 0.02).tau
    538.19...
    """
    if samples < 1 or not 0 < threshold < 1:
        raise ValueError(f"samples = {samples}, threshold = {threshold}: need 1 or more, and 0 < threshold < 1")
    tau, share = checked_curve(tau, share)
    if (share < 0).any() or (share > 1).any():
        raise ValueError(f"the shares run from {share.min():g} to {share.max():g}: give shares in [0, 1]")
    rise = optimize.isotonic_regression(share).x

    def logit(value: ArrayLike) -> NDArray[np.float64]:
        hits = np.asarray(value) * samples
        return np.log((hits + 0.5) / (samples - hits + 0.5))

    found = first_crossing(tau, logit(rise), float(logit(threshold)))
    if not curved or found.status != "interpolated":
        return found
    above, log_tau = logit(rise) - float(logit(threshold)), np.log(tau)
    i = int((above >= 0).argmax())
    if above[i] == 0:
        return Timescale(float(tau[i]), "interpolated")
    at = optimize.brentq(interpolate.PchipInterpolator(log_tau, above), log_tau[i - 1], log_tau[i])
    return Timescale(float(np.exp(at)), "interpolated")


def checked_curve(tau: ArrayLike, value: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a curve as two arrays, (m,).

    Parameters
    ----------
    tau, value
        The curve.

    Raises
    ------
    ValueError
        As `first_crossing`.
    """
    if np.ma.isMaskedArray(tau) or np.ma.isMaskedArray(value):
        raise ValueError("tau or value is a masked array: leave out the milestones where nothing is known")
    tau, value = np.asarray(tau, float), np.asarray(value, float)
    if tau.ndim != 1 or tau.shape != value.shape or len(tau) == 0:
        raise ValueError(f"tau {tau.shape} and value {value.shape} must be two equally long lists of numbers")
    if not (np.isfinite(tau).all() and np.isfinite(value).all()):
        raise ValueError("tau and value hold NaN or infinite numbers: leave out the milestones where nothing is known")
    if tau[0] <= 0 or (np.diff(tau) <= 0).any():
        raise ValueError("tau must be positive and increasing")
    return tau, value


def times_and_bounds(times: Sequence[Timescale]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Return the times as numbers, and which of them are only bounds; what `exponent` and `predict` take.

    Parameters
    ----------
    times
        Of runs, such as `first_crossing` gives.

    Returns
    -------
    tuple
        (m,) numbers, and (m,) of 0 for a time, 1 for a lower bound of one and -1 for an upper bound.
    """
    side = {"interpolated": 0, "censored": 1, "at first point": -1}
    return np.array([t.tau for t in times], float), np.array([side[t.status] for t in times], int)


def value_at(tau: ArrayLike, value: ArrayLike, when: float) -> float | None:
    """Return a curve at a time between its milestones, linearly interpolated in log tau; None where it does not reach.

    Parameters
    ----------
    tau, value
        The curve, (m,) each.
    when
        The time.
    """
    tau, value = checked_curve(tau, value)
    return float(np.interp(np.log(when), np.log(tau), value)) if tau[0] <= when <= tau[-1] else None


@dataclass(frozen=True)
class Boundary:
    """The smallest n that is safe at a given training time, and how it was found.

    Parameters
    ----------
    n : float
        Number of training points.
    status : str
        "interpolated", between two sizes; "on grid", at a size where f_mem is epsilon exactly; "above range", where
        every size memorises, so that n, the largest, is a lower bound; "below range", where none does, so that n, the
        smallest, is an upper bound; "not monotone", where a size that is safe lies below n, the largest that is not,
        so that chance decides and no boundary can be drawn; "censored", where the run at n, which decides, ended before
        that time, or the time itself is not known.
    """

    n: float
    status: Literal["interpolated", "on grid", "not monotone", "censored", "above range", "below range"]


def phase_boundary(
    n: Sequence[float], curves: Sequence[tuple[ArrayLike, ArrayLike]], tau_gen: Timescale, c: float = 1.0,
    epsilon: float = 0.01,
) -> Boundary:  # fmt: skip
    """Return the smallest n with f_mem <= epsilon at c tau_gen, interpolated in log tau and log n (Fig. 3, right).

    A run that ended early still counts where it had passed epsilon by then (copies do not go away), but nothing is
    interpolated from it.

    Parameters
    ----------
    n
        Sizes, (m,), increasing.
    curves
        (tau, f_mem) of each size, at one width.
    tau_gen
        Of that width.
    c
        1, 3, 8 in the paper.
    epsilon
        What counts as no copies; exactly 0, the default of the paper's figure, hangs on the number of samples.

    Raises
    ------
    ValueError
        For sizes that do not increase, and numbers out of range.
    """
    if len(n) != len(curves) or len(n) == 0 or not (np.diff([0.0, *n]) > 0).all() or not np.isfinite(n[-1]):
        raise ValueError(f"n = {list(n)} must be positive and increasing, with a curve for each of its {len(n)} sizes")
    if not (0 <= epsilon < 1 and 0 < c < np.inf and 0 < tau_gen.tau < np.inf):
        raise ValueError(
            f"epsilon = {epsilon}, c = {c}, tau_gen = {tau_gen.tau}: need 0 <= epsilon < 1, and c and tau_gen positive"
        )
    if tau_gen.status != "interpolated":
        return Boundary(float(n[0]), "censored")
    when = c * tau_gen.tau
    values = [value_at(tau, f_mem, when) for tau, f_mem in curves]
    memorises = [_memorises(curve, value, when, epsilon) for curve, value in zip(curves, values, strict=True)]
    if found := _no_boundary_between(n, memorises):
        if found.status == "below range" and values[0] == epsilon > 0:
            return Boundary(found.n, "on grid")
        return found
    last = memorises.index(False) - 1
    size, value = float(n[last + 1]), values[last + 1]
    if value == epsilon:
        return Boundary(size, "on grid")
    smaller, smaller_value = float(n[last]), values[last]
    if value is None or smaller_value is None:
        return Boundary(smaller, "censored")  # which of the two sizes is nearer cannot be told
    share = (smaller_value - epsilon) / (smaller_value - value)
    return Boundary(float(smaller * (size / smaller) ** share), "interpolated")


def boundary_of_times(n: Sequence[float], times: Sequence[Timescale], when: float) -> Boundary:
    """Return the smallest n whose copies come later than a time, interpolated in log tau_mem and log n.

    It asks no run to go on until that time, as `phase_boundary` does, where copies came before. A bound takes the place
    of a time that is not known; where that is the later one, n is an upper bound.

    Parameters
    ----------
    n
        Sizes, (m,), increasing.
    times
        tau_mem of each.
    when
        The training time.
    """
    memorises: list[bool | None] = []
    for time in times:
        if time.status == "censored":
            memorises.append(False if time.tau >= when else None)
        elif time.status == "at first point":
            memorises.append(True if time.tau <= when else None)
        else:
            memorises.append(time.tau <= when)
    if found := _no_boundary_between(n, memorises):
        return found
    i = memorises.index(False)
    earlier, later = times[i - 1].tau, times[i].tau
    share = np.log(when / earlier) / np.log(later / earlier) if later > earlier else 1.0
    return Boundary(float(n[i - 1] * (n[i] / n[i - 1]) ** share), "interpolated")


def _no_boundary_between(n: Sequence[float], memorises: Sequence[bool | None]) -> Boundary | None:
    """What is said where the boundary does not lie between two sizes that are told; None where it does."""
    last = max((i for i, yes in enumerate(memorises) if yes), default=-1)
    if False in memorises[: max(last, 0)]:
        return Boundary(float(n[last]), "not monotone")
    if None in memorises[: last + 2]:  # the sizes up to the first that is safe decide
        return Boundary(float(n[list(memorises).index(None)]), "censored")
    if last + 1 == len(n):
        return Boundary(float(n[-1]), "above range")
    return Boundary(float(n[0]), "below range") if last < 0 else None


def _memorises(curve: tuple[ArrayLike, ArrayLike], value: float | None, when: float, epsilon: float) -> bool | None:
    """Whether f_mem is above epsilon at a time, where it is ``value`` if the run was measured around it.

    A run that ended above epsilon stays above, and one that began at most there was; else None.
    """
    if value is not None:
        return value > epsilon
    tau, f_mem = np.asarray(curve[0], float), np.asarray(curve[1], float)
    if when > tau[-1]:
        return True if f_mem[-1] > epsilon else None
    return False if f_mem[0] <= epsilon else None
