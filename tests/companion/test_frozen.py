"""Numbers of the page on frozen noise: against the limit itself, matrices at finite d, and stored flows."""

from math import inf

import numpy as np
import pandas as pd
import pytest
from torch.nn import functional as F

from diffmemlib import GradientFlow, covariance_atoms, learning_curves
from diffmemlib.companion.estimators import frozen as estimate, rfnn
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data.digits import digits

CASE = {"psi_p": 4.0, "psi_n": 2.0, "t": 0.3}


def test_the_best_stop_is_that_of_fresh_noise_where_noises_are_many():
    error, tau = rfnn.best_stop(64.0, 8.0, 0.1)
    found = estimate.stop(64.0, 8.0, 0.1)
    assert found.best == pytest.approx(error, rel=1e-3)
    assert found.tau == pytest.approx(tau, rel=5e-3)
    assert estimate.stop(64.0, 8.0, 0.1, noises=1e9).best == pytest.approx(error, rel=1e-3)


def test_the_lowest_point_is_that_of_a_parabola_between_the_grid_or_an_end():
    x = np.geomspace(1, 100, 21)
    place, value = rfnn.lowest(x, 3 + (np.log(x) - np.log(7.3)) ** 2)
    assert (place, value) == (pytest.approx(7.3), pytest.approx(3))
    assert rfnn.lowest(x, 1 / x) == (100, pytest.approx(0.01))
    assert rfnn.lowest(x, x) == (1, 1)


def test_the_window_ends_where_the_error_has_grown_by_a_tenth():
    found = estimate.stop(**CASE, noises=3)
    ends = learning_curves([found.low, found.tau, found.high], **CASE, noises=3).score_error
    np.testing.assert_allclose(ends, [1.1 * found.best, found.best, 1.1 * found.best], rtol=3e-3)
    assert found.low < found.tau < found.high
    assert found.late == pytest.approx(float(learning_curves(1e7, **CASE, noises=3).score_error))


def test_a_window_that_never_ends_says_so():
    table = estimate.stops([{"ridge": 0.0}, {"ridge": 30.0}], psi_p=64.0, psi_n=8.0, t=0.1)
    assert table["noises"].tolist() == [inf, inf]
    assert table["high"].tolist() == [pytest.approx(table["high"].iloc[0]), inf]
    assert table["best"].iloc[1] == pytest.approx(table["late"].iloc[1], rel=1e-3)
    assert table["tau"].tolist() == [pytest.approx(16.03, rel=1e-3), inf], "on a plateau no time is the best"


def test_no_ridge_of_a_fine_grid_is_better_than_the_best():
    table = estimate.ridge_against_stopping([8.0], psi_p=64.0, t=0.1).iloc[0]
    fine = [estimate.at_the_end(ridge, 64.0, 8.0, 0.1) for ridge in np.geomspace(3, 6, 13)]
    assert table["by_ridge"] == pytest.approx(min(fine), rel=2e-3)
    assert table["stop"] < table["by_ridge"] < table["by_edge"]


def test_noises_needed_are_read_between_rows():
    table = pd.DataFrame({"noises": [1.0, 4.0, 16.0, inf], "best": [4.0, 2.0, 1.2, 1.0]})
    assert estimate.noises_needed(table, 1.0, 2.0) == 4
    assert estimate.noises_needed(table, 1.0, 1.6) == pytest.approx(8)
    assert estimate.noises_needed(table, 1.0, 5.0) == 1
    assert estimate.noises_needed(table, 1.0, 1.1) == inf
    assert estimate.noises_needed(table, 0.5, 1.1) == inf


@pytest.mark.parametrize(("sweep", "key"), [("rfnn-noises", "noises"), ("rfnn-ridge", "ridge")])
def test_stored_flows_lie_on_the_limit(sweep: str, key: str):
    """Within what finite d costs, until long after the best time to stop."""
    runs = sweep_results(sweep)
    table = estimate.with_limit(runs, key)
    assert set(table[key]) == {r.config.get(key, 0) for r in runs}
    early = table[table["tau"] < 300]
    assert (early["mean"] / early["limit"] - 1).abs().max() < 12 / runs[0].config["d"]


def test_what_finite_dimension_costs_halves_where_each_eigenvalue_is_taken_twice():
    """The covariance of digits at 8 x 8 pixels: late in training flows lie off the limit, in proportion to 1/d."""
    images = F.avg_pool2d(digits("train", 16)[0].double(), 2).flatten(1).numpy()
    images /= np.sqrt(images.var(0, ddof=1).mean())
    limit = learning_curves(1e6, psi_p=4, psi_n=4, t=0.1, covariance=covariance_atoms(images, 10**6))
    off = []
    for copies, draws in ((1, 16), (2, 8)):
        variances = np.repeat(np.maximum(np.linalg.eigvalsh(np.cov(images.T)), 0), copies)
        found, d = [], len(variances)
        for seed in range(draws):
            rows = np.random.default_rng([copies, seed])
            W, X = rows.standard_normal((4 * d, d)), np.sqrt(variances) * rows.standard_normal((4 * d, d))
            found.append(float(GradientFlow(W, X, 0.1, variances).losses(1e6).score_error))
        off.append(np.mean(found) - float(limit.score_error))
    assert off[0] / off[1] == pytest.approx(2, rel=0.25)
