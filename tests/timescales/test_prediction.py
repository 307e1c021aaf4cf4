"""Predictions at another size: the textbook's line, and intervals that hold whatever the law behind the runs."""

import numpy as np
import pytest
from scipy import stats

from diffmemlib.timescales.prediction import STEEPER, predict


@pytest.mark.parametrize("confidence", [0.95, 0.9, 0.5])
def test_a_power_law_is_predicted_as_the_textbook_does(confidence: float):
    """scipy's line, and its interval for one more observation written out."""
    g = np.random.Generator(np.random.Philox(4))
    x = np.array([32.0, 32, 64, 64, 128, 256])
    y = 3 + 0.9 * np.log(x) + 0.1 * g.standard_normal(6)
    value, low, high = predict(x, np.exp(y), 1024, offset=False, confidence=confidence)
    line, lx = stats.linregress(np.log(x), y), np.log(x)
    s = np.sqrt(((y - line.intercept - line.slope * lx) ** 2).sum() / 4)
    half = (
        stats.t.ppf((1 + confidence) / 2, 4) * s * np.sqrt(1 + 1 / 6 + (np.log(1024) - lx.mean()) ** 2 / (6 * lx.var()))
    )
    at_1024 = line.intercept + line.slope * np.log(1024)
    np.testing.assert_allclose(np.log([value, low, high]), [at_1024, at_1024 - half, at_1024 + half], rtol=1e-9)


WORLDS = {
    "n": lambda n: 12 * n, "n^0.44": lambda n: 200 * n**0.44, "n^1.29": lambda n: 4 * n**1.29,
    "900 + 12 n": lambda n: 900 + 12 * n,
}  # fmt: skip


@pytest.mark.parametrize("times", [2, 10])
@pytest.mark.parametrize("world", WORLDS)
def test_a_prediction_holds_as_often_as_it_says_whatever_the_law(world: str, times: int):
    """95 of 100 or more, and no wider than can be helped; slope 1 alone holds 0 to 60 of 100 in three of them."""
    g, law = np.random.Generator(np.random.Philox(5)), WORLDS[world]
    x = np.array([32.0, 32, 64, 128, 256, 512])
    at, inside, width = times * 512, 0, []
    for _ in range(200):
        tau = law(np.append(x, at)) * np.exp(0.1 * g.standard_normal(7))
        _, low, high = predict(x, tau[:-1], at)
        inside += low <= tau[-1] <= high
        width.append(high / low)
    assert inside / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
    assert np.median(width) < (4 if times == 2 else 8)


def test_the_choice_between_two_laws_costs_part_of_a_coefficient():
    """Four runs, where it is felt most: with two coefficients alone 89 of 100 would hold."""
    g, law, x = np.random.Generator(np.random.Philox(6)), WORLDS["900 + 12 n"], np.array([32.0, 64, 128, 256])
    inside = 0
    for _ in range(400):
        tau = law(np.append(x, 512.0)) * np.exp(0.1 * g.standard_normal(5))
        _, low, high = predict(x, tau[:-1], 512)
        inside += low <= tau[-1] <= high
    assert inside / 400 >= 0.93


@pytest.mark.parametrize("confidence", [0.95, 0.8])
@pytest.mark.parametrize(("slope", "offset"), [(None, False), (1.0, True)])
def test_a_prediction_by_a_given_law_holds_as_often_as_it_says(slope, offset, confidence):
    g, inside, trials = np.random.Generator(np.random.Philox(5)), 0, 2000
    x = np.array([32.0, 32, 64, 64, 128])
    for _ in range(trials):
        tau = 20 * np.append(x, 512) * np.exp(0.15 * g.standard_normal(6))
        _, low, high = predict(x, tau[:-1], 512, slope=slope, offset=offset, confidence=confidence)
        inside += low <= tau[-1] <= high
    assert abs(inside / trials - confidence) < 4 * np.sqrt(confidence * (1 - confidence) / trials)


def test_an_offset_is_found_where_there_is_one():
    x = np.array([16.0, 32, 64, 128, 256])
    value, low, high = predict(x, 895 + 12 * x, 8192)
    assert value == pytest.approx(895 + 12 * 8192, rel=0.02)
    assert low < 895 + 12 * 8192 < high
    assert predict(x, 895 + 12 * x, 8192, offset=False)[0] < 0.2 * value  # a power law alone


def test_predictions_hold_what_was_not_seen_and_say_where_nothing_is_known():
    tau, censored = [320.0, 640.0, 900.0], [False, False, True]
    value, low, high = predict([32, 64, 128], tau, 256, censored)
    assert value == pytest.approx(2560)
    assert (low, high) == (0, np.inf)
    assert predict([32, 64, 128], tau, 256, censored, slope=1.0) == pytest.approx((2560, 2560, 2560))
    assert predict([32], tau[:1], 64, slope=1.0) == (pytest.approx(640), 0, np.inf)
    assert predict([32, 64, 128], [320.0, 640.0, 2560.0], 256, censored, slope=1.0)[0] > 2560, "it took longer"
    with pytest.raises(ValueError, match="1 size"):
        predict([32, 32, 128], [*tau[:1], *tau[:1], tau[2]], 256, [False, False, True])


def test_three_runs_give_a_wide_interval_and_no_absurd_one():
    """One degree of freedom: were half of it spent on the choice of a law, it would span 19 orders of magnitude."""
    g, law, x = np.random.Generator(np.random.Philox(8)), WORLDS["n"], np.array([32.0, 64, 128])
    inside, width = 0, []
    for _ in range(200):
        tau = law(np.append(x, 256.0)) * np.exp(0.1 * g.standard_normal(4))
        _, low, high = predict(x, tau[:-1], 256)
        inside += low <= tau[-1] <= high
        width.append(high / low)
    assert inside / 200 >= 0.93
    assert np.median(width) < 1e4


@pytest.mark.parametrize("law", ["n", "900 + 12 n"])
def test_steeper_powers_widen_the_interval_upwards_alone(law):
    x = np.array([16.0, 16, 16, 32, 32, 32])
    tau = WORLDS[law](x) * np.exp(0.1 * np.array([1.0, -1, 0.2, 0.7, -0.8, 0.1]))
    value, low, high = predict(x, tau, 128)
    wide = predict(x, tau, 128, powers=STEEPER)
    assert wide[:2] == pytest.approx((value, low), rel=1e-9) and wide[2] > 1.2 * high
    assert predict(x, tau, 128, powers=(1.0,)) == (value, low, high)


@pytest.mark.parametrize("b", [1.5, 2.0])
def test_growth_that_becomes_steeper_is_held_by_the_powers_that_allow_it(b):
    g, x, held, narrow, trials = np.random.Generator(np.random.Philox(9)), np.array([16.0, 32] * 3), 0, 0, 60
    for _ in range(trials):
        tau = (900 + 0.5 * np.append(x, 128) ** b * 32 ** (2 - b)) * np.exp(0.05 * g.standard_normal(7))
        held += predict(x, tau[:-1], 128, powers=STEEPER)[2] > tau[-1]
        narrow += predict(x, tau[:-1], 128)[2] > tau[-1]
    assert held >= 0.9 * trials and (narrow < held if b == 2 else narrow <= held)


@pytest.mark.parametrize("steeper", [(1.0,), STEEPER])
def test_an_interval_of_less_confidence_lies_within(steeper):
    x = np.array([16.0, 16, 32, 32, 64, 64])
    tau = WORLDS["900 + 12 n"](x) * np.exp(0.1 * np.array([1.0, -1, 0.2, 0.7, -0.8, 0.1]))
    wide, narrow = (predict(x, tau, 256, powers=steeper, confidence=c) for c in (0.95, 0.9))
    assert wide[0] == narrow[0] and wide[1] < narrow[1] < narrow[0] < narrow[2] < wide[2]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, np.nan])
def test_a_confidence_that_cannot_be_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        predict([16, 32, 64], [1.0, 2.0, 4.0], 128, confidence=confidence)


@pytest.mark.parametrize("powers", [(), (0.0,), (1.0, np.inf)])
def test_powers_that_cannot_be_are_refused(powers):
    with pytest.raises(ValueError, match="powers"):
        predict([16, 32, 64], [1.0, 2.0, 4.0], 128, powers=powers)
