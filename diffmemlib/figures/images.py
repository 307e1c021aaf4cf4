"""Figures of the image chapters (Figs. 2, 3, 6, 7)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..runs import Result
from .style import LEARNED, subplots


def copies(result: Result, k: float = 1 / 3) -> np.ndarray:
    """Which kept samples are memorised, (milestones, kept) booleans."""
    distance = result.samples["distances"]
    return distance[:, :, 0] < k * distance[:, :, 1]


def grid(result: Result, steps: Sequence[int], columns: int = 12) -> tuple[plt.Figure, pd.DataFrame]:
    """Samples at chosen milestones, each above the training image nearest to it; copies are framed (Fig. 2 right).

    steps: milestones, one band of two rows each. columns: samples shown at each, at most.
    """
    stored, milestones = result.samples, result.samples["step"].tolist()
    hits = copies(result)
    columns = min(columns, stored["samples"].shape[1])
    figure, axes = subplots(2 * len(steps), columns, figsize=(9.5, 1.75 * len(steps)), squeeze=False)
    rows = []
    for pair, step in zip(axes.reshape(len(steps), 2, columns), steps, strict=True):
        i = milestones.index(step)
        for j, (top, bottom) in enumerate(pair.T):
            for axis, name in ((top, "samples"), (bottom, "nearest")):
                axis.imshow(stored[name][i, j, 0], cmap="gray", vmin=0, vmax=255)
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                for spine in axis.spines.values():
                    spine.set(visible=bool(hits[i, j]), color=LEARNED, linewidth=2.5)
            rows.append((step, j, *stored["distances"][i, j].tolist(), bool(hits[i, j])))
        pair[0, 0].set_ylabel(f"step\n{step:,}", rotation=0, ha="right", va="center")
        pair[1, 0].set_ylabel("nearest", rotation=0, ha="right", va="center")
    return figure, pd.DataFrame(rows, columns=["step", "sample", "d1", "d2", "memorised"])
