"""Other measures of copying: values of the code of others, known cases, and what each says where the truth is known."""

import numpy as np
import pytest
import torch

from diffmemlib import copying_measures, memorized_fraction
from diffmemlib.bench import copying as bench
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.metrics import copying
from diffmemlib.metrics.copying import authenticity, c_t, precision_recall

LAW = GaussianMixture(8, 1.0)
TRAIN, HELD_OUT, FRESH = (LAW.sample(count, seed).double() for count, seed in ((300, 0), (400, 1), (350, 2)))

# By github.com/layer6ai-labs/dgm-eval at 74c79f7, which holds the authors' own code of all but the last, and by
# github.com/marcojira/fld at ffbbf20, in single precision, on the same numbers.
OTHERS = {
    "fresh": {"authenticity": 0.6, "precision": 0.96, "recall": 0.915, "density": 1.046857143, "coverage": 0.9475,
              "one cell": -1.43664994, "three cells": -0.7762638167, "likelihood": -1.253708},
    "copies": {"authenticity": 0.434286, "precision": 0.9628571429, "recall": 0.915, "density": 1.018285714,
               "coverage": 0.9425, "one cell": -7.176155131, "three cells": -4.282376635, "likelihood": -1.30643},
    "wide": {"authenticity": 0.771429, "precision": 0.7457142857, "recall": 0.9875, "density": 0.5005714286,
             "coverage": 0.755, "one cell": 10.43999407, "three cells": 6.367197312, "likelihood": -1.360684},
    "all": {"authenticity": 0.0, "precision": 0.9533333333, "recall": 0.935, "density": 1.001333333,
            "coverage": 0.9275, "one cell": -22.66149839, "three cells": -13.79049535, "likelihood": -14.44511},
}  # fmt: skip


def cases() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    copies = TRAIN[:100] + 1e-3 * torch.from_numpy(rng.standard_normal((100, 8)))
    return {
        "fresh": FRESH, "copies": torch.cat([copies, FRESH[:250]]), "wide": 1.3 * FRESH,
        "all": TRAIN + 0.1 * torch.from_numpy(rng.standard_normal((300, 8))),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(OTHERS))
def test_each_measure_agrees_with_the_code_of_others(name: str):
    x = cases()[name]
    found = {
        "authenticity": authenticity(x, TRAIN), **precision_recall(x, HELD_OUT),
        "one cell": c_t(x, TRAIN, HELD_OUT, cells=1), "three cells": c_t(x, TRAIN, HELD_OUT),
    }  # fmt: skip
    theirs = dict(OTHERS[name])
    assert copying._likelihood(x, TRAIN, HELD_OUT) == pytest.approx(theirs.pop("likelihood"), rel=3e-6)
    assert found == pytest.approx(theirs, abs=1e-6)


def test_the_table_says_what_copies_do_beside_what_fresh_data_give():
    table = copying_measures(cases()["all"], TRAIN, HELD_OUT)
    assert table.columns.tolist() == ["samples", "fresh", "copies"]
    for name in ("f_mem", "authenticity", "C_T", "FLD"):
        moved = table.loc[name, "samples"] - table.loc[name, "fresh"]
        assert moved > 0 if table.loc[name, "copies"] == "raise" else moved < 0, name
    assert (
        table.loc["f_mem", "samples"] > 0.9 and table.loc["C_T", "samples"] < -3 and abs(table.loc["C_T", "fresh"]) < 3
    )
    again = copying_measures(cases()["all"].numpy(), TRAIN.tolist(), HELD_OUT.float())
    assert again.round(4).equals(table.round(4)), "whatever holds the points"


def test_all_samples_are_counted_where_their_number_does_not_matter():
    few = HELD_OUT[:40]
    table = copying_measures(cases()["copies"], TRAIN, few)
    assert table.loc["f_mem", "samples"] == memorized_fraction(cases()["copies"], TRAIN).value
    assert table.loc["authenticity", "samples"] == authenticity(cases()["copies"], TRAIN)


def test_fresh_samples_are_like_the_stand_ins():
    """Over repetitions the two columns agree: the measures are compared at one number of points."""
    difference = []
    for seed in range(20):
        train, held_out, fresh = (LAW.sample(200, 3 * seed + i) for i in range(3))
        table = copying_measures(fresh, train, held_out, seed=seed)
        difference.append(table["samples"] - table["fresh"])
    difference = np.array(difference)
    error = difference.std(axis=0, ddof=1) / len(difference) ** 0.5
    assert (abs(difference.mean(axis=0)) < 3.5 * error + 1e-12).all(), table.index[
        abs(difference.mean(0)) > 3.5 * error
    ]


def test_features_are_what_distances_are_taken_between():
    images = [points.view(-1, 1, 2, 4) for points in (FRESH, TRAIN, HELD_OUT)]
    plain, featured = copying_measures(*images), copying_measures(*images, features=lambda x: 3.0 * x.flatten(1))
    assert featured.round(6).equals(plain.round(6)), "all but the unit is the same"
    halved = copying_measures(*images, features=lambda x: x.flatten(1)[:, :2])
    assert not halved.equals(plain)


def test_few_and_many_cells_and_dimensions():
    assert np.isfinite(c_t(FRESH[:30], TRAIN[:12], HELD_OUT[:5], cells=3)), "fewer cells where three are too many"
    wide = [torch.randn(120, 100, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert abs(c_t(*wide)) < 4
    assert c_t(wide[1], wide[1], wide[2]) < -8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((FRESH, TRAIN, HELD_OUT[:10]), "10 held-out points"),
        ((FRESH[:3], TRAIN, HELD_OUT), "3 samples"),
        ((FRESH[:, :4], TRAIN, HELD_OUT), "samples have shape"),
        ((FRESH, TRAIN, HELD_OUT[:, :4]), "held_out have shape"),
        ((FRESH * torch.nan, TRAIN, HELD_OUT), "samples holds NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        copying_measures(*arguments)
    with pytest.raises(ValueError, match="neighbours = 400"):
        precision_recall(FRESH, HELD_OUT, 400)


def test_the_sets_of_the_comparison_are_what_they_are_called():
    train, fresh = LAW.sample(512, 0), LAW.sample(500, 1)
    some = bench.made("0.1 copies", fresh, train, 0)
    near = torch.cdist(some, train).amin(1) < 0.02
    assert near.sum() == 50 and torch.equal(some[50:], fresh[50:])
    assert torch.cdist(bench.made("1 rough copies", fresh, train, 0), train).amin(1).median() > 0.5
    one = bench.made("one mode", fresh, train, 0)
    assert (one.sum(1) > 0).all() and torch.equal(one.abs(), fresh.abs())
    assert bench.made("too wide", fresh, train, 0).std() == pytest.approx(1.2 * float(fresh.std()), rel=1e-5)


def test_the_comparison_counts_alarms_on_the_side_to_which_copies_move_a_measure(monkeypatch):
    monkeypatch.setattr(bench, "TRAIN", 60)
    monkeypatch.setattr(bench, "SAMPLES", 40)
    monkeypatch.setattr(bench, "HELD_OUT", 80)
    monkeypatch.setattr(bench, "SHARES", (0.5,))
    found = bench.copying_grid(3, progress=False)
    assert set(found["alarms"]) == {"fresh", *bench.FAULTS, "0.5 copies", "0.5 near copies", "0.5 rough copies"}
    assert found["alarms"]["0.5 copies"]["f_mem"] == 1.0 and found["alarms"]["0.5 copies"]["authenticity"] == 1.0
    assert found["medians"]["0.5 copies"]["C_T"] < found["medians"]["fresh"]["C_T"]
    values = {"fresh": {"a": list(range(100))}, "x": {"a": [50.0, 94.0, 94.1, 99.0]}}
    assert bench._alarms(values, "x", "a", "raise") == 0.5, "beyond 95 of 100 fresh ones"
    assert bench._alarms({k: {"a": [-v for v in of["a"]]} for k, of in values.items()}, "x", "a", "lower") == 0.5
    text = bench.copying_report(found)
    assert len(text.splitlines()) == 8 and "authenticity" in text
