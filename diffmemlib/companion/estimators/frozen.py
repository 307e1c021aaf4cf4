"""Numbers of frozen noise and weight decay in the random-features limit: what is reached, and when."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf, isinf
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from ...rfnn.learning_curves import learning_curves
from ...rfnn.spectrum import spectrum
from ...runs.store import Result
from ...timescales.crossings import first_crossing
from . import Estimate
from .rfnn import lowest

LATE = 1e7  # the last time of stored flows: training has ended, but where nm = p and the error grows for ever
TIMES = np.geomspace(0.3, 1e6, 163)  # training times searched, 25 a decade
GAMMAS = (1e-3, 1e3)  # between which the best weight decay is looked for
NEAR = 1.1  # times the smallest E_score, which the window lasts for


def frozen_of(c: dict[str, Any]) -> dict[str, Any]:
    """Arguments noises and ridge of the limit, from the settings of a stored flow."""
    return {"noises": c.get("noises", 0) or inf, "ridge": c.get("ridge", 0.0)}


class Stop(NamedTuple):
    """What the limit reaches: the smallest E_score and its time, the window around it, and the end of training.

    tau: inf where the error falls all the time, so that it is smallest at the end.
    low, high: when E_score comes within 10% of the smallest, and when it goes beyond, inf where it never does.
    """

    best: float
    tau: float
    low: float
    high: float
    late: float


@lru_cache(maxsize=1024)
def stop(psi_p: float, psi_n: float, t: float, noises: float = inf, ridge: float = 0.0) -> Stop:
    """Return what the limit reaches with m frozen noises and weight decay; the minimum is refined by a parabola."""
    times = np.append(TIMES, LATE)  # in one call, so that the contours are found once
    error = learning_curves(times, psi_p=psi_p, psi_n=psi_n, t=t, noises=noises, ridge=ridge).score_error
    tau, best = lowest(TIMES, error[:-1])
    i = int(error[:-1].argmin())
    low = first_crossing(times, error, NEAR * best, rising=False)
    high = first_crossing(times[i:], error[i:], NEAR * best)
    if error[-1] <= best * (1 + 1e-6):  # else rounding would choose among the times of a plateau
        tau = inf
    return Stop(best, tau, low.tau, high.tau if high.status == "interpolated" else inf, float(error[-1]))


def opening(psi_p: float, psi_n: float, t: float) -> float:
    """Return the weight decay from which on the window has no end: the last error is within 10% of the smallest."""

    def beyond(log_ridge: float) -> float:
        reached = stop(psi_p, psi_n, t, ridge=float(np.exp(log_ridge)))
        return reached.late / (NEAR * reached.best) - 1

    return float(np.exp(optimize.brentq(beyond, np.log(1e-2), np.log(1e2), xtol=1e-4)))


def stops(cases: Sequence[dict[str, float]], *, psi_p: float, psi_n: float, t: float) -> pd.DataFrame:
    """`stop` of each case of arguments `noises` and `ridge`, which are the first columns."""
    rows = [{"noises": inf, "ridge": 0.0, **case, **stop(psi_p, psi_n, t, **case)._asdict()} for case in cases]
    return pd.DataFrame(rows)


def with_limit(results: Sequence[Result], key: str) -> pd.DataFrame:
    """E_score of stored flows beside the limit: columns `key` (a setting), tau, mean over draws, how many, limit."""
    parts = []
    for value in sorted({r.config.get(key, 0) for r in results}):
        chosen = [r for r in results if r.config.get(key, 0) == value]
        c, curves = chosen[0].config, [r.curve("score_error")["value"] for r in chosen]
        tau = curves[0].index.to_numpy(float)
        limit = learning_curves(tau, psi_p=c["psi_p"], psi_n=c["psi_n"], t=c["t"], **frozen_of(c))
        mean = np.mean([curve.to_numpy() for curve in curves], axis=0)
        parts.append(
            pd.DataFrame({key: value, "tau": tau, "mean": mean, "draws": len(chosen), "limit": limit.score_error})
        )
    return pd.concat(parts)


def best_ridge(psi_p: float, psi_n: float, t: float, noises: float = inf) -> tuple[float, float]:
    """Return the weight decay with the smallest E_score at the end of training, and that error."""
    grid = np.log(np.geomspace(*GAMMAS, 13))
    error = [at_the_end(float(np.exp(x)), psi_p, psi_n, t, noises) for x in grid]
    i = int(np.argmin(error))
    bounds = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda x: at_the_end(float(np.exp(x)), psi_p, psi_n, t, noises), bounds=bounds, method="bounded",
        options={"xatol": 1e-3},
    )  # fmt: skip
    return float(np.exp(found.x)), float(found.fun)


def ridge_against_stopping(psi_n: Sequence[float], *, psi_p: float, t: float) -> pd.DataFrame:
    """The smallest E_score by stopping, and at the end of training by the best ridge and by one at rho_2's edge.

    Columns psi_n, stop, tau, ridge (the best one), by_ridge, edge (the left edge of rho_2) and by_edge.
    """
    rows = []
    for n in psi_n:
        in_time = stop(psi_p, n, t)
        edge = spectrum(psi_p=psi_p, psi_n=n, t=t).rho_2.low
        rows.append((n, in_time.best, in_time.tau, *best_ridge(psi_p, n, t), edge, at_the_end(edge, psi_p, n, t)))
    return pd.DataFrame(rows, columns=["psi_n", "stop", "tau", "ridge", "by_ridge", "edge", "by_edge"])


@lru_cache(maxsize=4096)
def at_the_end(ridge: float, psi_p: float, psi_n: float, t: float, noises: float = inf) -> float:
    """E_score at tau = inf with weight decay."""
    return float(learning_curves(inf, psi_p=psi_p, psi_n=psi_n, t=t, noises=noises, ridge=ridge).score_error)


def noises_needed(table: pd.DataFrame, fresh: float, within: float) -> float:
    """Return the fewest noises a point with which the best E_score is within a factor of that of fresh noise, or inf.

    Interpolated in log m between the rows of `stops`.
    """
    excess = (table["best"] / fresh).to_numpy()
    inside = np.flatnonzero(excess <= within)
    if len(inside) == 0:
        return inf
    i = int(inside[0])
    if i == 0 or isinf(table["noises"].iloc[i]):
        return float(table["noises"].iloc[i])
    x = np.log(table["noises"].iloc[i - 1 : i + 1].to_numpy(float))
    return float(np.exp(np.interp(-within, -excess[i - 1 : i + 1], x)))


def peak(psi_p: float = 4.0, psi_n: float = 2.0, t: float = 0.3, ridge: float = 1e-4) -> Estimate:
    """Where the test loss at the end of training is largest: noisy points over features, n m/p. A small ridge keeps it
    finite there."""
    found = optimize.minimize_scalar(
        lambda m: -float(learning_curves(inf, psi_p=psi_p, psi_n=psi_n, t=t, noises=m, ridge=ridge).test),
        bounds=(1.0, 2.5 * psi_p / psi_n), method="bounded", options={"xatol": 1e-4},
    )  # fmt: skip
    at = float(found.x) * psi_n / psi_p
    return Estimate(at, at, at, (), "number")
