"""Where a share of samples crosses a level, and the boundary that such times draw."""

import numpy as np
import pytest

from diffmemlib.timescales.crossings import Boundary, Timescale, boundary_of_times, first_crossing, share_crossing


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("spacing", [1.3, 2.0])
def test_a_share_that_rises_as_a_power_is_found_where_it_crosses(power: float, spacing: float):
    """Without noise within a hundredth; the share itself, interpolated linearly, crosses much earlier."""
    tau = 100 * spacing ** np.arange(int(np.log(100) / np.log(spacing)))
    for at in np.geomspace(300, 3000, 7):
        share = np.minimum(0.02 * (tau / at) ** power, 1.0)
        found = share_crossing(tau, share, 10**9, 0.02)
        assert found.status == "interpolated" and found.tau == pytest.approx(at, rel=0.01)


def test_shares_with_the_noise_of_counting_are_found_without_bias():
    """1000 samples a milestone, tau^3: the mean error of log tau is near zero, that of the first crossing is not."""
    rng, tau = np.random.default_rng(0), np.geomspace(50, 5000, 21)
    errors: dict[str, list[float]] = {"share": [], "first": []}
    for at in np.exp(rng.uniform(np.log(400), np.log(1500), 2000)):
        share = rng.binomial(1000, np.minimum(0.02 * (tau / at) ** 3, 1.0)) / 1000
        errors["share"].append(np.log(share_crossing(tau, share, 1000, 0.02).tau / at))
        errors["first"].append(np.log(first_crossing(tau, share, 0.02).tau / at))
    bias = {name: float(np.mean(values)) for name, values in errors.items()}
    assert abs(bias["share"]) < 0.004 and bias["first"] < -0.01


def test_one_milestone_with_a_copy_by_chance_is_not_the_rise():
    tau = np.geomspace(100, 10_000, 21)
    share = np.where(tau < 3000, 0.0, 0.2)
    share[4] = 0.025
    assert share_crossing(tau, share, 200, 0.02).tau > 2500
    assert first_crossing(tau, share, 0.02).tau < 300


def test_bounds_of_a_share_are_those_of_its_run():
    tau = [10, 100, 1000]
    assert share_crossing(tau, [0, 0, 0.01], 100, 0.02) == Timescale(1000.0, "censored")
    assert share_crossing(tau, [0.02, 0.5, 1], 100, 0.02) == Timescale(10.0, "at first point")


@pytest.mark.parametrize(
    ("share", "samples", "threshold", "sentence"),
    [
        ([0, 0.5, 1.5], 10, 0.02, "the shares run from 0 to 1.5"),
        ([-0.1, 0.5, 1], 10, 0.02, "the shares run from -0.1"),
        ([0, 0.5, 1], 0, 0.02, "samples = 0"),
        ([0, 0.5, 1], 10, 0.0, "threshold = 0"),
        ([0, 0.5, 1], 10, np.nan, "threshold = nan"),
        ([0, np.nan, 1], 10, 0.02, "NaN"),
    ],
)
def test_what_is_no_share_is_refused(share, samples, threshold, sentence):
    with pytest.raises(ValueError, match=sentence):
        share_crossing([1, 2, 3], share, samples, threshold)


def at(tau: float, status: str = "interpolated") -> Timescale:
    return Timescale(tau, status)


@pytest.mark.parametrize(
    ("times", "status", "n"),
    [
        ([at(100), at(400)], "interpolated", 20 * 2**0.5),  # 200 is half way between them in the logarithm
        ([at(50), at(100)], "above range", 40),
        ([at(300), at(400)], "below range", 20),
        ([at(200), at(800)], "interpolated", 20),
        ([at(300), at(100)], "not monotone", 40),
        ([at(100, "censored"), at(400)], "censored", 20),  # it ended before that time
        ([at(100), at(150, "censored")], "censored", 40),
        ([at(100), at(400, "censored")], "interpolated", 20 * 2**0.5),  # later than 400: n is an upper bound
        ([at(100, "at first point"), at(400)], "interpolated", 20 * 2**0.5),
        ([at(300, "at first point"), at(400)], "censored", 20),
        ([at(250, "censored"), at(400)], "below range", 20),
    ],
)
def test_the_boundary_lies_where_copies_come_at_that_time(times, status, n):
    found = boundary_of_times([20, 40], times, 200.0)
    assert found.status == status and found.n == pytest.approx(n)
    assert isinstance(found, Boundary)
