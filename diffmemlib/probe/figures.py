"""The figures of a probe's report, as bytes or text that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse.linalg import svds

from .answer import Answer, copies_from, good_from, good_level, tau_mem_at
from .data import Data
from .model import T_LOSS
from .training import Run, chosen

GOOD, MEMORY = "#0072b2", "#d55e00"  # distinct without colour vision
GAP, ZOOM = 2, 4
ACROSS = 6  # samples in a row: more are too small to judge on a phone
STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "svg.fonttype": "path",
    "svg.hashsalt": "diffmemlib",
}


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG element."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = file.getvalue()
    return text[text.index("<svg") :]


def curves(runs: Sequence[Run]) -> list[Figure]:
    """Draw distance, both losses and f_mem of every run against steps, and f_mem against steps/n, a figure each."""
    sizes = sorted({r.n for r in runs})
    # Not lighter, nor, with light and dark exchanged, darker: each is to be seen on both.
    shades = dict(zip(sizes, plt.colormaps["viridis"](np.linspace(0.6, 0.05, len(sizes))), strict=True))
    with plt.rc_context(STYLE):
        figures, axes = zip(*(plt.subplots(figsize=(5, 3.4), layout="constrained") for _ in range(4)), strict=True)
        left, losses, middle, right = axes
        for run in runs:
            distance, f_mem = run.curve("distance"), run.curve("f_mem")
            label = f"n = {run.n}" if run.seed == min(r.seed for r in runs if r.n == run.n) else None
            left.plot(distance["step"], distance["value"] / good_level(run), color=shades[run.n], lw=1.4, label=label)
            for name, style in (("test", "-"), ("train", "--")):
                loss = run.curve(f"loss_{name}")
                losses.plot(loss["step"], loss["value"], color=shades[run.n], lw=1.4, ls=style)
            middle.plot(f_mem["step"], f_mem["value"], color=shades[run.n], lw=1.4)
            right.plot(f_mem["step"] / run.n, f_mem["value"], color=shades[run.n], lw=1.4)
            if (good := good_from(run)).status == "interpolated":
                left.plot(good.tau, 1.0, "o", color=GOOD, ms=5, zorder=3)
        left.axhline(1.0, color=GOOD, ls="--", lw=1)
        left.set(xscale="log", yscale="log", xlabel="training steps", ylabel="distance / level of good samples")
        left.legend(frameon=False, fontsize=9)
        for style, label in (("-", "held out"), ("--", "training")):
            losses.plot([], [], color="#666666", lw=1.4, ls=style, label=label)
        losses.set(xscale="log", xlabel="training steps", ylabel=f"loss at t = {T_LOSS:g}", ylim=(0, None))
        losses.legend(frameon=False, fontsize=9)
        for axis, label in ((middle, "training steps"), (right, "training steps / n")):
            axis.axhline(np.mean([r.level for r in runs]), color=MEMORY, ls="--", lw=1)
            axis.set(xscale="log", xlabel=label, ylabel="share of copies", ylim=(0, None))
        for axis in axes:
            _few_labels(axis.xaxis)
            axis.tick_params(axis="x", labelrotation=30)
    return list(figures)


def _few_labels(axis: Axis) -> None:
    """Name 1, 2 and 5 of each decade: over less than one the usual labels overlap, or there is one alone."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def window(runs: Sequence[Run], found: Answer) -> Figure:
    """Draw both times of every run against n, and what is predicted up to all points."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 5), layout="constrained")
        for run in runs:
            for time, color in ((good_from(run), GOOD), (copies_from(run), MEMORY)):
                marker = {"interpolated": "o", "censored": "^", "at first point": "v"}[time.status]
                fill = color if time.status == "interpolated" else "none"
                axis.plot(run.n, time.tau, marker, color=color, mfc=fill, ms=6, zorder=3)
        sizes = np.geomspace(min(r.n for r in runs), found.n, 25)
        told = [(n, *interval) for n in sizes if (interval := tau_mem_at(runs, float(n)))]
        if told:
            n, value, low, high = np.array(told).T
            axis.plot(n, value, color=MEMORY, lw=1.4)
            axis.fill_between(n, low, high, color=MEMORY, alpha=0.15, lw=0)
        if found.tau_gen:
            axis.axhline(found.tau_gen[0], color=GOOD, lw=1.4)
        if found.stop is not None:
            axis.plot(found.n, found.stop, "s", color="#222222", ms=7, zorder=4, label="stop here, with all your data")
        axis.axvline(found.n, color="#666666", ls=":", lw=1.2)
        axis.annotate("all your data", (found.n, 0.02), xycoords=("data", "axes fraction"), ha="right",
                      xytext=(-4, 0), textcoords="offset points", fontsize=9)  # fmt: skip
        axis.plot([], [], "o", color=GOOD, label="samples are good from here on")
        predicted = " (line and band: predicted, 95%)" if told else ""
        axis.plot([], [], "o", color=MEMORY, label="copies come here" + predicted)
        axis.plot([], [], "^", color="#666666", mfc="none", label="not before here: the run ended")
        axis.plot([], [], "v", color="#666666", mfc="none", label="here or before: seen at the first look")
        axis.set(xscale="log", yscale="log", xlabel="training points n", ylabel="training steps")
        marked = sorted({*(r.n for r in runs), found.n})
        axis.set_xticks(marked, [f"{n:,}" for n in marked])
        axis.xaxis.set_minor_locator(NullLocator())
        _few_labels(axis.yaxis)
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure


def pictures(run: Run, data: Data) -> list[tuple[int, str]]:
    """Return, for every milestone of a run, its step and a picture of samples beside what they are nearest to."""
    points = data.pool[chosen(data, run.n, run.seed)]
    steps = enumerate(run.arrays.get("step", np.zeros(0)).tolist())
    if data.kind == "images":
        return [(int(step), _tile(run, data, points, i)) for i, step in steps]
    directions = _principal(data.pool)
    return [(int(step), _scatter(run, data, points, directions, i)) for i, step in steps]


def _tile(run: Run, data: Data, points: torch.Tensor, milestone: int) -> str:
    """Samples over their nearest training images, copies framed; of channels that are no colours, the first."""
    frame = (np.array([(1.0, 1.0, 1.0), plt.matplotlib.colors.to_rgb(MEMORY)]) * 255).astype(np.uint8)
    nearest = data.in_file_units(points[run.arrays["nearest"][milestone]]).numpy()
    shown = slice(3 if data.shape[0] == 3 else 1)
    rows = []
    for images in (run.arrays["samples"][milestone][:, shown], nearest[:, shown]):
        cells = []
        for image, copy in zip(images, run.arrays["copy"][milestone], strict=True):
            large = (image * 255).round().astype(np.uint8).repeat(ZOOM, 1).repeat(ZOOM, 2)
            cell = np.tile(frame[int(copy)], (large.shape[1] + 2 * GAP, large.shape[2] + 2 * GAP, 1))
            cell[GAP:-GAP, GAP:-GAP] = large.transpose(1, 2, 0)
            cells.append(np.pad(cell, ((1, 1), (1, 1), (0, 0)), constant_values=255))
        rows.append(cells)
    white = np.full_like(rows[0][0], 255)
    bands = []
    for first in range(0, len(rows[0]), ACROSS):
        for cells in rows:
            band = cells[first : first + ACROSS]
            bands.append(np.concatenate(band + [white] * (min(ACROSS, len(cells)) - len(band)), axis=1))
        bands.append(np.full((6 * GAP, *bands[0].shape[1:]), 255, np.uint8))
    return _png(np.concatenate(bands[:-1]))


def _principal(pool: torch.Tensor) -> NDArray[np.float64]:
    """The directions, one or two, in which the data vary most, each with its largest entry positive."""
    centred = (pool - pool.mean(0)).double().numpy()
    if min(centred.shape) > 2:  # by iteration: all of them would take hours where a point has very many numbers
        directions = svds(centred, k=2, v0=np.ones(min(centred.shape)), solver="arpack")[2][::-1].T
    else:
        directions = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return directions * np.sign(directions[np.abs(directions).argmax(0), range(directions.shape[1])])


def _scatter(run: Run, data: Data, points: torch.Tensor, directions: NDArray[np.float64], milestone: int) -> str:
    """Samples, each joined to its nearest training point, along the two directions in which the data vary most."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5, 4), layout="constrained", dpi=90)
        limit = 1.2 * float(np.abs(data.pool.double().numpy() @ directions).max())
        samples = (torch.from_numpy(run.arrays["samples"][milestone]) - data.centre) / data.spread
        shown = [_plane(x.double().numpy() @ directions) for x in (points, samples)]
        copy = run.arrays["copy"][milestone]
        joined = np.stack([shown[1], shown[0][run.arrays["nearest"][milestone]]])
        axis.plot(*joined.transpose(2, 0, 1), color="#bbbbbb", lw=0.6, zorder=1)
        axis.plot(*shown[0].T, ".", color="#999999", ms=4, label="training points")
        axis.plot(*shown[1][~copy].T, "o", color=GOOD, ms=3, label="samples")
        axis.plot(*shown[1][copy].T, "o", color=MEMORY, ms=4, label="copies")
        axis.set(
            xlabel="first principal component",
            ylabel="second principal component",
            xlim=(-limit, limit),
            ylim=(-limit, limit),
        )
        axis.legend(frameon=False, fontsize=9, loc="upper left")
        figure.canvas.draw()
        image = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
        plt.close(figure)
    return _png(image)


def _plane(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of data of one dimension the second coordinate is 0."""
    return x if x.shape[1] == 2 else np.concatenate([x, np.zeros_like(x)], axis=1)


def _png(pixels: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
