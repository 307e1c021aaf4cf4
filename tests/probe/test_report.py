"""What the report draws and tabulates, from runs whose times and pictures are known."""

import base64
import io
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from known import made, several
from PIL import Image

from diffmemlib.places import shown
from diffmemlib.probe import figures, report
from diffmemlib.probe.backtest import backtests
from diffmemlib.probe.data import Data
from diffmemlib.probe.figures import GAP, MEMORY, ZOOM


def test_both_losses_are_drawn_of_every_run():
    runs = []
    for n in (32, 64):
        run = made(n)
        losses = [(t, f"loss_{part}", n * t, 0, 0) for part in ("train", "test") for t in (10.0, 100.0)]
        runs.append(replace(run, curves=pd.concat([run.curves, pd.DataFrame(losses, columns=run.curves.columns)])))
    axis = figures.curves(runs)[1].axes[0]
    drawn = [(line.get_linestyle(), tuple(line.get_ydata())) for line in axis.lines if len(line.get_xdata())]
    plt.close("all")
    assert sorted(drawn) == sorted((style, (10.0 * n, 100.0 * n)) for n in (32, 64) for style in ("-", "--"))


def test_the_table_of_tests_has_both_times():
    tests = backtests(several((32, 64, 128, 256)))
    page = "".join(report._of_tests(tests))
    for test in tests:
        assert f"{test.predicted[0]:,.0f} [{test.predicted[1]:,.0f}, {test.predicted[2]:,.0f}]" in page
        assert test.good_predicted is not None
        assert f"<td>{test.good_predicted[0]:,.0f} [" in page and f"<td>{test.good_measured.tau:,.0f}</td></tr>" in page
    assert "<td>not told</td>" in "".join(report._of_tests([replace(tests[0], good_predicted=None)]))
    one = replace(tests[0], good_predicted=(1234.0, 0.0, float("inf")))
    assert "<td>1,234</td>" in "".join(report._of_tests([one])), "of one run there is no interval"


def test_samples_are_shown_six_in_a_row_each_over_what_it_is_nearest_to():
    """Each picture is of one brightness, so that a cell tells which one it is."""
    shades = np.arange(8, dtype=np.float32) / 10
    samples = np.broadcast_to(shades[:, None, None, None], (8, 1, 4, 4))
    one, train = torch.ones(1), torch.from_numpy(np.array(samples + 0.1))
    data = Data("images", train, train, 0 * one, one, (), "")
    order = np.argsort(figures.chosen(data, 8, 0))  # sample i is nearest to point i of the pool
    arrays = {"step": np.array([7]), "samples": samples[None], "nearest": order[None], "copy": np.zeros((1, 8), bool)}
    [(_, picture)] = figures.pictures(replace(made(8), arrays=arrays), data)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))))[..., 0]
    side = 4 * ZOOM + 2 * GAP + 2
    for i, shade in enumerate(shades):
        y, x = (i // 6) * (2 * side + 6 * GAP) + side // 2, (i % 6) * side + side // 2
        assert (pixels[y, x], pixels[y + side, x]) == (round(255 * shade), round(255 * (shade + 0.1)))
    assert pixels.shape == (4 * side + 6 * GAP, 6 * side) and (pixels[-side:, 2 * side :] == 255).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures_of_any_number_of_channels_show_colours_or_the_first(channels: int):
    train, samples = np.random.default_rng(0).random((2, 4, channels, 4, 4)).astype(np.float32)
    one = torch.ones(1)
    data = Data("images", torch.from_numpy(train), torch.from_numpy(train), 0 * one, one, (), "")
    arrays = {
        "step": np.array([7]), "samples": samples[None], "nearest": np.array([[3, 2, 1, 0]]),
        "copy": np.array([[True, False, False, False]]),
    }  # fmt: skip
    [(step, picture)] = figures.pictures(replace(made(4), arrays=arrays), data)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))))
    assert step == 7
    side, shown = 4 * ZOOM + 2 * GAP + 2, slice(3 if channels == 3 else 1)
    points = data.pool[figures.chosen(data, 4, 0)].numpy()
    for row, images in enumerate((samples, points[[3, 2, 1, 0]])):
        for column, image in enumerate(images):
            cell = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
            inside = cell[1 + GAP : -1 - GAP : ZOOM, 1 + GAP : -1 - GAP : ZOOM].transpose(2, 0, 1)
            np.testing.assert_array_equal(inside, np.broadcast_to((image[shown] * 255).round(), (3, 4, 4)))
            framed = plt.matplotlib.colors.to_rgb(MEMORY) if column == 0 else (1, 1, 1)
            np.testing.assert_array_equal(cell[1, 1], (np.array(framed) * 255).astype(np.uint8))


def test_a_path_is_shown_from_the_current_folder_where_it_lies_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(shown(tmp_path / "report" / "report.html")) == "report/report.html"
    assert shown(tmp_path.parent / "report.html") == tmp_path.parent / "report.html"
