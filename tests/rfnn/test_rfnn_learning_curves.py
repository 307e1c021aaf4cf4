"""The limit's learning curves against exact finite-d dynamics, resolvents of large matrices, and known numbers."""

import math

import numpy as np
import pytest

from diffmemlib.rfnn import learning_curves as rules
from diffmemlib.rfnn.gradient_flow import GradientFlow
from diffmemlib.rfnn.learning_curves import Contour, contour_losses, learning_curves, two_point
from diffmemlib.rfnn.model import BranchError, Model

TWO = ((0.5, 0.5), (1.5, 0.5))
TAU = np.array([10.0, 1e3, 1e5])


def finite(d: int, psi_p: float, psi_n: float, t: float, covariance, seeds: range) -> np.ndarray:
    """Mean over draws of train loss, test loss and E_score at TAU, (3, 3)."""
    atoms = np.concatenate([np.full(round(w * d), lam) for lam, w in covariance])
    found = []
    for seed in seeds:
        g = np.random.default_rng([d, seed])
        W, X = g.standard_normal((round(psi_p * d), d)), np.sqrt(atoms) * g.standard_normal((round(psi_n * d), d))
        losses = GradientFlow(W, X, t, atoms).losses(TAU)
        found.append([losses.train, losses.test, losses.score_error])
    return np.mean(found, axis=0)


@pytest.mark.parametrize(
    "case",
    [
        {"psi_p": 8, "psi_n": 3, "t": 0.1, "covariance": ((1.0, 1.0),)},
        {"psi_p": 6, "psi_n": 4, "t": 0.2, "covariance": TWO},
    ],
)
def test_finite_dimension_approaches_the_limit_as_one_over_d(case):
    limit = learning_curves(TAU, **case)
    expected = np.array([limit.train, limit.test, limit.score_error])
    dimensions = np.array([40, 80, 160])  # at 20 the next order still shows
    off = np.array([finite(int(d), **case, seeds=range(960 // d)) - expected for d in dimensions])
    for curve, time in ((0, 1), (1, 2), (2, 2)):  # train loss at 1e3, test loss and E_score at 1e5: the largest ones
        slope = np.polyfit(np.log(dimensions), np.log(abs(off[:, curve, time])), 1)[0]
        assert slope == pytest.approx(-1, abs=0.25)
    assert abs(off[-1, 1]).max() < 0.02


@pytest.mark.parametrize("noises", [1, 3, math.inf])
def test_traces_agree_with_a_large_matrix(noises: float):
    """q, r, u, X and Q(z1, z2) = Tr[V^T R(z1) U~ R(z2) V]/d on one Gaussian equivalent of U and V."""
    model, d = Model.of(psi_p=3, psi_n=2, t=0.3, covariance=TWO, noises=noises), 300
    p, n, g = 3 * d, 2 * d, np.random.default_rng(0)
    atoms = np.repeat([0.5, 1.5], d // 2)
    Y, X = g.standard_normal((p, d)) / math.sqrt(d), np.sqrt(atoms)[:, None] * g.standard_normal((d, n))
    shared = math.sqrt(model.alpha) * Y @ X + math.sqrt(model.c.v2) * g.standard_normal((p, n))
    if noises == math.inf:
        U = shared @ shared.T / n + model.c.b**2 * Y @ Y.T + model.c.s2 * np.eye(p)
        V = model.c.b * Y
    else:
        xi = g.standard_normal((d, n * noises))
        phi = (
            np.repeat(shared, noises, 1)
            + model.c.b * Y @ xi
            + math.sqrt(model.c.s2) * g.standard_normal((p, n * noises))
        )
        U, V = phi @ phi.T / (n * noises), phi @ xi.T / (n * noises)
    population = (Y * (model.alpha * atoms + model.c.b**2)) @ Y.T + (model.c.s2 + model.c.v2) * np.eye(p)
    z = np.array([0.3 + 0.4j, 0.8 + 0.3j])
    R = [np.linalg.inv(U - value * np.eye(p)) for value in z]
    q, r, u = model.traces(z)
    _, _, kappa, _, _ = model.denominators(q, r, u)
    cross = model.c.b**2 * kappa * model.psi_p * u
    for i in range(2):
        assert q[i] == pytest.approx(np.trace(R[i]) / p, rel=0.01)
        assert r[i] == pytest.approx(np.trace((Y * atoms).T @ R[i] @ Y) / p, rel=0.01)
        assert u[i] == pytest.approx(np.trace(Y.T @ R[i] @ Y) / p, rel=0.01)
        assert cross[i] == pytest.approx(model.c.b * np.trace(V.T @ R[i] @ Y) / d, rel=0.02)
        assert (1 - kappa + kappa * cross)[i] == pytest.approx(np.trace(V.T @ R[i] @ V) / d, rel=0.02)
    exact = np.trace(V.T @ R[0] @ population @ R[1] @ V) / d
    assert two_point(model, (q[0], r[0], u[0]), (q[1], r[1], u[1])) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("t", "psi_n", "expected"),
    [(0.1, 4, 0.0644), (0.1, 8, 0.0433), (0.1, 16, 0.0274), (0.1, 32, 0.0166), (0.01, 8, 0.0543), (0.01, 64, 0.0130)],
)
def test_smallest_score_errors(t: float, psi_n: float, expected: float):
    """Values found by an independent implementation of the same equations."""
    curve = learning_curves(np.geomspace(1, 1e5, 400), psi_p=64, psi_n=psi_n, t=t)
    assert curve.score_error.min() == pytest.approx(expected, abs=1.5e-4)


def test_curves_start_at_one_keep_their_shape_and_end():
    tau = np.array([[0.0, 1.0], [1e12, 1e15]])
    curve = learning_curves(tau, psi_p=8, psi_n=3, t=0.1)
    assert curve.train.shape == curve.test.shape == curve.score_error.shape == (2, 2)
    assert curve.train[0, 0] == pytest.approx(1, abs=1e-9)
    assert curve.test[0, 0] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(curve.train[1], curve.train[1, 0], atol=1e-8)
    assert curve.test[1, 0] > 1 > curve.train[1, 0]


def test_train_loss_only_falls():
    train = learning_curves(np.geomspace(1e-2, 1e8, 200), psi_p=64, psi_n=8, t=0.1).train
    assert (np.diff(train) < 1e-9).all()


@pytest.mark.parametrize(
    ("t", "psi_p", "psi_n", "expected"),
    [(3, 256, 64, 2.931e-4), (2, 1e3, 100, 7.815e-5), (5, 1e4, 64, 7.473e-6), (1, 1e4, 1e4, 9.304e-6)],
)
def test_score_errors_far_below_one_keep_their_digits(t: float, psi_p: float, psi_n: float, expected: float):
    """A rule of fixed nodes had these off by a half, or negative; the values are those of 1600 and of 3200 nodes."""
    curve = learning_curves(np.geomspace(1e-2, 1e10, 200), psi_p=psi_p, psi_n=psi_n, t=t)
    assert curve.score_error.min() == pytest.approx(expected, rel=2e-4)


def test_losses_do_not_depend_on_the_contours():
    model = Model.of(psi_p=64, psi_n=8, t=0.001)
    rate = -2 * math.expm1(-0.002) / 64 * np.geomspace(0.1, 1e8, 10)[:, None]
    where = Contour.around(model, float(rate.max()), 0.0)
    one, other = (
        contour_losses(model, where, rate, nodes, heights)
        for nodes, heights in ((800, (0.7, 0.85)), (2000, (0.4, 1.1)))
    )
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_losses_that_cannot_be_proven_are_refused(monkeypatch):
    monkeypatch.setattr(rules, "NODES", 16)
    monkeypatch.setattr(rules, "MOST_NODES", 16)
    with pytest.raises(BranchError, match=r"psi_p = 64.*still change by .* between 8 and 16 nodes"):
        learning_curves([1.0, 100.0], psi_p=64, psi_n=8, t=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="tau"):
        learning_curves([-1.0], psi_p=8, psi_n=3, t=0.1)
    with pytest.raises(ValueError, match="psi_n = 0"):
        learning_curves([1.0], psi_p=8, psi_n=0, t=0.1)
