"""What a monitor has seen, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..metrics.memorization import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .monitor import MemorizationMonitor

COPIES, FRESH, TEST = "#d55e00", "#666666", "#0072b2"  # distinct without colour vision
TOP = 1e3  # of the panel of the evidence, above the level at which it says stop


def history(monitor: MemorizationMonitor) -> Figure:
    """Draw the share of copies with its intervals, the evidence, and the losses where there are any, against steps.

    Parameters
    ----------
    monitor
        That has looked at least once.

    Raises
    ------
    ValueError
        Where it has not.
    """
    import matplotlib.pyplot as plt

    looks = monitor.table()
    if looks.empty:
        raise ValueError("the monitor has not looked yet: call update first")
    sampled = looks[looks["samples"] > 0]
    lossy = looks[looks[["loss_train", "loss_test"]].notna().any(axis=1)]
    panels = 2 * (not sampled.empty) + (not lossy.empty)
    figure, axes = plt.subplots(panels, 1, figsize=(7, 2.3 * panels), sharex=True, squeeze=False, layout="constrained")
    left = list(axes[:, 0])
    if not sampled.empty:
        axis, step, value = left.pop(0), sampled["step"], sampled["f_mem"]
        error = np.array([value - sampled["low"], sampled["high"] - value])
        axis.errorbar(step, value, error, fmt="o-", color=COPIES, capsize=2, label="samples")
        low, high = wilson_interval(monitor.baseline, monitor.baseline_size)
        axis.axhspan(float(low), float(high), color=FRESH, alpha=0.25, lw=0, label="held-out data")
        axis.set(ylabel="share of copies", ylim=(0, None))
        axis.legend(frameon=False)
        axis = left.pop(0)
        axis.plot(step, sampled["evidence"], "o-", color=COPIES)
        axis.axhline(1 / monitor.alpha, color=FRESH, ls="--", label=f"stop at {1 / monitor.alpha:g}")
        axis.set(ylabel="evidence of copies", yscale="log")
        axis.set_ylim(top=TOP / monitor.alpha)
        axis.legend(frameon=False)
    if not lossy.empty:
        axis = left.pop(0)
        axis.plot(lossy["step"], lossy["loss_train"], ".--", color=TEST, label="training data")
        axis.plot(lossy["step"], lossy["loss_test"], ".-", color=TEST, label="held-out data")
        axis.set(ylabel="loss")
        axis.legend(frameon=False)
    axes[-1, 0].set(xlabel="training steps", xscale="log")
    for axis in axes[:, 0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure
