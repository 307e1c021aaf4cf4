"""Frozen noises and weight decay, at every training time: thirty digits, matrices at finite d, known limits."""

import math

import numpy as np
import pytest
from digits import coefficients_in_thirty_digits
from mpmath import mp

from diffmemlib import GradientFlow, learning_curves, spectral_density, spectrum
from diffmemlib.rfnn.model import BranchError, Model

CASE = {"psi_p": 4, "psi_n": 2, "t": 0.3}
TAU = np.geomspace(0.1, 1e5, 25)


def draw(d: int, m: int, seed: int, *, psi_p: float = 4, psi_n: float = 2, t: float = 0.3, ridge: float = 0.0):
    """One flow at finite d with frozen noises."""
    g = np.random.default_rng([d, m, seed])
    n = round(psi_n * d)
    W, X, noises = (g.standard_normal(shape) for shape in ((round(psi_p * d), d), (n, d), (n, m, d)))
    return GradientFlow(W, X, t, noises=noises, ridge=ridge)


def end_with_ridge(psi_p: float, psi_n: float, m: float, t: float, gamma: float) -> tuple[float, float]:
    """Train and test loss at tau = inf in forty digits, of which no contour is needed.

    There g = -1/(l + gamma), so that every average is a trace at z = -gamma, and the double one is the derivative of
    Tr[V^T (U + eps U~ + gamma)^-1 V]/d by eps, taken as a difference.
    """
    a, b, v2, s2 = coefficients_in_thirty_digits(t)
    alpha, m = (a * mp.exp(-mp.mpf(t))) ** 2, mp.mpf(m)

    def solve(z, eps, start):
        def parts(q, r, u):
            of_noise = psi_p / (psi_n * m) * (b**2 * u + s2 * q)
            D_1, D_2 = 1 + of_noise + psi_p / psi_n * (alpha * r + v2 * q), 1 + of_noise
            kappa = 1 / (m * D_1) + (1 - 1 / m) / D_2
            return D_1, kappa, b**2 * kappa + alpha / D_1 + eps * (alpha + b**2)

        def equations(q, r, u):
            D_1, kappa, S = parts(q, r, u)
            one = 1 / (1 + psi_p * q * S)
            return q * (s2 * kappa - z + v2 / D_1 + eps * (s2 + v2) + S * one) - 1, r / q - one, u / q - one

        at = mp.findroot(equations, start, tol=mp.mpf(10) ** -60, maxsteps=60)
        _, kappa, _ = parts(*at)
        return at, kappa, b**2 * kappa * psi_p * at[2]

    z, start = -mp.mpf(1000), (mp.mpf("1e-3"),) * 3
    while z < -gamma:  # continued from far left of the spectrum
        start = tuple(solve(z, mp.mpf(0), start)[0])
        z *= mp.mpf("0.7")

    def X(z, eps):
        _, kappa, cross = solve(z, eps, start)
        return 1 - kappa + kappa * cross

    at, step = -mp.mpf(gamma), mp.mpf(10) ** -15
    Q = -(X(at, step) - X(at, -step)) / (2 * step)
    cross = solve(at, mp.mpf(0), start)[2]
    # l g^2 + 2 g = -1/(l + gamma) - gamma/(l + gamma)^2, and the average of 1/(l + gamma)^2 is dX/dz.
    slope = (X(at + step, 0) - X(at - step, 0)) / (2 * step)
    return float(1 - X(at, 0) - gamma * slope), float(1 - 2 * cross + Q)


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "m", "gamma"),
    [(4, 2, 1, 0.01), (4, 2, 2, 1e-4), (4, 2, 3, 0.1), (64, 8, 8, 0.01), (2, 4, 5, 1e-3), (4, 2, 1.5, 1e-6)],
)
def test_the_end_of_training_with_a_ridge_is_right_to_nine_digits(psi_p, psi_n, m, gamma: float):
    with mp.workdps(40):
        train, test = end_with_ridge(psi_p, psi_n, m, 0.3, gamma)
    found = learning_curves(np.inf, psi_p=psi_p, psi_n=psi_n, t=0.3, noises=m, ridge=gamma)
    assert float(found.train) == pytest.approx(train, abs=1e-9)
    assert float(found.test) == pytest.approx(test, abs=1e-9 * max(1, test))


def as_published(psi_p: float, psi_n: float, m: float, t: float, ridge: float) -> tuple[float, float, float]:
    """Train loss with its ridge term, test loss, and the ridge term over the ridge, as arXiv:2609.26392 has them.

    All at the end of training: Eqs. 9, 10, 114, 115, 124, 125, 133 and 137 of that paper, in its symbols, with tanh
    features of Gaussian data.
    """
    a, b, v2, s2 = coefficients_in_thirty_digits(t)  # of the features' linear part, and of what data and noise share
    delta = 1 - mp.exp(-2 * mp.mpf(t))
    mu_1, mu_star2 = b / mp.sqrt(delta), v2 + s2
    kappa, m, lam = v2 / mu_star2, mp.mpf(m), mp.mpf(ridge)
    assert mp.almosteq(mu_1, a), "data of variance 1: one slope for signal and noise"

    def lengths(q, r):
        part = psi_p / (psi_n * m)
        first = 1 + part * (mu_1**2 * r * (mp.exp(-2 * mp.mpf(t)) * m + delta) + mu_star2 * q * (1 + (m - 1) * kappa))
        return first, 1 + part * (mu_1**2 * r * delta + mu_star2 * q * (1 - kappa))

    def solve(z, zeta, start):
        def equations(q, r):
            one, two = lengths(q, r)
            of_r = mu_1**2 * psi_p * ((mp.exp(-2 * mp.mpf(t)) + delta / m) / one + (m - 1) * delta / (m * two))
            of_q = mu_star2 * psi_p / m * ((1 + (m - 1) * kappa) / one + (m - 1) * (1 - kappa) / two)
            return 1 + psi_p * zeta * r - r * (1 / q + of_r), (1 - psi_p) * q - r + q**2 * (of_q - psi_p * z)

        return tuple(mp.findroot(equations, start, tol=mp.mpf(10) ** -60, maxsteps=100))

    z, start = -mp.mpf(1000), (mp.mpf("1e-3"),) * 2
    while z < -lam:  # continued from far left of the spectrum
        start = solve(z, 0, start)
        z *= mp.mpf("0.7")

    def traces(z, zeta):
        q, r = solve(z, zeta, start)
        one, two = lengths(q, r)
        trace = 1 / one + (m - 1) / two
        both = psi_p / m * mu_1 * mp.sqrt(delta) * r * trace
        return 1 - trace / m + mu_1**2 * psi_p * delta * r * trace**2 / m**2, both

    step = mp.mpf(10) ** -15
    T_1, T_2 = traces(-lam, 0)
    T_4 = (traces(-lam, step)[0] - traces(-lam, -step)[0]) / (2 * step)
    T_5 = (traces(-lam + step, 0)[0] - traces(-lam - step, 0)[0]) / (2 * step)
    return float(1 - T_1), float(1 - 2 * mu_1 * mp.sqrt(delta) * T_2 + mu_1**2 * T_4 + mu_star2 * T_5), float(T_5)


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "m", "t", "ridge"),
    [(4, 2, 1, 0.3, 0.01), (4, 2, 2, 0.3, 1e-3), (16, 16, 16, 0.1, 1e-3), (64, 8, 3, 0.1, 4.33), (2, 4, 5, 0.01, 0.1),
     (8, 4, 1e9, 0.1, 0.05)],
)  # fmt: skip
def test_the_end_of_training_is_what_the_literature_has(psi_p, psi_n, m, t: float, ridge: float):
    """arXiv:2609.26392, Theorem 2.1; its training loss counts the ridge term, ours does not."""
    with mp.workdps(40):
        train, test, square = as_published(psi_p, psi_n, m, t, ridge)
    noises = math.inf if m == 1e9 else m
    found = learning_curves(np.inf, psi_p=psi_p, psi_n=psi_n, t=t, noises=noises, ridge=ridge)
    assert float(found.train) == pytest.approx(train - ridge * square, abs=1e-8)
    assert float(found.test) == pytest.approx(test, abs=1e-8 * max(1, test))


@pytest.mark.parametrize(("m", "ridge"), [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.02)])
def test_finite_dimension_approaches_the_limit_as_one_over_d(m: int, ridge: float):
    """Extrapolated in 1/d, the mean over draws is the limit within its error, even at nm = p, where the loss grows."""
    tau = np.array([1.0, 10.0, 1e3, 1e5])
    limit = learning_curves(tau, **CASE, noises=m, ridge=ridge)
    means, errors = [], []
    for d, draws in ((40, 48), (80, 16)):
        flows = [draw(d, m, seed, ridge=ridge).losses(tau) for seed in range(draws)]
        found = np.array([[f.train, f.test, f.score_error] for f in flows])
        means.append(found.mean(0))
        errors.append(found.std(0, ddof=1) / math.sqrt(draws))
    expected = np.array([limit.train, limit.test, limit.score_error])
    extrapolated, error = 2 * means[1] - means[0], np.hypot(2 * errors[1], errors[0])
    assert (abs(extrapolated - expected) < 4 * error + 3e-3 * abs(expected) + 1e-3).all()
    off = [abs(mean - expected).max() for mean in means]
    assert off[1] < max(0.75 * off[0], 4 * errors[1].max()), "the difference falls with d"


def test_many_noises_are_the_average_over_the_noise():
    """By 1/m, and at m = 1e13 to nine digits, through other contours than those of the average."""
    average = learning_curves(TAU, **CASE)
    off = []
    for m in (100, 1000, 1e13):
        frozen = learning_curves(TAU, **CASE, noises=m)
        off.append(max(abs(frozen.train - average.train).max(), abs(frozen.test - average.test).max()))
    assert off[0] / off[1] == pytest.approx(10, rel=0.1)
    assert off[2] < 2e-9


def test_the_loss_peaks_where_noisy_points_are_as_many_as_features_but_not_at_the_best_time():
    tau = np.geomspace(0.5, 1e5, 60)
    curves = {m: learning_curves(tau, **CASE, noises=m).test for m in (1, 1.5, 2, 3, 5, 20)}
    last = [curve[-1] for curve in curves.values()]
    assert last.index(max(last)) == 2, "nm = p at m = 2"
    best = [curve.min() for curve in curves.values()]
    assert (np.diff(best) < 0).all()
    assert max(last) > 5 * max(best)


def test_fewer_noisy_points_than_features_are_interpolated():
    end = learning_curves(np.inf, **CASE, noises=1)
    assert float(end.train) == pytest.approx(0, abs=1e-9)
    assert float(end.test) > 1
    flow = draw(30, 1, 0)
    assert float(flow.losses(np.inf).train) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(flow.losses(np.inf).test, flow.losses(1e12).test, rtol=1e-6)


def test_the_end_of_training_is_the_limit_of_late_times():
    for noises, ridge in ((1, 0.0), (5, 0.0), (2, 1e-3), (math.inf, 1e-3)):
        late, end = (learning_curves(tau, **CASE, noises=noises, ridge=ridge) for tau in (1e7, np.inf))
        np.testing.assert_allclose((end.train, end.test), (late.train, late.test), rtol=1e-8, atol=1e-8)


def test_a_loss_without_end_is_refused():
    with pytest.raises(BranchError, match=r"no end at psi_p = 4, psi_n = 2 and 2 noises"):
        learning_curves([1.0, np.inf], **CASE, noises=2)
    assert spectrum(**CASE, noises=2).tau_mem == math.inf


def test_a_ridge_is_the_decay_of_the_weights():
    """Against descent on the loss with the decay of the weights in small steps, whose error is as large as they are."""
    flow = draw(12, 3, 0, ridge=0.05)
    W, X, xi = (v.numpy() for v in (flow.W, flow.X, flow.noises))
    phi = np.tanh((math.exp(-0.3) * X[:, None] + math.sqrt(flow.delta) * xi) @ W.T / math.sqrt(flow.d)).reshape(
        -1, flow.p
    )
    xi = xi.reshape(-1, flow.d)
    final = 6.0

    def descend(steps: int) -> float:
        B = np.zeros((flow.d, flow.p))
        for _ in range(steps):
            gradient = flow.delta * (B @ phi.T @ phi / len(phi) + 0.05 * B) + math.sqrt(flow.delta) * xi.T @ phi / len(
                phi
            )
            B -= final / steps * 2 * flow.d / flow.p * gradient
        return float(((math.sqrt(flow.delta) * phi @ B.T + xi) ** 2).mean())

    exact = float(flow.losses(final).train)
    coarse, fine = (descend(steps) - exact for steps in (1000, 2000))
    assert coarse / fine == pytest.approx(2, rel=0.02)
    assert abs(fine) < 1e-3


def test_frozen_noises_of_a_flow_average_to_the_exact_matrices():
    off = {}
    for m in (50, 800):
        flow = draw(20, m, 1)
        exact = GradientFlow(flow.W, flow.X, 0.3)
        off[m] = [float((a - b).square().mean().sqrt()) for a, b in zip(flow.UV, exact.UV, strict=True)]
    np.testing.assert_allclose(np.divide(off[50], off[800]), 4, rtol=0.2)


@pytest.mark.parametrize("m", [1, 2, 3, 20, 1e3, 1e5])
def test_masses_sum_to_one_and_the_population_has_its_share(m: float):
    whole = spectrum(**CASE, noises=m)
    assert whole.delta_place == 0
    assert whole.delta_weight == pytest.approx(max(0, 1 - m / 2))
    assert whole.delta_weight + sum(b.mass for b in whole.bulks) == pytest.approx(1, abs=1e-7)
    if whole.split is not None:
        assert whole.rho_2.mass * 4 == pytest.approx(1, abs=1e-6)


def test_the_narrow_interval_that_very_many_noises_leave_is_found():
    whole = spectrum(psi_p=2, psi_n=8, t=2.0, noises=1e8)
    narrow, s2 = whole.bulks[0], Model.of(psi_p=2, psi_n=8, t=2.0).c.s2
    assert narrow.mass == pytest.approx(0.5)
    # Marchenko-Pastur: half of the features, p/2 of them, in nm noisy points.
    assert (narrow.high - narrow.low) / s2 == pytest.approx(4 * math.sqrt(1 / 8e8), rel=3e-3)


def test_eigenvalues_of_frozen_noises_lie_within_the_spectrum():
    whole, values = spectrum(**CASE, noises=1), draw(150, 1, 0).eigenvalues
    positive = values[values > 1e-9]
    assert len(positive) / len(values) == pytest.approx(0.5)
    assert positive.min() == pytest.approx(whole.bulks[0].low, rel=0.1)
    assert positive.max() == pytest.approx(whole.bulks[-1].high, rel=0.1)
    assert np.mean(positive > (whole.bulks[0].high + whole.bulks[1].low) / 2) == pytest.approx(0.5, abs=0.01)
    lam = np.geomspace(whole.bulks[0].low, whole.bulks[-1].high, 4000)
    rho = spectral_density(lam, **CASE, noises=1)
    assert np.trapezoid(rho, lam) == pytest.approx(0.5, abs=1e-3)
    assert np.trapezoid(rho * lam, lam) == pytest.approx(values.mean(), rel=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"noises": 0.5}, "noises = 0.5"), ({"noises": math.nan}, "noises = nan"), ({"ridge": -1.0}, "ridge = -1"),
     ({"ridge": math.inf}, "ridge = inf")],
)  # fmt: skip
def test_what_the_limit_cannot_take_is_told(change, message: str):
    with pytest.raises(ValueError, match=message):
        learning_curves([1.0], **CASE, **change)


@pytest.mark.parametrize(
    ("noises", "message"),
    [(np.zeros((5, 3)), r"noises \(5, 3\): need \(5, m, 4\)"), (np.zeros((4, 2, 4)), r"need \(5, m, 4\)"),
     (np.zeros((5, 0, 4)), r"need \(5, m, 4\)"), (np.full((5, 2, 4), np.nan), "holds NaN")],
)  # fmt: skip
def test_what_the_flow_cannot_take_is_told(noises, message: str):
    with pytest.raises(ValueError, match=message):
        GradientFlow(np.ones((8, 4)), np.ones((5, 4)), 0.3, noises=noises)


def test_the_model_names_its_lower_end():
    assert Model.of(**CASE, noises=3).origin == 0
    assert Model.of(**CASE).origin == Model.of(**CASE).c.s2
