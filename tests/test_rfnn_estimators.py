"""Best time to stop and exponent of the score error."""

import numpy as np
import pytest

from diffmemlib.estimators import rfnn as estimate
from diffmemlib.rfnn.learning_curves import learning_curves


def test_the_best_stop_is_the_minimum_of_a_dense_curve():
    error, tau = estimate.best_stop(64.0, 8.0, 0.1)
    dense = np.geomspace(10, 30, 4000)
    curve = learning_curves(dense, psi_p=64, psi_n=8, t=0.1).score_error
    assert error == pytest.approx(curve.min(), rel=1e-4)  # the parabola leaves the third order of a step of 3%
    assert tau == pytest.approx(dense[curve.argmin()], rel=1e-3)


def test_exponents_are_slopes_between_neighbours():
    table = estimate.best_stops((64.0, 512.0), (4.0, 8.0, 16.0), 0.1)
    first = table.iloc[0]
    expected = -np.log(table["score_error"][1] / table["score_error"][0]) / np.log(2)
    assert first["exponent"] == pytest.approx(expected)
    assert table["exponent"].isna().tolist() == [False, False, True] * 2


def test_eta_lies_within_its_local_exponents():
    e = estimate.eta()
    assert e.low < e.value < e.high
    assert e.low == pytest.approx(0.57, abs=0.01)


def test_a_minimum_at_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(estimate, "TAU", np.geomspace(0.3, 1.0, 50))
    with pytest.raises(ValueError, match="lies at an end"):
        estimate.best_stop(64.0, 8.5, 0.1)
