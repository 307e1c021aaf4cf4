"""The two times of a training run, tau_gen and tau_mem, and how they scale (exponents, collapse), with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

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


def at(tau: ArrayLike, value: ArrayLike, when: float) -> float | None:
    """A curve at a time between its milestones, linearly interpolated in log tau; None where it does not reach it."""
    tau, value = np.asarray(tau, float), np.asarray(value, float)
    return float(np.interp(np.log(when), np.log(tau), value)) if tau[0] <= when <= tau[-1] else None


@dataclass(frozen=True)
class Boundary:
    """The smallest n that is safe at a given training time, and how it was found.

    interpolated: between two sizes. on grid: at a size where f_mem is epsilon exactly. above range: every size
    memorises, so n, the largest, is a lower bound. below range: none does, so n, the smallest, is an upper bound.
    censored: the run at n, which decides, ended before that time; or the time itself is not known.
    """

    n: float
    status: Literal["interpolated", "on grid", "censored", "above range", "below range"]


def phase_boundary(
    n: Sequence[float], curves: Sequence[tuple[ArrayLike, ArrayLike]], tau_gen: Timescale, c: float = 1.0,
    epsilon: float = 0.01,
) -> Boundary:  # fmt: skip
    """Smallest n with f_mem <= epsilon at c tau_gen, interpolated in log tau and log n (Fig. 3, right).

    n: (m,) increasing. curves: (tau, f_mem) of each size, at one width. tau_gen: of that width. c: 1, 3, 8 in the
    paper. epsilon: what counts as none; exactly 0, the default of the paper's figure, hangs on the number of samples.
    A run that ended early still counts where it had passed epsilon by then (copies do not go away), but nothing is
    interpolated from it.
    """
    if (np.diff(n) <= 0).any() or len(n) != len(curves) or len(n) == 0:
        raise ValueError(f"n = {list(n)} must be increasing, with one curve for each of its {len(n)} sizes")
    if not (0 <= epsilon < 1 and c > 0):
        raise ValueError(f"epsilon = {epsilon}, c = {c}: need 0 <= epsilon < 1 and c > 0")
    if tau_gen.status != "interpolated":
        return Boundary(float(n[0]), "censored")
    when = c * tau_gen.tau
    before: tuple[float, float | None] | None = None  # the last size that memorises; its f_mem there, if known
    for size, (tau, f) in zip(map(float, n), curves, strict=True):
        tau, f = np.asarray(tau, float), np.asarray(f, float)
        here = at(tau, f, when)
        memorises = when > tau[-1] if here is None else here > epsilon
        if here is None and (f[-1 if memorises else 0] > epsilon) != memorises:
            return Boundary(size, "censored")  # the run ended, or was first looked at, on the wrong side of epsilon
        if memorises:
            before = size, here
            continue
        if before is None:
            return Boundary(size, "on grid" if here == epsilon > 0 else "below range")
        if here == epsilon:
            return Boundary(size, "on grid")
        if here is None or before[1] is None:
            return Boundary(before[0], "censored")  # which of the two sizes is nearer cannot be told
        share = (before[1] - epsilon) / (before[1] - here)
        return Boundary(float(before[0] * (size / before[0]) ** share), "interpolated")
    return Boundary(float(n[-1]), "above range")
