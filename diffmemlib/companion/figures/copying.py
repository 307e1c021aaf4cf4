"""How often each measure of copying takes a set of samples for copies."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from ..estimators import copying
from .names import name_lines
from .style import subplots

# Colours that are distinct without colour vision, and a mark each.
LINES = {
    "f_mem": ("#d55e00", "o"), "authenticity": ("#0072b2", "s"), "C_T": ("#009e73", "^"), "FLD": ("#cc79a7", "D"),
    "recall": ("#888888", "v"), "coverage": ("#bbbbbb", "x"),
}  # fmt: skip


def detection(found: dict[str, Any]) -> tuple[plt.Figure, pd.DataFrame]:
    """Share of sets in which each measure sees copies, against the share of copies in them; a panel a kind."""
    rows = copying.curves(found)
    figure, axes = subplots(1, len(found["nearness"]), figsize=(9.5, 4), sharey=True)
    for axis, (kind, jitter) in zip(axes, found["nearness"].items(), strict=True):
        for measure, (color, marker) in LINES.items():
            one = rows[(rows["kind"] == kind) & (rows["measure"] == measure)]
            axis.plot(one["share"], one["alarms"], marker=marker, color=color, label=measure, ms=6)
        axis.axhline(found["alarm"], color="black", ls=":", lw=1.2)
        axis.set(xscale="log", xlabel="share of copies", title=f"{kind}\n(noise {jitter:g})")
        axis.set_xticks([0.01, 0.1, 1], ["1%", "10%", "100%"])
    axes[0].set(ylabel="share of sets in which they are seen", ylim=(-0.03, 1.03))
    for axis in axes:
        name_lines(axis)
    return figure, rows
