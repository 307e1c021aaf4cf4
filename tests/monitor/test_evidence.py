"""The evidence of copies: its mean where there are none, its rate of false alarms over all looks, its power."""

from math import exp, log

import numpy as np
import pytest
from scipy import integrate, stats

from diffmemlib.monitor.evidence import (
    CAP,
    RATES,
    copies_to_stop,
    log_calibrated,
    log_capital,
    log_evidence,
    log_evidences,
)  # fmt: skip


def by_hand(copies: list[int], samples: list[int], h: int, size: int, tolerance: float = 0.0) -> float:
    """The same by the sentences of the docstring, one rate of the held-out data after the other."""
    least = np.inf
    for p in np.linspace(1e-9, 0.3, 6_001):
        q, capital = p + tolerance, 1 / (len(copies) + 1)  # what is not put in yet
        for look in range(len(copies)):
            part = 1 / ((look + 1) * (look + 2)) / len(RATES)
            for r in RATES:
                likely = sum(
                    stats.binom.logpmf(c, m, r) - stats.binom.logpmf(c, m, q)
                    for c, m in zip(copies[look:], samples[look:], strict=True)
                ) if r > q else 0.0  # fmt: skip
                capital += part * exp(likely)
        u = stats.binom.cdf(h, size, p)
        calibrated = 0.5 if u > 1 - 1e-4 else (1 - u + u * log(u)) / (u * log(u) ** 2)
        least = min(least, capital * calibrated)
        if calibrated > 1e3 * least:
            break
    return log(least)


@pytest.mark.parametrize(
    ("copies", "samples", "h", "size", "tolerance"),
    [([20], [512], 2, 1000, 0.0), ([0, 3, 9], [100, 200, 300], 1, 400, 0.0), ([6], [100], 0, 150, 0.01)],
)
def test_the_evidence_is_what_its_docstring_says(copies, samples, h, size, tolerance):
    ours = log_evidence(copies, samples, h, size, tolerance)
    exact = by_hand(copies, samples, h, size, tolerance)
    assert exact - 0.04 < ours < exact + 1e-3, "never more, since it is a bound between the rates that are tried"


@pytest.mark.parametrize("q", [0.001, 0.01, 0.07])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_bets_gain_nothing_on_average_exactly(q: float, share: float):
    """Over all outcomes of two looks: the mean is 1 where copies come at q, and less where they come more rarely."""
    mean, outcomes = 0.0, np.arange(21)
    weights = stats.binom.pmf(outcomes, 20, share * q)
    for c1, weight_1 in zip(outcomes, weights, strict=True):
        for c2, weight_2 in zip(outcomes, weights, strict=True):
            mean += weight_1 * weight_2 * float(np.exp(log_capital([c1, c2], [20, 20], np.array([q]))[-1, 0]))
    assert mean == pytest.approx(1, rel=1e-9) if share == 1 else mean < 1


def test_the_evidence_of_a_p_value_has_mean_one():
    mean, _ = integrate.quad(lambda s: float(np.exp(log_calibrated(-s) - s)), 1e-4, np.inf)
    assert mean == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "size"), [(0.002, 1000), (0.02, 200), (0.2, 500)])
def test_false_alarms_over_thirty_looks_are_rarer_than_stated(p: float, size: int):
    rng, alarms, trainings = np.random.default_rng(0), 0, 300
    for _ in range(trainings):
        h, copies = rng.binomial(size, p), rng.binomial(128, p, size=30)
        alarms += (log_evidences(copies, [128] * 30, h, size) >= log(20)).any()
    assert alarms <= 0.05 * trainings


def test_the_evidence_of_each_look_is_that_of_the_looks_so_far():
    copies, samples = [0, 3, 9, 2], [100, 200, 300, 50]
    each = log_evidences(copies, samples, 1, 400, 0.01)
    assert each.tolist() == pytest.approx([log_evidence(copies[:k], samples[:k], 1, 400, 0.01) for k in (1, 2, 3, 4)])


def test_a_rate_that_rises_and_falls_below_that_of_held_out_data_is_no_alarm():
    """A training whose samples are noise first has a rate of 0 there, and owes nothing for it later."""
    rng, p = np.random.default_rng(1), 0.05
    rates = p * np.linspace(0, 1, 20)
    ends = [log_evidence(rng.binomial(256, rates), [256] * 20, rng.binomial(2000, p), 2000) for _ in range(40)]
    assert max(ends) < log(20)


@pytest.mark.parametrize(("h", "size", "f"), [(0, 1000, 0.02), (50, 10_000, 0.025), (2, 5000, 0.02)])
def test_copies_that_come_after_ten_looks_are_told_within_four(h: int, size: int, f: float):
    rng, told = np.random.default_rng(2), []
    for _ in range(40):
        before, after = rng.binomial(512, h / size, size=10), rng.binomial(512, f, size=4)
        told.append(any(
            log_evidence([*before, *after[:k]], [512] * (10 + k), h, size) >= log(20) for k in range(1, 5)
        ))  # fmt: skip
    assert np.mean(told) >= 0.9


def test_copies_to_stop_is_the_smallest_number_that_stops():
    counts: dict = {"baseline_copies": 1, "baseline_size": 800}
    fewest = copies_to_stop(200, 0.05, **counts, before=([0, 0], [200, 200]))
    assert fewest is not None
    ends = [log_evidence([0, 0, c], [200] * 3, **counts) for c in range(200)]
    assert [e >= log(20) for e in ends].index(True) == fewest


def test_a_tolerance_asks_for_more_copies_and_few_held_out_points_allow_none():
    few, more = (copies_to_stop(512, 0.05, 0, 1000, tolerance) for tolerance in (0.0, 0.05))
    assert few is not None and more is not None and few < more
    assert copies_to_stop(5, 0.05, 0, 5) is None


def test_the_evidence_is_capped():
    assert log_evidence([500] * 9, [512] * 9, 0, 5000) == CAP
