"""Figures of the page on four open questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...runs.store import Result
from ..estimators import questions as estimate
from ..estimators.scaling import by_size, tau_mem
from .names import NOTE, dark_enough, name_lines
from .style import LEARNED, MEMORY, QUALITY, plain_ticks, shades, subplots

BEST = "#009e73"  # where a curve has its minimum
CURE = dict(zip(estimate.CURED.values(), ("#cc79a7", "#56b4e9", "#e69f00", "#009e73"), strict=True))
FEWEST = 1e-3  # of samples, drawn for a share of none


def errors(table: pd.DataFrame, shown: Sequence[float]) -> tuple[plt.Figure, pd.DataFrame]:
    """Common and own error, and the cosine of two networks, against the step: a column for each n.

    table: of `estimators.questions.turning_points`, whose steps are marked. shown: times of diffusion of the cosines,
    each the nearest there is.
    """
    figure, axes = subplots(2, len(table), figsize=(9.5, 5.4), sharex="col", sharey="row")
    colors, drawn = shades(shown, "t"), []
    for (top, bottom), row in zip(axes.T, table.itertuples(), strict=True):
        found = estimate.errors(estimate.of_size(row.n))
        at = found[found["t"] == row.t]
        top.plot(at["step"], at["bias"].clip(lower=1e-4), color=QUALITY, label="in common (bias)")
        top.plot(at["step"], at["variance"], color=MEMORY, label="its own (variance)")
        for t in shown:
            times = found["t"].unique()
            nearest = times[np.abs(np.log(times / t)).argmin()]
            part = found[found["t"] == nearest]
            bottom.plot(part["step"], part["cosine"], color=colors[t], label=f"t = {nearest:.2g}")
        for axis in (top, bottom):
            axis.axvline(row.bias, color=QUALITY, ls=":", lw=1.5)
            axis.axvline(row.loss, color=BEST, ls="--", lw=1.5)
            axis.axvline(row.tau_mem, color=MEMORY, ls="-", lw=1)
        for name, when, side, color in (
            ("bias ", row.bias, "right", QUALITY),
            (" loss", row.loss, "left", BEST),
            (r" $\tau_\mathrm{mem}$", row.tau_mem, "left", MEMORY),
        ):
            above, ink = top.get_xaxis_transform(), dark_enough(color)
            top.text(when, 1.02, name, color=ink, transform=above, ha=side, fontsize=NOTE)
        top.set_title(f"n = {row.n}", loc="left")
        top.set(xscale="log", yscale="log", xlim=(30, None), ylim=(2e-3, 1))
        bottom.set(ylim=(0.4, 1.02), xlabel=r"training time $\tau$ (steps)")
        drawn.append(found.assign(n=row.n))
    axes[0][0].set_ylabel(f"error at t = {table['t'].iloc[0]:.2g}")
    axes[1][0].set_ylabel("cosine of two networks")
    name_lines(axes[0][0])
    name_lines(axes[1][0])
    return figure, pd.concat(drawn)


def nearness(tables: Mapping[str, pd.DataFrame]) -> tuple[plt.Figure, pd.DataFrame]:
    """How often samples are nearer to their own training set, against the step over that of the least held-out loss.

    tables: of `estimators.proximity.over_seeds`, one sweep each, by the title of its panel. A point is a milestone, and
    a line is the mean of five of them.
    """
    figure, axes = subplots(1, len(tables), figsize=(9.5, 3.8), sharey=True)
    colors = shades(sorted({n for table in tables.values() for n in table["n"]}))
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        for n, part in table.groupby("n"):
            x, share = part["step"] / part["turn"], part["share"] - part["real"] + 0.5
            axis.plot(x, share, "o", ms=2.5, alpha=0.5, color=colors[n])
            axis.plot(x, share.rolling(5, center=True, min_periods=3).mean(), color=colors[n], label=f"n = {n}")
        axis.axhline(0.5, color="0.4", lw=1, ls=":")
        axis.axvline(1, color=BEST, lw=1.5, ls="--")
        axis.set(xscale="log", xlim=(0.05, None), ylim=(0.3, 1.03), title=title,
                 xlabel="training time / time of the least held-out loss")  # fmt: skip
        name_lines(axis)
    axes[0].set_ylabel("nearer to their own training set")
    return figure, pd.concat([table.assign(panel=title) for title, table in tables.items()])


def gaps(n: int, table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """The gap of the losses at each time of diffusion for one n, and when it is seen, in units of tau_mem, for all.

    table: of `estimators.questions.warnings_by_time`.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    runs = estimate.of_size(n)
    times = estimate.times_of_diffusion(runs[0])
    colors, drawn, copies = shades(list(times.values()), "t"), [], by_size(tau_mem(runs), runs)[n]
    for k, t in times.items():
        test, train = (pd.concat([r.curve(f"loss_{name}_{k}")["value"] for r in runs], axis=1)
                       for name in ("test", "train"))  # fmt: skip
        gap = ((test - train) / test).mean(axis=1)
        left.plot(gap.index / copies, gap, color=colors[t], label=f"t = {t:.2g}")
        drawn.append(pd.DataFrame({"n": n, "t": t, "step": gap.index, "gap": gap.to_numpy()}))
    left.axhline(estimate.GAP, color="0.4", lw=1, ls=":")
    left.set(xscale="log", xlim=(0.01, None), ylim=(-0.05, 1), xlabel=r"$\tau/\tau_\mathrm{mem}$",
             ylabel="gap of the losses", title=f"n = {n}")  # fmt: skip
    name_lines(left)
    seen = table[table["seen"] > 1]
    sizes = [name for name in table.columns if name.startswith("n = ")]
    by_n = shades([float(name[4:]) for name in sizes])
    low, high = ([getattr(e, end) for e in seen["of_tau_mem"]] for end in ("low", "high"))
    right.fill_between(seen["t"], low, high, color="0.85")
    for name in sizes:
        right.plot(seen["t"], seen[name], "o-", ms=4, color=by_n[float(name[4:])], label=name)
    right.axhline(1, color=MEMORY, lw=1)
    right.set(xscale="log", yscale="log", ylim=(0.05, 1.3), xlabel="time of diffusion t",
              ylabel=r"gap seen at $\tau/\tau_\mathrm{mem}$")  # fmt: skip
    plain_ticks(right.yaxis)
    name_lines(right)
    return figure, pd.concat(drawn)


def kernels(runs: Sequence[Result], table: pd.DataFrame, steps: int, t: float) -> tuple[plt.Figure, pd.DataFrame]:
    """Spectra of the tangent kernel, and tau_mem against what its eigenvalue of rank n tells.

    runs: whose spectra are drawn. table: of `estimators.questions.kernel_times`. steps, t: the kernel that tells it.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4))
    n_colors, drawn = shades([64, 128, 256, 512]), []
    for run in runs:
        c, times = run.config, estimate.times_of_diffusion(run)
        i = list(times.values()).index(t)
        values = run.samples["eigenvalues"][0, i].astype(float) / (c["n"] * c["draws"])
        style = "-" if c["steps"] else ":"
        left.plot(np.arange(1, len(values) + 1), values, style, color=n_colors[c["n"]])
        left.plot(c["n"], values[c["n"] - 1], "o", color=n_colors[c["n"]], ms=5)
        drawn.append(pd.DataFrame({"n": c["n"], "steps": c["steps"], "rank": np.arange(1, len(values) + 1),
                                   "eigenvalue": values}))  # fmt: skip
    left.axvline(9.5, color="0.4", lw=1, ls="--")
    left.text(10.5, 0.97, "rank d + 1", transform=left.get_xaxis_transform(), va="top", fontsize=NOTE, color="0.3")
    left.set(xscale="log", yscale="log", ylim=(1e-7, None), xlabel="rank", ylabel="eigenvalue / number of points")
    part = table[(table["steps"] == steps) & (table["t"] == t)]
    constant = float(estimate.kernel_spread(part)["constant"].iloc[0])
    markers = dict(zip(sorted(part["width"].unique()), "v^osD", strict=False))
    for row in part.itertuples():
        right.plot(constant * row.predicted, row.tau_mem, markers[row.width], color=n_colors[row.n], ms=7)
    ends = np.array([part["tau_mem"].min() / 2, part["tau_mem"].max() * 2])
    right.plot(ends, ends, color=LEARNED, lw=1)
    right.fill_between(ends, ends / 1.5, ends * 1.5, color="0.88", zorder=0)
    right.set(xscale="log", yscale="log", xlabel="constant × time of the eigenvalue (steps)",
              ylabel=r"$\tau_\mathrm{mem}$ (steps)")  # fmt: skip
    handles = [plt.Line2D([], [], marker=m, ls="", color="0.3", label=f"W = {w}") for w, m in markers.items()]
    handles += [plt.Line2D([], [], color=n_colors[n], label=f"n = {n}") for n in sorted(part["n"].unique())]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure, part


def cures(table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Copies against the divergence: the plain training as time passes, and each cure at the end of a long one.

    table: of `estimators.questions.cures`.
    """
    figure, axis = subplots(figsize=(9.5, 4.6))
    rows: list[tuple[Any, ...]] = []
    for name, part in table.groupby("cure", sort=False):
        x = [max(e.value, FEWEST) for e in part["f_mem"]]
        y = [e.value for e in part["kl"]]
        rows += [
            (name, s, f.value, f.low, f.high, k.value, k.low, k.high)
            for s, f, k in zip(part["strength"], part["f_mem"], part["kl"], strict=True)
        ]
        if name == estimate.PLAIN:
            axis.plot(x, y, "-", color=LEARNED, marker=".", ms=5, label="stopping in time (a dot a milestone)")
            continue
        color = CURE[str(name)]
        axis.plot(x, y, "o-", color=color, ms=6, label=str(name))
        axis.vlines(x, [e.low for e in part["kl"]], [e.high for e in part["kl"]], color=color, alpha=0.4, lw=1.5)
        for end in (0, -1):
            axis.annotate(f"{part['strength'].iloc[end]:g}", (x[end], y[end]), (6, 5), textcoords="offset points",
                          fontsize=NOTE, color=dark_enough(color))  # fmt: skip
    axis.axvline(0.02, color=MEMORY, lw=1, ls=":")
    axis.set(xscale="log", yscale="log", xlim=(0.8 * FEWEST, 1), ylim=(0.3, 30), ylabel="KL divergence (nats)",
             xlabel=r"memorised fraction $f_\mathrm{mem}$")  # fmt: skip
    axis.set_xticks([FEWEST, 0.01, 0.1, 1], ["none", "0.01", "0.1", "1"])
    plain_ticks(axis.yaxis)
    name_lines(axis)
    columns = ["cure", "strength", "f_mem", "f_mem_low", "f_mem_high", "kl", "kl_low", "kl_high"]
    return figure, pd.DataFrame(rows, columns=columns)
