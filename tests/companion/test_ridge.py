"""Weight decay against stopping: the best of each, where another search finds the same."""

import json
from math import inf

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from typer.testing import CliRunner

from diffmemlib import GradientFlow, learning_curves
from diffmemlib.__main__ import app
from diffmemlib.companion.estimators import frozen
from diffmemlib.places import checkout


@pytest.mark.parametrize(("case", "noises"), [((64.0, 8.0, 0.1), inf), ((4.0, 2.0, 0.3), 1.0)])
def test_the_best_weight_decay_is_a_minimum(case, noises: float):
    gamma, error = frozen.best_ridge(*case, noises)

    def at(log_gamma: float) -> float:
        psi_p, psi_n, t = case
        end = learning_curves(inf, psi_p=psi_p, psi_n=psi_n, t=t, noises=noises, ridge=float(np.exp(log_gamma)))
        return float(end.score_error)

    found = minimize_scalar(at, bracket=(np.log(0.1), 0.0, np.log(100)), tol=1e-5)
    assert error == pytest.approx(found.fun, rel=1e-5)
    assert gamma == pytest.approx(np.exp(found.x), rel=0.02)


def test_finite_models_agree_on_which_is_better():
    """Ridge over stopping at d = 40, mean over draws, beside the stored ratio: on either side of one."""
    rows = json.loads((checkout() / "book" / "measured" / "ridge.json").read_text())["rows"]
    for psi_p, psi_n, t in ((2.0, 2.0, 0.3), (32.0, 2.0, 0.3)):
        (row,) = [r for r in rows if (r["psi_p"], r["psi_n"], r["t"], r["noises"]) == (psi_p, psi_n, t, None)]
        d, ratios = 40, []
        for seed in range(3):
            g = np.random.default_rng(seed)
            W, X = g.standard_normal((round(psi_p * d), d)), g.standard_normal((round(psi_n * d), d))
            stopped = GradientFlow(W, X, t).losses(np.geomspace(0.3, 1e4, 120)).score_error.min()
            decayed = float(GradientFlow(W, X, t, ridge=row["gamma"]).losses([1e9]).score_error[0])
            ratios.append(decayed / stopped)
        assert np.mean(ratios) == pytest.approx(row["by_ridge"] / row["by_stopping"], rel=0.05)
        assert (np.mean(ratios) < 1) == (row["by_ridge"] < row["by_stopping"])


def test_the_window_opens_where_the_end_comes_within_a_tenth_of_the_best():
    gamma = frozen.opening(64.0, 8.0, 0.1)
    below, above = (frozen.stop(64.0, 8.0, 0.1, ridge=factor * gamma) for factor in (0.99, 1.01))
    assert np.isfinite(below.high) and np.isinf(above.high)


def test_the_command_writes_the_grid(tmp_path):
    done = CliRunner().invoke(app, ["simulate", "ridge", "--count", "1", "--out", str(tmp_path / "ridge.json")])
    assert done.exit_code == 0 and "settings in which weight decay" in done.output, done.output
    rows = json.loads((tmp_path / "ridge.json").read_text())["rows"]
    stored = json.loads((checkout() / "book" / "measured" / "ridge.json").read_text())["rows"]
    assert len(rows) == 6 and len(stored) == 384
    for row in rows:
        (same,) = [r for r in stored if all(r[key] == row[key] for key in ("noises", "t", "psi_p", "psi_n"))]
        for key in ("gamma", "by_ridge", "by_stopping"):
            assert row[key] == pytest.approx(same[key], rel=1e-3)
