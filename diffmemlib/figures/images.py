"""Figures of the image chapters (Figs. 2, 3, 6, 7)."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.colors import to_rgb
from PIL import Image
from plotly.subplots import make_subplots

from ..estimators.images import quality
from ..runs import Result
from ..timescales import at
from .curves import PANEL, copies, over_seeds
from .interactive import quality_and_copies, scrubber
from .style import MEMORY, QUALITY, band, shades, subplots

LINES = (":", "--", "-", "-.")  # one for each n, and again
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
            large = np.kron(stored[name][milestone, j, 0], np.ones((zoom, zoom), np.uint8))
            cell = np.tile(frame[int(hits[j])], (large.shape[0] + 2 * GAP, large.shape[1] + 2 * GAP, 1))
            cell[GAP:-GAP, GAP:-GAP] = large[..., None]
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
        axis.set_title(f"step {step:,}: {f_mem.loc[step]:.0%} copies among all samples", loc="left", fontsize=10)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        rows += [(step, j, *d.tolist(), bool(hits[i, j])) for j, d in enumerate(stored["distances"][i, :columns])]
    return figure, pd.DataFrame(rows, columns=["step", "sample", "d1", "d2", "memorised"])


def losses(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Loss at t = 0.01 on training and held-out images against tau, a colour for each n (Fig. 2 middle)."""
    figure, axis = subplots(figsize=(7, 4))
    colors, tables = shades([r.config["n"] for r in results]), []
    for metric, style in (("loss_test", "-"), ("loss_train", "--")):
        table = over_seeds(results, metric, "n")
        for n, part in table.groupby("n"):
            band(axis, part, "step", colors[n], f"n = {n}" if style == "-" else None, linestyle=style)
        tables.append(table.assign(metric=metric))
    axis.plot([], [], "k-", label="held out")
    axis.plot([], [], "k--", label="training")
    axis.set(xscale="log", xlabel=r"training time $\tau$ (steps)", ylabel="loss at t = 0.01")
    axis.legend(fontsize=8)
    return figure, pd.concat(tables)


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
