"""From curves to the answer, on runs whose times are known."""

from dataclasses import replace
from math import inf

import numpy as np
import pandas as pd
import pytest
from known import made, several

from diffmemlib.probe.answer import (
    answer,
    at_your_rate,
    copies_from,
    good_from,
    good_level,
    plain,
    sentences,
    tau_gen_of,
    tau_mem_at,
    times,
)
from diffmemlib.probe.backtest import Backtest, backtests
from diffmemlib.probe.report import beyond, outcome
from diffmemlib.probe.training import copies_level
from diffmemlib.timescales.crossings import Timescale, share_crossing
from diffmemlib.timescales.prediction import predict


def test_times_of_a_run_are_those_it_was_made_with():
    run = made(64)
    assert good_level(run) == 0.4  # twice the distance of the training points, which is more than the Gaussian's
    assert good_from(run).tau == pytest.approx(500, rel=0.03)
    assert copies_from(run).tau == pytest.approx(30 * 64, rel=0.03)
    assert times([made(128), run])["n"].tolist() == [64, 128]


def test_the_window_of_all_points_holds_the_true_times():
    found = answer(several(), 2048)
    assert found.status == "window"
    assert found.tau_gen is not None and found.tau_gen[1] <= 500 * 1.03 and found.tau_gen[2] >= 500 * 0.97
    value, low, high = found.tau_mem
    assert low < 30 * 2048 < high and 0.4 < value / (30 * 2048) < 2.5
    assert found.stop == low
    first, good, copies = sentences(found, batch=16, steps_per_second=50)
    epochs = low * 16 / 2048
    assert first == f"Stop at step {low:,.0f} ({epochs:.0f} epochs, {low / 50 / 60:.3g} minutes of training here)."
    assert good.startswith("In the largest trainings samples are good from about step") and "grew" not in good
    assert "(10 seconds of training here)" in good and "epochs" not in good, "an epoch of theirs is shorter"
    assert "good from about step" in good and f"between step {low:,.0f} and step {high:,.0f}" in copies


def test_of_images_the_eye_is_the_judge():
    """Smudges of the right brightness pass the distance, and clear pictures may fail it: neither is called good."""
    found = answer(several(), 2048)
    first, good, _ = sentences(found, 16, 50.0, "images")
    assert first == sentences(found, 16, 50.0)[0] and "By a rough measure, which blurred pictures can pass too" in good
    found = answer(several(gen=1e9), 2048)
    first = sentences(found, 16, 50.0, "images")[0]
    assert first.startswith(f"Stop at step {found.tau_mem[1]:,.0f} (") and "which clear pictures may fail" in first


def test_the_answer_says_whose_steps_they_are_and_how_far_it_reaches():
    assert beyond(2048, several()).endswith("All points are 16 times as many as in the largest training.")
    assert beyond(128, several()).endswith("put a MemorizationMonitor into its training loop.")


def test_an_offset_does_not_lead_the_prediction_astray():
    """As in the full batches of this book: 900 + 12 n, where a pure power predicts far too little."""
    found = answer(several((32, 64, 128, 256), offset=75 * 30), 8192)
    assert found.tau_mem[1] < 75 * 30 + 30 * 8192 < found.tau_mem[2]


@pytest.mark.parametrize(
    ("runs", "status", "words"),
    [
        ([], "nothing", "Nothing was measured"),
        ([made(32, end=800), made(64, end=800)], "no copies", "No copies were seen, in any run, up to step 7"),
        ([made(32), made(32, 1, 1.1), made(64, end=800)], "too few", "too few trainings"),
        ([made(32), made(32, 1, 9.0), made(64), made(64, 1, 9.0)], "too few", "times that differ too much"),
        (several(gen=1e9), "not good", "In the largest trainings the samples did not become good"),
        (several(gen=5e6), "no window", "Copies may come before the samples are good"),
    ],
)
def test_where_nothing_can_be_predicted_it_says_so_and_what_to_do(runs, status, words):
    found = answer(runs, 1000)
    assert found.status == status
    assert found.stop is None or status == "no window"
    text = " ".join(sentences(found, 16, 50.0))
    assert pd.Series([text]).str.contains(words).all()
    assert "nan" not in text.lower() and "inf" not in text.replace("information", "")


def test_copies_from_the_start_are_bounds_and_no_times():
    runs = [made(n, late=1e-3) for n in (32, 64, 128)]
    assert all(copies_from(r).status == "at first point" for r in runs)
    found = answer(runs, 1000)
    assert found.status == "from the start"
    assert sentences(found, 16, 50.0)[0].startswith("Copies were there at the first look")


def test_an_interval_that_says_nothing_is_no_prediction():
    found = answer([made(32), made(64)], 4096)
    assert found.status == "too few" and found.tau_mem is None


def test_an_interval_says_something_while_its_low_end_is_near_enough():
    """Four trainings of two sizes that scatter by 15%, asked for 16 times their points; and the eight of the emoji."""
    assert tau_mem_at([made(32), made(32, 1, 1.15), made(64), made(64, 1, 1.15)], 1000) is None
    emoji = [(16, 1142), (16, 1040), (16, 978), (32, 1244), (32, 1309), (32, 1924), (64, 4273), (128, 12243)]
    found = tau_mem_at([made(n, seed, late=tau / (30 * n)) for seed, (n, tau) in enumerate(emoji)], 3767)
    assert found is not None
    value, low, high = found
    assert value < 10 * low and high > 100 * low, "the upper end may be far: one stops at the low one"


def test_the_time_of_good_samples_is_that_of_the_largest_trainings():
    runs = [made(n, seed, gen=10.0 * n * (1 + 0.1 * seed)) for n in (32, 64, 128) for seed in (0, 1)]
    value, low, high = tau_gen_of(runs)
    assert value == pytest.approx(1280 * 1.1**0.5, rel=0.03) and low < value < high
    found = answer(runs, 2048)
    assert found.later_with_more and "may be later on all points" in sentences(found, 16, 50.0)[1]
    assert not answer(several(), 2048).later_with_more
    assert tau_gen_of([made(32), made(64, gen=1e9, end=300.0)])[0] == pytest.approx(500, rel=0.03), "it ended before"
    assert tau_gen_of([made(32), made(64, gen=1e9, end=900.0)]) is None, "it went on past that time"
    assert tau_gen_of([made(32), *(made(32, seed, gen=1e9) for seed in (1, 2))]) is None, "one of three is luck"
    assert tau_gen_of([made(32)])[1:] == (0.0, inf)


@pytest.mark.parametrize("growth", [0.0, 0.3, 0.7])
def test_the_interval_of_good_samples_holds_them_whether_their_time_grows_or_stays(growth: float):
    """Trainings on 32, 64 and 128 points tell of 512; their times grow as a power of n up to 128, or up to 512."""
    rng, held = np.random.default_rng(int(10 * growth)), {True: 0, False: 0}
    for _ in range(40):
        runs = [made(n, seed, gen=500 * (n / 32) ** growth * np.exp(0.1 * rng.standard_normal()))
                for n in (32, 64, 128) for seed in (0, 1, 2)]  # fmt: skip
        value, low, high = tau_gen_of(runs, 512)
        assert low <= value <= high and value == tau_gen_of(runs)[0]
        known = [r.n for r in runs], [good_from(r) for r in runs]
        assert low <= predict(*known, 128)[1], "one more training may come before the mean of these"
        for goes_on in held:
            true = 500 * ((512 if goes_on else 128) / 32) ** growth * np.exp(0.1 * rng.standard_normal())
            held[goes_on] += low <= true <= high
    assert min(held.values()) >= 36, held


def test_no_growth_can_be_told_of_one_size():
    assert tau_gen_of([made(64), made(64, 1, gen=600.0)], 512)[2] == inf


def test_one_look_with_copies_by_chance_is_not_the_rise():
    run = made(64)
    early = run.curves["metric"].eq("f_mem") & run.curves["step"].between(99, 101)
    run.curves.loc[early, "value"] = 0.04
    assert early.sum() == 1
    assert copies_from(run).tau == pytest.approx(30 * 64, rel=0.05)


def test_an_interval_of_good_samples_that_says_nothing_is_not_told():
    """Two sizes whose times differ by chance allow a growth that has no end on all points."""
    runs = [made(32), made(64), made(64, 1, gen=800.0), made(32, 1)]
    found = answer(runs, 20000)
    assert found.tau_gen is not None and found.tau_gen[1:] == (0.0, inf)
    told = " ".join(sentences(found, 16, 50.0))
    assert "; from which step they are good on all 20,000 points, these trainings do not tell" in told
    for interval in (tau_gen_of(several(), n) for n in (128, 256, 1024, 10**5)):
        assert interval[1:] == (0.0, inf) or interval[2] < 10 * interval[0] < 100 * interval[1]


@pytest.mark.parametrize(("low", "high", "told"), [(0.2, 5.0, True), (0.05, 5.0, False), (0.2, 20.0, False)])
def test_an_end_that_is_ten_times_away_says_nothing(monkeypatch, low: float, high: float, told: bool):
    runs = several()
    value = tau_gen_of(runs)[0]
    monkeypatch.setattr("diffmemlib.probe.answer.predict", lambda *_: (value, low * value, high * value))
    expected = (low * value, high * value) if told else (0.0, inf)
    assert tau_gen_of(runs, 1024)[1:] == pytest.approx(expected)


def test_samples_that_may_be_good_after_the_step_to_stop_at_are_told():
    found = answer(several(gen=900.0), 256)
    assert found.tau_gen is not None and found.tau_mem is not None
    late = replace(found, tau_gen=(900.0, 500.0, found.tau_mem[1] + 1))
    assert ", which may be after the step to stop at" in " ".join(sentences(late, 16, 50.0))
    assert "may be after" not in " ".join(sentences(replace(late, tau_gen=(900.0, 500.0, 1200.0)), 16, 50.0))


def test_minutes_are_left_out_where_the_rate_is_not_known():
    assert "minutes" not in " ".join(sentences(answer(several(), 2048), 16, 0.0))


@pytest.mark.parametrize(
    ("met", "held_out", "samples", "most"),
    [(0, 300, 10**6, 1 - 0.1 ** (1 / 300)), (0, 35, 10**6, 1 - 0.1 ** (1 / 35)), (2, 400, 10**6, 0.01327)],
)
def test_the_level_of_copies_is_beyond_what_held_out_data_allow(met, held_out, samples, most):
    """Where none of h meets the criterion, new data meet it with a rate p of which (1 - p)^h is 10%."""
    assert copies_level(met / held_out, held_out, samples) == pytest.approx(most + 0.02, abs=1e-4)
    few = copies_level(met / held_out, held_out, 100)
    assert few == pytest.approx(most + max(0.02, 2 * (most * (1 - most) / 100) ** 0.5), abs=1e-4)
    assert copies_level(1.0, 35, 100) == pytest.approx(1.02), "where all data meet the criterion, nothing can be told"


@pytest.mark.parametrize("rate", [0.0, 0.005, 0.013, 0.037, 0.11, 0.2])
@pytest.mark.parametrize("held_out", [35, 50, 75, 500])
def test_where_samples_are_as_new_data_copies_are_seldom_told(rate, held_out):
    """In few dimensions samples without a copy meet the criterion too: at most one training in twenty is wrong."""
    rng, samples, steps = np.random.default_rng(0), 400, 100 * 1.47 ** np.arange(16)
    levels = [copies_level(met / held_out, held_out, samples) for met in rng.binomial(held_out, rate, 300)]
    shares = rng.binomial(samples, rate, (300, len(steps))) / samples
    wrong = [
        share_crossing(steps, f_mem, samples, level).status != "censored"
        for f_mem, level in zip(shares, levels, strict=True)
    ]
    assert np.mean(wrong) <= 0.05


def test_a_larger_training_is_predicted_from_those_a_quarter_of_its_size():
    runs = several((32, 64, 128, 256))
    tests = backtests(runs)
    assert [(t.n, t.seed, t.sizes) for t in tests] == [(256, 0, (32, 64)), (256, 1, (32, 64))]
    for test in tests:
        assert test.predicted == answer([r for r in runs if r.n <= 64], 256).tau_mem
        assert test.verdict == "inside"
        assert (
            test.ratio[0] == pytest.approx(test.measured.tau / test.predicted[0]) and test.ratio[1] < 1 < test.ratio[2]
        )
    assert backtests(runs[:4]) == [], "a single size predicts nothing"
    assert {t.n for t in backtests(runs, factor=2)} == {128, 256}


@pytest.mark.parametrize(
    ("tau", "status", "verdict"),
    [
        (50, "interpolated", "earlier"), (200, "interpolated", "inside"), (900, "interpolated", "later"),
        (50, "censored", "not told"), (200, "censored", "not told"), (900, "censored", "later"),
        (50, "at first point", "earlier"), (200, "at first point", "not told"), (900, "at first point", "not told"),
    ],
)  # fmt: skip
def test_a_bound_decides_only_where_it_excludes_the_whole_interval(tau, status, verdict):
    one = Backtest(256, 0, (32, 64), (200.0, 100.0, 400.0), Timescale(tau, status), None, Timescale(10, "interpolated"))
    assert one.verdict == verdict


def test_a_rate_of_yours_turns_steps_into_minutes_and_says_for_whom():
    found = answer(several(), 2048)
    (sentence,) = at_your_rate(found, 100.0)
    assert f"{found.tau_mem[1] / 6000:.3g} minutes" in sentence and f"{found.tau_mem[0] / 6000:.3g}." in sentence
    assert "the probe's own network" in sentence and "MemorizationMonitor" in sentence
    assert at_your_rate(found, 0.0) == [] and at_your_rate(answer([], 10), 100.0) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (99.94, "99.9"), (1660.4, "1,660"), (1.5e6, "1,500,000")]
)
def test_numbers_are_plain(value: float, text: str):
    assert plain(value) == text


def test_an_answer_says_how_the_prediction_did_where_it_was_tested():
    def one(tau: float, status: str = "interpolated") -> Backtest:
        good = Timescale(10, "interpolated")
        return Backtest(256, 0, (32, 64), (200.0, 100.0, 400.0), Timescale(tau, status), None, good)

    assert outcome([]) == outcome([one(50, "censored")]) == []
    assert outcome([one(200)]) == ["The one larger training that was predicted in this way came inside the interval."]
    assert "came earlier than the interval: do not rely on it" in outcome([one(50)])[0]
    (held,) = outcome([one(200), one(300), one(50, "censored")])
    assert held == "Of 2 larger trainings that were predicted in this way, 2 came inside the interval."
    (missed,) = outcome([one(200), one(50), one(900), one(901)])
    assert "Of 4 larger trainings" in missed and "1 came inside the interval and 1 earlier and 2 later" in missed
    assert missed.endswith("do not rely on the interval above, and give more minutes.")
