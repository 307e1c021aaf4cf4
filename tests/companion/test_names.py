"""Names on lines: each stands on its own line, apart from the others, at any size of the panel."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.figures.names import CONTRAST, Names, dark_enough, name_lines
from diffmemlib.companion.figures.phone import stack
from diffmemlib.companion.figures.style import finer, shades, subplots


def names_of(axis: plt.Axes) -> Names:
    (found,) = [artist for artist in axis.artists if isinstance(artist, Names)]
    return found


def curves(axis: plt.Axes) -> None:
    """Rises one after the other, as those of f_mem: all are 0 at first and 1 in the end."""
    x = np.geomspace(1, 1e4, 60)
    for n, color in shades([16, 128, 1024]).items():
        axis.plot(x, 1 / (1 + (n / x) ** 4), color=color, label=f"n = {n}")
    axis.set_xscale("log")
    name_lines(axis)


def distance(box: np.ndarray, points: np.ndarray) -> float:
    """From a box (x0, y0, x1, y1) to the nearest of some points."""
    return float(np.hypot(*np.maximum(0, np.maximum(box[:2] - points, points - box[2:])).T).min())


@pytest.mark.parametrize("phone", [False, True])
def test_a_name_stands_on_its_line_clear_of_others(phone: bool):
    figure, (axis, _) = subplots(1, 2, figsize=(9.5, 3))
    curves(axis)
    if phone:
        assert stack(figure)
    figure.canvas.draw()
    texts = names_of(axis).texts
    boxes = [np.array(text.get_window_extent().extents) for text in texts]
    paths = []
    for line in axis.lines:
        x, y = (np.asarray(v, float) for v in line.get_data())
        fine = np.geomspace(x[0], x[-1], 5000)
        paths.append(axis.transData.transform(np.column_stack([fine, np.interp(np.log(fine), np.log(x), y)])))
    panel = np.array(axis.bbox.extents)
    for i, box in enumerate(boxes):
        assert distance(box, paths[i]) == 0, "on its own line"
        assert all(distance(box, path) > 2 for j, path in enumerate(paths) if j != i), "clear of the other lines"
        assert (box[:2] >= panel[:2]).all() and (box[2:] <= panel[2:]).all(), "inside the panel"
        for other in boxes[i + 1 :]:
            assert (box[:2] > other[2:]).any() or (other[:2] > box[2:]).any(), "clear of the other names"
    plt.close(figure)


def test_a_name_keeps_clear_of_points_and_texts():
    figure, axis = subplots(figsize=(5, 3))
    axis.plot([0, 1], [0.5, 0.5], label="line")
    axis.plot(np.linspace(0.3, 1, 40), np.full(40, 0.5), "o", color="black")
    axis.text(0.0, 0.5, "taken", va="center")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    name_lines(axis)
    figure.canvas.draw()
    box = axis.transData.inverted().transform(names_of(axis).texts[0].get_window_extent().extents.reshape(2, 2))
    taken = axis.transData.inverted().transform(axis.texts[0].get_window_extent().extents.reshape(2, 2))
    assert taken[1, 0] < box[0, 0] and box[1, 0] < 0.3
    plt.close(figure)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["n = 64", "n = 128"], ["n = 64", "128"]),
        ([r"$\psi_n$ = 4", r"$\psi_n$ = 8"], [r"$\psi_n$ = 4", "8"]),
        (["n = 64", "real"], ["n = 64", "real"]),
        (["n = 64", "W = 8"], ["n = 64", "W = 8"]),
        (["W = 8"], ["W = 8"]),
        ([r"$m = 1$", r"$m = \infty$"], [r"$m = 1$", r"$\infty$"]),
        (["n = 64", "_hidden"], ["n = 64"]),
    ],
)
def test_what_labels_have_in_common_is_said_once(labels: list[str], shown: list[str]):
    figure, axis = subplots()
    for i, label in enumerate(labels):
        axis.plot([0, 1], [i, i], label=label)
    name_lines(axis)
    assert [text.get_text() for text in names_of(axis).texts] == shown
    plt.close(figure)


def test_points_bars_and_short_lines_get_no_name():
    figure, axis = subplots()
    axis.plot([0, 1], [0, 1], "o", label="points")
    axis.plot([], [], label="of a legend")
    axis.errorbar([0, 1], [1, 2], [0.1, 0.1], label="bars with a line")
    name_lines(axis)
    assert [text.get_text() for text in names_of(axis).texts] == ["bars with a line"]
    plt.close(figure)


@pytest.mark.parametrize("colour", ["#fde725", "#7ad151", "#f0f921", "#000000", "#999999", "#0072b2"])
def test_a_name_can_be_read_on_white(colour: str):
    rgb = np.array([int(dark_enough(colour)[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) > CONTRAST - 0.05
    assert dark_enough("#000000") == "#000000" and dark_enough("#0072b2") == "#0072b2", "no darker than it has to be"


def test_names_of_lines_that_lie_on_each_other_stand_apart():
    figure, axis = subplots(figsize=(5, 3))
    for name in ("first", "second", "third"):
        axis.plot([0, 1], [0.5, 0.5], color="black", label=name)
    name_lines(axis)
    figure.canvas.draw()
    boxes = sorted(text.get_window_extent().extents.tolist() for text in names_of(axis).texts)
    assert all(left[2] < right[0] for left, right in pairwise(boxes))
    plt.close(figure)


def test_a_finer_grid_holds_the_powers_of_a_coarse_one():
    x, y = np.array([1.0, 2, 4, 8, 16]), np.array([0.1, 1.0, 10, 100])
    coarse = pd.DataFrame(3 * x**2 / y[:, None] ** 0.5, index=y, columns=x)
    fine_x, fine_y, values = finer(coarse, 31)
    assert (fine_x[[0, -1]] == [1, 16]).all() and (fine_y[[0, -1]] == [0.1, 100]).all()
    assert values == pytest.approx(3 * fine_x**2 / fine_y[:, None] ** 0.5, rel=1e-9)
