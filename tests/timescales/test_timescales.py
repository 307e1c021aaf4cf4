"""Crossing times, exponents and collapse on curves whose answer is known."""

import numpy as np
import pytest

from diffmemlib.timescales.crossings import (
    Boundary,
    Timescale,
    first_crossing,
    phase_boundary,
    share_crossing,
    times_and_bounds,
    value_at,
)
from diffmemlib.timescales.power_laws import (
    collapse_exponent,
    exponent,
    fit_sum,
    geometric_mean,
)
from diffmemlib.timescales.prediction import predict

N = np.repeat([64, 128, 256, 512, 1024], 3)


def test_crossing_is_interpolated_in_log_tau():
    t = first_crossing([10, 1000], [0.0, 0.4], 0.1)
    assert t.status == "interpolated"
    assert t.tau == pytest.approx(10 * 100**0.25)


def test_falling_curves_cross_downwards():
    t = first_crossing([1, 10, 100], [8, 4, 2], 3, rising=False)
    assert t.tau == pytest.approx(10 * 10**0.5)


def test_a_dip_that_the_curve_takes_back_is_not_the_fall():
    tau, dips = [1, 10, 100, 1000, 10_000], [8, 2, 8, 2, 6]
    assert first_crossing(tau, dips, 5, rising=False).tau == pytest.approx(10**0.5)
    lasting = {"rising": False, "lasting": True}
    deeper = first_crossing(tau, [8, 2, 8, 1, 6], 5, **lasting)
    assert deeper.tau == pytest.approx(100 * 10 ** (3 / 7)), "before its smallest value"
    assert first_crossing(tau, [8, 6, 4, 2, 6], 5, **lasting) == first_crossing(tau, [8, 6, 4, 2, 6], 5, rising=False)
    assert first_crossing(tau, [4, 3, 2, 2, 6], 5, **lasting) == Timescale(1.0, "at first point")
    assert first_crossing(tau, [4, 6, 2, 2, 6], 5, **lasting).tau == pytest.approx(10 * 10**0.25)
    assert first_crossing(tau, dips, 1, **lasting) == Timescale(10_000.0, "censored")
    assert first_crossing(tau, [0, 3, 0, 4, 1], 2, lasting=True).tau == pytest.approx(100 * 10**0.5)


def test_censored_and_early_runs_are_told_apart():
    assert first_crossing([1, 10], [0, 0.05], 0.1) == Timescale(10.0, "censored")
    assert first_crossing([1, 10], [0.2, 0.3], 0.1) == Timescale(1.0, "at first point")


@pytest.mark.parametrize(("tau", "value"), [([], []), ([1, 2], [0]), ([2, 1], [0, 1]), ([0, 1], [0, 1])])
def test_bad_curves_are_refused(tau, value):
    with pytest.raises(ValueError, match="tau"):
        first_crossing(tau, value, 0.1)


def test_an_exact_power_law_has_its_exponent_and_no_width():
    fit = exponent(N, [7 * n**1.3 for n in N])
    assert fit.value == pytest.approx(1.3)
    assert fit.high - fit.low < 1e-9
    assert fit.prefactor == pytest.approx(7)


@pytest.mark.parametrize(
    ("x", "groups"),
    [
        (2.0 ** np.arange(3), None),
        (2.0 ** np.arange(4), None),
        (N, None),
        (np.tile([8, 16, 32], 2), np.repeat([1, 2], 3)),
        (np.tile([8, 16, 32], 4), np.repeat([1, 2, 3, 4], 3)),
    ],
    ids=["3 runs", "4 runs", "15 runs", "2 groups", "4 groups"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(x, groups):
    """95 of 100, within 2.9 standard deviations of a binomial count: few runs, where it is hard, and many."""
    rng, trials, covered = np.random.default_rng(0), 1000, 0
    offset = 1.0 if groups is None else 3.0**groups
    for _ in range(trials):
        noisy = offset * x * np.exp(0.1 * rng.standard_normal(len(x)))
        fit = exponent(x, noisy, groups=groups)
        covered += fit.low <= 1 <= fit.high
    assert 0.93 <= covered / trials <= 0.97


def test_a_run_that_ended_before_enters_as_a_bound():
    times = [Timescale(200.0 * n, "interpolated") for n in N]
    times[-1] = Timescale(1000.0, "censored")  # as a time it would pull the slope down
    fit = exponent(N, times)
    assert fit.value == pytest.approx(1)
    assert (fit.points, fit.bounds, fit.left_out) == (15, 1, 0)
    assert exponent(N, *times_and_bounds(times)) == fit
    times[0] = Timescale(200.0 * N[0] / 2, "at first point")  # earlier than half of what the others say
    assert exponent(N, times).value > 1.01


def test_slow_runs_that_ended_before_do_not_make_growth_look_slow():
    """Three seeds a size that scatter by 0.3; at the largest the two slower ones ended before they crossed."""
    scatter = np.exp(0.3 * np.tile([-1.0, 0.0, 1.0], 5))
    tau, bound = 200 * N * scatter, np.zeros(15, int)
    tau[-2:], bound[-2:] = 200 * 1024 * np.exp(-0.2), 1
    fit, dropped = exponent(N, tau, bound), exponent(N[:-2], tau[:-2])
    assert fit.value == pytest.approx(1, abs=0.03)
    assert dropped.value < 0.97


def test_groups_share_the_exponent_and_have_their_own_prefactor():
    widths, n = np.tile([8, 16, 32], 3), np.repeat([32, 64, 128], 3)
    fit = exponent(widths, 9 * n**1.3 / widths, groups=n)
    assert fit.value == pytest.approx(-1)
    assert fit.high - fit.low < 1e-9
    assert fit.prefactor == pytest.approx(9 * 64**1.3)


def test_a_group_without_a_known_time_is_left_out():
    widths, n = np.tile([8, 16, 32], 2), np.repeat([32, 64], 3)
    times = [Timescale(9.0 * m / w, "interpolated") for w, m in zip(widths, n, strict=True)]
    times[3] = Timescale(1.0, "censored")
    fit = exponent(widths, times, groups=n)
    assert fit.value == pytest.approx(-1)
    assert (fit.points, fit.bounds, fit.left_out) == (6, 1, 0)
    times[3:] = [Timescale(0.1, "censored")] * 3
    fit = exponent(widths, times, groups=n)
    assert (fit.points, fit.bounds, fit.left_out) == (3, 0, 3)


def test_a_mean_of_ratios_holds_what_was_not_seen():
    """True ratio 4, runs that end at 5: the mean of those that were seen would be near 3."""
    rng, covered, seen = np.random.default_rng(0), 0, []
    for _ in range(300):
        ratio = 4 * np.exp(0.5 * rng.standard_normal(12))
        bound = (ratio > 5).astype(int)
        _, low, high = geometric_mean(np.minimum(ratio, 5), bound)
        covered += low <= 4 <= high
        seen.append(np.exp(np.log(ratio[bound == 0]).mean()))
    assert 0.912 <= covered / 300 <= 0.988
    assert np.mean(seen) < 3.3
    assert geometric_mean([2.0, 8.0])[0] == pytest.approx(4)
    low_and_high = np.log(geometric_mean([2.0, 8.0])[1:])
    np.testing.assert_allclose(low_and_high, np.log(4) + np.array([-1, 1]) * 12.706 * np.log(2) / 1, rtol=1e-4)
    with pytest.raises(ValueError, match=r"1 run\(s\) saw what is averaged here"):
        geometric_mean([2.0, 3.0], [0, 1])


def test_an_exponent_needs_two_sizes():
    with pytest.raises(ValueError, match="two sizes"):
        exponent([64, 128], [1.0, 1.0], [0, 1])
    with pytest.raises(ValueError, match="two sizes"):
        exponent([64, 64], [1.0, 1.0])


def rise(tau: np.ndarray, tau_mem: float) -> np.ndarray:
    return 1 / (1 + (tau_mem / tau) ** 3)


def test_collapse_finds_the_power_that_was_put_in():
    tau = np.geomspace(10, 1e6, 80)
    curves = [(tau, rise(tau, 200 * n**0.8)) for n in N]
    fit = collapse_exponent(N, curves, [0.05, 0.1, 0.5])
    assert fit.value == pytest.approx(0.8, abs=0.005)
    assert fit.rms_factor < 1.01


def test_a_level_leaves_out_the_sizes_that_do_not_reach_it():
    """Runs at the largest n end early: the high level is compared on the other sizes, and a stays what it was."""
    tau = np.geomspace(10, 1e6, 80)
    ends = np.where(N == 1024, 0.15, 2.0)
    curves = [(tau[v <= end], v[v <= end]) for n, end in zip(N, ends, strict=True) for v in [rise(tau, 200 * n**0.8)]]
    fit = collapse_exponent(N, curves, [0.05, 0.5])
    assert fit.levels == (0.05, 0.5)
    assert fit.value == pytest.approx(0.8, abs=0.005)
    one_size = [(t, v) if n == 64 else (t[v < 0.15], v[v < 0.15]) for n, (t, v) in zip(N, curves, strict=True)]
    assert collapse_exponent(N, one_size, [0.05, 0.5]).levels == (0.05,)
    with pytest.raises(ValueError, match="no level"):
        collapse_exponent(N, curves, [1.1])


def test_a_crossing_by_the_cubic_is_nearer_where_a_rise_bends():
    """A rise that is logistic in sqrt(log tau), so that its logit bends, known without noise at few milestones."""
    share = lambda tau: 1 / (1 + np.exp(-12 * (np.sqrt(np.log(tau)) - 2.5)))  # noqa: E731
    errors = {}
    for curved in (False, True):
        found = []
        for shift in np.linspace(0, 1, 7):
            tau = np.geomspace(20, 20_000, 9) * 1.5**shift
            crossing = share_crossing(tau, share(tau), 10**7, 0.1, curved)
            truth = np.exp((2.5 + np.log(0.1 / 0.9) / 12) ** 2)
            found.append(abs(np.log(crossing.tau / truth)))
        errors[curved] = np.mean(found)
    assert errors[True] < 0.5 * errors[False]
    assert share_crossing([1, 10], [0.0, 0.01], 100, 0.5, curved=True).status == "censored"
    assert share_crossing([1, 10], [0.6, 0.7], 100, 0.5, curved=True).status == "at first point"


def test_the_collapse_of_shares_allows_for_its_interpolation():
    """Without scatter all error is that of interpolation between milestones, at other places on the rise of each n."""
    n = np.repeat([64.0, 128.0, 256.0], 2)
    share = lambda tau: 1 / (1 + np.exp(-12 * (np.sqrt(np.log(tau)) - 2.5)))  # noqa: E731
    held = 0
    for a in np.linspace(0.7, 1.2, 11):
        milestones = np.geomspace(20, 200_000, 11)
        curves = [(milestones, share(np.maximum(milestones / size**a * 64**a, 1.0))) for size in n]
        fit = collapse_exponent(n, curves, [0.02, 0.1, 0.3], 10**7)
        held += fit.low <= a <= fit.high
    assert held >= 10


def test_a_curve_that_crosses_no_level_enters_the_collapse_as_a_bound():
    """Two of the three seeds at the largest n ended early: they are as slow as the third, or slower."""
    tau = np.geomspace(10, 1e6, 80)
    g = np.random.Generator(np.random.Philox(7))
    curves = [(tau, rise(tau, 200 * n**0.8 * np.exp(0.1 * g.standard_normal()))) for n in N]
    whole = collapse_exponent(N, curves, [0.05, 0.5])
    cut = [(t[v < 0.04], v[v < 0.04]) if i > 12 else (t, v) for i, (t, v) in enumerate(curves)]
    fit = collapse_exponent(N, cut, [0.05, 0.5])
    assert fit.value == pytest.approx(0.8, abs=0.08)
    assert fit.low < 0.8 < fit.high
    assert fit.high - fit.low > whole.high - whole.low
    without = collapse_exponent(N[:-2], curves[:-2], [0.05, 0.5])
    assert fit.value != pytest.approx(without.value, abs=1e-4), "their bounds count"


@pytest.mark.parametrize("sizes", [[64, 128, 256, 512], N], ids=["4 runs", "15 runs"])
def test_collapse_intervals_cover_the_truth_as_often_as_they_say(sizes):
    rng, tau, trials, covered = np.random.default_rng(1), np.geomspace(10, 1e6, 60), 400, 0
    for _ in range(trials):
        curves = [(tau, rise(tau, 200 * n * np.exp(0.1 * rng.standard_normal()))) for n in sizes]
        fit = collapse_exponent(sizes, curves, [0.05, 0.2, 0.5])
        covered += fit.low <= 1 <= fit.high
    assert 0.92 <= covered / trials <= 0.98


GEN = Timescale(100.0, "interpolated")
TAU = [10.0, 1000.0]


def flat(*values: float):
    """Curves that stay at a value."""
    return [(TAU, [v, v]) for v in values]


def test_a_curve_is_read_between_milestones_in_log_tau():
    assert value_at(TAU, [0.0, 0.4], 100) == pytest.approx(0.2)
    assert value_at(TAU, [0.0, 0.4], 9) is None
    assert value_at(TAU, [0.0, 0.4], 1001) is None


def test_the_boundary_of_curves_that_collapse_is_the_law_behind_them():
    """f_mem = g(tau/n) with g = epsilon at tau/n = 5: the boundary at c tau_gen is n = c tau_gen / 5, here 20 c."""
    tau, n = np.geomspace(1, 1e5, 200), np.geomspace(1, 4096, 60)
    curves = [(tau, 0.05 * np.log(tau / size) / np.log(5)) for size in n]
    for c in (1, 3, 8):
        found = phase_boundary(n, curves, GEN, c, epsilon=0.05)
        assert found.status == "interpolated"
        assert found.n == pytest.approx(20 * c, rel=1e-3)


@pytest.mark.parametrize(
    ("curves", "epsilon", "expected"),
    [
        (flat(0.4, 0.2, 0.0), 0.1, Boundary(64 * 2**1.5, "interpolated")),
        (flat(0.4, 0.1, 0.0), 0.1, Boundary(128, "on grid")),
        (flat(0.4, 0.2, 0.0), 0.0, Boundary(256, "on grid")),
        (flat(0.4, 0.3, 0.2), 0.1, Boundary(256, "above range")),
        (flat(0.05, 0.0, 0.0), 0.1, Boundary(64, "below range")),
        (flat(0.0, 0.0, 0.0), 0.0, Boundary(64, "below range")),
        (flat(0.0, 0.4, 0.0), 0.1, Boundary(128, "not monotone")),
        (flat(0.4, 0.0, 0.3), 0.1, Boundary(256, "not monotone")),
        ([*flat(0.0), ([10, 90], [0, 0.4]), *flat(0.0)], 0.1, Boundary(128, "not monotone")),  # ended, had copies
        ([([10, 90], [0, 0.01]), *flat(0.0, 0.0)], 0.1, Boundary(64, "censored")),
        ([*flat(0.0), ([10, 90], [0, 0.01]), *flat(0.0)], 0.1, Boundary(64, "below range")),
        ([*flat(0.4), ([10, 90], [0, 0.01]), *flat(0.0)], 0.1, Boundary(128, "censored")),  # ended before
        ([([10, 90], [0, 0.4]), *flat(0.2, 0.0)], 0.1, Boundary(64 * 2**1.5, "interpolated")),  # ended, had copies
        ([*flat(0.4), ([10, 90], [0, 0.4]), *flat(0.0)], 0.1, Boundary(128, "censored")),
        ([*flat(0.4), ([200, 900], [0.05, 0.4]), *flat(0.0)], 0.1, Boundary(64, "censored")),
        ([([200, 900], [0.3, 0.4]), *flat(0.0, 0.0)], 0.1, Boundary(64, "censored")),
    ],
)
def test_every_way_a_boundary_is_found_or_not(curves, epsilon: float, expected: Boundary):
    found = phase_boundary([64, 128, 256], curves, GEN, epsilon=epsilon)
    assert found.status == expected.status
    assert found.n == pytest.approx(expected.n)


def test_a_boundary_needs_a_known_time_and_sorted_sizes():
    assert phase_boundary([64], flat(0.4), Timescale(5.0, "censored")).status == "censored"
    with pytest.raises(ValueError, match="must be positive and increasing, with a curve for each of its 2 sizes"):
        phase_boundary([128, 64], flat(0.1, 0.1), GEN)
    with pytest.raises(ValueError, match=r"epsilon = 1\.0"):
        phase_boundary([64], flat(0.1), GEN, epsilon=1.0)


def test_two_runs_give_a_slope_and_no_certainty():
    fit = exponent([64, 128], [100.0, 200.0])
    assert fit.value == pytest.approx(1.0)
    assert (fit.low, fit.high) == (-np.inf, np.inf)


# The runs of the book's page on full batches.
DELAYED = np.array([16, 16, 32, 32, 32, 64, 128, 256, 512, 16, 32, 64, 64, 32, 64, 128, 256, 16], float)
DRAWN = np.array([16, 16, 32, 32, 32, 32, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 512], float)


@pytest.mark.parametrize("true", [(1000.0, 8.0), (200.0, 900.0, 12.0)])
def test_intervals_of_delays_cover_the_truth_as_often_as_they_say(true):
    parts = np.stack([np.ones_like(DELAYED), DELAYED / DRAWN, DELAYED], axis=1)[:, -len(true) :]
    rng, trials, covered = np.random.default_rng(2), 1000, np.zeros(len(true))
    for _ in range(trials):
        fit = fit_sum(parts, parts @ true * rng.lognormal(0, 0.19, len(parts)))
        covered += [low <= value <= high for (_, low, high), value in zip(fit.coefficients, true, strict=True)]
    assert np.all((covered / trials >= 0.93) & (covered / trials <= 0.97)), covered / trials


def test_the_criterion_of_a_sum_is_that_of_a_regression_and_prefers_what_made_the_times():
    rng, prefers = np.random.default_rng(0), 0
    both = np.stack([np.ones_like(DELAYED), DELAYED / DRAWN, DELAYED], axis=1)
    for _ in range(50):
        tau = both @ (300.0, 900.0, 12.0) * rng.lognormal(0, 0.1, len(both))
        prefers += fit_sum(both, tau).aicc < fit_sum(both[:, 1:], tau).aicc
    assert prefers >= 48
    one = np.log(tau / DELAYED)  # of one delay, the fit is a mean of logarithms
    fit = fit_sum(DELAYED[:, None], tau)
    assert fit.coefficients[0][0] == pytest.approx(np.exp(one.mean()), rel=1e-6)
    m = len(one)
    assert fit.aicc == pytest.approx(m * np.log(one.var()) + 4 + 12 / (m - 3))


@pytest.mark.parametrize(
    ("n", "draws", "tau", "words"),
    [
        ([16, 32, 64, 128, 16], [32] * 5, [9.0] * 5, "these 5 runs do not tell 2 delays apart: add runs"),
        ([16, 32, 64, 16], [16, 32, 128, 64], [9.0] * 4, r"4 run\(s\) are too few for 2 delays: 5 are needed"),
        ([16, 32, 64, 16, 8], [16, 32, 128, 64, 8], [9.0, 0.0, 9.0, 9.0, 9.0], "have to be positive"),
        ([16, 32, 64, 16, 8], [16, 32, 128, 64, 8], [9.0, np.nan, 9.0, 9.0, 9.0], "have to be positive"),
        ([16, 0, 64, 16, 8], [16, 32, 128, 64, 8], [9.0] * 5, "have to be positive"),
    ],
)
def test_runs_that_tell_no_delays_are_refused(n, draws, tau, words):
    with pytest.raises(ValueError, match=words):
        fit_sum(np.stack([np.array(n) / draws, n], axis=1).astype(float), tau)


def test_a_curve_that_touches_the_threshold_has_reached_it():
    assert first_crossing([1, 10, 100], [0.0, 0.2, 0.4], 0.2) == Timescale(pytest.approx(10.0), "interpolated")
    assert first_crossing([1, 10, 100], [0.2, 0.3, 0.4], 0.2) == Timescale(1.0, "at first point")
    assert first_crossing([1, 10], [0.0, 0.2], 0.2) == Timescale(pytest.approx(10.0), "interpolated")
    assert first_crossing([1, 10], [3.0, 2.0], 2.0, rising=False).status == "interpolated"


@pytest.mark.parametrize("status", ["at first point", "censored"])
def test_a_boundary_is_not_drawn_at_a_time_that_is_only_a_bound(status):
    curves = [([1, 10, 100], [0.0, 0.5, 1.0]), ([1, 10, 100], [0.0, 0.0, 0.5])]
    assert phase_boundary([64, 128], curves, Timescale(10.0, status)) == Boundary(64.0, "censored")
    assert phase_boundary([64, 128], curves, Timescale(10.0, "interpolated")).status == "interpolated"


@pytest.mark.parametrize(("tau", "value"), [([1, 10], [0.0, np.nan]), ([1, np.inf], [0.0, 1.0])])
def test_what_is_no_number_is_refused_and_never_interpolated(tau, value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        first_crossing(tau, value, 0.5)


@pytest.mark.parametrize(
    ("x", "tau", "censored", "message"),
    [
        ([1, 2], [1.0, np.nan], None, "tau holds numbers that are not positive"),
        ([1, 0], [1.0, 2.0], None, "x holds numbers that are not positive"),
        ([1, 2], [1.0], None, "give one of each for every run"),
        ([1, 2], [1.0, 2.0], [False], "give one of each for every run"),
        ([1, 2], [1.0, 2.0], [0, 2], "censored holds other numbers than 0"),
    ],
)
def test_a_fit_takes_one_positive_number_for_each_run(x, tau, censored, message: str):
    with pytest.raises(ValueError, match=message):
        exponent(x, tau, censored)
    with pytest.raises(ValueError, match=message):
        predict(x, tau, 4, censored)


BAD_CURVES = {
    "NaN": ([1, 10, 100], [0, np.nan, 0.5], "hold NaN"),
    "unsorted": ([1, 100, 10], [0, 0, 0.5], "positive and increasing"),
    "empty": ([], [], "equally long"),
    "masked": ([1, 10, 100], np.ma.masked_array([0, 0.1, 0.5], mask=[0, 1, 0]), "masked array"),
}


@pytest.mark.parametrize("kind", list(BAD_CURVES))
def test_a_boundary_takes_no_curve_in_which_something_is_unknown(kind: str):
    tau, f_mem, sentence = BAD_CURVES[kind]
    with pytest.raises(ValueError, match=sentence):
        phase_boundary([10, 20], [(tau, f_mem), ([1, 10, 100], [0, 0, 0])], Timescale(5.0, "interpolated"))
    with pytest.raises(ValueError, match=sentence):
        first_crossing(tau, f_mem, 0.2)


@pytest.mark.parametrize("n", [[0, 20], [-5, 20], [np.nan, 20], [20, np.inf]])
def test_a_boundary_takes_no_impossible_sizes(n):
    with pytest.raises(ValueError, match="must be positive and increasing"):
        phase_boundary(n, 2 * flat(0.4), Timescale(5.0, "interpolated"))


def test_numbers_that_are_none_are_refused_as_levels_and_slopes():
    with pytest.raises(ValueError, match="threshold = nan"):
        first_crossing([1, 10], [0, 1], np.nan)
    with pytest.raises(ValueError, match="slope = nan"):
        predict([32, 64], [100, 200], 128, slope=np.nan)
    with pytest.raises(ValueError, match="threshold = nan"):
        collapse_exponent([1, 2], [([1, 10], [0, 1]), ([1, 10], [0, 1])], [np.nan, 0.5])


def test_runs_and_what_is_said_of_them_are_of_one_length_and_kind():
    x, tau = [32, 64, 128], [1000, 2000, 4100]
    crossings = [Timescale(t, "interpolated") for t in tau]
    assert exponent(x, np.array(crossings, object)).value == exponent(x, tau).value
    for call, sentence in (
        (lambda: exponent(x, tau, groups=[0, 1]), "give one for each of the 3 runs"),
        (lambda: exponent(x, [*crossings[:2], 4100]), "all of one kind"),
        (lambda: exponent(x, np.ma.masked_array(tau, mask=[0, 1, 0])), "masked array"),
        (lambda: exponent(x, tau, censored=[0, 0.7, 0]), "other numbers than 0"),
        (lambda: collapse_exponent([1, 2, 3], [([1, 10], [0, 1])] * 2, [0.5]), "for each of the 2 curves"),
        (lambda: collapse_exponent([1, -2], [([1, 10], [0, 1])] * 2, [0.5]), "positive number"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
