"""One look for all figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

POPULATION, TRAINING, LEARNED = "#0072b2", "#d55e00", "#1a1a1a"  # distinct without colour vision
QUALITY, MEMORY = "#0072b2", "#d55e00"

RC: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
    "font.size": 13,  # on figures of 9.5 inches that a page shows at two thirds of their size
    "legend.fontsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def subplots(*shape: int, **options: Any) -> tuple[plt.Figure, Any]:
    """plt.subplots in the book's style, with a layout that keeps labels apart."""
    plt.rcParams.update(RC)  # for what is drawn on them later, too
    return plt.subplots(*shape, layout="constrained", **options)


def shades(values: Sequence[float]) -> dict[float, str]:
    """A colour for each size, light for small and dark for large, readable on white."""
    ordered = sorted(set(values))
    positions = np.linspace(0.75, 0.08, len(ordered)) if len(ordered) > 1 else [0.4]
    return {v: plt.matplotlib.colors.to_hex(plt.cm.viridis(p)) for v, p in zip(ordered, positions, strict=True)}


def band(axis: Axes, table: pd.DataFrame, x: str, color: str, label: str | None = None, **options: Any) -> None:
    """A line of `value` against x with the band from `low` to `high`; a log axis shows no band where low <= 0."""
    axis.plot(table[x], table["value"], color=color, label=label, **options)
    low = table["low"].where(table["low"] > 0) if axis.get_yscale() == "log" else table["low"]
    axis.fill_between(table[x].astype(float), low, table["high"], color=color, alpha=0.18, linewidth=0)


def plain_ticks(axis: Axis) -> None:
    """Mark 1, 2 and 5 of every decade of a log axis that spans few of them, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
