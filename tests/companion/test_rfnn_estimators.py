"""Best time to stop, exponents of the score error and of the times, and what stored runs say of both."""

import numpy as np
import pytest

from diffmemlib.companion.estimators import rfnn as estimate
from diffmemlib.companion.figures import rfnn as draw, rfnn_spectrum as draw_spectrum
from diffmemlib.companion.sweeps.tables import sweep_results
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


def test_eta_lies_between_its_local_exponents():
    local = [estimate.eta(from_psi_n=psi_n).value for psi_n in (4, 8, 16)]
    assert local == pytest.approx(estimate.best_stops((64.0,), (4, 8, 16, 32), 0.1)["exponent"].dropna())
    assert min(local) < estimate.eta().value < max(local) and local[0] == pytest.approx(0.57, abs=0.01)


def test_an_exact_exponent_is_that_of_a_power_everywhere_and_else_of_neighbours():
    x = [2.0, 4.0, 16.0]
    assert [estimate.exact_exponent(x, [3 * v**1.5 for v in x], at).value for at in (None, 2, 4)] == pytest.approx(
        [1.5] * 3
    )
    found = estimate.exact_exponent(x, [1.0, 8.0, 16.0], 4)
    assert (found.value, found.low, found.high, found.kind) == (pytest.approx(0.5), found.value, found.value, "number")
    with pytest.raises(ValueError):
        estimate.exact_exponent(x, x, 3)


def test_a_minimum_at_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(estimate, "TAU", np.geomspace(0.3, 1.0, 50))
    with pytest.raises(ValueError, match="lies at an end"):
        estimate.best_stop(64.0, 8.5, 0.1)


def test_gap_times_are_crossings_of_the_limit():
    table = estimate.gap_times((64.0,), (4.0, 8.0), 0.1, (0.3,))
    for row in table.itertuples():
        c = learning_curves(row.tau, psi_p=64, psi_n=row.psi_n, t=0.1)
        assert float(c.test - c.train) == pytest.approx(0.3, abs=1e-3)
    assert table["exponent"].iloc[0] == pytest.approx(np.log2(table["tau"].iloc[1] / table["tau"].iloc[0]))
    never = estimate.gap_times((2.0,), (64.0,), 0.1, (0.9,))
    assert never["tau"].isna().all()


@pytest.mark.parametrize("sweep", ["rfnn-n", "rfnn-times", "rfnn-variance"])
def test_stored_flows_lie_on_the_limit(sweep: str):
    """Within 1/d times a constant, until the losses have parted far; d = 100 and 50."""
    for r in sweep_results(sweep):
        table = draw.with_limit(r)
        early = table[table["gap (limit)"] < 0.3]
        assert len(early) > 40
        for name in ("train", "test"):
            assert (early[name] - early[f"{name} (limit)"]).abs().max() < 3 / r.config["d"]


def test_what_the_spectrum_sets_is_seen_in_stored_eigenvalues():
    low, high, shift = estimate.second_bulk_low(), estimate.second_bulk_high(), estimate.first_bulk_shift()
    (run,) = (r for r in sweep_results("rfnn-spectrum") if r.config["low"] == r.config["high"])
    counted = run.samples["eigenvalues"][-run.config["d"] :]  # d of them: the mass 1/psi_p
    assert counted.min() == pytest.approx(low.value, rel=0.1) and counted.max() == pytest.approx(high.value, rel=0.1)
    assert 0 < shift.value < 0.05


def test_adam_times_are_those_of_the_stored_gaps():
    table = estimate.adam_times()
    assert table["psi_n"].tolist() == [4, 8, 16, 32]
    first = [r for r in sweep_results("rfnn-adam") if r.config["psi_n"] == 4]
    gaps = [
        np.interp(np.log(table["steps"][0]), np.log(estimate.loss_gap(r).index), estimate.loss_gap(r)) for r in first
    ]
    assert np.mean(gaps) == pytest.approx(estimate.GAP, rel=0.1)


def test_the_slider_holds_every_frame_and_the_times_move():
    figure = draw_spectrum.spectrum_slider(16, (2, 4, 8), 0.1, start=1)
    times = [frame.data[4].x[0] for frame in figure.frames]
    assert times == sorted(times)
    assert len(set(times)) == 3
    assert list(figure.data[4].x) == list(figure.frames[1].data[4].x)


def test_the_map_grows_with_features_and_shrinks_with_data():
    _, table = draw.gap_map((2.0, 4.0, 8.0, 32.0), 0.1, (1e3, 1e4), 0.1)
    late = table[table["tau"] == 1e4].pivot(index="psi_p", columns="psi_n", values="gap")
    assert (late.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    assert late.loc[32, 2] > late.loc[2, 2]
