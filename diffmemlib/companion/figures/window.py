"""The figure that answers how long one may train: both times against n, and where the second will be."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...runs.store import Result
from ..estimators.images import tau_gen
from ..estimators.scaling import tau_mem
from ..estimators.window import smaller_and_largest, tau_mem_at
from .curves import SHAPE, time_symbol
from .style import MEMORY, QUALITY, subplots


def prediction(runs: Sequence[Result], up_to: float) -> tuple[plt.Figure, pd.DataFrame]:
    """tau_gen and tau_mem of every run against n, and tau_mem as the runs below the largest n predict it.

    up_to: the n that the prediction is drawn to. The runs at the largest n, which it does not know, have a ring.
    """
    smaller, largest = smaller_and_largest(runs)
    figure, axis = subplots(figsize=(6.5, 4.4))
    rows: list[tuple[object, ...]] = []
    for name, color, times in (("tau_gen", QUALITY, tau_gen(runs)), ("tau_mem", MEMORY, tau_mem(runs))):
        for r, t in zip(runs, times, strict=True):
            rows.append((name, r.config["n"], r.config["seed"], t.tau, np.nan, np.nan, t.status))
            fill = color if t.status == "interpolated" else "none"
            axis.plot(r.config["n"], t.tau, SHAPE[t.status], color=color, mfc=fill, ms=6, zorder=3)
            if name == "tau_mem" and r in largest:
                axis.plot(r.config["n"], t.tau, "o", color="black", mfc="none", ms=13, mew=1.4, zorder=4)
        axis.plot([], [], "o", color=color, ms=6, label=time_symbol(name))
    n = np.geomspace(min(r.config["n"] for r in runs), up_to, 40)
    fits = [tau_mem_at(smaller, x) for x in n]
    rows += [("predicted", x, np.nan, f.value, f.low, f.high, "") for x, f in zip(n, fits, strict=True)]
    axis.plot(n, [f.value for f in fits], color=MEMORY, lw=1.4, label=f"{time_symbol('tau_mem')}, predicted")
    low, high = np.array([f.low for f in fits]), np.array([f.high for f in fits])
    drawn = [line.get_ydata()[0] for line in axis.lines if len(line.get_ydata()) == 1]
    limits = 0.4 * min(drawn), 6 * np.nanmax([*drawn, *(f.value for f in fits)])
    known = np.isfinite([f.value for f in fits])
    axis.fill_between(n, low.clip(*limits), high.clip(*limits), where=known, color=MEMORY, alpha=0.15, linewidth=0)
    axis.plot([], [], "o", color="black", mfc="none", ms=11, label="not used for the prediction")
    sizes = sorted({r.config["n"] for r in runs} | {round(up_to)})
    axis.set(xscale="log", yscale="log", ylim=limits, xlabel="$n$", ylabel=r"$\tau$ (steps)")
    axis.set_xticks(sizes, [str(s) for s in sizes])
    axis.minorticks_off()
    axis.legend(loc="upper left")
    return figure, pd.DataFrame(rows, columns=["time", "n", "seed", "tau", "low", "high", "status"])
