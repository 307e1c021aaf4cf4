"""Exact U, V and losses against noise sampling, explicit gradient descent, and identities."""

import math

import numpy as np
import pytest

from diffmemlib.rfnn.gradient_flow import GradientFlow
from diffmemlib.rfnn.model import Model
from diffmemlib.rfnn.spectrum import spectrum


def model(d: int, psi_p: float, psi_n: float, t: float, covariance=None, seed: int = 0) -> GradientFlow:
    g = np.random.default_rng(seed)
    scale = np.ones(d) if covariance is None else np.sqrt(covariance)
    W, X = g.standard_normal((round(psi_p * d), d)), scale * g.standard_normal((round(psi_n * d), d))
    return GradientFlow(W, X, t, covariance)


def by_sampling(flow: GradientFlow, x0: np.ndarray, draws: int, seed: int = 1):
    """U and V with the noise drawn, `draws` times per point."""
    g = np.random.default_rng(seed)
    W = flow.W.numpy()
    U, V = np.zeros((flow.p, flow.p)), np.zeros((flow.p, flow.d))
    for _ in range(draws):
        xi = g.standard_normal(x0.shape)
        phi = np.tanh((math.exp(-flow.t) * x0 + math.sqrt(flow.delta) * xi) @ W.T / math.sqrt(flow.d))
        U += phi.T @ phi / len(x0) / draws
        V += phi.T @ xi / len(x0) / draws
    return U, V


@pytest.mark.parametrize("t", [0.1, 0.5])
def test_exact_matrices_agree_with_sampled_noise(t: float):
    flow = model(d=30, psi_p=3, psi_n=2, t=t)
    sampled = {draws: by_sampling(flow, flow.X.numpy(), draws) for draws in (100, 1600)}
    for which, exact in enumerate(v.numpy() for v in flow.UV):
        off = {draws: np.sqrt(((both[which] - exact) ** 2).mean()) for draws, both in sampled.items()}
        assert off[100] / off[1600] == pytest.approx(4, rel=0.2), "the difference must be Monte Carlo noise alone"


def test_population_matrices_agree_with_many_points():
    covariance = np.repeat([0.5, 1.5], 10)
    flow = model(d=20, psi_p=2, psi_n=1, t=0.2, covariance=covariance)
    x0 = np.sqrt(covariance) * np.random.default_rng(3).standard_normal((200_000, 20))
    sampled = by_sampling(flow, x0, draws=1)
    for exact, other in zip((v.numpy() for v in flow.population), sampled, strict=True):
        assert np.abs(exact - other).max() < 0.01


def test_losses_are_those_of_explicit_gradient_descent():
    """Eq. 9 with a small step on the exact quadratic losses; halving the step halves the difference."""
    flow = model(d=12, psi_p=3, psi_n=2, t=0.3)
    (U, V), (U_pop, V_pop) = ([m.numpy() for m in pair] for pair in (flow.UV, flow.population))
    d, p, delta = flow.d, flow.p, flow.delta
    final = 4.0

    def descend(steps: int):
        B = np.zeros((d, p))  # A/sqrt(p)
        for _ in range(steps):
            B -= final / steps * 2 * d / p * (delta * B @ U + math.sqrt(delta) * V.T)

        def loss(U, V):
            return 1 + delta / d * np.trace(B @ U @ B.T) + 2 * math.sqrt(delta) / d * np.trace(B @ V)

        return loss(U, V), loss(U_pop, V_pop)

    exact = flow.losses(final)
    for which, value in enumerate((float(exact.train), float(exact.test))):
        coarse, fine = (descend(steps)[which] - value for steps in (2000, 4000))
        assert abs(fine) < 1e-3
        assert coarse / fine == pytest.approx(2, rel=0.02)


def test_score_error_is_the_distance_to_the_exact_score():
    covariance = np.repeat([0.5, 1.5], 8)
    flow = model(d=16, psi_p=4, psi_n=3, t=0.4, covariance=covariance)
    tau = 50.0
    U, V = (m.numpy() for m in flow.UV)
    eigenvalues, Q = np.linalg.eigh(U)
    decay = np.expm1(-2 * flow.delta * flow.d / flow.p * eigenvalues * tau) / eigenvalues
    B = V.T @ (Q * decay) @ Q.T / math.sqrt(flow.delta)
    g = np.random.default_rng(5)
    sd = np.sqrt(np.diag(flow.Sigma_t.numpy()))
    x = sd * g.standard_normal((200_000, 16))
    gap = np.tanh(x @ flow.W.numpy().T / 4) @ B.T + x / sd**2
    direct = (gap**2).sum(1) / 16
    error = direct.std() / len(direct) ** 0.5
    assert flow.losses(tau).score_error == pytest.approx(direct.mean(), abs=4 * error)


def test_losses_start_at_one_and_the_train_loss_only_falls():
    found = model(d=20, psi_p=8, psi_n=3, t=0.1).losses(np.concatenate([[0], np.geomspace(1, 1e8, 60)]))
    assert found.train[0] == found.test[0] == 1
    assert (np.diff(found.train) <= 1e-12).all()
    assert found.test.min() < found.test[-1]  # it overfits at last
    np.testing.assert_allclose(found.test[:10], found.train[:10], atol=0.1)


def test_true_features_have_the_spectrum_of_the_limit():
    """Not only the Gaussian equivalent: the U of tanh features, its distance to the law falling with d."""
    case = {"psi_p": 4, "psi_n": 2, "t": 0.3}
    whole = spectrum(**case)
    mean = Model.of(**case).c
    expected = mean.s2 + mean.v2 + mean.b**2 + Model.of(**case).alpha
    off = []
    for d in (20, 80):
        eigenvalues = np.mean([model(d, **case, seed=s).eigenvalues for s in range(4)], axis=0)
        off.append(abs(eigenvalues.mean() - expected) / expected)
        top = eigenvalues[-d:]  # the second bulk, d eigenvalues
        assert top.min() == pytest.approx(whole.bulks[-1].low, rel=0.5 if d == 20 else 0.2)
        assert top.max() == pytest.approx(whole.bulks[-1].high, rel=0.3 if d == 20 else 0.15)
    assert off[1] < off[0] < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 0.0}, "t = 0"),
        ({"X": np.zeros((5, 3))}, r"W \(8, 4\) and X \(5, 3\)"),
        ({"covariance": np.ones(3)}, r"need \(4,\) or \(4, 4\)"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GradientFlow(**({"W": np.ones((8, 4)), "X": np.zeros((5, 4)), "t": 0.1} | change))


def test_negative_times_are_refused():
    with pytest.raises(ValueError, match="tau"):
        model(d=4, psi_p=2, psi_n=2, t=0.1).losses([-1.0])
