"""Figures of frozen noise and weight decay: the limit of large dimension, and stored flows on it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...rfnn.coefficients import Atoms
from ...rfnn.learning_curves import learning_curves
from ...runs.store import Result
from ..estimators.frozen import NEAR, at_the_end, ridge_against_stopping, stops, with_limit
from ..estimators.rfnn import lowest
from .names import NOTE, name_lines
from .style import MEMORY, QUALITY, as_picture, finer, plain_ticks, shades, subplots


def noises(results: Sequence[Result], many: Sequence[float]) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score against tau for several m (left), and against m at the best time and at the end of training (right).

    Points: means over the draws of stored flows. many: the m of the lines on the right.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4))
    curves, c = with_limit(results, "noises"), results[0].config
    colors = shades([m or 1000 for m in curves["noises"].unique()], "noises")
    for m in sorted(curves["noises"].unique(), key=lambda m: m or inf):
        part = curves[curves["noises"] == m]
        color = colors[m or 1000]
        left.plot(part["tau"], part["limit"], color=color, label=f"m = {m:g}" if m else r"m = $\infty$")
        left.plot(part["tau"].iloc[::6], part["mean"].iloc[::6], "o", ms=3.5, color=color)
        if m:
            right.plot(m, part["mean"].min(), "o", color=QUALITY)
            right.plot(m, part["mean"].iloc[-1], "o", color=MEMORY)
    cases = [{"noises": float(m)} for m in many]
    table = stops(cases, psi_p=c["psi_p"], psi_n=c["psi_n"], t=c["t"])
    right.plot(table["noises"], table["best"], color=QUALITY, label="at the best time")
    right.plot(table["noises"], table["late"], color=MEMORY, label="at the end of training")
    fresh = stops([{}], psi_p=c["psi_p"], psi_n=c["psi_n"], t=c["t"]).iloc[0]
    for name, color in (("best", QUALITY), ("late", MEMORY)):
        right.axhline(fresh[name], color=color, ls=":", lw=1.2)
    right.axvline(c["psi_p"] / c["psi_n"], color="0.6", lw=1, ls="--")
    right.annotate("nm = p", (c["psi_p"] / c["psi_n"], 0.72), (12, 0), ("data", "axes fraction"), "offset points",
                   color="0.4", fontsize=NOTE)  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel=r"training time $\tau$", ylabel=r"$E_\mathrm{score}$", ylim=(None, 60))
    right.set(xscale="log", yscale="log", xlabel="noises a point, m", ylabel=r"$E_\mathrm{score}$")
    plain_ticks(right.xaxis)
    name_lines(left)
    name_lines(right)
    return figure, curves


def plane(
    results: Sequence[Result], many: Sequence[float], psi_p: Sequence[float], psi_n: float, t: float
) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score over (m, psi_p) at the end of training and at the best time, with the line nm = p.

    results: stored flows, whose value is the colour of a disc.
    """
    cases = [{"noises": float(m)} for m in many]
    table = pd.concat([stops(cases, psi_p=p, psi_n=psi_n, t=t).assign(psi_p=p) for p in psi_p])
    figure, axes = subplots(1, 2, figsize=(9.5, 4), sharey=True)
    norm, drawn = plt.matplotlib.colors.LogNorm(table["best"].min(), 10), list[Any]()
    for axis, name, title in zip(axes, ("late", "best"), ("at the end of training", "at the best time"), strict=True):
        grid = table.pivot(index="psi_p", columns="noises", values=name)
        mesh = axis.pcolormesh(grid.columns, grid.index, grid, norm=norm, shading="gouraud", cmap="magma")
        drawn += [mesh, *axis.plot(np.array(psi_p) / psi_n, psi_p, color="white", ls="--", lw=1.5)]
        flows = [r.curve("score_error")["value"] for r in results]
        seen = [curve.iloc[-1] if name == "late" else curve.min() for curve in flows]
        at = [[r.config[key] for r in results] for key in ("noises", "psi_p")]
        drawn.append(
            axis.scatter(*at, c=seen, norm=norm, cmap="magma", s=70, edgecolors="white", clip_on=False, zorder=3)
        )
        axis.set(xscale="log", yscale="log", xlabel="noises a point, m", title=title, xlim=(min(many), max(many)))
        axis.set_ylim(min(psi_p), max(psi_p))
        plain_ticks(axis.xaxis)
        axis.grid(False)
    plain_ticks(axes[0].yaxis)
    axes[0].set_ylabel(r"$\psi_p = p/d$")
    as_picture(figure.colorbar(mesh, ax=axes, label=r"$E_\mathrm{score}$", extend="max"), *drawn)
    return figure, table


def windows(
    results: Sequence[Result], many: Sequence[float], ridges: Sequence[float], psi_p: float, psi_n: float, t: float
) -> tuple[plt.Figure, pd.DataFrame]:
    """The best time to stop and the window around it, against the noises a point and against the ridge.

    results: stored flows, of which the mean over draws gives a point for the best time, and a tick at each end of the
    window.
    """
    figure, axes = subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
    tables = []
    for axis, key, values, label in (
        (axes[0], "noises", many, "noises a point, m"),
        (axes[1], "ridge", ridges, r"weight decay $\gamma$"),
    ):
        table = stops([{key: float(v)} for v in values], psi_p=psi_p, psi_n=psi_n, t=t)
        tables.append(table)
        _window(axis, table[key], table)
        _windows_seen(axis, [r for r in results if r.config.get(key, 0)], key)
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.margins(x=0)
    axes[0].set(ylabel=r"training time $\tau$", ylim=(2, 1e3))
    axes[0].legend(loc="upper left")
    plain_ticks(axes[0].xaxis)
    return figure, pd.concat(tables)


def _windows_seen(axis: Axes, results: Sequence[Result], key: str) -> None:
    for x in sorted({r.config[key] for r in results}):
        curves = [r.curve("score_error")["value"] for r in results if r.config[key] == x]
        mean = pd.concat(curves, axis=1).mean(axis=1)
        tau, best = lowest(mean.index.to_numpy(float), mean.to_numpy())
        inside = mean.index[mean <= NEAR * best]
        if inside[-1] < mean.index[-1]:
            axis.plot(x, tau, "o", color=QUALITY, ms=5)
            axis.plot([x, x], [inside[0], inside[-1]], "_", color=QUALITY, ms=9, mew=1.6)
        else:  # the window has no end, and the error no minimum that matters
            axis.plot(x, inside[0], "_", color=QUALITY, ms=9, mew=1.6)


def _window(axis: Axes, x: pd.Series, table: pd.DataFrame) -> None:
    """Best time and the window around it, which has no end where its `high` is infinite."""
    axis.fill_between(x, table["low"], table["high"].clip(upper=1e9), color=QUALITY, alpha=0.18, linewidth=0,
                      label="within 10% of the best")  # fmt: skip
    axis.plot(x, table["tau"].where(~np.isinf(table["high"])), color=QUALITY, label="best time to stop")


def ridges(
    results: Sequence[Result], psi_n: Sequence[float], gammas: Sequence[float]
) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score against tau for several gamma (left, stored flows on the limit), and at the end against gamma (right).

    On the right for several psi_n: dashed, the smallest E_score without weight decay; rings, gamma at the left edge of
    rho_2.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4))
    curves, c = with_limit(results, "ridge"), results[0].config
    colors = shades(curves["ridge"].unique(), "ridge")
    for gamma, part in curves.groupby("ridge"):
        left.plot(part["tau"], part["limit"], color=colors[gamma], label=rf"$\gamma$ = {gamma:g}")
        left.plot(part["tau"].iloc[::6], part["mean"].iloc[::6], "o", ms=3.5, color=colors[gamma])
        if gamma:
            right.plot(gamma, part["mean"].iloc[-1], "o", color=shades([c["psi_n"]], "psi_n")[c["psi_n"]], ms=5)
    table, shade = ridge_against_stopping(psi_n, psi_p=c["psi_p"], t=c["t"]), shades(psi_n, "psi_n")
    for row in table.itertuples():
        ends = [at_the_end(gamma, c["psi_p"], row.psi_n, c["t"]) for gamma in gammas]
        right.plot(gammas, ends, color=shade[row.psi_n], label=rf"$\psi_n$ = {row.psi_n:g}")
        right.axhline(row.stop, color=shade[row.psi_n], ls="--", lw=1.2)
        right.plot(row.edge, row.by_edge, "o", ms=8, mfc="none", color=shade[row.psi_n])
    left.set(xscale="log", yscale="log", xlabel=r"training time $\tau$", ylabel=r"$E_\mathrm{score}$", ylim=(None, 20))
    right.set(xscale="log", yscale="log", xlabel=r"weight decay $\gamma$", ylabel=r"$E_\mathrm{score}$ at the end")
    name_lines(left)
    name_lines(right)
    return figure, table


def ridge_over_stopping(table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Smallest E_score by weight decay over that by stopping, over (psi_n, psi_p): a row for each m, a column a t.

    table: the rows of `companion.ridge.ridge_grid`, noises inf for fresh noise. White: where both are as good.
    """
    table = table.assign(ratio=table["by_ridge"] / table["by_stopping"])
    noises, times = sorted(table["noises"].unique()), sorted(table["t"].unique())
    figure, axes = subplots(len(noises), len(times), figsize=(9.5, 3.1 * len(noises)), sharex=True, sharey=True,
                            squeeze=False)  # fmt: skip
    norm, drawn = plt.matplotlib.colors.LogNorm(0.7, 1 / 0.7), list[Any]()
    for row, m in zip(axes, noises, strict=True):
        for axis, t in zip(row, times, strict=True):
            part = table[(table["noises"] == m) & (table["t"] == t)]
            x, y, ratio = finer(part.pivot(index="psi_p", columns="psi_n", values="ratio"))
            mesh = axis.pcolormesh(x, y, ratio, norm=norm, shading="gouraud", cmap="RdBu_r")
            drawn.append(mesh)
            if ratio.min() < 1 < ratio.max():
                drawn.append(axis.contour(x, y, ratio, levels=[1.0], colors="black", linewidths=1.2))
            seen = "fresh noise" if np.isinf(m) else f"m = {m:g}"
            axis.set(xscale="log", yscale="log", title=f"t = {t:g}, {seen}")
            for ticks in (axis.xaxis, axis.yaxis):
                plain_ticks(ticks)
            axis.grid(False)
        row[0].set_ylabel(r"$\psi_p = p/d$")
    for axis in axes[-1]:
        axis.set_xlabel(r"$\psi_n = n/d$")
    bar = figure.colorbar(mesh, ax=axes, label="by weight decay / by stopping", extend="both")
    bar.ax.yaxis.set_major_formatter(plt.matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    bar.ax.yaxis.set_minor_formatter(plt.matplotlib.ticker.NullFormatter())
    bar.set_ticks([0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4])
    as_picture(bar, *drawn)
    return figure, table


def by_atoms(
    named: dict[str, Atoms], points: np.ndarray, tau: np.ndarray, psi_p: float, psi_n: float, t: float
) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score and test less train loss against tau for several covariances, with exact dynamics (points) on the last.

    named: atoms by the name of their line. points: (3, times) of tau, E_score and L_gen at finite d.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    colors, tables = shades(range(len(named)), "covariance"), []
    for (name, atoms), color in zip(named.items(), colors.values(), strict=True):
        c = learning_curves(tau, psi_p=psi_p, psi_n=psi_n, t=t, covariance=atoms)
        left.plot(tau, c.score_error / c.score_error[0], color=color, label=name)
        right.plot(tau, c.test - c.train, color=color)
        columns = {"tau": tau, "score_error": c.score_error, "gap": c.test - c.train}
        tables.append(pd.DataFrame({"covariance": name, **columns}))
    start = tables[-1]["score_error"].iloc[0]
    left.plot(points[0], points[1] / start, "o", ms=3.5, color=color)
    right.plot(points[0], points[2], "o", ms=3.5, color=color)
    for axis in (left, right):
        axis.set(xscale="log", yscale="log", xlabel=r"training time $\tau$")
    left.set(ylabel=r"$E_\mathrm{score}$, relative to its start")
    plain_ticks(left.yaxis)
    right.set(ylabel=r"$L_\mathrm{gen}$", ylim=(1e-3, None))
    name_lines(left)
    return figure, pd.concat(tables)
