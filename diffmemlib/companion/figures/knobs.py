"""What one changed setting does to both times, the window and quality, as dots with intervals."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..estimators import Estimate
from .names import NOTE
from .style import LEARNED, MEMORY, QUALITY, subplots

GREY = "0.65"  # where the interval reaches what means no change
PANELS = (  # column, title, colour, limits of the axis, ticks
    ("gen", "samples good\n" r"$\times\ \tau_\mathrm{gen}$", QUALITY, (0.01, 100), (0.1, 1, 10)),
    ("mem", "copies appear\n" r"$\times\ \tau_\mathrm{mem}$", MEMORY, (0.2, 5), (0.25, 0.5, 1, 2, 4)),
    ("window", "window\n" r"$\times\ \tau_\mathrm{mem}/\tau_\mathrm{gen}$", LEARNED, (0.01, 100), (0.1, 1, 10)),
    ("quality", "smallest KL\n+ nats", "#009e73", (-0.6, 0.9), (-0.5, 0, 0.5)),
)


def factors(table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """A row for each change, in the order of the table: factors on the times, and the difference of the smallest KL.

    table: as of `estimators.knobs.factors`. Grey: the interval reaches what means no change. Not reached: by no changed
    training, or by one; without a number in the data, which hold the exponents as well.
    """
    figure, axes = subplots(1, len(PANELS), figsize=(9.5, 0.36 * len(table) + 1.9), sharey=True)
    rows: list[tuple[Any, ...]] = []
    for axis, (key, title, color, limits, ticks) in zip(axes, PANELS, strict=True):
        none = 0.0 if key == "quality" else 1.0
        for y, (name, found) in enumerate(zip(table["name"], table[key], strict=True)):
            if found is None:
                options = {"ha": "center", "va": "center", "fontsize": NOTE, "color": "0.4"}
                options["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                rows.append((name, key, *[np.nan] * 3, 0))
                axis.text(0.5, y, "not reached", transform=axis.get_yaxis_transform(), **options)
                continue
            _dot(axis, y, found, GREY if found.low <= none <= found.high else color, limits)
            rows.append((name, key, found.value, found.low, found.high, len(found.runs)))
        axis.axvline(none, color="black", lw=1)
        axis.set(xlim=limits, xscale="linear" if key == "quality" else "log")
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_title(title, fontsize=NOTE, color=color)
        axis.tick_params(axis="x", labelsize=NOTE, top=True, labeltop=True)
    for key in ("exponent", "steeper"):
        rows += [(name, key, e.value, e.low, e.high, len(e.runs))
                 for name, e in zip(table["name"], table[key], strict=True) if e is not None]  # fmt: skip
    axes[0].set_yticks(range(len(table)), list(table["name"]), fontsize=NOTE)
    axes[0].set_ylim(len(table) - 0.4, -0.6)
    return figure, pd.DataFrame(rows, columns=["change", "of", "value", "low", "high", "pairs"])


def _dot(axis: Any, y: float, e: Estimate, color: str, limits: tuple[float, float]) -> None:
    """One value with its interval; what lies beyond the axis is an arrow at its end."""
    low, high, value = np.clip([e.low, e.high, e.value], *limits)
    axis.plot([low, high], [y, y], color=color, lw=2.5, solid_capstyle="butt")
    if value == e.value:
        axis.plot(value, y, "o", color=color, ms=6)
    for end, edge, marker in ((e.low, limits[0], "<"), (e.high, limits[1], ">")):
        if (end < edge) if marker == "<" else (end > edge):
            axis.plot(edge, y, marker, color=color, ms=7, clip_on=False)
