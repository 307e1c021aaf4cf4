"""Stored reports answered again: predictions of good samples, and the report that a page prints."""

import copy
import json

from diffmemlib.companion.estimators import probed
from diffmemlib.places import checkout
from diffmemlib.probe.answer import answer, sentences
from diffmemlib.probe.backtest import good_by_todays_rule, run_of


def test_what_a_page_prints_of_a_probe_is_what_its_trainings_say_today():
    folder = checkout() / "book" / "measured"
    told = json.loads((folder / "probe-letters.json").read_text())
    runs = [run_of(run, told["model"]["samples"]) for run in told["runs"]]
    said = sentences(answer(runs, told["answer"]["n"]), told["model"]["batch"], told["steps_per_second"], "images")
    assert said == told["sentences"][: len(said)]
    printed = (folder / "probe-letters.txt").read_text().splitlines()
    assert printed[-len(told["sentences"]) - 1 : -1] == told["sentences"]
    page = (checkout() / "book" / "_static" / "probe-letters.html").read_text()
    assert all(f"<p>{sentence}</p>" in page for sentence in told["sentences"][1:] if "'" not in sentence)


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
