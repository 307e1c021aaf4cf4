"""The simulation of predictions: what it counts, where an interval is too narrow, and its table."""

import pytest

from diffmemlib.companion import predictions


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(predictions, "DESIGNS", [(3, 2)])
    monkeypatch.setattr(predictions, "LAWS", {"12 n": predictions.LAWS["12 n"]})
    monkeypatch.setattr(predictions, "STEEP", {"900 + 0.7 n^2": predictions.STEEP["900 + 0.7 n^2"]})


def test_it_is_the_same_again_and_counts_what_lies_inside(few):
    found = predictions.accuracy(40, progress=False)
    assert found == predictions.accuracy(40, progress=False)
    line, steep = found["rows"]
    assert line["growth"] == "12 n" and steep["growth"] == "900 + 0.7 n^2"
    assert 34 <= line["held"][1] <= line["held"][0] <= 40, "less confidence holds less"
    assert line["near"] > 34 > 10 > steep["near"], "what steepens is predicted too early"
    assert 1 < line["width"] < 20


def test_an_interval_that_is_too_narrow_is_noticed(few, monkeypatch):
    def narrow(*arguments, **options):
        value, low, high = honest(*arguments, **options)
        return value, value * (low / value) ** 0.2, value * (high / value) ** 0.2

    honest = predictions.predict
    monkeypatch.setattr(predictions, "predict", narrow)
    assert predictions.accuracy(40, progress=False)["rows"][0]["held"][0] < 32


def test_the_table_has_the_lowest_and_the_highest_share_over_all_growths():
    rows = [
        {"growth": growth, "sizes": 2, "runs": 3, "trials": 100, "held": [held, held - 5], "near": near, "width": width}
        for growth, held, near, width in (("12 n", 96, 90, 3.0), ("n^1.3", 99, 80, 4.0), ("900 + 5 n^1.5", 94, 30, 9.0))
    ]
    (row,) = predictions.by_design({"rows": rows, "confidences": [0.95, 0.9], "close": 1.5}).to_dict("records")
    assert row == {
        "sizes": 2, "trainings of each": 3, "in the 95% interval": "94% to 99%", "in the 90% interval": "89% to 94%",
        "within 1.5 times": "80% to 90%", "within 1.5 times, growth that steepens": "30% to 30%",
        "high/low": "3.0 to 9.0",
    }  # fmt: skip
