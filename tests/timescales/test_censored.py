"""Regression with bounds: the textbook's where there are none, an independent maximum where there are, coverage."""

import numpy as np
import pytest
from scipy import optimize, stats

from diffmemlib.timescales.censored import fit, maximum

SLOPE = np.array([0.0, 1.0])


def line(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones_like(x), x])


def test_without_bounds_it_is_the_textbooks_interval():
    rng = np.random.default_rng(0)
    x = np.log([32, 32, 64, 128, 256, 512.0])
    y = 3 + 0.9 * x + 0.2 * rng.standard_normal(6)
    found, book = fit(line(x), y, np.zeros(6, int), SLOPE), stats.linregress(x, y)
    half = stats.t.ppf(0.975, 4) * book.stderr
    np.testing.assert_allclose(
        [found.value, found.low, found.high], [book.slope, book.slope - half, book.slope + half], rtol=1e-10
    )
    np.testing.assert_allclose(found.coefficients, [book.intercept, book.slope], rtol=1e-10)


def censored_sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.repeat([0.0, 1, 2, 3], 3)
    y = 1 + x + 0.5 * rng.standard_normal(12)
    late, early = y > 3.5, y < 0.8
    return x, np.clip(y, 0.8, 3.5), late.astype(int) - early.astype(int)


def log_likelihood(theta: np.ndarray, x: np.ndarray, y: np.ndarray, bound: np.ndarray) -> float:
    a, b, log_sigma = theta
    z = (y - a - b * x) / np.exp(log_sigma)
    terms = np.select(
        [bound == 0, bound == 1], [stats.norm.logpdf(z) - log_sigma, stats.norm.logsf(z)], stats.norm.logcdf(z)
    )
    return float(terms.sum())


@pytest.mark.parametrize("seed", range(4))
def test_the_maximum_is_that_of_a_search_in_other_coordinates(seed: int):
    """Nelder and Mead in the coefficients and log sigma, from the definition of the likelihood."""
    x, y, bound = censored_sample(seed)
    assert (bound == 1).any() and (bound == 0).sum() > 4
    found = maximum(line(x), y, bound)
    start = np.array([1.0, 1.0, -0.7])
    search = optimize.minimize(
        lambda theta: -log_likelihood(theta, x, y, bound), start, method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000, "maxfev": 10_000},
    )  # fmt: skip
    np.testing.assert_allclose([*found.coefficients, np.log(found.sigma)], search.x, rtol=1e-5, atol=1e-6)
    assert found.likelihood == pytest.approx(-search.fun, abs=1e-8)


def test_the_ends_are_where_the_profile_has_fallen_by_what_is_allowed():
    x, y, bound = censored_sample(1)
    found, count = fit(line(x), y, bound, SLOPE), int((bound == 0).sum())
    best = maximum(line(x), y, bound).likelihood
    fall = count / 2 * np.log(1 + stats.t.ppf(0.975, count - 2) ** 2 / (count - 2))
    for end in (found.low, found.high):
        held = maximum(np.ones((12, 1)), y - end * x, bound).likelihood
        assert best - held == pytest.approx(fall, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "ends"),
    [
        (np.repeat([0.0, 1, 2, 3, 4], 3), np.repeat([np.inf, np.inf, np.inf, np.inf, 4.0], 3)),
        (np.repeat([0.0, 1, 2, 3, 4], 3), np.full(15, 3.2)),
        (np.array([0.0, 0, 1, 2, 3, 4]), np.array([np.inf, np.inf, np.inf, np.inf, 3.0, 4.0])),
    ],
    ids=["half of the largest size", "one budget for all", "one seed a size"],
)
def test_intervals_cover_the_slope_as_often_as_they_say(x: np.ndarray, ends: np.ndarray):
    """Where slow runs end before they cross; 95 of 100 within three standard deviations of a count of 300."""
    rng, covered, dropped = np.random.default_rng(3), 0, []
    for _ in range(300):
        y = x + 0.3 * rng.standard_normal(len(x))
        bound = (y > ends).astype(int)
        found = fit(line(x), np.minimum(y, ends), bound, SLOPE)
        covered += found.low <= 1 <= found.high
        if bound.any():
            dropped.append(stats.linregress(x[bound == 0], y[bound == 0]).slope)
    assert 0.912 <= covered / 300 <= 0.988
    assert np.mean(dropped) < 0.97, "leaving such runs out makes the slope small"


def test_exact_values_that_bounds_agree_with_leave_no_doubt_and_those_that_contradict_do():
    x = np.array([0.0, 1, 2, 3])
    found = fit(line(x), np.array([0.0, 1, 2, 2.5]), np.array([0, 0, 0, 1]), SLOPE)
    assert found.value == pytest.approx(1) and found.high - found.low < 1e-9
    found = fit(line(x), np.array([0.0, 1, 2, 4.0]), np.array([0, 0, 0, 1]), SLOPE)
    assert found.value > 1.05 and found.high > found.value > found.low


def test_too_few_values_give_no_certainty_or_nothing():
    x = np.array([0.0, 1, 2])
    found = fit(line(x), np.array([0.0, 1, 1.5]), np.array([0, 0, 1]), SLOPE)
    assert (found.value, found.low, found.high) == (pytest.approx(1), -np.inf, np.inf)
    with pytest.raises(ValueError, match="1 values that are not bounds do not determine 2 coefficients"):
        fit(line(x), x, np.array([0, 1, 1]), SLOPE)
