"""The names of lines, written on the lines themselves, so that no one has to look them up in a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist, allow_rasterization
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.text import Text

NOTE = 11  # points of the type of names and notes in a figure, whose axes have 13
CONTRAST = 4.5  # of a name with the white page, as the accessibility guidelines (WCAG) ask of small type
PLACES = 60  # along a line, where its name may stand
FAR = 3.0  # heights of a name: farther from other lines than this, one place is as good as another


def name_lines(axis: Axes) -> None:
    """Write on each line of a panel its label, in its colour, where it is farthest from the others.

    The places are found when the figure is drawn, so that they suit a panel of any size. Of labels such as "n = 64" all
    but the first become "64". What is no line keeps its label for a legend.
    """
    handles, labels = axis.get_legend_handles_labels()
    named: dict[Line2D, str] = {}
    for handle, label in zip(handles, labels, strict=True):
        line = handle[0] if isinstance(handle, ErrorbarContainer) else handle
        if isinstance(line, Line2D) and line.get_linestyle() != "None" and np.size(line.get_xdata()):
            named[line] = label
    if named:
        axis.add_artist(Names(axis, named))


def dark_enough(colour: str) -> str:
    """Return a colour as it is, or as much darker as it has to be to be read on white."""
    rgb = np.array(to_rgb(colour))
    for share in np.linspace(1, 0, 51):
        linear = np.where(share * rgb <= 0.04045, share * rgb / 12.92, ((share * rgb + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= CONTRAST:
            break
    return to_hex(tuple(share * rgb))


class Names(Artist):
    """The texts of `name_lines`, which it places anew whenever it is drawn."""

    def __init__(self, axis: Axes, named: Mapping[Line2D, str]) -> None:
        super().__init__()
        self.set_zorder(4)
        self.set_in_layout(False)
        self.lines = list(named)
        self.texts = [_text(axis, line, name) for line, name in zip(named, _short(list(named.values())), strict=True)]

    def get_children(self) -> list[Artist]:
        return list(self.texts)

    @allow_rasterization
    def draw(self, renderer: RendererBase) -> None:
        assert isinstance(self.axes, Axes)
        drawn = [line for line in self.axes.lines if line.get_visible()]
        paths = {line: _path(line) for line in drawn if line.get_linestyle() != "None"}
        marks = [_pixels(line) for line in drawn if line.get_marker() not in ("None", "", None)]
        panel = np.array(self.axes.bbox.extents)
        taken = [np.array(t.get_window_extent(renderer).extents) for t in self.axes.texts if t.get_text()]
        for line, text in zip(self.lines, self.texts, strict=True):
            box = text.get_window_extent(renderer)
            others = [path for other, path in paths.items() if other.get_color() != line.get_color()]
            at = _place(paths[line], np.array([box.width, box.height]), others + marks, taken, panel)
            if at is not None:
                text.set_position(tuple(at))
                taken.append(np.array(text.get_window_extent(renderer).extents))
                text.draw(renderer)


def _text(axis: Axes, line: Line2D, name: str) -> Text:
    page = {"facecolor": axis.get_facecolor(), "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    color = dark_enough(to_hex(line.get_color()))
    text = Text(0, 0, name, color=color, fontsize=NOTE, ha="center", va="center", bbox=page)
    text.set_figure(axis.figure)
    return text


def _short(labels: Sequence[str]) -> list[str]:
    """The labels, without what they have in common up to the sign of equality, but for the first."""
    heads = {label.partition("= ")[0] for label in labels}
    if len(labels) < 2 or len(heads) > 1 or not all("= " in label for label in labels):
        return list(labels)
    return [labels[0], *(_value(label) for label in labels[1:])]


def _value(label: str) -> str:
    value = label.partition("= ")[2]
    return f"${value}" if value.endswith("$") and value.count("$") == 1 else value  # the end of a formula


def _pixels(line: Line2D) -> np.ndarray:
    """The points of a line in pixels, (points, 2), without what is not finite."""
    xy = line.get_transform().transform(np.column_stack([np.asarray(v, float) for v in line.get_data()]))
    return xy[np.isfinite(xy).all(1)]


def _path(line: Line2D) -> np.ndarray:
    """A line in pixels, (points, 2), with points every few pixels."""
    xy = _pixels(line)
    if len(xy) < 2:
        return xy
    along = np.r_[0, np.hypot(*np.diff(xy, axis=0).T).cumsum()]
    at = np.linspace(0, along[-1], int(np.clip(along[-1] / 3, 2, 4000)))
    return np.column_stack([np.interp(at, along, v) for v in xy.T])


def _place(
    path: np.ndarray, size: np.ndarray, others: Sequence[np.ndarray], taken: Sequence[np.ndarray], panel: np.ndarray
) -> np.ndarray | None:
    """The centre for a name of a size on a path, farthest from other paths and from boxes that are taken, or None."""
    half = size / 2
    if len(path) == 1:  # above the only point
        path = path + np.array([0, 1.2 * size[1]])
    inside = path[((path >= panel[:2] + half + 2) & (path <= panel[2:] - half - 2)).all(1)]
    if not len(inside):
        return None
    centres = inside[np.unique(np.linspace(0, len(inside) - 1, PLACES).astype(int))]
    room = np.full(len(centres), FAR * size[1])
    for points in others:
        if len(points):
            gap = np.abs(points[None] - centres[:, None]) - half  # from the name's box, (centres, points, 2)
            room = np.minimum(room, np.hypot(*np.moveaxis(gap.clip(0), 2, 0)).min(1))
    for box in taken:
        gap = np.maximum(box[:2] - centres - half, centres - half - box[2:])
        apart = np.where((gap > 0).any(1), np.hypot(*gap.clip(0).T), gap.max(1))  # below zero where they overlap
        room = np.minimum(room, apart)
    return centres[len(room) - 1 - int(np.argmax(room[::-1]))]  # the last of equals: lines part as time goes on
