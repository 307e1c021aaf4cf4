"""Figures of the image chapters: samples beside their nearest training images, and losses (Figs. 2, 6)."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.colors import to_rgb
from PIL import Image
from plotly.subplots import make_subplots

from ...runs.store import Result
from ..estimators import recognised
from ..estimators.images import GOOD, quality
from .curves import PANEL, copies, mark_times, over_seeds
from .interactive import quality_and_copies, scrubber
from .names import NOTE, name_lines
from .style import MEMORY, QUALITY, band, plain_ticks, shades, subplots

GAP = 2  # pixels of frame around an image, enlarged


def tile(result: Result, milestone: int, columns: int = 12, zoom: int = 3) -> np.ndarray:
    """Samples of a milestone (its index) above their nearest training images, copies framed; RGB bytes."""
    stored, hits = result.samples, copies(result)[milestone]
    shown = range(min(columns, len(hits)))
    frame = (np.array([to_rgb("white"), to_rgb(MEMORY)]) * 255).astype(np.uint8)
    rows = []
    for name in ("samples", "nearest"):
        cells = []
        for j in shown:
            large = stored[name][milestone, j].repeat(zoom, 1).repeat(zoom, 2)
            cell = np.tile(frame[int(hits[j])], (large.shape[1] + 2 * GAP, large.shape[2] + 2 * GAP, 1))
            cell[GAP:-GAP, GAP:-GAP] = large.transpose(1, 2, 0)
            cells.append(np.pad(cell, ((1, 1), (1, 1), (0, 0)), constant_values=255))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


def grid(result: Result, steps: Sequence[int], columns: int = 12) -> tuple[plt.Figure, pd.DataFrame]:
    """Samples at chosen milestones, each above the training image nearest to it; copies are framed (Fig. 2 right).

    steps: milestones, one band of two rows each. columns: samples shown at each, at most.
    """
    stored, milestones = result.samples, result.samples["step"].tolist()
    hits, f_mem = copies(result), result.curve("f_mem")["value"]
    figure, axes = subplots(len(steps), 1, figsize=(9.5, 1.8 * len(steps)), squeeze=False)
    rows = []
    for axis, step in zip(axes[:, 0], steps, strict=True):
        i = milestones.index(step)
        axis.imshow(tile(result, i, columns))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"step {step:,}: {f_mem.loc[step]:.0%} copies among all samples", loc="left", fontsize=NOTE)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        rows += [(step, j, *d.tolist(), bool(hits[i, j])) for j, d in enumerate(stored["distances"][i, :columns])]
    return figure, pd.DataFrame(rows, columns=["step", "sample", "d1", "d2", "memorised"])


def by_size(results: Sequence[Result], step: int, columns: int = 12) -> tuple[plt.Figure, pd.DataFrame]:
    """Samples of several runs at one milestone that all have, each above its nearest training image; copies framed."""
    figure, axes = subplots(len(results), 1, figsize=(9.5, 1.8 * len(results)), squeeze=False)
    rows = []
    for axis, result in zip(axes[:, 0], results, strict=True):
        i, n = result.samples["step"].tolist().index(step), result.config["n"]
        hits, f_mem = copies(result)[i, :columns], result.curve("f_mem")["value"].loc[step]
        axis.imshow(tile(result, i, columns))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"n = {n}, step {step:,}: {f_mem:.0%} copies among all samples", loc="left", fontsize=NOTE)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        rows += [
            (n, step, j, *d.tolist(), bool(hits[j])) for j, d in enumerate(result.samples["distances"][i, :columns])
        ]
    return figure, pd.DataFrame(rows, columns=["n", "step", "sample", "d1", "d2", "memorised"])


def losses(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Loss at t = 0.01 on training and held-out images against tau and tau/n, a colour for each n (Fig. 2 middle)."""
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 4), sharey=True)
    colors, tables = shades([r.config["n"] for r in results]), []
    for metric, style in (("loss_test", "-"), ("loss_train", "--")):
        table = over_seeds(results, metric, "n").assign(metric=metric, scaled=lambda d: d["step"] / d["n"])
        for n, part in table.groupby("n"):
            band(left, part, "step", colors[n], f"n = {n}" if style == "-" else None, linestyle=style)
            band(right, part, "scaled", colors[n], linestyle=style)
        tables.append(table)
    left.set(xscale="log", xlabel=r"training time $\tau$ (steps)", ylabel="loss at t = 0.01 (dashed: training)")
    right.set(xscale="log", xlabel=r"$\tau/n$")
    for axis, scale in ((left, 0), (right, 1)):
        mark_times(axis, results, "loss_test", scale)
    name_lines(left)
    return figure, pd.concat(tables)


def judged(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Share of the kept samples that is recognised as digits, against the Frechet distance, for groups of n."""
    table, tables = recognised.milestones(results), []
    real = recognised.share_of_real(results[0].config["side"])
    sizes = sorted(set(table["n"]))
    groups = {f"n = {n}": [n] for n in sizes if n < recognised.LARGE}
    groups[f"n ≥ {recognised.LARGE}"] = [n for n in sizes if n >= recognised.LARGE]
    colors = shades([own[0] for own in groups.values()])
    figure, axis = subplots(figsize=(7, 4))
    for name, own in groups.items():
        part = recognised.by_distance(table[table["n"].isin(own)])
        error = part["value"] - part["low"]
        axis.errorbar(part["distance"], part["value"], error, fmt="o-", color=colors[own[0]], label=name, capsize=2)
        tables.append(part.assign(group=name))
    axis.axhline(real, color="0.3", ls="--", lw=1.4)
    axis.axvline(GOOD["fd"], color=QUALITY, ls=":", lw=1.8)
    axis.set(xscale="log", ylim=(0, 0.9), xlabel="Fréchet distance", ylabel="share that is recognised")
    axis.invert_xaxis()
    plain_ticks(axis.xaxis)
    axis.annotate("real digits", (0.02, real), xycoords=("axes fraction", "data"), va="bottom", fontsize=NOTE)
    axis.annotate(
        "called good ", (GOOD["fd"], 0.02), xycoords=("data", "axes fraction"), ha="right", color=QUALITY, fontsize=NOTE
    )
    name_lines(axis)
    return figure, pd.concat(tables)


def same_noise(results: Sequence[Result], steps: Sequence[int], columns: int = 8) -> tuple[plt.Figure, pd.DataFrame]:
    """Samples of networks with other training sets from the same noise, a row a milestone; copies are framed.

    steps: milestones, of each run the one nearest to it.
    """
    figure, axes = subplots(1, len(results), figsize=(4.4 * len(results), 0.6 * len(steps)), squeeze=False)
    rows = []
    for axis, result in zip(axes[0], results, strict=True):
        at = [int(np.abs(np.log(result.samples["step"] / step)).argmin()) for step in steps]
        bands = [np.split(tile(result, i, columns), 2)[0] for i in at]
        axis.imshow(np.concatenate(bands))
        axis.set(xticks=[], yticks=(np.arange(len(at)) + 0.5) * len(bands[0]) - 0.5)
        axis.set_yticklabels([f"{step:,}" for step in result.samples["step"][at]], fontsize=NOTE)
        axis.set_title(f"n = {result.config['n']}", fontsize=NOTE)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        hits = copies(result)
        rows += [(result.config["n"], int(result.samples["step"][i]), int(hits[i, :columns].sum())) for i in at]
    axes[0, 0].set_ylabel(r"training step $\tau$")
    return figure, pd.DataFrame(rows, columns=["n", "step", "copies"])


def time_scrubber(result: Result, first: int, columns: int = 12) -> go.Figure:
    """Slider over training time: samples above their nearest training images, and both curves with a marker.

    first: the milestone shown before the slider is moved.
    """
    steps = result.samples["step"].tolist()
    metric = quality([result])
    name, _, limits = PANEL[metric]
    distance, f_mem = (result.curve(m)["value"].loc[steps].to_numpy() for m in (metric, "f_mem"))
    figure = make_subplots(
        rows=2, cols=1, row_heights=[0.35, 0.65], vertical_spacing=0.08, specs=[[{}], [{"secondary_y": True}]]
    )

    def pictures(i: int) -> go.Image:
        file = io.BytesIO()
        Image.fromarray(tile(result, i, columns)).save(file, "PNG", optimize=True)
        return go.Image(source="data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), hoverinfo="skip")

    def marker(i: int) -> dict[str, list[float]]:
        return {"x": [steps[i], steps[i]], "y": list(limits)}

    start = steps.index(first)
    figure.add_trace(pictures(start), row=1, col=1)
    figure.add_scatter(
        **marker(start), mode="lines", line={"color": "#666", "dash": "dot"}, showlegend=False, row=2, col=1
    )
    quality_and_copies(figure, 2, steps, distance, f_mem, name, (math.log10(limits[0]), math.log10(limits[1])))
    figure.update_xaxes(visible=False, row=1, col=1)
    figure.update_yaxes(visible=False, row=1, col=1)
    titles = [f"step {s:,}: {name} {v:.3g}, f_mem {f:.2f}" for s, v, f in zip(steps, distance, f_mem, strict=True)]
    return scrubber(figure, steps, [0, 1], [[pictures(i), marker(i)] for i in range(len(steps))], start, titles)
