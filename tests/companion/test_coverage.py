"""The simulations behind the intervals: worlds that are what they say, and failures that they notice."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from diffmemlib.companion import coverage
from diffmemlib.companion.estimators import scaling
from diffmemlib.companion.figures.coverage import coverages
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.timescales.crossings import share_crossing
from diffmemlib.timescales.power_laws import exponent


@pytest.fixture(scope="module")
def world() -> coverage.World:
    return coverage.World(sweep_results("mixture-n"))


@pytest.mark.parametrize("sweep", ["mixture-n", "conditional", "letters"])
def test_a_world_has_the_law_and_the_scatter_of_its_sweep(sweep: str):
    runs = sweep_results(sweep)
    world, rng, times = coverage.World(runs), np.random.default_rng(1), []
    drawn = [world.times(world.draw(rng)) for _ in range(300)]
    times = np.log([[t.tau for t in found] for found in drawn])
    slopes = [exponent(world.n, found).value for found in drawn]
    expected = world.constant + world.a * np.log(world.n)
    assert abs(times.mean(axis=0) - expected).max() < 0.06
    assert np.mean(slopes) == pytest.approx(world.a, abs=0.03)
    stored = coverage._scatter(world.n, scaling.tau_mem(runs))
    again = np.mean([coverage._scatter(world.n, found) ** 2 for found in drawn]) ** 0.5
    assert again == pytest.approx(stored, rel=0.1), "the noise of counting is in it once"


def test_what_a_seed_shares_moves_all_of_its_runs(world):
    common, rng, errors = coverage.World(sweep_results("mixture-n"), of_seed=1.0), np.random.default_rng(0), []
    for _ in range(60):
        times = [share_crossing(tau, share, common.samples, scaling.F_MEM).tau for tau, share in common.draw(rng)]
        errors.append(np.log(times) - common.constant - common.a * np.log(common.n))
    together = np.corrcoef(np.array(errors), rowvar=False)
    same = common.seed[:, None] == common.seed[None]
    assert together[same].mean() > 0.3 > 0.1 > abs(together[~same].mean())


def test_each_case_is_tried_and_says_yes_or_no():
    listed = list(coverage.cases())
    assert len({(group, name) for group, name, _, _ in listed}) == len(listed) > 50
    for _, _, share, trial in listed:
        assert 0 < share <= 2 and trial(np.random.default_rng(0)) in (True, False)


def test_what_is_stored_has_every_case():
    """Made by `make simulations`."""
    path = Path(__file__).parents[2] / "book" / "measured" / "coverage.json"
    stored = {(row["estimator"], row["world"]) for row in json.loads(path.read_text())["rows"]}
    assert stored >= {(group, world) for group, world, _, _ in coverage.cases()}


def test_an_interval_that_is_too_narrow_is_noticed(monkeypatch):
    """Half as wide, 95% becomes 67%; and the first crossing, linearly interpolated, holds less than it says."""
    rng, honest = np.random.default_rng(0), coverage._exponent
    n = np.array(coverage.DESIGNS["5 sizes, 3 runs"], float)
    assert np.mean([honest(n, 0.0, rng) for _ in range(400)]) > 0.92

    def narrow(*arguments):
        found = exponent(*arguments)
        low, high = ((found.value + end) / 2 for end in (found.low, found.high))
        return type(found)(**vars(found) | {"low": low, "high": high})

    monkeypatch.setattr(coverage, "exponent", narrow)
    assert np.mean([honest(n, 0.0, rng) for _ in range(400)]) < 0.78


def test_truths_are_those_of_the_worlds():
    """A wrong truth is seldom held: that of KL by nearest neighbours, and that of a prediction."""
    rng = np.random.default_rng(0)
    assert np.mean([coverage._neighbours(8, "shifted", rng) for _ in range(12)]) > 0.8
    assert np.mean([coverage._predict("12 n", [64, 128, 256] * 2, 4, rng) for _ in range(100)]) > 0.88


def test_truths_that_are_wrong_are_not_held(monkeypatch):
    rng, found = np.random.default_rng(0), coverage.kl_nearest_neighbour
    monkeypatch.setattr(coverage, "kl_nearest_neighbour", lambda x, law: found(x - 0.3, law))
    assert np.mean([coverage._neighbours(8, "shifted", rng) for _ in range(6)]) < 0.5
    law = coverage.LAWS["12 n"]
    monkeypatch.setitem(coverage.LAWS, "12 n", lambda n: law(n) * np.where(n > 1000, 0.5, 1.0))
    assert np.mean([coverage._predict("12 n", [64, 128, 256] * 2, 4, rng) for _ in range(100)]) < 0.75


def test_the_frechet_interval_is_that_of_so_many_samples():
    rng = np.random.default_rng(0)
    held = {kind: np.mean([coverage._frechet(0.0, kind, rng) for _ in range(100)]) for kind in (True, False)}
    assert held[True] > 0.85 and held[False] < 0.3


def test_the_table_and_the_figure_hold_every_case():
    found = coverage.coverage(1, progress=False)
    table = coverage.table(found)
    assert len(table) == len(found["rows"]) == len(list(coverage.cases())) + 12
    counted = table[table["trials"] > 0]
    assert (counted["trials"] >= 10).all() and (table["low"] <= table["held"]).all()
    shares = table[table["trials"] == 0].set_index("world")["held"]
    p, m = 0.01, 200  # by hand: Wilson's interval holds 1% for 0 (then [0, 1.9%]) to 4 hits in 200
    assert shares[f"{p:g}, {m} samples"] == pytest.approx(stats.binom.cdf(4, m, p), abs=1e-12)
    assert 0.9 < shares.min() and shares.max() < 1
    figure, shown = coverages(table)
    named = [text.get_text() for text in figure.axes[0].texts]
    assert shown is table and named == list(dict.fromkeys(table["estimator"]))[::-1]
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in ("o", "<")]
    assert sorted(dots) == sorted(table["held"].clip(lower=0.8))
    assert len(coverage.coverage_report(found).splitlines()) == len(table) + 1
