"""What stored reports of probes say of their predictions, and how many fresh data look like copies."""

import json

import pytest

from diffmemlib.companion.estimators import baseline, probed
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.metrics.memorization import memorized_fraction
from diffmemlib.places import checkout_root


def report(source: str, *tests: tuple[float, float, str]) -> dict:
    """Tests of a prediction of 100 [50, 200]: when copies came, and what is said of it."""
    made = [
        {"n": 128, "seed": seed, "sizes": [16, 32], "predicted": [100.0, 50.0, 200.0],
         "measured": {"tau": tau, "status": "interpolated"}, "verdict": verdict}
        for seed, (tau, _, verdict) in enumerate(tests)
    ]  # fmt: skip
    return {"source": source, "backtests": made}


def test_reports_are_read_and_their_tests_counted(tmp_path):
    told = [report("b", (120, 0, "inside"), (190, 0, "inside"), (300, 0, "later")), report("a", (20, 0, "not told"))]
    for i, one in enumerate([*told, {"source": "c"}]):
        (tmp_path / f"probe-{i}.json").write_text(json.dumps(one))
    (tmp_path / "other.json").write_text("{}")
    found = probed.reports(tmp_path)
    assert [r["source"] for r in found] == ["a", "b", "c"]
    table = probed.tests(found)
    assert table["data"].tolist() == ["a", "b", "b", "b"] and table["ratio"].tolist() == [0.2, 1.2, 1.9, 3.0]
    assert table["from n"].tolist() == ["16, 32"] * 4
    assert probed.summary(table) == {"told": 3, "not told": 1, "inside": 2, "near": 1}
    assert probed.summary(probed.tests([])) == {"told": 0, "not told": 0, "inside": 0, "near": 0}
    late = probed.tests([report("d", (140, 0, "later"))]).assign(status="censored")
    assert probed.summary(late)["near"] == 0, "a bound is no time"


def test_times_of_good_samples_are_compared_where_they_were_predicted():
    one = report("a", (120, 0, "inside"), (190, 0, "inside"), (300, 0, "later"))
    for test, (expected, good, status) in zip(
        one["backtests"], [([50.0, 0.0, 9e9], 75.0, "interpolated"), (None, 9.0, "interpolated"),
                           ([50.0, 40.0, 60.0], 500.0, "censored")], strict=True,
    ):  # fmt: skip
        test |= {"good_predicted": expected, "good_measured": {"tau": good, "status": status}}
    table = probed.tests_of_good([one, {"source": "b"}])
    assert table.to_numpy().tolist() == [
        ["a", 128, 0, 50.0, 75.0, "interpolated", 1.5], ["a", 128, 2, 50.0, 500.0, "censored", 10.0]
    ]  # fmt: skip


def test_the_verdicts_of_the_stored_reports_follow_from_their_numbers():
    table = probed.tests(probed.reports(checkout_root("The measured files") / "book" / "measured"))
    assert table["data"].nunique() >= 3 and len(table) >= 7
    for row in table.itertuples():
        inside = row.low <= row.came <= row.high
        if row.status == "interpolated":
            assert row.verdict == ("inside" if inside else "earlier" if row.came < row.low else "later"), row


def test_fresh_data_meet_the_criterion_as_often_as_counted_one_by_one():
    runs = [r for r in sweep_results("mixture-n") if r.config["n"] in (64, 128) and r.config["seed"] < 2]
    table = baseline.fresh_shares(runs)
    assert table.index.tolist() == [64, 128] and table.columns.tolist() == ["1/4", "1/3", "1/2"]
    assert (table["1/4"] <= table["1/3"]).all() and (table["1/3"] <= table["1/2"]).all()
    shares = []
    for run in runs[:2]:
        train, fresh = baseline.train_and_fresh(run)
        assert len(train) == run.config["n"] and len(fresh) == baseline.FRESH
        shares.append(memorized_fraction(fresh, train, k=0.5).value)
    ns = [run.config["n"] for run in runs]
    assert ns[0] == ns[1] and table.loc[ns[0], "1/2"] == pytest.approx(max(shares))


def test_of_images_the_held_out_ones_are_fresh():
    (run,) = (r for r in sweep_results("images-n") if r.config["n"] == 64)
    train, fresh = baseline.train_and_fresh(run)
    assert len(train) == 64 and fresh.shape[1:] == train.shape[1:]
    assert not (fresh[:, None] == train[None, :10]).flatten(2).all(2).any(), "no image in common"


def test_todays_rule_widens_upwards_and_repeats_what_was_told_by_it():
    found = probed.reports(checkout_root("The measured files") / "book" / "measured")
    told, again = probed.tests(found), probed.by_todays_rule(found)
    assert again[["data", "n", "seed"]].equals(told[["data", "n", "seed"]])
    latest = told["data"] == "diabetes.csv"  # made when the interval had its form of today
    assert latest.any()
    pairs = zip(
        again.loc[latest, ["low", "high"]].to_numpy(), told.loc[latest, ["low", "high"]].to_numpy(), strict=True
    )
    for now, then in pairs:
        assert now == pytest.approx(then, rel=1e-6)
    missed = told["verdict"] == "later"
    assert (again.loc[missed, "high"] > told.loc[missed, "high"]).all() and missed.any()
