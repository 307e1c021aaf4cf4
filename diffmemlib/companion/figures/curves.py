"""Curves of quality and memory against training time, of any trained runs, and the times read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing
from ..estimators.images import tau_gen
from ..estimators.scaling import by_size, delays, draws_a_step, tau_mem
from ..sweeps.tables import F_MEM
from .names import NOTE, name_lines
from .style import MEMORY, QUALITY, band, plain_ticks, shades, subplots

SHAPE = {"interpolated": "o", "censored": "^", "at first point": "v"}
AGAINST = {"scaled": r"$\tau/n$", "seen": "how often each training point was seen"}
SYMBOL = {"n": "n", "width": "W"}


def over_seeds(results: Sequence[Result], metric: str, key: str) -> pd.DataFrame:
    """One metric of all runs, joined over seeds: columns key, step, value, low, high, seeds.

    value is the mean over seeds; low and high are the lowest and highest ends of the seeds' own 95% intervals. Seeds
    of one size with other milestones are interpolated in log tau, at those of the longest; where one has ended, the
    others go on alone, as `seeds` says. key: the setting that tells sizes apart (n, width).
    """
    tables = []
    for size in sorted({r.config[key] for r in results}):
        curves = [r.curve(metric) for r in results if r.config[key] == size]
        steps = max(curves, key=lambda c: c.index[-1]).index.to_numpy()
        on = {
            column: np.array(
                [np.interp(np.log(steps), np.log(c.index), c[column], left=np.nan, right=np.nan) for c in curves]
            )
            for column in ("value", "low", "high")
        }
        joined = {
            "value": np.nanmean(on["value"], 0), "low": np.nanmin(on["low"], 0), "high": np.nanmax(on["high"], 0),
            "seeds": (~np.isnan(on["value"])).sum(0),
        }  # fmt: skip
        tables.append(pd.DataFrame({key: size, "step": steps, **joined}))
    return pd.concat(tables, ignore_index=True)


PANEL = {  # name of the axis, its kind and its limits
    "kl_fisher": ("KL (nats)", "log", (0.1, 100)),
    "kl_fisher_class_0": ("KL of a class (nats)", "log", (0.1, 100)),
    "fd": ("Fréchet distance", "log", (0.01, 10)),
    "fd_untrained": ("Fréchet distance (untrained)", "log", (0.01, 10)),
    "fid": ("FID", "log", (10, 1000)),
    "f_mem": (r"$f_\mathrm{mem}$", "linear", (-0.02, 1)),
}


def quality_and_memory(
    results: Sequence[Result], key: str = "n", metrics: Sequence[str] = ("kl_fisher", "f_mem"), scale: int = 1,
    good: float | None = None, fresh: float | None = None, limits: tuple[float, float] | None = None,
) -> tuple[plt.Figure, pd.DataFrame]:  # fmt: skip
    """Quality and f_mem against tau (left) and against tau/n or W tau (right), a colour for each size (Fig. 9).

    key: "n" or "width". metrics: one row of panels each. scale: power of the size that divides tau on the right. good:
    the level of quality at which tau_gen is read; it and that of tau_mem are dotted, with a dot where a curve crosses
    them. fresh: f_mem of data that are not in the training set, of `baseline.by_chance`. limits: of the axes of
    quality, where they are not the usual ones.
    """
    figure, axes = subplots(len(metrics), 2, figsize=(9.5, 3 * len(metrics)), sharex="col", sharey="row", squeeze=False)
    colors, symbol = shades([r.config[key] for r in results], key), SYMBOL[key]
    tables = []
    for (left, right), metric in zip(axes, metrics, strict=True):
        label, kind, usual = PANEL[metric]
        level = F_MEM if metric == "f_mem" else good
        for axis in (left, right):
            axis.set(xscale="log", yscale=kind, ylim=limits if limits and metric != "f_mem" else usual)
            if level is not None:
                axis.axhline(level, color="#666666", ls=":", lw=1.4)
        left.set_ylabel(label)
        table = over_seeds(results, metric, key)
        for size, part in table.groupby(key):
            band(left, part, "step", colors[size], f"{symbol} = {size}")
            band(right, part.assign(scaled=part["step"] / float(size) ** scale), "scaled", colors[size])
            if level is not None:
                for axis, power in ((left, 0), (right, scale)):
                    mark_crossing(axis, part["step"] / float(size) ** power, part["value"], level, metric == "f_mem")
        if metric == "f_mem":
            left.set_ylim(top=_top(table))
            _by_chance((left, right), fresh)
        name_lines(left)
        tables.append(table.assign(metric=metric))
    axes[-1, 0].set_xlabel(r"training time $\tau$ (steps)")
    axes[-1, 1].set_xlabel(rf"$\tau / {symbol}$" if scale == 1 else rf"${symbol}\,\tau$")
    return figure, pd.concat(tables)


def compared(
    sets: Mapping[str, Sequence[Result]], against: Sequence[str] = ("scaled",), fresh: float | None = None
) -> tuple[plt.Figure, pd.DataFrame]:
    """f_mem, a panel for each set of runs, a colour for each n: title -> runs (Fig. 7).

    against: a row of panels for each of "scaled", tau/n, and "seen", how often each training point was seen,
    each time with a noise of its own. fresh: as of `quality_and_memory`.
    """
    figure, rows = subplots(
        len(against), len(sets), figsize=(9.5, 0.4 + 3 * len(against)), sharex="row", sharey=True, squeeze=False
    )
    colors, tables = shades([r.config["n"] for runs in sets.values() for r in runs]), []
    for (title, runs), column in zip(sets.items(), rows.T, strict=True):
        a_step = {r.config["n"]: draws_a_step(r) / r.config["n"] for r in runs}
        table = over_seeds(runs, "f_mem", "n").assign(set=title)
        table["scaled"], table["seen"] = table["step"] / table["n"], table["step"] * table["n"].map(a_step)
        for axis, x in zip(column, against, strict=True):
            axis.axhline(F_MEM, color="#666666", ls=":", lw=1.4)
            for n, part in table.groupby("n"):
                band(axis, part, x, colors[n], f"n = {n}")
                mark_crossing(axis, part[x], part["value"], F_MEM)
            axis.set(xscale="log", xlabel=AGAINST[x], ylim=PANEL["f_mem"][2])
            plain_ticks(axis.xaxis, (1, 2, 5) if len(sets) < 4 else (1,))  # the labels of narrow panels would meet
        column[0].set_title(title)
        name_lines(column[0])
        tables.append(table)
    _by_chance(rows.ravel(), fresh)
    joined = pd.concat(tables)
    for axis, x in zip(rows[:, 0], against, strict=True):
        axis.set_ylabel(PANEL["f_mem"][0])
        axis.set_ylim(top=_top(joined))
        if len(copied := joined.loc[joined["value"] > 0.01, x]):
            axis.set_xlim(left=copied.min() / 4)  # long before, there is nothing to see
    return figure, joined


def _by_chance(axes: Any, fresh: float | None) -> None:
    """Draw what f_mem is of data that no network has seen: what a curve of it has to be above."""
    if fresh is not None:
        for axis in axes:
            axis.axhline(fresh, color="0.4", ls="--", lw=1.2)
        axes[0].annotate("unseen data", (0.01, fresh), (0, 7), ("axes fraction", "data"), "offset points", color="0.3",
                         fontsize=NOTE)  # fmt: skip


def mark_crossing(axis: Axes, x: pd.Series, curve: pd.Series, level: float, rises: bool = True) -> None:
    """Put a dot where a curve first crosses a level, in the colour of tau_mem where it rises, else of tau_gen."""
    crossed = first_crossing(x.to_numpy(float), curve.to_numpy(float), level, rising=rises)
    if crossed.status == "interpolated":
        axis.plot(crossed.tau, level, "o", color=MEMORY if rises else QUALITY, ms=5.5, mec="white", mew=0.8, zorder=5)


def mark_times(axis: Axes, runs: Sequence[Result], metric: str, scale: int = 0) -> None:
    """Put a dot for tau_gen and one for tau_mem on the curve of a metric, joined over seeds, of each n.

    scale: power of n by which the axis divides training time.
    """
    for times, color in ((tau_gen(runs), QUALITY), (tau_mem(runs), MEMORY)):
        for n, tau in by_size(times, runs).items():
            curve = over_seeds([r for r in runs if r.config["n"] == n], metric, "n")
            if np.isfinite(tau):
                at = np.interp(np.log(tau), np.log(curve["step"]), curve["value"])
                axis.plot(tau / n**scale, at, "o", color=color, ms=5.5, mec="white", mew=0.8, zorder=5)


def _top(table: pd.DataFrame) -> float:
    """Where an axis of f_mem ends: above all that it shows, so that few copies are seen too."""
    return min(1.0, max(0.2, 1.1 * float(table["high"].max())))


def visits(runs: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """tau_mem/n against the draws of a step, for each n the fit T/n + A/m + B of `delays`, and its last two parts."""
    figure, axis = subplots(figsize=(6.5, 4.2))
    colors, rows = shades([r.config["n"] for r in runs]), []
    for r, t in zip(runs, tau_mem(runs), strict=True):
        n, m = r.config["n"], draws_a_step(r)
        fill = colors[n] if t.status == "interpolated" else "none"
        axis.plot(m, t.tau / n, SHAPE[t.status], color=colors[n], mfc=fill, ms=7)
        rows.append((n, m, t.tau, t.status))
    (begin, a, b), _ = delays(runs)
    table = pd.DataFrame(rows, columns=["n", "draws", "tau", "status"])
    x = np.geomspace(table["draws"].min() / 1.5, table["draws"].max() * 1.5)
    for n, color in colors.items():
        axis.plot(x, begin.value / n + a.value / x + b.value, color=color, lw=1.2, label=f"n = {n}")
    axis.plot(x, a.value / x, "--", color="0.5", lw=1, label="$A/m$: averaging out the noise")
    axis.plot(x, b.value + 0 * x, ":", color="0.5", lw=1.2, label="$B$: taking the steps")
    low, high = (table["tau"] / table["n"]).agg(["min", "max"])
    axis.set(xscale="log", yscale="log", ylim=(low / 3, high * 2))
    axis.set(xlabel="draws in a step, $m$", ylabel=r"$\tau_\mathrm{mem}/n$ (steps)")
    ticks = sorted(set(table["draws"]))
    axis.set_xticks(ticks, [str(v) for v in ticks])
    axis.minorticks_off()
    plain_ticks(axis.yaxis)
    name_lines(axis)
    return figure, table


def times(
    sizes: Sequence[float], measured: dict[str, list[Timescale]], key: str = "n", regions: bool = True
) -> tuple[plt.Figure, pd.DataFrame]:
    """Crossing times of every run against its size on log axes; open triangles are bounds.

    Upwards: lower bounds, of runs that ended before. Downwards: upper bounds, of runs that had crossed when first seen.
    Where all runs of neighbouring sizes have a tau_gen and a later tau_mem, the regions that these part are shaded.

    measured: tau_gen and the like -> times, one per run, in the order of sizes.
    """
    figure, axis = subplots(figsize=(6.5, 4.2))
    marks = dict(zip(measured, (QUALITY, MEMORY, "#666666", "#009e73"), strict=False))
    rows = []
    for name, all_times in measured.items():
        for size, t in zip(sizes, all_times, strict=True):
            rows.append((name, size, t.tau, t.status))
            fill = marks[name] if t.status == "interpolated" else "none"
            axis.plot(size, t.tau, SHAPE[t.status], color=marks[name], mfc=fill, ms=6)
        table = pd.DataFrame(rows, columns=["time", key, "tau", "status"])
        mean = table[(table["time"] == name) & (table["status"] == "interpolated")].groupby(key)["tau"]
        axis.plot(
            np.exp(mean.agg(lambda v: np.log(v).mean())),
            color=marks[name],
            label=time_symbol(name),
        )
    axis.set(xscale="log", yscale="log", xlabel=f"${SYMBOL[key]}$", ylabel=r"$\tau$ (steps)")
    axis.set_xticks(sorted(set(sizes)), [str(s) for s in sorted(set(sizes))])
    axis.minorticks_off()
    if regions:
        _regions(axis, table, key)
    name_lines(axis)
    return figure, table


def _regions(axis: Axes, table: pd.DataFrame, key: str) -> None:
    """Shade what is made before tau_gen, between it and tau_mem, and after: nothing good, new samples, copies too."""
    logs = table.assign(log=np.log(table["tau"].where(table["status"] == "interpolated")))
    mean = np.exp(logs.pivot_table(index=key, columns="time", values="log", aggfunc=lambda v: v.mean(skipna=False)))
    if not {"tau_gen", "tau_mem"} <= set(mean):
        return
    kept = mean["tau_gen"] < mean["tau_mem"]  # and both are known
    kept &= kept.shift(1, fill_value=False) | kept.shift(-1, fill_value=False)  # of one size alone nothing is shaded
    if not kept.any():
        return
    gen, mem = mean["tau_gen"].where(kept), mean["tau_mem"].where(kept)
    shown = np.flatnonzero(kept)
    bottom, top = axis.get_ylim()
    edges = [0 * gen + bottom, gen, mem, 0 * gen + top]
    named = (("not good yet", QUALITY), ("new samples", "#009e73"), ("copies appear", MEMORY))
    for (label, color), low, high in zip(named, edges[:-1], edges[1:], strict=True):
        axis.fill_between(gen.index, low, high, color=color, alpha=0.12, lw=0, zorder=0)
        widest = int(np.nanargmax(high / low))
        if high.iloc[widest] / low.iloc[widest] > 1.3:
            at = gen.index[widest], (low.iloc[widest] * high.iloc[widest]) ** 0.5
            beside = "left" if widest == shown[0] else "right"
            axis.annotate(label, at, xytext=(6 if beside == "left" else -6, 0), textcoords="offset points", ha=beside,
                          va="center", color="0.25", fontsize=NOTE, fontstyle="italic")  # fmt: skip
    axis.set_ylim(bottom, top)


def time_symbol(name: str) -> str:
    """tau_mem and the like as TeX."""
    return rf"$\tau_\mathrm{{{name.removeprefix('tau_')}}}$"


def thresholds(results: Sequence[Result], fresh: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """f_mem against tau/n for k = 1/4, 1/3, 1/2, a panel each, over the largest share of fresh data that meet it.

    fresh: as of `baseline.fresh_shares`.
    """
    names = {"f_mem_1/4": "k = 1/4", "f_mem": "k = 1/3", "f_mem_1/2": "k = 1/2"}
    figure, axes = subplots(1, 3, figsize=(9.5, 2.9), sharey=True, sharex=True)
    colors, tables = shades([r.config["n"] for r in results]), []
    axis: Axes
    for axis, (metric, title) in zip(axes, names.items(), strict=True):
        table = over_seeds(results, metric, "n").drop(columns=["low", "high"]).assign(k=title)
        for n, part in table.groupby("n"):
            axis.plot(part["step"] / n, part["value"], color=colors[n], label=f"n = {n}")
        share = fresh[title.removeprefix("k = ")].max()
        axis.axhline(share, color="0.4", ls="--", lw=1.2)
        axis.set(title=title, xscale="log", xlabel=r"$\tau/n$", xlim=(10, None))
        plain_ticks(axis.xaxis)
        tables.append(table)
    axes[0].set_ylabel(r"$f_\mathrm{mem}$")
    name_lines(axes[0])
    return figure, pd.concat(tables)


def copies(result: Result, k: float = 1 / 3) -> np.ndarray:
    """Which kept samples are memorised, (milestones, kept) booleans."""
    distance = result.samples["distances"]
    return distance[:, :, 0] < k * distance[:, :, 1]
