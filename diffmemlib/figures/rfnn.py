"""Figures of the random-features chapters, drawn from the limit of large dimension."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..estimators.rfnn import best_stops
from ..rfnn.learning_curves import learning_curves
from .style import MEMORY, shades, subplots


def curves(psi_p: float, psi_n: Sequence[float], t: float, tau: np.ndarray) -> tuple[plt.Figure, pd.DataFrame]:
    """Train loss (dashed), test loss and E_score against tau for several psi_n; a dot marks the smallest E_score."""
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    colors, tables = shades(psi_n), []
    for n in psi_n:
        c = learning_curves(tau, psi_p=psi_p, psi_n=n, t=t)
        left.plot(tau, c.test, color=colors[n], label=rf"$\psi_n$ = {n}")
        left.plot(tau, c.train, color=colors[n], ls="--")
        right.plot(tau, c.score_error, color=colors[n])
        best = int(c.score_error.argmin())
        right.plot(tau[best], c.score_error[best], "o", color=colors[n])
        columns = {"tau": tau, "train": c.train, "test": c.test, "score_error": c.score_error}
        tables.append(pd.DataFrame({"psi_n": n, **columns}))
    for axis in (left, right):
        axis.set(xscale="log", xlabel=r"training time $\tau$")
    left.set(ylabel="loss (dashed: train)", ylim=(0, 2))
    right.set(ylabel=r"$E_\mathrm{score}$", yscale="log")
    left.legend()
    return figure, pd.concat(tables)


def exponents(
    psi_p: Sequence[float], psi_n: Sequence[float], t: float, paper: float, simulated: tuple[float, float]
) -> tuple[plt.Figure, pd.DataFrame]:
    """Smallest E_score, its local exponent, and the best time to stop, against psi_n for several psi_p.

    paper: the exponent of the paper, a dashed line. simulated: the range of psi_n that its runs covered, shaded.
    """
    table = best_stops(psi_p, psi_n, t)
    figure, (left, middle, right) = subplots(1, 3, figsize=(10, 3.6))
    colors = shades(psi_p)
    for p, part in table.groupby("psi_p"):
        left.plot(part["psi_n"], part["score_error"], color=colors[p], label=rf"$\psi_p$ = {p:g}")
        between = np.sqrt(part["psi_n"] * part["psi_n"].shift(-1))
        middle.plot(between, part["exponent"], color=colors[p])
        right.plot(part["psi_n"], part["tau"], color=colors[p])
    middle.axhline(paper, color=MEMORY, ls="--", lw=1.2)
    middle.annotate(f"paper, {paper:g}", (0.98, paper), (0, 4), ("axes fraction", "data"), "offset points",
                    ha="right", color=MEMORY, fontsize=9)  # fmt: skip
    for axis in (left, middle, right):
        axis.axvspan(*simulated, color="0.9", zorder=0)
        axis.set(xscale="log", xlabel=r"$\psi_n = n/d$")
    left.set(yscale="log", ylabel=r"smallest $E_\mathrm{score}$")
    middle.set(ylabel="local exponent")
    right.set(yscale="log", ylabel=r"best time to stop $\tau$")
    left.legend()
    return figure, table
