"""How the time of memorisation in the random-features limit grows with psi_n, by each way to define it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from ...rfnn.learning_curves import learning_curves
from ...rfnn.spectrum import spectrum
from ...timescales.crossings import first_crossing
from . import Estimate
from .rfnn import GAP, exact_exponent

SHARES = (0.1, 0.3, 0.5)  # of the gap at the end of training
TAU = np.geomspace(0.3, 1e8, 240)
END = 1e12  # training is over
PSI_N = (4.0, 8.0, 16.0, 32.0)  # simulated in the paper


@lru_cache(maxsize=128)
def times(psi_p: float, psi_n: float, t: float) -> dict[str, float]:
    """Times of memorisation in the limit, by name: "edge", psi_p/(Delta_t lambda), with lambda the lower edge of rho_1;
    "0.3", when L_gen reaches this; "10%" and so on, when it reaches this share of what it is at the end of training;
    "gap", not a time: L_gen at the end."""
    curves = learning_curves(np.append(TAU, END), psi_p=psi_p, psi_n=psi_n, t=t)
    gap = curves.test - curves.train
    levels = {f"{GAP:g}": GAP, **{f"{share:.0%}": share * gap[-1] for share in SHARES}}
    crossings = {name: first_crossing(TAU, gap[:-1], level) for name, level in levels.items()}
    found = {name: c.tau if c.status == "interpolated" else np.nan for name, c in crossings.items()}
    edge = spectrum(psi_p=psi_p, psi_n=psi_n, t=t).rho_1.low
    return {"edge": float(psi_p / (-np.expm1(-2 * t) * edge)), **found, "gap": float(gap[-1])}


def exponents(psi_p: Sequence[float], psi_n: Sequence[float] = PSI_N, t: float = 0.1) -> pd.DataFrame:
    """Least-squares exponents in psi_n of the times of `times`, a row for each psi_p.

    Further columns: gap at the least and the largest psi_n; factor, of `collapse_factor` (1: the curves collapse).
    """
    rows = []
    for p in psi_p:
        table = pd.DataFrame([times(p, n, t) for n in psi_n])
        slopes = {name: exact_exponent(psi_n, table[name]).value for name in table if name != "gap"}
        ends = {"gap at first": table["gap"].iloc[0], "gap at last": table["gap"].iloc[-1]}
        rows.append({"psi_p": p, **slopes, **ends, "factor": collapse_factor(p, psi_n=psi_n, t=t).value})
    return pd.DataFrame(rows)


def collapse_factor(
    psi_p: float = 64.0, share: float = 0.5, psi_n: Sequence[float] = PSI_N, t: float = 0.1
) -> Estimate:
    """How well curves of L_gen collapse in tau/tau_mem: the largest over the smallest, over psi_n, of the time at which
    L_gen reaches a share of what it is at the end of training, in units of the inverse edge; 1 if they do exactly."""
    found = [times(psi_p, n, t) for n in psi_n]
    ratios = [one[f"{share:.0%}"] / one["edge"] for one in found]
    factor = max(ratios) / min(ratios)
    return Estimate(factor, factor, factor, (), "number")


def edge_exponent(
    psi_p: float = 64.0, psi_n: Sequence[float] = PSI_N, t: float = 0.1, from_psi_n: float | None = None
) -> Estimate:
    """Exponent in psi_n of the inverse edge, by which the paper defines tau_mem, as of `rfnn.exact_exponent`."""
    return exact_exponent(psi_n, [times(psi_p, n, t)["edge"] for n in psi_n], from_psi_n)
