"""The judge of single samples: it knows digits, refuses what is none, and its groups average what they hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import images as estimate, recognised
from diffmemlib.companion.figures import images as draw
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data.digits import digits
from diffmemlib.runs.store import Result


def test_digits_are_recognised_and_their_noisy_or_shuffled_pixels_are_not() -> None:
    held_out = digits("train", 16)[0][:200].numpy()
    g = np.random.default_rng(0)
    noisy = np.clip(held_out + g.normal(0, 60, held_out.shape), 0, 255).astype(np.uint8)
    shuffled = g.permuted(held_out.reshape(200, -1), axis=1).reshape(held_out.shape)
    real, noise, shuffle = (recognised.recognised(x).mean() for x in (held_out, noisy, shuffled))
    assert real > 0.5 and noise < 0.02 and shuffle < 0.02
    assert real == pytest.approx(recognised.share_of_real(), abs=0.08)


def test_what_is_no_digit_is_not_recognised() -> None:
    """A black picture is near to thin ones, and the mean of two digits is near to both."""
    held_out = digits("train", 16)[0].numpy()
    mixed = ((held_out[:500].astype(int) + held_out[500:1000]) // 2).astype(np.uint8)
    assert not recognised.recognised(np.zeros((1, 1, 16, 16), np.uint8))[0]
    assert recognised.recognised(mixed).mean() < recognised.share_of_real() / 4


def test_a_sample_counts_by_the_nearest_digit_and_by_the_agreement_of_its_neighbours() -> None:
    pictures = digits("train", 16)[0][:50].numpy()
    parts = [digits(part, 16) for part in ("test", "features")]
    real = np.concatenate([x.numpy().reshape(-1, 256).astype(float) for x, _ in parts])
    classes = np.concatenate([y.numpy() for _, y in parts])
    expected = []
    for picture in pictures.reshape(-1, 256).astype(float):
        order = np.argsort(np.linalg.norm(real - picture, axis=1))[:10]
        own = np.sort(np.linalg.norm(real - real[order[0]], axis=1))[3]  # the digit itself is at 0
        near = np.linalg.norm(picture - real[order[0]]) <= own
        expected.append(near and max(np.bincount(classes[order])) >= 8)
    assert recognised.recognised(pictures).tolist() == expected


def test_groups_are_means_with_students_interval() -> None:
    table = pd.DataFrame({"distance": [1.0, 2.0, 2.0, 8.0, 8.0], "share": [0.5, 0.2, 0.4, 0.0, 0.1]})
    groups = recognised.by_distance(table, edges=(0.5, 1.5, 4.0, 10.0))
    assert groups["count"].tolist() == [2, 2]  # a group of one milestone has no interval
    assert groups["distance"].tolist() == pytest.approx([2.0, 8.0])
    assert groups["value"].tolist() == pytest.approx([0.3, 0.05])
    assert (groups["high"] - groups["value"]).tolist() == pytest.approx([12.706 * 0.1, 12.706 * 0.05], rel=1e-3)
    small, copied = (table.assign(n=n, f_mem=f, share=1.0) for n, f in ((64, 0.0), (512, 0.3)))  # not asked
    every = pd.concat([table.assign(n=512, f_mem=0.0), small, copied])
    assert recognised.share_at(4.0, every, edges=(0.5, 1.5, 4.0, 10.0)) == pytest.approx(0.175)


def test_the_figure_has_a_line_for_each_small_set_and_one_for_the_large() -> None:
    runs = [r for r in sweep_results("images-n") if r.config["n"] in (64, 256, 512)]
    figure, table = draw.judged(runs)
    assert list(table["group"].unique()) == ["n = 64", "n ≥ 256"]
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]  # quality grows to the right
    large = recognised.milestones(runs).query("n >= 256")
    assert table[table["group"] == "n ≥ 256"]["value"].tolist() == recognised.by_distance(large)["value"].tolist()


def test_the_level_called_good_is_one_at_which_samples_are_recognised() -> None:
    """On the stored runs: ten times as many as at a distance of 0.5, which this book once called good."""
    known = recognised.milestones(sweep_results("images-n") + sweep_results("images-sgd"))
    real = recognised.share_of_real()
    assert recognised.share_at(0.5, known) < 0.1 * real < 0.35 * real < recognised.share_at(estimate.GOOD["fd"], known)


def test_the_judges_time_is_where_the_running_median_of_its_share_crosses(monkeypatch) -> None:
    """One lucky milestone is not yet a time."""
    shares = pd.DataFrame({"step": [10, 20, 40, 80, 160, 320], "share": [0.0, 0.6, 0.0, 0.0, 0.5, 0.5]})
    monkeypatch.setattr(recognised, "milestones", lambda runs: shares)
    monkeypatch.setattr(recognised, "share_of_real", lambda side: 0.6)
    run = Result(Path("made"), {"side": 16}, pd.DataFrame(), {})
    assert recognised.tau_recognised([run], 2 / 3)[0].tau == pytest.approx(80 * 2**0.8)
