"""Numbers and figures of the image chapters, on made-up runs whose times are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import images as estimate, scaling
from diffmemlib.companion.figures import capacity as draw, curves, images as pictures
from diffmemlib.runs.store import Result


def made(n: int, width: int = 16, end: float = 1e6, slower: float = 1.0, seed: int = 0, batch: int = 32) -> Result:
    """tau_early = 8000/W; f_mem rises in proportion to log tau from 20 tau_early n/1000, by 0.02 a factor e."""
    tau = np.geomspace(10, 1e6, 241)
    tau = tau[tau <= end]
    good = slower * 8000 / width
    curves = {
        "fd": estimate.EARLY["fd"] * good / tau,
        "f_mem": np.clip(0.02 * np.log(tau / (0.02 * good * n)), 0, 1),
        "loss_test": 1 + 0 * tau,
        "loss_train": 1 - 0.05 * tau / (0.01 * good * n),
    }
    rows = [(t, name, v, v, v) for name, values in curves.items() for t, v in zip(tau, values, strict=True)]
    table = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
    config = {"n": n, "seed": seed, "width": width, "batch": batch, "tier": "smoke", "samples": 10**9}
    return Result(Path(f"made-{n}-{width}"), config, table, {"complete": True})


@pytest.fixture
def grid() -> list[Result]:
    return [made(n, width) for width in (8, 16, 32) for n in (64, 128, 256)]


def test_levels_of_good_have_an_exponent_where_two_sizes_reach_them():
    """Distance 0.5 at step 500 for each n: runs that end before a level are told, and a level of one n has none."""
    runs = [made(64), made(64, seed=1), made(32, end=2000)]
    table = estimate.tau_gen_by_level(runs, (0.5, 0.01))
    assert table["runs that get there"].tolist() == ["3 of 3", "2 of 3"]
    assert table["exponent in n"].iloc[0].startswith(("0.00 ", "-0.00 "))
    assert table["exponent in n"].iloc[1] == ""


def test_times_by_size_are_means_over_seeds_of_what_was_seen():
    runs = [made(64), made(32), made(64, slower=4, seed=1), made(128, end=100)]
    found = scaling.by_size(scaling.tau_mem(runs), runs)
    one, other = (scaling.tau_mem([r])[0].tau for r in (runs[0], runs[2]))
    assert list(found) == [32, 64]
    assert found[64] == pytest.approx((one * other) ** 0.5)


def test_width_exponents_of_all_three_times(grid, monkeypatch):
    monkeypatch.setattr(estimate, "sweep_results", lambda sweep: grid)
    for time in estimate.TIMES:
        e = estimate.width_exponent(time)
        assert e.value == pytest.approx(-1, abs=0.01)
        assert len(e.runs) == 9


def test_every_n_has_its_own_prefactor_against_the_width(grid):
    """tau_mem = c n/W: each line has the slope -1, though the largest n has no run of the largest W."""
    figure, table = draw.against_width(
        grid[:8], {name: estimate.TIMES[name](grid[:8]) for name in ("tau_gen", "tau_mem")}
    )
    assert len(table) == 16
    for line in (line for line in figure.axes[1].lines if line.get_linestyle() == "-"):
        np.testing.assert_allclose(np.multiply(*line.get_data()) / np.multiply(*line.get_data())[0], 1, rtol=0.02)
    ended = [*grid[:8], made(256, 32, end=1000)]
    _, table = draw.against_width(ended, {"tau_mem": scaling.tau_mem(ended)})
    assert table["status"].tolist().count("censored") == 1


def test_copies_that_a_sample_missed_are_still_there(grid):
    """A run that had copies and ends in a milestone without them."""
    run = made(64, end=3000)
    f_mem = (run.curves["metric"] == "f_mem").to_numpy().nonzero()[0]
    run.curves.loc[f_mem[-1], "value"] = 0.0
    assert estimate.copied_so_far(run).iloc[-1] == run.curve("f_mem")["value"].max() > estimate.COPIES
    runs = [run if r.config["width"] == 16 and r.config["n"] == 64 else r for r in grid]
    _, table = draw.phases(runs, estimate.boundaries(runs, (8,)), estimate.COPIES)
    assert table.set_index(["width", "n"])["phase"][16, 64] == "copies"


def test_curvatures_before_training_are_powers_of_the_width(monkeypatch):
    """lambda_max = W^2/5 lets SGD have a rate of 2 (1 + 0.95) 5/W^2."""
    powers = {"trace": lambda w: 80.0 * w, "largest": lambda w: w**2 / 5, "brightness": lambda w: w**1.5 / 5}
    runs = []
    for width, seed in [(8, 0), (8, 1), (16, 0), (16, 1), (32, 0), (32, 1)]:
        rows = [(0, name, f(width), f(width), f(width)) for name, f in powers.items()]
        table = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
        runs.append(Result(Path("made"), {"width": width, "seed": seed, "n": 1}, table, {}))
    monkeypatch.setattr(estimate, "sweep_results", lambda sweep: runs)
    assert {name: estimate.curvature_exponent(name).value for name in powers} == pytest.approx(
        {"trace": 1, "largest": 2, "brightness": 1.5}
    )
    figure, table = draw.curvature({"here": runs, "there": runs[:4]}, {"here": 0.1})
    assert len(table) == 10
    table = table[table["set"] == "here"]
    assert table["highest_rate"].tolist() == pytest.approx([19.5 / r.config["width"] ** 2 for r in runs])
    assert [line.get_label() for line in figure.axes[1].lines][-1] == "here"


def test_the_held_out_loss_tells_generation_without_samples(monkeypatch):
    runs = [made(n) for n in (64, 128, 256)]
    for run in runs:
        held_out = run.curves["metric"] == "loss_test"
        run.curves.loc[held_out, "value"] = 26 * run.config["n"] ** 0.5 / run.curves.loc[held_out, "step"]
    monkeypatch.setattr(estimate, "sweep_results", lambda sweep: runs)
    assert estimate.loss_exponent("any").value == pytest.approx(0.5, abs=0.02)


def test_one_sweep_against_another_at_the_same_n(monkeypatch):
    """A second seed of the faster sweep, ten times as slow, is no partner of the first."""
    fast = [made(n) for n in (64, 128, 256)] + [made(n, slower=10, seed=1) for n in (64, 128, 256)]
    sweeps = {"slow": [made(n, slower=3) for n in (32, 64, 128)], "fast": fast}
    monkeypatch.setattr(estimate, "sweep_results", sweeps.get)
    e = estimate.longer("slow", "tau_mem", than="fast")
    assert e.value == pytest.approx(3, rel=0.02)
    assert [r.config["n"] for r in e.runs] == [64, 128]


def test_swings_are_given_as_a_factor():
    """A distance that goes up and down by a factor of two at every milestone."""
    run = made(64)
    distances = run.curves["metric"] == "fd"
    run.curves.loc[distances, "value"] = np.where(np.arange(distances.sum()) % 2, 2.0, 1.0)
    assert estimate.swing([run]) == pytest.approx(2)


def test_runs_measured_by_the_fid_have_its_threshold_and_axis():
    run = made(64)
    run.curves["metric"] = run.curves["metric"].replace("fd", "fid")
    own = run.curves["metric"] == "fid"
    run.curves.loc[own, "value"] *= estimate.GOOD["fid"] / estimate.EARLY["fd"]
    assert estimate.tau_gen([run])[0].tau == pytest.approx(500, rel=0.02)
    figure, table = draw.capacity([run])
    assert figure.axes[0].get_ylabel() == "FID"
    assert set(table["metric"]) == {"fid", "f_mem"}
    with pytest.raises(ValueError, match="no Frechet distance of one kind"):
        estimate.tau_gen([run, made(128)])


def test_one_lucky_distance_is_not_yet_generation():
    run = made(64)
    distances = (run.curves["metric"] == "fd").to_numpy().nonzero()[0]
    run.curves.loc[distances[20], "value"] = 0.1
    assert estimate.tau_early([run])[0].tau == pytest.approx(500, rel=0.02)
    later = estimate.EARLY["fd"] / estimate.GOOD["fd"]  # the distance of these runs falls as 1/tau
    assert estimate.tau_gen([run])[0].tau == pytest.approx(500 * later, rel=0.02)


def test_brightness_that_goes_with_the_distance_is_seen(monkeypatch):
    """Samples whose brightness goes up and down with their distance; the training digits are black."""
    run, steps = made(64), np.geomspace(10, 1e6, 241)[[0, 10, 40, 60, 110, 200]]
    fd = run.curve("fd")["value"].loc[steps].to_numpy()
    flat = np.ones((1, 1, 1, 2, 2))
    stored = {
        "step": steps, "samples": (200 + 10 * np.log(fd)).reshape(-1, 1, 1, 1, 1) * flat, "nearest": 0 * flat
    }  # fmt: skip
    monkeypatch.setattr(Result, "samples", stored)
    assert estimate.brightness_correlation([run]) == pytest.approx(1)


@pytest.fixture
def two_networks(monkeypatch) -> tuple[Result, Result]:
    """The second makes what the first does, then what it makes of the noise before; one picture is flat."""
    g = np.random.default_rng(0)
    first = g.integers(0, 256, (2, 6, 1, 8, 8), dtype=np.uint8)
    second = np.stack([first[0], np.roll(first[1], 1, axis=0)])
    second[0, 0] = 7
    far, near = np.tile([1.0, 1.1], (2, 6, 1)), np.tile([0.1, 1.1], (2, 6, 1))
    kept = {
        64: {"step": np.array([10, 100]), "samples": first, "nearest": first, "distances": far},
        256: {"step": np.array([11, 101]), "samples": second, "nearest": first, "distances": near},
    }
    monkeypatch.setattr(Result, "samples", property(lambda run: kept[run.config["n"]]))
    return made(64), made(256)


def test_networks_are_alike_where_they_make_the_same_of_the_same_noise(two_networks):
    table = estimate.likeness(*two_networks)
    assert table["step"].tolist() == [10, 100]
    assert table.loc[0, "same"] == pytest.approx(1) and abs(table.loc[0, "other"]) < 0.1
    assert abs(table.loc[1, "same"]) < 0.15 and table.loc[1, "other"] == pytest.approx(1 / 5, abs=0.1)


def test_the_same_noise_is_drawn_for_each_network_at_its_nearest_milestones(two_networks):
    figure, table = pictures.same_noise(two_networks, [9, 90], columns=4)
    assert table.values.tolist() == [[64, 10, 0], [64, 100, 0], [256, 11, 4], [256, 101, 4]]
    assert [axis.get_title() for axis in figure.axes] == ["n = 64", "n = 256"]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["11", "101"]


def test_the_time_of_generation_of_a_width_rests_on_the_runs_that_saw_it():
    seen = estimate.tau_early_of([made(64), made(128, slower=4), made(256, end=100)])
    assert (seen.status, seen.tau) == ("interpolated", pytest.approx(1000, rel=0.02))
    assert estimate.tau_early_of([made(64, end=100)]).status == "censored"


def test_the_boundary_is_where_copies_begin_at_every_width(grid):
    """f_mem = 0.01 at 0.02 tau_early n exp(1/2), so at c tau_early the boundary is c/(0.02 exp(1/2)), whatever W."""
    table = estimate.boundaries(grid, (3, 5, 100))
    for c, part in table.groupby("c"):
        if c == 100:
            assert set(part["status"]) == {"above range"}
        else:
            np.testing.assert_allclose(part["n"], c / (0.02 * np.exp(0.5)), rtol=0.05)
    np.testing.assert_allclose(table["tau"], table["c"] * 8000 / table["width"], rtol=0.02)


def test_phases_tell_copies_from_none_and_from_runs_that_ended(grid):
    short = made(512, 16, end=1000)
    runs = [*grid, short]
    figure, table = draw.phases(runs, estimate.boundaries(grid, (3, 8)), estimate.COPIES)
    under = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert under == ["8\n255k", "16\n1,011k", "32\n4,023k"], "W, and its parameters"
    phase = table.set_index(["c", "width", "n"])["phase"]
    assert (phase[3, 16, 64], phase[3, 16, 128]) == ("copies", "none")
    assert phase[8, 16, 128] == "copies"
    assert phase[8, 16, 512] == "not known"
    unseen = estimate.boundaries(grid, (3,)).assign(tau_seen=False)
    _, table = draw.phases(grid, unseen, estimate.COPIES)
    assert set(table["phase"]) == {"copies", "not known"}


def test_losses_are_drawn_against_both_times(grid):
    figure, table = pictures.losses(grid[:3])
    left, right = figure.axes
    for axis, x in ((left, "step"), (right, "scaled")):
        drawn = [line.get_xdata().tolist() for line in axis.lines if line.get_linestyle() != "None"]
        parts = [part[x].tolist() for _, part in table.groupby(["metric", "n"], sort=False)]
        assert drawn == parts and len(parts) == 6
    assert (table["scaled"] == table["step"] / table["n"]).all()


def test_capacity_and_comparison_hold_every_run(grid):
    _, table = draw.capacity(grid)
    assert len(table.groupby(["width", "n"])) == 9
    row = table[(table["width"] == 8) & (table["n"] == 64)].iloc[0]
    assert (row["W_tau"], row["W_tau_n"]) == (8 * row["step"], 8 * row["step"] / 64)
    _, both = curves.compared({"a": grid[:3], "b": grid[3:6]})
    assert both.groupby("set")["n"].nunique().to_dict() == {"a": 3, "b": 3}


def test_each_image_is_seen_once_a_step_of_a_full_batch(grid):
    """And batch/n times a step otherwise; a batch that holds more than all is a full one."""
    sets = {"32": [made(n) for n in (16, 128)], "full": [made(32), *(made(n, batch=0) for n in (64, 128))]}
    figure, table = curves.compared(sets, ("scaled", "seen"))
    assert len(figure.axes) == 4
    seen = (table["seen"] / table["step"]).groupby([table["set"], table["n"]]).unique()
    full = {("full", n): [1] for n in (32, 64, 128)}
    assert seen.map(list).to_dict() == {("32", 16): [1], ("32", 128): [0.25], **full}


@pytest.mark.parametrize(("looks", "steps"), [(1000.0, 8.0), (1000.0, 0.0), (0.0, 8.0)])
def test_delays_are_told_apart(looks, steps):
    """tau_mem = T + A n/m + B n exactly, with m in batches, full batches and full batches of several draws."""
    runs = []
    for n, batch, draws in [(64, 32, 1), (16, 0, 1), (32, 0, 1), (64, 0, 1), (32, 0, 4), (64, 0, 4), (512, 0, 1)]:
        run = made(n, batch=batch)
        run.config["draws"] = draws
        m = draws * (batch or n)
        f_mem = run.curves["metric"] == "f_mem"
        onset = 200 + looks * n / m + steps * n
        # Its odds rise as a power of tau, so that they are interpolated exactly.
        odds = 0.02 / 0.98 * (run.curves.loc[f_mem, "step"] / onset) ** 2
        run.curves.loc[f_mem, "value"] = odds / (1 + odds)
        runs.append(run)
    (t, a, b), right = scaling.delays(runs)
    assert t.value == pytest.approx(200, rel=0.01)
    assert (a.value, b.value) == (pytest.approx(looks, abs=5), pytest.approx(steps, abs=0.05))
    assert right < min(scaling.delays(runs, law)[1] for law in scaling.LAWS if law != "T + A n/m + B n")
    _, table = curves.visits(runs)
    assert table["draws"].tolist() == [32, 16, 32, 64, 128, 256, 512]
