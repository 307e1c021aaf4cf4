"""Figures of the capacity chapter: what a wider network does to both times (Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import gmean

from ...metrics.curvature import max_stable_learning_rate
from ...runs.store import Result
from ...timescales.crossings import Timescale, times_and_bounds, value_at
from ...timescales.power_laws import exponent
from ..estimators.images import EARLY, copied_so_far, curvatures, parameters_of, quality
from ..estimators.scaling import sizes
from ..sweeps.tables import F_MEM
from .curves import PANEL, SHAPE, mark_crossing, time_symbol
from .names import NOTE, name_lines
from .style import MEMORY, QUALITY, plain_ticks, shades, subplots

LINES = (":", "--", "-", "-.")  # one for each n, and again


def capacity(runs: Sequence[Result], fresh: float | None = None) -> tuple[plt.Figure, pd.DataFrame]:
    """Quality against tau and W tau, f_mem against tau and W tau/n; colour: W, line: n (Fig. 3, left and middle).

    fresh: as of `curves.quality_and_memory`.
    """
    widths, ns = (sorted({r.config[key] for r in runs}) for key in ("width", "n"))
    colors, styles = shades(widths, "width"), dict(zip(ns, cycle(LINES), strict=False))
    figure, axes = subplots(2, 2, figsize=(9.5, 6))
    metrics, tables = (quality(runs), "f_mem"), []
    for r in runs:
        c, width, n = r.config, r.config["width"], r.config["n"]
        table = r.curves[r.curves["metric"].isin(metrics)].assign(
            width=width, n=n, W_tau=lambda d, w=width: w * d["step"], W_tau_n=lambda d, w=width, n=n: w * d["step"] / n
        )
        for (left, right), metric, scaled in zip(axes, metrics, ("W_tau", "W_tau_n"), strict=True):
            rows = table[table["metric"] == metric]
            for axis, x in ((left, "step"), (right, scaled)):
                axis.plot(rows[x], rows["value"], color=colors[width], linestyle=styles[n], lw=1.4)
                if metric == "f_mem":
                    mark_crossing(axis, rows[x], rows["value"], F_MEM)
        tables.append(table.assign(seed=c["seed"]))
    for row, metric, labels in zip(
        axes, metrics, ((r"$\tau$ (steps)", r"$W\tau$"), (r"$\tau$ (steps)", r"$W\tau/n$")), strict=True
    ):
        name, kind, limits = PANEL[metric]
        for axis, label in zip(row, labels, strict=True):
            axis.set(xscale="log", yscale=kind, ylim=limits, xlabel=label)
        row[0].set_ylabel(name)
    for axis in axes[1]:
        axis.set_ylim(top=1.1 * max(0.1, *(r.curve("f_mem")["value"].max() for r in runs)))
        axis.axhline(F_MEM, color="#666666", ls=":", lw=1.4)
        if fresh is not None:
            axis.axhline(fresh, color="0.4", ls="--", lw=1.2)
    for axis in axes[0]:
        if (level := EARLY.get(metrics[0])) is not None:
            axis.axhline(level, color="#666666", ls=":", lw=1.4)
    for width in widths:
        axes[0, 1].plot([], [], color=colors[width], label=f"W = {width}")
    for n in ns:
        axes[1, 0].plot([], [], color="0.3", linestyle=styles[n], lw=1.4, label=f"n = {n}")
    axes[0, 1].legend()
    axes[1, 0].legend(loc="upper left")
    return figure, pd.concat(tables)


def phases(runs: Sequence[Result], boundary: pd.DataFrame, copies_above: float) -> tuple[plt.Figure, pd.DataFrame]:
    """Which (W, n) memorise at c tau_early(W), a panel for each c, and the boundary in between (Fig. 3, right).

    Pale: of a width whose tau_early was not seen.

    boundary: as `estimators.images.boundaries` gives it. copies_above: of f_mem. A mark is open where the run
    ended before that time without copies, or that time is not known. Below each W stands the number of parameters, p.
    """
    factors = boundary["c"].unique()
    figure, (axes,) = subplots(1, len(factors), figsize=(9.5, 3.6), sharey=True, squeeze=False)
    kinds = {
        "copies": {"marker": "s", "color": MEMORY},
        "none": {"marker": "o", "color": QUALITY},
        "not known": {"marker": "o", "color": QUALITY, "mfc": "none"},
    }
    rows, parameters = [], {w: f"{parameters_of(int(w)) / 1000:,.0f}k" for w in sorted(set(sizes(runs, "width")))}
    for axis, (c, part) in zip(axes, boundary.groupby("c"), strict=True):
        when, known = part.set_index("width")["tau"], part.set_index("width")["tau_seen"]
        for r in runs:
            f, tau = copied_so_far(r), when.loc[r.config["width"]]
            value = value_at(f.index, f, tau)
            kind = "copies" if (f.iloc[-1] if value is None else value) > copies_above else "none"
            if kind == "none" and (value is None or not known.loc[r.config["width"]]):
                kind = "not known"
            pale = 1.0 if known.loc[r.config["width"]] else 0.35
            axis.plot(r.config["width"], r.config["n"], ls="", ms=8, alpha=pale, **kinds[kind])
            rows.append((c, r.config["width"], r.config["n"], tau, value, kind))
        known_boundary = part[part["status"].isin(["interpolated", "on grid"])]
        axis.plot(known_boundary["width"], known_boundary["n"], color="0.3", marker="_", ms=16, lw=1.2)
        axis.set(title=rf"$\tau = {c:g}\,\tau_\mathrm{{gen}}(W)$", yscale="log")
        _width_axis(axis, list(parameters))
        axis.set_xticks(axis.get_xticks(), [f"{w:g}\n{p}" for w, p in parameters.items()], fontsize=NOTE)
        axis.set_xlabel("$W$, and $p$ below")
    ns = sorted({r.config["n"] for r in runs})
    axes[0].set_yticks(ns, [str(n) for n in ns])
    axes[0].set_ylabel("$n$")
    for label, style in kinds.items():
        axes[-1].plot([], [], ls="", ms=8, label=label, **style)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds))
    return figure, pd.DataFrame(rows, columns=["c", "width", "n", "tau", "f_mem", "phase"])


def against_width(runs: Sequence[Result], times: Mapping[str, Sequence[Timescale]]) -> tuple[plt.Figure, pd.DataFrame]:
    """Crossing times against W, a panel for each of `times` (tau_mem and the like -> one per run), a colour for each n.

    Full line: the fitted power, each n with its own prefactor. Dotted: 1/W. Open triangles as in `curves.times`.
    """
    figure, (axes,) = subplots(1, len(times), figsize=(9.5, 3.8), sharey=True, squeeze=False)
    widths, ns = sizes(runs, "width"), sizes(runs)
    colors, rows = shades(ns), []
    for axis, (name, crossings) in zip(axes, times.items(), strict=True):
        slope = exponent(widths, *times_and_bounds(crossings), groups=ns).value
        for n in sorted(set(ns)):
            points = [(w, t) for w, m, t in zip(widths, ns, crossings, strict=True) if m == n]
            rows += [(name, n, w, t.tau, t.status) for w, t in points]
            for w, t in points:
                fill = colors[n] if t.status == "interpolated" else "none"
                axis.plot(w, t.tau, SHAPE[t.status], color=colors[n], mfc=fill, ms=6)
            crossed = np.array([(w, t.tau) for w, t in points if t.status == "interpolated"])
            if len(crossed) > 1:
                centre = np.exp(np.log(crossed).mean(0))
                x, fitted = np.array([min(widths), max(widths)]), np.sort(crossed[:, 0])[[0, -1]]
                axis.plot(fitted, centre[1] * (fitted / centre[0]) ** slope, color=colors[n], lw=1.2, label=f"n = {n}")
                axis.plot(x, centre[1] * centre[0] / x, ":", color="0.6", lw=1, zorder=0)
        axis.set_title(time_symbol(name))
        _width_axis(axis, widths)
    axes[0].set(yscale="log", ylabel=r"$\tau$ (steps)")
    name_lines(axes[min(1, len(times) - 1)])
    return figure, pd.DataFrame(rows, columns=["time", "n", "width", "tau", "status"])


CURVATURES = {"trace": "sum of all rates", "largest": "fastest", "brightness": "brightness"}


def curvature(sets: Mapping[str, Sequence[Result]], rates: Mapping[str, float]) -> tuple[plt.Figure, pd.DataFrame]:
    """Left: curvatures before training against W. Right: the learning rate above which SGD diverges, and `rates`.

    sets: label -> runs; the left panel has the first of them.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4.6))
    tables = []
    for label, runs in sets.items():
        table = pd.DataFrame({"width": sizes(runs, "width"), **{name: curvatures(runs, name) for name in CURVATURES}})
        tables.append(table.assign(set=label, highest_rate=[max_stable_learning_rate(v) for v in table["largest"]]))
    for name, color in zip(CURVATURES, ("0.3", MEMORY, QUALITY), strict=True):
        _points_and_means(left, tables[0], name, color, CURVATURES[name])
    for table, color in zip(tables, ("0.3", "#009e73"), strict=False):
        _points_and_means(right, table, "highest_rate", color, f"SGD diverges above, {table['set'].iloc[0]}")
    for style, (label, rate) in zip(("--", ":"), rates.items(), strict=False):
        right.axhline(rate, ls=style, color=MEMORY, lw=1.2, label=label)
    left.set(yscale="log", ylabel=r"rate, in units of $\eta$ a step")
    right.set(yscale="log", ylabel=r"learning rate $\eta$")
    joined = pd.concat(tables)
    for axis in (left, right):
        _width_axis(axis, joined["width"].tolist())
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below: lines cross the whole panel
    plain_ticks(right.yaxis)
    return figure, joined


def _points_and_means(axis: Axes, table: pd.DataFrame, column: str, color: str, label: str) -> None:
    axis.plot(table["width"], table[column], "o", color=color, ms=5)
    axis.plot(table.groupby("width")[column].agg(gmean), color=color, label=label)


def _width_axis(axis: Axes, widths: Sequence[float]) -> None:
    axis.set(xscale="log", xlabel="$W$")
    axis.set_xticks(sorted(set(widths)), [f"{w:g}" for w in sorted(set(widths))])
    axis.minorticks_off()
