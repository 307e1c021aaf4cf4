"""Each figure a second time for a phone: its panels one under the other, in type that can be read there."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text

WIDTH = 4.6  # inches, shown on some 350 pixels: type of 9 points comes to 9.5 pixels
LEAST, SMALLER = 9, 0.85  # points of type, and by how much it comes smaller, since a panel comes narrower
MOST = 8  # panels in one column; more stand in two
CARRIED = re.compile(r"<!--phone:([A-Za-z0-9+/=]*)-->\s*")


def stack(figure: Figure) -> bool:
    """Lay a figure out again, panel under panel; return False, and leave a drawing or pictures as they are.

    A panel gets the labels and the title that it had in common with others of its row or column.
    """
    panels = [a for a in figure.axes if a.get_subplotspec() is not None and not hasattr(a, "_colorbar")]
    hidden = [a for a in panels if not a.get_visible()]
    panels = sorted((a for a in panels if a.get_visible()), key=_place)
    if all(a.images or not a.axison for a in panels):
        return False
    for axis in hidden:
        axis.remove()
    _label(panels)
    places = [list(twins) for _, twins in groupby(panels, _place)]
    columns = 1 if len(places) <= MOST else 2
    rows = -(-len(places) // columns)
    heights = [_height(figure, twins[0]) for twins in places]
    ratios = [max(heights[columns * row : columns * (row + 1)]) for row in range(rows)]
    grid = GridSpec(rows, columns, figure, height_ratios=ratios)
    for i, twins in enumerate(places):
        for axis in twins:
            axis.set_subplotspec(grid[divmod(i, columns)])
    alone = places[0][-1].get_legend() if len(places) == 1 else None  # of many lines it would hide a small panel
    for legend in [*figure.legends, *([alone] if alone and len(alone.get_texts()) >= 5 else [])]:
        _under(figure, legend)
    for text in figure.findobj(Text):
        text.set_fontsize(max(LEAST, SMALLER * float(text.get_fontsize())))
    figure.set_size_inches(WIDTH, sum(ratios) + 0.25 * sum(len(legend.get_texts()) for legend in figure.legends) / 2)
    return True


def _place(axis: Axes) -> tuple[int, int]:
    spec = axis.get_subplotspec()
    assert spec is not None
    return spec.rowspan.start, spec.colspan.start


def _height(figure: Figure, axis: Axes) -> float:
    """How high a panel is to be, in inches: as it was, but lower where it was as broad as the figure."""
    spec = axis.get_subplotspec()
    assert spec is not None
    grid = spec.get_gridspec()
    ratios = np.asarray(grid.get_height_ratios(), float)
    share = ratios[spec.rowspan.start : spec.rowspan.stop].sum() / ratios.sum()
    broad = len(spec.colspan) == grid.ncols
    narrower = min(1.0, WIDTH / figure.get_figwidth()) ** 0.5 if broad else 1.0
    return float(figure.get_figheight() * share * narrower)


def _label(panels: Sequence[Axes]) -> None:
    """Give to each panel what only the outer panels show."""
    for axis in panels:
        row, column = _place(axis)
        others = [a for a in panels if a is axis or _place(a) != (row, column)]  # and not a twin of it
        below = [a for a in others if _place(a)[1] == column and a.get_shared_x_axes().joined(a, axis)]
        beside = [a for a in others if _place(a)[0] == row and a.get_shared_y_axes().joined(a, axis)]
        above = [a for a in others if _place(a)[1] == column and a.get_title()]
        if len(below) > 1:
            axis.xaxis.set_tick_params(which="both", labelbottom=True)
            axis.set_xlabel(axis.get_xlabel() or below[-1].get_xlabel())
        if len(beside) > 1:
            axis.yaxis.set_tick_params(which="both", labelleft=True)
            axis.set_ylabel(axis.get_ylabel() or beside[0].get_ylabel())
        if above and not axis.get_title() and not axis.get_title("left"):
            axis.set_title(above[0].get_title())


def _under(figure: Figure, legend: Legend) -> None:
    """Put a legend below all panels."""
    texts = [text.get_text() for text in legend.get_texts()]
    columns = 2 if max(map(len, texts), default=0) < 24 else 1
    size = legend.get_texts()[0].get_fontsize() if texts else None
    title = legend.get_title().get_text()
    handles = [handle for handle in legend.legend_handles if handle is not None]
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, fontsize=size, title=title or None)
    legend.remove()


def carry(wide: str, phone: str) -> str:
    """Put the SVG for a phone into the other, as a comment, since a cell's output holds one; `split` takes it out."""
    packed = base64.b64encode(zlib.compress(phone.encode(), 9)).decode()
    return wide.replace("</svg>", f"<!--phone:{packed}--></svg>")


def split(svg: str) -> tuple[str, str | None]:
    """Return an SVG without what it carries, and that."""
    found = CARRIED.search(svg)
    phone = zlib.decompress(base64.b64decode(found[1])).decode() if found else None
    return CARRIED.sub("", svg), phone
