"""Figures of the capacity chapter: what a wider network does to both times (Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd

from ..estimators.images import quality
from ..runs import Result
from ..timescales import at
from .curves import PANEL
from .style import MEMORY, QUALITY, shades, subplots

LINES = (":", "--", "-", "-.")  # one for each n, and again


def capacity(runs: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Quality against tau and W tau, f_mem against tau and W tau/n; colour: W, line: n (Fig. 3, left and middle)."""
    widths, ns = (sorted({r.config[key] for r in runs}) for key in ("width", "n"))
    colors, styles = shades(widths), dict(zip(ns, cycle(LINES), strict=False))
    figure, axes = subplots(2, 2, figsize=(9.5, 6))
    metrics, tables = (quality(runs), "f_mem"), []
    for r in runs:
        c, width, n = r.config, r.config["width"], r.config["n"]
        table = r.curves[r.curves["metric"].isin(metrics)].assign(
            width=width, n=n, W_tau=lambda d, w=width: w * d["step"], W_tau_n=lambda d, w=width, n=n: w * d["step"] / n
        )
        for (left, right), metric, scaled in zip(axes, metrics, ("W_tau", "W_tau_n"), strict=True):
            own = table[table["metric"] == metric]
            for axis, x in ((left, "step"), (right, scaled)):
                axis.plot(own[x], own["value"], color=colors[width], linestyle=styles[n], lw=1.4)
        tables.append(table.assign(seed=c["seed"]))
    for row, metric, labels in zip(
        axes, metrics, ((r"$\tau$ (steps)", r"$W\tau$"), (r"$\tau$ (steps)", r"$W\tau/n$")), strict=True
    ):
        name, kind, limits = PANEL[metric]
        for axis, label in zip(row, labels, strict=True):
            axis.set(xscale="log", yscale=kind, ylim=limits, xlabel=label)
        row[0].set_ylabel(name)
    for width in widths:
        axes[0, 1].plot([], [], color=colors[width], label=f"W = {width}")
    for n in ns:
        axes[1, 0].plot([], [], color="0.3", linestyle=styles[n], lw=1.4, label=f"n = {n}")
    axes[0, 1].legend(fontsize=8)
    axes[1, 0].legend(fontsize=8, loc="upper left")
    return figure, pd.concat(tables)


def phases(runs: Sequence[Result], boundary: pd.DataFrame, copies_above: float) -> tuple[plt.Figure, pd.DataFrame]:
    """Which (W, n) memorise at c tau_gen(W), a panel for each c, and the boundary in between (Fig. 3, right).

    boundary: as `estimators.images.boundaries` gives it. copies_above: of f_mem. A mark is open where the run
    ended before that time without copies, or that time is not known.
    """
    factors = boundary["c"].unique()
    figure, (axes,) = subplots(1, len(factors), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    kinds = {
        "copies": {"marker": "s", "color": MEMORY},
        "none": {"marker": "o", "color": QUALITY},
        "not known": {"marker": "o", "color": QUALITY, "mfc": "none"},
    }
    rows = []
    for axis, (c, part) in zip(axes, boundary.groupby("c"), strict=True):
        when, known = part.set_index("width")["tau"], part.set_index("width")["tau_seen"]
        for r in runs:
            f, tau = r.curve("f_mem")["value"], when.loc[r.config["width"]]
            value = at(f.index, f, tau)
            kind = "copies" if (f.iloc[-1] if value is None else value) > copies_above else "none"
            if kind == "none" and (value is None or not known.loc[r.config["width"]]):
                kind = "not known"
            axis.plot(r.config["width"], r.config["n"], ls="", ms=8, **kinds[kind])
            rows.append((c, r.config["width"], r.config["n"], tau, value, kind))
        found = part[part["status"].isin(["interpolated", "on grid"])]
        axis.plot(found["width"], found["n"], color="0.3", marker="_", ms=16, lw=1.2)
        axis.set(title=rf"$\tau = {c:g}\,\tau_\mathrm{{gen}}(W)$", xscale="log", yscale="log", xlabel="$W$")
        axis.set_xticks(sorted(when.index), [str(w) for w in sorted(when.index)])
        axis.minorticks_off()
    ns = sorted({r.config["n"] for r in runs})
    axes[0].set_yticks(ns, [str(n) for n in ns])
    axes[0].set_ylabel("$n$")
    for label, style in kinds.items():
        axes[-1].plot([], [], ls="", ms=8, label=label, **style)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds))
    return figure, pd.DataFrame(rows, columns=["c", "width", "n", "tau", "f_mem", "phase"])
