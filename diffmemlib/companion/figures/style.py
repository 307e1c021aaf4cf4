"""One look for all figures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colorbar import Colorbar
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.interpolate import RectBivariateSpline

from .names import NOTE
from .phone import carry, stack

POPULATION, TRAINING, LEARNED = "#0072b2", "#d55e00", "#1a1a1a"  # distinct without colour vision
QUALITY, MEMORY = "#0072b2", "#d55e00"

POINTS = {"n": (16, 1024), "psi_n": (2, 64)}  # training points, and between which the colours of a setting change
SIZES = {**POINTS, "width": (8, 512), "t": (0.01, 3)}

_drawn: WeakKeyDictionary[plt.Figure, str] = WeakKeyDictionary()

RC: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "svg.hashsalt": "diffmemlib",  # the same figure, the same file
    "figure.facecolor": "white",
    "font.size": 13,  # shown as some 13 pixels, see `book/_ext/pictures.py`
    "axes.titlesize": 13,
    "legend.fontsize": NOTE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def take_style() -> None:
    """Draw in the book's style from here on; notebooks show figures as SVG where $DIFFMEM_FIGURES asks, else as PNG.

    An SVG carries the figure as a phone shows it; see `phone`.
    """
    plt.rcParams.update(RC)
    if os.environ.get("DIFFMEM_FIGURES") == "svg" and "IPython" in sys.modules:
        from IPython import get_ipython  # of notebooks alone
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
        if (shell := get_ipython()) is not None:
            shell.display_formatter.formatters["image/svg+xml"].for_type(plt.Figure, _both)


def _both(figure: plt.Figure) -> str:
    """A figure as SVG, with itself for a phone in it; what is `as_picture` has 120 pixels an inch.

    Drawn once: what is drawn for a phone stays laid out for it.
    """
    from IPython.core.pylabtools import print_figure

    if figure not in _drawn:
        options: Any = {"fmt": "svg", "metadata": {"Date": None}, "dpi": 120}
        wide = print_figure(figure, **options)
        _drawn[figure] = carry(wide, print_figure(figure, **options)) if stack(figure) else wide
    return _drawn[figure]


def subplots(*shape: int, **options: Any) -> tuple[plt.Figure, Any]:
    """plt.subplots in the book's style, with a layout that keeps labels apart."""
    take_style()  # for what is drawn on them later, too
    return plt.subplots(*shape, layout="constrained", **options)


def shades(values: Sequence[float], of: str = "n") -> dict[float, str]:
    """A colour for each value, light for small and dark for large, readable on white.

    of: "n" or "psi_n", training points, "width" or "t", whose colours are the same on every page; of anything else the
    colours go by rank.
    """
    ordered = sorted(set(values))
    if of in SIZES:
        low, high = np.log2(SIZES[of])
        positions = 0.8 - 0.76 * np.clip((np.log2(ordered) - low) / (high - low), 0, 1)
    else:
        positions = np.linspace(0.82, 0.05, len(ordered)) if len(ordered) > 1 else np.array([0.4])
    ramp = plt.colormaps["viridis" if of in POINTS else "plasma"]
    return {v: plt.matplotlib.colors.to_hex(ramp(p)) for v, p in zip(ordered, positions, strict=True)}


def finer(grid: pd.DataFrame, points: int = 121) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and values of a positive function on a finer grid, by a cubic spline in all logarithms.

    grid: its values, with x as columns and y as index, at least four of each.
    """
    x, y = (np.asarray(v, float) for v in (grid.columns, grid.index))
    spline = RectBivariateSpline(np.log(y), np.log(x), np.log(grid.to_numpy(float)))
    fine_x, fine_y = (np.geomspace(v[0], v[-1], points) for v in (x, y))
    return fine_x, fine_y, np.exp(spline(np.log(fine_y), np.log(fine_x)))


def as_picture(bar: Colorbar, *artists: Artist) -> None:
    """Draw a bar of colours and what it explains as pixels: a figure for a dark page keeps their colours."""
    for artist in (bar.solids, *bar.ax.patches, *artists):
        if artist is not None:
            artist.set_rasterized(True)


def band(axis: Axes, table: pd.DataFrame, x: str, color: str, label: str | None = None, **options: Any) -> None:
    """A line of `value` against x with the band from `low` to `high`; a log axis shows no band where low <= 0."""
    axis.plot(table[x], table["value"], color=color, label=label, **options)
    low = table["low"].where(table["low"] > 0) if axis.get_yscale() == "log" else table["low"]
    axis.fill_between(table[x].astype(float), low, table["high"], color=color, alpha=0.18, linewidth=0)


def plain_ticks(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Mark 1, 2 and 5 of every decade of a log axis that spans few of them, or other `subs`, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
