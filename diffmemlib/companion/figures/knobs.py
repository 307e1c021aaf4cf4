"""What one changed setting does to both times, the window and quality, as dots with intervals."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..estimators import Estimate
from .style import LEARNED, MEMORY, QUALITY, plain_ticks, subplots

GREY = "0.65"  # where the interval reaches what means no change
PANELS = (
    ("gen", r"$\tau_\mathrm{gen}$", QUALITY), ("mem", r"$\tau_\mathrm{mem}$", MEMORY),
    ("window", r"$\tau_\mathrm{mem}/\tau_\mathrm{gen}$", LEARNED), ("quality", "smallest KL (nats)", "#009e73"),
)  # fmt: skip
WIDEST = 20.0  # factor that is shown; what lies beyond stands at the edge, as an arrow


def factors(table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """A row for each change, in the order of the table: factors on the times, and the difference of the smallest KL.

    table: as of `estimators.knobs.factors`. Grey: the interval reaches what means no change.
    """
    figure, axes = subplots(1, len(PANELS), figsize=(9.5, 0.36 * len(table) + 1.3), sharey=True)
    rows: list[tuple[Any, ...]] = []
    for axis, (key, label, color) in zip(axes, PANELS, strict=True):
        none, limit = (0.0, np.inf) if key == "quality" else (1.0, WIDEST)
        for y, (name, found) in enumerate(zip(table["name"], table[key], strict=True)):
            if found is None:
                options = {"ha": "center", "va": "center", "fontsize": 9, "color": GREY}
                axis.text(0.5, y, "not told", transform=axis.get_yaxis_transform(), **options)
                continue
            _dot(axis, y, found, GREY if found.low <= none <= found.high else color, limit)
            rows.append((name, key, found.value, found.low, found.high, len(found.runs)))
        axis.axvline(none, color="black", lw=1)
        if key != "quality":
            axis.set(xscale="log")
            plain_ticks(axis.xaxis)
        axis.set_xlabel(("× " if key != "quality" else "+ ") + label, fontsize=11)
        axis.tick_params(axis="x", labelsize=9)
    axes[0].set_yticks(range(len(table)), list(table["name"]), fontsize=10)
    axes[0].set_ylim(len(table) - 0.4, -0.6)
    return figure, pd.DataFrame(rows, columns=["change", "of", "value", "low", "high", "pairs"])


def _dot(axis: Any, y: float, e: Estimate, color: str, limit: float) -> None:
    """One value with its interval; an end beyond the limit is an arrow at it."""
    low, high = max(e.low, 1 / limit if np.isfinite(limit) else -np.inf), min(e.high, limit)
    axis.plot([low, high], [y, y], color=color, lw=2.5, solid_capstyle="butt")
    axis.plot(e.value, y, "o", color=color, ms=6)
    for end, edge, marker in ((e.low, low, "<"), (e.high, high, ">")):
        if end != edge:
            axis.plot(edge, y, marker, color=color, ms=6)
