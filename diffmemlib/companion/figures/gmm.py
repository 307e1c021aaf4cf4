"""Figures of the mixture chapter (Fig. 9 and beyond)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...experiments.gmm import training_set
from ...runs.store import Result
from ...timescales.power_laws import exponent
from ..estimators import gmm
from ..estimators.gmm import neighbour_metric
from .curves import copies, over_seeds
from .interactive import quality_and_copies, rounded, scrubber
from .names import name_lines
from .style import LEARNED, QUALITY, TRAINING, band, plain_ticks, subplots


def three_divergences(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """The three estimates of KL against tau, over seeds of one n."""
    neighbours = neighbour_metric(results)
    names = {"kl": "the paper's", "kl_fisher": "score gap", neighbours: "nearest neighbours"}
    colors = {"kl": "#999999", "kl_fisher": QUALITY, neighbours: "#009e73"}
    figure, axis = subplots(figsize=(6.5, 3.6))
    tables = {metric: over_seeds(results, metric, "n") for metric in names}
    for metric, table in tables.items():
        band(axis, table, "step", colors[metric], names[metric])
    axis.axhline(0, color="0.3", lw=0.8)
    axis.set_yscale("symlog", linthresh=1)
    axis.set(xscale="log", xlabel=r"training time $\tau$ (steps)", ylabel="KL (nats)", ylim=(-2, 100))
    name_lines(axis)
    return figure, pd.concat(t.assign(metric=m) for m, t in tables.items())


def projection(result: Result) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training points (n, 2), samples (milestones, kept, 2) and their nearest points (milestones, kept, 2).

    Seen along two orthonormal directions: the one that separates the two Gaussians, (1, ..., 1)/sqrt(d), and the
    one of largest spread of the training set at right angles to it.
    """
    train, stored = training_set(result.config)[0].numpy(), result.samples
    d = train.shape[1]
    first = np.full(d, d**-0.5)
    rest = train - train.mean(0)
    rest = rest - np.outer(rest @ first, first)
    second = np.linalg.svd(rest, full_matrices=False)[2][0]
    second *= np.sign(second[np.abs(second).argmax()])  # the sign of a singular vector is arbitrary
    axes = np.stack([first, second], 1)
    return train @ axes, stored["samples"].astype(float) @ axes, (train @ axes)[stored["neighbours"][:, :, 0]]


def three_times(result: Result, steps: Sequence[int]) -> tuple[plt.Figure, pd.DataFrame]:
    """Samples at chosen milestones in two dimensions, memorised ones joined to the training point they copy."""
    train, samples, near = projection(result)
    memorized, milestones = copies(result), list(result.samples["step"])
    figure, panels = subplots(1, len(steps), figsize=(9.5, 3.2), sharex=True, sharey=True)
    rows = []
    for axis, step in zip(panels, steps, strict=True):
        i = milestones.index(step)
        hit = memorized[i]
        axis.plot(*train.T, "+", color=TRAINING, ms=6, label="training points")
        axis.plot(*samples[i][~hit].T, "o", color=QUALITY, ms=2.5, alpha=0.6, label="samples")
        axis.plot(*samples[i][hit].T, "o", color=LEARNED, ms=3.5, label="memorised samples")
        axis.plot(*np.stack([samples[i][hit], near[i][hit]], 1).T, color=LEARNED, lw=0.6)
        axis.set(
            title=f"step {step:,}: {hit.mean():.0%} copies", xlabel="along the two centres", xlim=(-7, 7), ylim=(-5, 5)
        )
        rows.append(pd.DataFrame({"step": step, "x": samples[i][:, 0], "y": samples[i][:, 1], "memorised": hit}))
    panels[0].set_ylabel("across")
    handles, words = panels[0].get_legend_handles_labels()
    figure.legend(handles[:3], words[:3], loc="outside lower center", ncols=3)
    return figure, pd.concat(rows).round(2)


def time_scrubber(result: Result, kl: str = "kl_fisher") -> go.Figure:
    """Slider over training time: samples with the points they copy, and KL and f_mem with a marker that moves."""
    train, samples, near = projection(result)
    memorized, steps = copies(result), result.samples["step"].tolist()
    divergence, f_mem = (result.curve(m)["value"].loc[steps].to_numpy() for m in (kl, "f_mem"))
    figure = make_subplots(
        rows=2, cols=1, row_heights=[0.68, 0.32], vertical_spacing=0.13, specs=[[{}], [{"secondary_y": True}]]
    )

    def frame(i: int) -> list[dict[str, Any]]:
        hit = memorized[i]
        pairs = np.stack([samples[i][hit], near[i][hit], np.full((int(hit.sum()), 2), np.nan)], 1).reshape(-1, 2)
        joined: list[list[float | None]] = [[None if np.isnan(v) else round(float(v), 2) for v in c] for c in pairs.T]
        return [
            {"x": rounded(samples[i][~hit, 0], 2), "y": rounded(samples[i][~hit, 1], 2)},
            {"x": rounded(samples[i][hit, 0], 2), "y": rounded(samples[i][hit, 1], 2)},
            {"x": joined[0], "y": joined[1]},
            {"x": [steps[i], steps[i]], "y": [1e-1, 1e2]},
        ]

    start = int(divergence.argmin())
    now = frame(start)
    dots = {"mode": "markers"}
    figure.add_scatter(
        **now[0], **dots, name="samples", marker={"color": QUALITY, "size": 5, "opacity": 0.6}, row=1, col=1
    )
    figure.add_scatter(**now[1], **dots, name="memorised samples", marker={"color": LEARNED, "size": 6}, row=1, col=1)
    figure.add_scatter(**now[2], mode="lines", line={"color": LEARNED, "width": 1}, showlegend=False, row=1, col=1)
    figure.add_scatter(**now[3], mode="lines", line={"color": "#666", "dash": "dot"}, showlegend=False, row=2, col=1)
    figure.add_scatter(
        x=rounded(train[:, 0], 2), y=rounded(train[:, 1], 2), **dots, name="training points",
        marker={"color": TRAINING, "size": 8, "symbol": "cross-thin-open"}, row=1, col=1,
    )  # fmt: skip
    quality_and_copies(figure, 2, steps, divergence, f_mem, "KL (nats)", (-1, 2))
    figure.update_xaxes(range=[-7, 7], row=1, col=1)
    figure.update_yaxes(range=[-5, 5], row=1, col=1)
    titles = [f"step {s:,}: KL {v:.2f} nats, f_mem {f:.2f}" for s, v, f in zip(steps, divergence, f_mem, strict=True)]
    return scrubber(figure, steps, [0, 1, 2, 3], [frame(i) for i in range(len(steps))], start, titles)


def width_levels(tables: Mapping[str, pd.DataFrame]) -> tuple[plt.Figure, pd.DataFrame]:
    """Exponent of the time in W against the level of the score gap at which it is read; large levels come first.

    tables: of `estimators.gmm.width_by_level`, by their label.
    """
    figure, axis = subplots(figsize=(6.5, 3.2))
    parts = []
    for (label, table), (color, shift) in zip(tables.items(), ((QUALITY, 0.95), (LEARNED, 1.05)), strict=True):
        value, low, high = ([getattr(e, end) for e in table["exponent"]] for end in ("value", "low", "high"))
        error = [np.subtract(value, low), np.subtract(high, value)]
        axis.errorbar(shift * table["level"], value, yerr=error, fmt="o", ms=5, color=color, label=label)
        parts.append(pd.DataFrame({"runs": label, "level": table["level"], "value": value, "low": low, "high": high}))
    axis.axhline(-1, color="0.4", lw=1, ls="--")
    axis.axhspan(-1.2, -0.8, color="0.92", zorder=0)
    axis.set(
        xscale="log", xlabel="divergence at which the time is read (nats)", ylabel="exponent in W", ylim=(-1.6, 0.3)
    )
    axis.invert_xaxis()
    figure.legend(loc="outside lower center", ncols=2)
    return figure, pd.concat(parts)


def smallest(runs: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """The smallest score gap of every run against n, and the fitted power law."""
    table = gmm.smallest_by_n(runs)
    figure, axis = subplots(figsize=(6.5, 3.6))
    error = [table["kl"] - table["low"], table["high"] - table["kl"]]
    axis.errorbar(table["n"], table["kl"], yerr=error, fmt="o", color=QUALITY, ms=6)
    fit = exponent(table["n"], table["kl"])
    n = np.geomspace(table["n"].min(), table["n"].max())
    axis.plot(n, fit.prefactor * n**fit.value, color="0.4", lw=1.2, label=f"$n^{{{fit.value:.2f}}}$")
    axis.set(xscale="log", yscale="log", xlabel="training points n", ylabel="smallest divergence (nats)")
    sizes = sorted(set(table["n"]))
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    plain_ticks(axis.yaxis)
    name_lines(axis)
    return figure, table
