"""Predictions of good samples made again from stored reports: whole, and from the smaller trainings alone."""

import json

from diffmemlib.companion.estimators.probed import reports, tests_of_good
from diffmemlib.places import checkout
from diffmemlib.probe.backtest import good_by_todays_rule


def test_every_stored_test_is_predicted_again_from_the_sizes_that_it_was_made_from():
    found = reports(checkout() / "book" / "measured")
    again, told = good_by_todays_rule(found), tests_of_good(found)
    assert again[["data", "n", "seed"]].equals(told[["data", "n", "seed"]])
    assert (again["low"] <= again["high"]).all()
    changed = json.loads(json.dumps(found))
    for report in changed:
        for run in report["runs"]:
            if run["n"] not in report["backtests"][0]["sizes"] if report["backtests"] else True:
                run["curves"] = run["curves"] and {
                    **run["curves"],
                    "distance": {k: [1.0 for _ in v] for k, v in run["curves"]["distance"].items()},
                }
    first = {(r["source"], r["backtests"][0]["n"]) for r in found if r["backtests"]}
    same = good_by_todays_rule(changed)
    for before, after in zip(again.itertuples(), same.itertuples(), strict=True):
        if (before.data, before.n) in first:
            assert (before.low, before.high) == (after.low, after.high), "what was predicted saw the larger training"
