"""A run as the monitor saw it, in the book's style."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd

from ...monitor import figure
from ...monitor.monitor import MemorizationMonitor
from .style import take_style


def history(monitor: MemorizationMonitor) -> tuple[plt.Figure, pd.DataFrame]:
    """The monitor's own figure, with a line where it says stop."""
    take_style()
    drawn = figure.history(monitor)
    drawn.set_size_inches(8, 7.2)
    stops = [look.step for look in monitor.looks if look.stop]
    for axis in drawn.axes:
        if stops:
            axis.axvline(stops[0], color="black", ls=":", lw=1.4)
    return drawn, monitor.table()
