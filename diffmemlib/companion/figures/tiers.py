"""The same figure from the runs of the laptop tier, where it is drawn from a higher one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure

from ...runs.store import Result
from ..sweeps.tables import is_stored, sweep_results, tier_of

Draw = Callable[[list[Result]], tuple[Figure, pd.DataFrame]]
LOWER = "laptop"


def beside(sweep: str, draw: Draw) -> None:
    """Display, folded, what a figure shows from the runs of the laptop tier; nothing where it is drawn from them.

    sweep: of the figure. draw: makes it from the runs.
    """
    if tier_of(sweep) == LOWER or not is_stored(sweep, LOWER):
        return
    runs = sweep_results(sweep, LOWER)
    figure, _ = draw(runs)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    plt.close(figure)
    svg = drawn.getvalue()
    display(_folded(svg[svg.index("<svg") :], runs[0].config))


def _folded(svg: str, config: dict[str, Any]) -> HTML:
    side = f", {config['side']} × {config['side']} pixels" if "side" in config else ""
    said = f"The same from the runs of the {LOWER} tier (W = {config['width']}{side})"
    return HTML(f'<details class="provenance other-tier"><summary>{said}</summary>{svg}</details>')
