"""Predictions of good samples made again from stored reports: whole, and from the smaller trainings alone."""

import copy

from diffmemlib.companion.estimators import probed
from diffmemlib.places import checkout
from diffmemlib.probe.backtest import good_by_todays_rule


def test_every_stored_test_is_predicted_again_from_the_sizes_that_it_was_made_from():
    found = probed.reports(checkout() / "book" / "measured")
    again, told = good_by_todays_rule(found), probed.tests_of_good(found)
    assert again[["data", "n", "seed"]].equals(told[["data", "n", "seed"]])
    assert (again["low"] <= again["high"]).all()
    for report in found:
        for test in report["backtests"]:
            alone = copy.deepcopy(report) | {"backtests": [test]}
            alone["runs"] = [run for run in report["runs"] if run["n"] in test["sizes"]]
            (row,) = good_by_todays_rule([alone]).itertuples()
            same = again.query("data == @row.data and n == @row.n and seed == @row.seed").iloc[0]
            assert (row.low, row.high) == (same["low"], same["high"])
