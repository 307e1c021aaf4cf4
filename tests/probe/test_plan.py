"""Which trainings come first, what fits the minutes, and that nothing is begun which cannot end."""

from dataclasses import replace

import pytest
from known import made

from diffmemlib.probe.model import MODELS
from diffmemlib.probe.plan import GROWTH, LEAST_GROWTH, SPARE, Plan, choose, expected_seconds, order, progress_line


def test_two_sizes_and_their_repetitions_come_before_larger_ones():
    jobs = order(32, 300)
    assert jobs[0] == (32, 0) and jobs[1] == (64, 0)
    assert jobs[:6] == [(32, 0), (64, 0), (32, 1), (128, 0), (64, 1), (32, 2)]
    assert {n for n, _ in jobs} == {32, 64, 128, 256} and len(jobs) == len(set(jobs)) == 12


def test_the_time_of_a_larger_run_is_told_from_those_that_are_through():
    fast, slow = made(32), replace(made(32, 1), seconds=20.0)
    assert expected_seconds(128, [fast, slow]) == 20.0 * 4**GROWTH
    assert expected_seconds(128, [replace(fast, ended="time")]) is None


@pytest.mark.parametrize(("growth", "planned"), [(0.8, 0.8), (0.1, LEAST_GROWTH), (3.0, GROWTH)])
def test_the_growth_that_was_seen_is_planned_with_within_bounds(growth: float, planned: float):
    runs = [replace(made(n), seconds=5.0 * n**growth) for n in (16, 32, 64)]
    largest = max(r.seconds * (256 / r.n) ** planned for r in runs)
    assert expected_seconds(256, runs) == pytest.approx(largest)


def test_before_anything_is_known_the_two_smallest_sizes_are_tried():
    jobs = order(32, 300)
    assert choose(jobs, set(), [], 100.0) == (32, 0)
    assert choose(jobs, {(32, 0)}, [], 100.0) == (64, 0)
    assert choose(jobs, {(32, 0), (64, 0)}, [], 100.0) is None


def test_only_what_fits_is_begun():
    jobs, runs = order(32, 300), [replace(made(32), seconds=40.0)]
    taken = {(32, 0), (64, 0)}
    assert choose(jobs, taken, runs, 40.0 * SPARE + 1) == (32, 1)
    assert choose(jobs, taken, runs, 40.0) is None
    assert choose(jobs, taken | {(32, 1), (64, 1), (32, 2), (64, 2)}, runs, 40.0 * 4**GROWTH * SPARE + 1) == (128, 0)


def test_progress_tells_time_left_and_what_is_under_way():
    line = progress_line(90.0, 600.0, [made(32)], [(32, 0), (64, 1)])
    assert line.startswith(
        "1.5 of 10.0 minutes, 8.5 left at most; 1 trainings through; n = 32 seed 0: measured to step "
    )
    assert line.endswith("n = 64 seed 1: measured to step 0")


def test_a_training_that_was_interrupted_costs_what_is_left_of_it():
    jobs = order(32, 300)
    begun = replace(made(64), seconds=60.0, ended="time")
    runs, taken = [replace(made(32), seconds=40.0), begun], {(32, 0), (32, 1), (32, 2)}
    whole = 40.0 * 2**GROWTH
    assert choose(jobs, taken, [runs[0]], (whole - 60.0) * SPARE + 1) is None
    assert choose(jobs, taken, runs, (whole - 60.0) * SPARE + 1) == (64, 0)


def test_what_does_not_fit_any_more_is_told_with_the_minutes_it_needs(tmp_path, data, monkeypatch):
    plan = Plan(tmp_path, MODELS["vectors", "cpu"], data, "cpu", 1)
    runs = [replace(made(n, s), seconds=60.0) for n, s in ((32, 0), (64, 0))]
    monkeypatch.setattr(Plan, "known", lambda self: runs)
    assert plan.following(30.0) == (
        "The next training, on n = 32, needs about 1.0 minutes, and 0.5 remain. Give 1 more to run it."
    )
    assert choose(order(32, 150), {(32, 0), (64, 0)}, runs, 30.0) is None and "Give 1 more" in plan.following(-5.0)
    runs = [replace(made(n, s), seconds=6000.0) for n, s in ((32, 0), (64, 0))]
    assert f"Give {(6000.0 * SPARE - 30.0) / 60:.0f} more to run it" in plan.following(30.0), "as choose asks for"
    monkeypatch.setattr(Plan, "known", lambda self: [])
    assert plan.following(30.0) == "", "nothing is known of its time"
    monkeypatch.setattr(Plan, "known", lambda self: [made(n, s) for n, s in order(32, len(data.pool))])
    assert plan.following(30.0) == "", "all are through"
