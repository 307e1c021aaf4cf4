"""Numbers of the random-features theory, computed in the limit of large dimension."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from ..rfnn.learning_curves import learning_curves
from . import Estimate

TAU = np.geomspace(0.3, 1e6, 500)  # training times searched for the smallest score error


@lru_cache(maxsize=256)
def best_stop(psi_p: float, psi_n: float, t: float) -> tuple[float, float]:
    """Smallest E_score over training time, and the time where it is reached.

    On the grid TAU, refined by the parabola through the three lowest points in log tau. ValueError at its ends.
    """
    curve = learning_curves(TAU, psi_p=psi_p, psi_n=psi_n, t=t)
    i = int(curve.score_error.argmin())
    if i in (0, len(TAU) - 1):
        raise ValueError(f"psi_p = {psi_p}, psi_n = {psi_n}, t = {t}: the smallest E_score lies at an end of TAU")
    a, b, _ = np.polyfit([-1, 0, 1], curve.score_error[i - 1 : i + 2], 2)
    shift = -b / (2 * a)
    return float(curve.score_error[i] - a * shift**2), float(TAU[i] * (TAU[1] / TAU[0]) ** shift)


def best_stops(psi_p: Sequence[float], psi_n: Sequence[float], t: float) -> pd.DataFrame:
    """`best_stop` on a grid: psi_p, psi_n, score_error, tau, and the local exponent -d log E_score / d log psi_n.

    The exponent of a row is that between its psi_n and the next; the last row of each psi_p has none.
    """
    rows = [(p, n, *best_stop(p, n, t)) for p in psi_p for n in psi_n]
    table = pd.DataFrame(rows, columns=["psi_p", "psi_n", "score_error", "tau"])
    steps = np.log(table[["psi_n", "score_error"]]).groupby(table["psi_p"]).diff(-1)
    return table.assign(exponent=-steps["score_error"] / steps["psi_n"])


def eta(psi_n: Sequence[float] = (4, 8, 16, 32), psi_p: float = 64, t: float = 0.1) -> Estimate:
    """Least-squares exponent of the smallest E_score in psi_n over a range, with the local exponents' range."""
    table = best_stops((psi_p,), psi_n, t)
    slope = np.polyfit(np.log(table["psi_n"]), np.log(table["score_error"]), 1)[0]
    local = table["exponent"].dropna()
    return Estimate(-float(slope), float(local.min()), float(local.max()), ())
