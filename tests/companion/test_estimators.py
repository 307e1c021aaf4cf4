"""Estimators on made-up runs whose times are known."""

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import gmm as estimate, scaling
from diffmemlib.runs.store import Result

MANY = 10**9  # samples, so that a share is known
TAU = np.geomspace(10, 1e6, 241)


def made(n: int, seed: int = 0, end: float = 1e6, tau_gen: float = 500.0, tau_rise: float = 100.0) -> Result:
    """f_mem crosses 0.02 at 200 n; the gap falls to 3 at tau_gen and rises by 2 at tau_rise n; losses part at 50 n."""
    tau = TAU[end >= TAU]
    curves = {
        "f_mem": np.minimum(0.02 * tau / (200 * n), 1),
        "kl_fisher": np.maximum(0.3, 3 * tau_gen / tau) + 2 * (tau / (tau_rise * n)) ** 4,
        "kl_knn": 0.05 + 0 * tau + 0.01 * seed,
        "loss_test": 1 + 0 * tau,
        "loss_train": 1 - 0.05 * tau / (50 * n),
    }
    rows = [(int(t * 1e6), m, v, v, v) for m, values in curves.items() for t, v in zip(tau, values, strict=True)]
    table = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
    table["step"] /= 1e6
    return Result(
        None, {"n": n, "seed": seed, "width": 128, "samples": MANY, "tier": "laptop"}, table, {"complete": True}
    )


@pytest.fixture
def runs(monkeypatch):
    found = [made(n, seed) for n in (256, 1024, 4096) for seed in (0, 1)]
    for module in (estimate, scaling):
        monkeypatch.setattr(module, "sweep_results", lambda sweep: found)
    monkeypatch.setattr(estimate, "is_stored", lambda sweep, tier: False)
    return found


@pytest.mark.parametrize(
    ("times", "expected"),
    [(scaling.tau_mem, 200.0), (scaling.tau_overfit, 50.0), (estimate.tau_kl_rise, 100.0)],
)
def test_times_in_units_of_n(runs, times, expected):
    for run, time in zip(runs, times(runs), strict=True):
        assert time.status == "interpolated"
        assert time.tau / run.config["n"] == pytest.approx(expected, rel=0.02)


def test_tau_gen_does_not_see_n(runs):
    assert [t.tau for t in estimate.tau_gen(runs)] == pytest.approx([500] * 6, rel=0.02)


def test_a_chance_gap_before_the_losses_part_is_not_overfitting(runs):
    run = runs[0]
    early = (run.curves["metric"] == "loss_train") & (run.curves["step"] < 20)
    run.curves.loc[early, "value"] = 0.8
    assert scaling.tau_overfit([run])[0].tau == pytest.approx(50 * 256, rel=0.02)


def test_exponents(runs):
    for e in (
        scaling.tau_mem_exponent("a sweep"),
        estimate.kl_rise_exponent(),
        scaling.overfit_exponent("a sweep"),
        scaling.collapse("a sweep"),
    ):
        assert e.value == pytest.approx(1, abs=0.01)
    assert estimate.tau_gen_exponent().value == pytest.approx(0, abs=0.01)


def test_ratios_and_their_t_intervals(runs):
    assert estimate.window().value == pytest.approx(200 * 4096 / 500, rel=0.02)
    assert scaling.overfitting_lag("a sweep").value == pytest.approx(4, rel=0.02)
    mean, low, high = scaling.t_interval([1.0, 2.0, 3.0])
    assert (mean, high - mean) == pytest.approx((2.0, 4.302653 / 3**0.5), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)
    with pytest.raises(ValueError, match="two or more"):
        scaling.t_interval([1.0])


def test_another_kl_is_the_mean_over_seeds_of_the_largest_n(runs):
    e = estimate.kl_at_smallest("kl_knn")
    assert e.value == pytest.approx(0.055)
    assert {r.config["n"] for r in e.runs} == {4096}


def test_the_largest_n_is_one_that_every_run_got_through():
    runs = [made(64, 0), made(64, 1), made(256, 0), made(256, 1, end=1e4), made(1024, 0)]
    assert {r.config["n"] for r in estimate.largest_n(runs)} == {64}


def test_tables_of_the_mixture_have_a_row_for_each_n(runs):
    for run in runs:
        run.config["steps"] = 100 * run.config["n"] * (1 + run.config["seed"])
        run.provenance.update(near_duplicates=run.config["seed"], complete=run.config["seed"] == 0)
    overview = estimate.overview(runs)
    assert overview.index.tolist() == [256, 1024, 4096]
    assert overview.iloc[0].tolist() == [2, "100 and 200", 1, 1]
    by_run = estimate.run_by_run([*runs, short := short_run()])
    assert by_run.loc[256, "tau_mem/n"] == "200, 200"
    assert by_run.loc[short.config["n"], "tau_mem/n"] == "not reached"
    assert by_run.loc[short.config["n"], "f_mem at the end"] == "0.00"


def short_run() -> Result:
    return made(100_000, end=1e5)


def test_exponents_by_level_count_what_they_leave_out(runs):
    by_level = estimate.exponents_by_level([*runs, short_run()], gaussian=0.05)
    assert by_level.loc["tau_mem, f_mem = 0.02"].tolist() == ["1.00 [1.00, 1.00]", 1]
    assert by_level.loc["tau_mem, f_mem = 0.1"].tolist() == ["not seen", 7]
    assert by_level.loc["tau_gen, score gap of 3 nats", "exponent [95%]"].startswith("-0.00")


def test_the_smallest_score_gap_is_that_of_each_run_and_has_an_exponent(runs):
    table = estimate.smallest_by_n(runs)
    assert table["n"].tolist() == [256, 256, 1024, 1024, 4096, 4096]
    for run, row in zip(sorted(runs, key=lambda r: (r.config["n"], r.config["seed"])), table.itertuples(), strict=True):
        curve = run.curve("kl_fisher")["value"]
        assert row.kl == curve.min() == curve.loc[row.step]
    for run in runs:  # seeds that differ, by a factor that all milestones share
        run.curves.loc[run.curves["metric"] == "kl_fisher", "value"] *= 1 + 0.2 * run.config["seed"]
    table = estimate.smallest_by_n(runs)
    log_kl = np.log(table["kl"])
    found = estimate.smallest_kl()
    assert found.value == pytest.approx(np.exp(log_kl[table["n"] == 4096].mean()))
    scatter = np.sqrt(sum(np.var(log_kl[table["n"] == n], ddof=1) for n in (256, 1024, 4096)) / 3)
    assert found.high / found.value == pytest.approx(np.exp(3.182446 * scatter / 2**0.5), rel=1e-6), "Student's, 3 free"
    assert estimate.smallest_kl_exponent().value == pytest.approx(
        np.polyfit(np.log(table["n"]), np.log(table["kl"]), 1)[0]
    )


def test_runs_on_more_points_extend_the_smallest_kl_with_the_scatter_of_the_others(runs, monkeypatch):
    """The means of seeds do not move; a single seed at the largest n has the scatter that all n share."""
    larger = made(16384)
    for run in runs:
        run.curves.loc[run.curves["metric"] == "kl_fisher", "value"] *= 1 + 0.2 * run.config["seed"]
    monkeypatch.setattr(estimate, "sweep_results", lambda sweep: [larger] if sweep == estimate.LARGER else runs)
    before = estimate.smallest_kl()
    monkeypatch.setattr(estimate, "is_stored", lambda sweep, tier: True)
    found = estimate.smallest_kl()
    assert found.value == pytest.approx(larger.curve("kl_fisher")["value"].min()) and found.runs == (larger,)
    assert np.log(found.high / found.value) == pytest.approx(2**0.5 * np.log(before.high / before.value))
    assert len(estimate.smallest_by_n(estimate.to_the_minimum())) == 7


def test_the_exponent_in_the_width_is_told_at_each_level_that_two_widths_reach(monkeypatch):
    found = []
    for width in (32, 64, 128):
        for seed in (0, 1):
            run = made(10_000, seed, tau_gen=500 * 128 / width)
            found.append(Result(None, run.config | {"width": width}, run.curves, {"complete": True}))
    monkeypatch.setattr(estimate, "sweep_results", lambda sweep: found)
    table = estimate.width_by_level("made up", (1e9, 10.0, 3.0, 0.1))
    assert table["level"].tolist() == [10.0, 3.0], "all are below the first at once, and none comes to the last"
    assert [e.value for e in table["exponent"]] == pytest.approx([-1, -1], abs=0.02)


def test_the_batch_of_a_sweep_is_that_of_its_larger_sets():
    """A set of one batch is stored with a batch of 0, and a page that read it there spoke of batches of 0."""
    from diffmemlib.companion.sweeps.tables import sweep_results

    runs = sweep_results("images-sgd")
    assert min(r.config["batch"] for r in runs) == 0
    assert scaling.batch_size(runs) == max(r.config["batch"] for r in runs) > 1
    assert scaling.batch_size(sweep_results("images-full-draws")) == max(
        r.config["n"] for r in sweep_results("images-full-draws")
    ), "a point that is drawn several times is in the batch once"
