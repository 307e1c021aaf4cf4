"""Factors of changed settings: known ratios come back, bounds stay bounds, and the stored table is whole."""

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import Estimate, knobs, scaling
from diffmemlib.companion.figures import knobs as draw
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.runs.store import Result
from diffmemlib.timescales.crossings import Timescale

STEPS = np.geomspace(10, 10_000, 40)
SEEDS = range(4)


def made(n: int, seed: int, gen: float, mem: float, best: float = 0.3, **settings) -> Result:
    """A run whose divergence falls below one nat at `gen`, and whose f_mem reaches 0.02 at `mem`."""
    share = np.clip(0.02 * (STEPS / mem) ** 3, 0, 0.9)
    kl = np.maximum(best, (gen / STEPS) ** 2)
    rows = [
        (s, m, v, v, v) for m, values in (("f_mem", share), ("kl_nn", kl)) for s, v in zip(STEPS, values, strict=True)
    ]
    config = {
        "n": n,
        "seed": seed,
        "steps": 10_000,
        "samples": 10**7,
        "lr": 6e-4,
        "batch": 32,
        "conditional": False,
        **settings,
    }
    return Result(None, config, pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"]), {})


def noise(seed: int, n: int) -> float:
    return float(np.exp(0.2 * np.sin(seed + n)))  # what a seed does to both trainings of a pair


@pytest.fixture
def sweep(monkeypatch):
    def use(*changed):
        base = [made(n, s, 100 * noise(s, n), 10 * n * noise(s, n)) for n in (32, 64) for s in SEEDS]
        monkeypatch.setattr(knobs, "sweep_results", lambda name: [*base, *changed])
        return knobs.factors("made").set_index("name")

    return use


def test_a_known_factor_comes_back_from_pairs_whatever_their_seeds_do(sweep):
    wide = [made(n, s, 50 * noise(s, n), 30 * n * noise(s, n) * np.exp(0.01 * (-1) ** s), 0.2, lr=1.2e-3)
            for n in (32, 64) for s in SEEDS]  # fmt: skip
    row = sweep(*wide).loc["learning rate × 2"]
    for key, factor in (("gen", 0.5), ("mem", 3.0), ("window", 6.0)):
        assert row[key].value == pytest.approx(factor, rel=0.02)
        assert row[key].low < factor * 1.005 and factor * 0.995 < row[key].high < factor * 1.1
    assert row["quality"].value == pytest.approx(-0.1, abs=1e-9)
    assert row["exponent"].value == pytest.approx(1, abs=0.6)
    assert row["runs"] == 8
    assert abs(row["steeper"].value) < 0.1, "three times as late at both n"


def test_a_change_of_the_exponent_is_told_from_pairs(sweep):
    steep = [made(n, s, 100, 10 * n * noise(s, n) * (n / 32) ** 0.4 * np.exp(0.01 * (-1) ** s), lr=1.2e-3)
             for n in (32, 64) for s in SEEDS]  # fmt: skip
    found = sweep(*steep).loc["learning rate × 2", "steeper"]
    assert found.value == pytest.approx(0.4, abs=0.02) and 0 < found.high - found.low < 0.1 and found.low > 0
    few = [r for r in steep if (r.config["n"], r.config["seed"]) not in {(64, 0), (64, 1)}]
    assert sweep(*few).loc["learning rate × 2", "steeper"] is None
    ended = [made(64, s, 100, 1e6, lr=1.2e-3) if (r.config["n"], s) in {(64, 0), (64, 1)} else r
             for r in steep for s in [r.config["seed"]]]  # fmt: skip
    assert sweep(*ended).loc["learning rate × 2", "steeper"] is None, "the end of a training is no time of copies"


def test_the_level_of_good_samples_can_be_another(sweep):
    slow = [made(n, s, 100, 20 * n, best=0.8, lr=1.2e-3) for n in (32, 64) for s in SEEDS]
    sweep(*slow)
    assert knobs.factors("made").iloc[0]["gen"] is not None and knobs.factors("made", kl=0.5).iloc[0]["gen"] is None


def test_runs_that_ended_before_are_bounds_and_not_left_out(sweep):
    slow = [made(n, s, 100, 10 * n if s < 2 else 1e6, lr=3e-4) for n in (32, 64) for s in SEEDS]
    found = sweep(*slow).loc["learning rate × 1/2", "mem"]
    assert found.value > 2, "half of them took far longer, and the others as long"
    never = [made(n, s, 100, 1e6, lr=3e-4) for n in (32, 64) for s in SEEDS]
    row = sweep(*never).loc["learning rate × 1/2"]
    assert row["mem"] is None and row["window"] is None and row["gen"] is not None


def test_a_product_of_bounds_that_point_both_ways_tells_nothing():
    runs = [made(32, s, 100, 320) for s in range(3)]
    known, later, sooner = (Timescale(10.0, s) for s in ("interpolated", "censored", "at first point"))
    found = scaling.product([([known, known, later], 1), ([known, known, later], -1)], runs)
    assert found.value == pytest.approx(1) and len(found.runs) == 2
    kept = scaling.product([([known, known, later], 1), ([known, known, sooner], -1)], runs)
    assert len(kept.runs) == 3, "later over sooner is later"


def test_a_bound_below_the_line_bounds_the_ratio_from_the_other_side():
    """10 over what is later than 1 is at most 10, which says little beside two ratios near 1; at least 10 says much."""
    runs = [made(32, s, 100, 320) for s in range(3)]
    top = [Timescale(tau, "interpolated") for tau in (10.0, 12.0, 100.0)]
    bottom = [Timescale(10.0, status) for status in ("interpolated", "interpolated", "censored")]
    later = scaling.ratio(top, bottom, runs)
    assert later.value == pytest.approx(1.2**0.5, rel=0.1) and len(later.runs) == 3
    sooner = [*bottom[:2], Timescale(10.0, "at first point")]
    assert scaling.ratio(top, sooner, runs).value > 2


def test_a_ratio_that_is_a_power_of_n_has_it_and_a_bound_counts_as_one():
    """Ratios are n^-0.5; that of the largest n is only known to be at least a tenth of it, and changes nothing."""
    runs = [made(n, s, 100, 320) for n in (32, 64, 128, 256) for s in range(2)]
    n = np.array(scaling.sizes(runs))
    bottom = [Timescale(100.0, "interpolated") for _ in n]
    top = [Timescale(float(100 * m**-0.5), "interpolated") for m in n]
    assert scaling.ratio_exponent(top, bottom, runs).value == pytest.approx(-0.5)
    cut = [t if m < 256 else Timescale(0.1 * t.tau, "censored") for t, m in zip(top, n, strict=True)]
    found = scaling.ratio_exponent(cut, bottom, runs)
    assert found.value == pytest.approx(-0.5, abs=0.1) and len(found.runs) == 8


def test_a_rule_has_the_powers_that_made_the_factors_and_names_its_worst_miss():
    def told(miss: float) -> pd.DataFrame:
        by = {"learning rate × 1/2": 0.5, "learning rate × 4": 4.0, "batch × 2": 2.0}
        seen = {name: factor ** (-0.7 if name.startswith("learn") else -0.4) for name, factor in by.items()}
        seen["batch × 1/2"] = miss * 0.5**-0.4
        rows = [(name, 1 / by.get(name, 0.5), Estimate(value, value, value, ())) for name, value in seen.items()]
        return pd.DataFrame(rows, columns=["change", "said", "seen"])

    powers, worst = knobs.fitted_rule(told(1.0))
    assert powers == pytest.approx({"learning rate": -0.7, "batch": -0.4}) and worst == pytest.approx(1)
    powers, worst = knobs.fitted_rule(told(1.21))
    assert powers["learning rate"] == pytest.approx(-0.7), "each has its own changes"
    assert worst == pytest.approx(1.1), "the two misses of the batch are as large"


def test_changes_are_told_by_what_differs_and_a_full_batch_is_n():
    base = {"n": 32, "seed": 0, "batch": 32, "lr": 6e-4, "steps": 10}
    assert knobs.change(base | {"n": 64, "seed": 3, "steps": 99}, base) == ()
    assert knobs.change(base | {"batch": 0}, base) == ()
    assert knobs.change(base | {"n": 64, "batch": 0, "lr": 1.0}, base) == (("batch", 64), ("lr", 1.0))
    assert knobs.name_of((("lr", 1.0),)) == "lr = 1.0"


def test_rows_come_sorted_by_the_time_of_copies_with_the_unknown_last(sweep):
    fast = [made(n, s, 100, 3 * n, lr=2.4e-3) for n in (32, 64) for s in SEEDS]
    never = [made(n, s, 100, 1e6, lr=3e-4) for n in (32, 64) for s in SEEDS]
    slow = [made(n, s, 100, 20 * n, lr=1.2e-3) for n in (32, 64) for s in SEEDS]
    table = sweep(*never, *slow, *fast)
    assert table.index.tolist() == ["learning rate × 4", "learning rate × 2", "learning rate × 1/2"]
    assert knobs.telling(table.reset_index(), "mem", longer=True) == ["learning rate × 2"]
    assert knobs.telling(table.reset_index(), "mem", longer=False) == ["learning rate × 4"]
    clock = knobs.clock(table.reset_index())
    row = clock.set_index("change").loc["learning rate × 4"]
    assert row["said"] == 0.25 and row["power"] == pytest.approx(np.log(table["mem"].iloc[0].value) / np.log(4))
    assert row["low"] <= row["power"] <= row["high"] and len(clock) == 2


def test_every_stored_change_has_a_name_and_pairs_at_both_sizes():
    groups = knobs.by_change(sweep_results(knobs.SWEEP))
    assert set(groups) <= set(knobs.NAMES), "give a change of the table its name"
    for changed, runs in groups.items():
        assert {(r.config["n"], r.config["seed"]) for r in runs} >= {(n, s) for n in (64, 128) for s in range(4)}, (
            changed
        )
    figure, data = draw.factors(knobs.factors())
    assert {"gen", "mem", "window", "quality", "exponent", "steeper"} == set(data["of"])
    assert data[data["value"].isna()]["of"].isin(["gen", "mem", "window"]).all(), "what was not reached has a row, too"
    assert set(knobs.THEORY) <= set(knobs.NAMES.values())
    assert len(figure.axes[0].get_yticklabels()) == len(groups) - 1


def test_image_runs_are_compared_in_pairs_of_the_same_size_and_seed():
    table = knobs.on_images()
    assert table["pairs"].min() >= 2 and all(e.low <= e.value <= e.high for e in table["mem"])
    for row in table.itertuples():
        assert len({(r.config["n"], r.config["seed"]) for r in row.mem.runs}) == len(row.mem.runs) <= row.pairs
    named = set(knobs.NAMES.values())
    assert set(table["mixture"]) - {""} <= named, "rows of the mixture by their names"
    wide = table.set_index("name").loc["width × 2", "mem"]
    assert {r.config["width"] for r in wide.runs} == {32}


def test_the_parts_of_flow_matching_are_of_one_size_and_three_seeds():
    parts = knobs.flow_parts()
    assert [len(e.runs) for e in parts["tau_mem"]] == [3] * 5
    assert {r.config["n"] for e in parts["tau_mem"] for r in e.runs} == {64}
    assert all(len({r.config["batch"] for r in e.runs}) == 1 for e in parts["tau_mem"])
