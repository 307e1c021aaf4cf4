"""Figures of the conditional chapter (Fig. 10 and beyond) and of the sampling cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from ...runs.store import Result
from ..estimators.gmm import neighbour_metric
from ..sweeps.tables import F_MEM
from .curves import over_seeds
from .names import name_lines
from .style import MEMORY, QUALITY, band, shades, subplots

CLASS = {0: MEMORY, 1: QUALITY}


def by_class(groups: Mapping[str, Sequence[Result]]) -> tuple[plt.Figure, pd.DataFrame]:
    """f_mem of each class against tau, a panel for each kind of data: title -> runs of one n."""
    figure, axes = subplots(1, len(groups), figsize=(9.5, 3.3), sharey=True, sharex=True)
    tables = []
    for axis, (title, runs) in zip(axes, groups.items(), strict=True):
        for label, color in CLASS.items():
            table = over_seeds(runs, f"f_mem_class_{label}", "n")
            band(axis, table, "step", color, f"class {label}")
            tables.append(table.assign(data=title, label=label))
        axis.axhline(F_MEM, color="#666666", ls=":", lw=1.4)
        axis.set(title=title, xscale="log", xlim=(1000, None), ylim=(-0.02, 1), xlabel=r"training time $\tau$ (steps)")
    axes[0].set_ylabel(r"$f_\mathrm{mem}$")
    name_lines(axes[0])
    return figure, pd.concat(tables)


def by_guidance(groups: Mapping[float, Sequence[Result]]) -> tuple[plt.Figure, pd.DataFrame]:
    """Divergence from the law of class 0 and f_mem against tau, a colour for each strength: w -> runs."""
    figure, axes = subplots(1, 2, figsize=(9.5, 3.4))
    colors, tables = shades(list(groups), "guidance"), []
    neighbours = neighbour_metric([r for runs in groups.values() for r in runs])
    for axis, metric in zip(axes, (f"{neighbours}_class_0", "f_mem"), strict=True):
        axis.set(xscale="log", yscale="log" if metric != "f_mem" else "linear", xlabel=r"training time $\tau$ (steps)")
        for w, runs in groups.items():
            table = over_seeds(runs, metric, "n")
            band(axis, table, "step", colors[w], f"w = {w:g}")
            tables.append(table.assign(metric=metric, guidance=w))
    axes[0].set(ylabel="KL from the class (nats)", ylim=(0.1, 20))
    axes[1].set(ylabel=r"$f_\mathrm{mem}$", ylim=(-0.02, 1))
    name_lines(axes[0])
    return figure, pd.concat(tables)


def sampling_cost(tables: Mapping[str, pd.DataFrame]) -> tuple[plt.Figure, pd.DataFrame]:
    """KL and f_mem of one network against the steps of its sampler: a row of panels for each time, title -> table."""
    names = {"euler_maruyama": ("Euler-Maruyama", QUALITY), "ddim": ("DDIM", MEMORY)}
    figure, axes = subplots(len(tables), 2, figsize=(9.5, 2.9 * len(tables)), sharex=True, squeeze=False)
    for row, (title, table) in zip(axes, tables.items(), strict=True):
        for axis, metric in zip(row, ("kl", "f_mem"), strict=True):
            for sampler, (name, color) in names.items():
                rows = table[table["sampler"] == sampler]
                errors = [rows[metric] - rows[f"{metric}_low"], rows[f"{metric}_high"] - rows[metric]]
                axis.errorbar(rows["steps"], rows[metric], errors, color=color, marker="o", ms=4, capsize=2, label=name)
            axis.set(xscale="log", ylim=(0, None) if metric == "kl" else (-0.02, 0.7))
        row[0].set_ylabel(f"{title}\nKL (nats)")
        row[1].set_ylabel(r"$f_\mathrm{mem}$")
    for axis in axes[-1]:
        axis.set_xlabel("sampling steps")
    axes[0][0].legend()
    return figure, pd.concat(table.assign(time=title) for title, table in tables.items())
