"""How often each interval holds the truth."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from .names import NOTE
from .style import QUALITY, subplots

PROMISED = 0.95
LEFT = 0.8  # of the axis; what lies beyond stands at it, as an arrow


def coverages(table: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """A line for each kind of interval, a dot for each world it was tried in; `table` as of `coverage.table`.

    Narrow, with each name above its dots, so that a phone shows both.
    """
    names = list(dict.fromkeys(table["estimator"]))
    figure, axis = subplots(figsize=(6.5, 0.7 * len(names) + 1))
    for y, name in enumerate(reversed(names)):
        rows = table[table["estimator"] == name].sort_values("held")
        places = y + np.linspace(-0.4, 0.15, len(rows)) if len(rows) > 1 else [y]
        for place, row in zip(places, rows.itertuples(), strict=True):
            axis.plot([max(row.low, LEFT), max(row.high, LEFT)], [place, place], color=QUALITY, alpha=0.4, lw=1.5)
            axis.plot(max(row.held, LEFT), place, "o" if row.held > LEFT else "<", color=QUALITY, ms=4)
        axis.text(LEFT, y + 0.22, name, fontsize=NOTE, va="bottom", color=axis.yaxis.label.get_color())
    axis.axvline(PROMISED, color="black", lw=1.2)
    axis.set_yticks([])
    axis.set(xlabel="share of simulations in which the interval holds the truth", xlim=(LEFT - 0.005, 1.005))
    axis.set_ylim(-0.6, len(names))
    return figure, table
