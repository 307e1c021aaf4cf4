"""Figures as a phone shows them: panel under panel, each with its labels."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from diffmemlib.companion.figures.phone import MOST, WIDTH, carry, split, stack
from diffmemlib.companion.figures.style import subplots


def places(axes) -> list[tuple[int, int]]:
    return [(a.get_subplotspec().rowspan.start, a.get_subplotspec().colspan.start) for a in axes]


def test_panels_stand_in_reading_order_each_with_what_it_shared():
    figure, axes = subplots(2, 2, figsize=(9.5, 6), sharex="col", sharey="row")
    axes[0, 0].set_title("one")
    axes[0, 1].set_title("two")
    for (left, right), name in zip(axes, ("high", "low"), strict=True):
        left.set_ylabel(name)
        left.plot([1, 2])
        right.plot([2, 3])
    axes[1, 0].set_xlabel("tau")
    axes[1, 1].set_xlabel("tau/n")
    assert stack(figure)
    assert places(axes.flat) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert [a.get_xlabel() for a in axes.flat] == ["tau", "tau/n"] * 2
    assert [a.get_ylabel() for a in axes.flat] == ["high", "high", "low", "low"]
    assert [a.get_title() for a in axes.flat] == ["one", "two"] * 2
    figure.canvas.draw()
    for axis in axes.flat:
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            assert any(label.get_visible() and label.get_text() for label in labels)
    boxes = [axis.get_position() for axis in axes.flat]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))
    assert figure.get_size_inches() == pytest.approx([WIDTH, 12])


def test_twins_stay_together_and_hidden_panels_go():
    figure, axes = subplots(1, 3, figsize=(9, 3))
    twin = axes[1].twiny()
    axes[1].set_ylabel("loss")
    axes[2].set_visible(False)
    assert stack(figure)
    assert places([axes[0], axes[1], twin]) == [(0, 0), (1, 0), (1, 0)] and axes[2] not in figure.axes
    assert twin.get_ylabel() == "" and axes[1].get_ylabel() == "loss"


def test_many_panels_stand_in_two_columns_and_a_wide_one_becomes_lower():
    figure, axes = subplots(3, 4, figsize=(9, 6))
    assert stack(figure) and axes.size > MOST
    assert places(axes.flat)[:4] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    figure, _ = subplots(figsize=(4 * WIDTH, 4))
    assert stack(figure) and figure.get_size_inches() == pytest.approx([WIDTH, 2])


def test_the_legend_of_a_figure_comes_below_and_bars_of_colours_stay_beside():
    figure, axes = subplots(1, 2, figsize=(9, 3))
    lines = [axis.plot([1, 2], label=name)[0] for axis, name in zip(axes, "ab", strict=True)]
    figure.legend(handles=lines, labels=["a", "b"], loc="outside right upper", title="n")
    mesh = axes[1].pcolormesh(np.eye(3))
    bar = figure.colorbar(mesh, ax=axes[1])
    assert stack(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"] and legend.get_title().get_text() == "n"
    figure.canvas.draw()
    size = figure.bbox.height
    assert legend.get_window_extent().y1 / size < axes[1].get_position().y0
    assert bar.ax.get_position().x0 > axes[1].get_position().x1


def test_pictures_stay_as_they_are():
    figure, axes = subplots(1, 2, figsize=(9, 3))
    for axis in axes:
        axis.imshow(np.eye(3))
    drawing, axis = subplots(figsize=(9, 2))
    axis.set_axis_off()
    assert not stack(drawing) and not stack(figure) and places(axes) == [(0, 0), (0, 1)] and figure.get_figwidth() == 9


def test_a_long_legend_of_one_panel_comes_below_and_a_short_one_stays():
    for names, below in (("abcde", True), ("abcd", False)):
        figure, axis = subplots()
        for name in names:
            axis.plot([1, 2], label=name)
        axis.legend()
        stack(figure)
        assert (len(figure.legends) == 1, axis.get_legend() is None) == (below, below)


def test_names_of_rows_are_repeated_for_each_panel():
    figure, axes = subplots(1, 2, figsize=(9, 3), sharey=True)
    axes[0].set_yticks([0, 1], ["one", "two"])
    stack(figure)
    figure.canvas.draw()
    assert [[label.get_text() for label in a.get_yticklabels() if label.get_visible()] for a in axes] == [
        ["one", "two"]
    ] * 2


def test_type_comes_smaller_but_can_be_read():
    figure, axis = subplots()
    axis.set_title("large", fontsize=20)
    axis.set_xlabel("small", fontsize=9)
    stack(figure)
    assert (axis.title.get_fontsize(), axis.xaxis.label.get_fontsize()) == (17, 9)


def test_a_figure_carries_the_other_and_gives_it_back():
    wide, phone = "<svg><g/></svg>\n", "<svg>--> é</svg>"
    carried = carry(wide, phone)
    assert carried != wide and phone not in carried
    assert split(carried) == (wide, phone)
    assert split(wide) == (wide, None)


def teardown_function() -> None:
    plt.close("all")
