"""Coefficients and spectrum of the random-features model: closed forms, moments, and eigenvalues of large matrices."""

import math

import numpy as np
import pytest

from diffmemlib.companion.estimators.rfnn import sample_eigenvalues
from diffmemlib.rfnn.coefficients import checked_atoms, coefficients
from diffmemlib.rfnn.model import BranchError, Model
from diffmemlib.rfnn.spectrum import spectral_density, spectrum

TWO = ((0.5, 0.5), (1.5, 0.5))
CASES = [
    {"psi_p": 8, "psi_n": 3, "t": 0.01},
    {"psi_p": 8, "psi_n": 3, "t": 0.1, "covariance": TWO},
    {"psi_p": 3, "psi_n": 8, "t": 0.1},
    {"psi_p": 64, "psi_n": 8, "t": 0.01},
]


def test_coefficients_of_an_odd_polynomial_are_exact():
    """sigma(y) = y^3 with y = s u + c v: E[v sigma] = 3 c Gamma^2, E[u sigma]/s = 3 Gamma^2, by Isserlis' theorem."""
    t, variance = 0.3, 1.7
    s2, c2 = math.exp(-2 * t) * variance, 1 - math.exp(-2 * t)
    gamma2 = s2 + c2
    found = coefficients(t, variance, lambda y: y**3)
    assert found.a == pytest.approx(3 * gamma2, rel=1e-10)
    assert found.b == pytest.approx(3 * math.sqrt(c2) * gamma2, rel=1e-10)
    # E[y^3 y'^3] with correlation s2: 9 gamma2^2 s2 + 6 s2^3; E[y^6] = 15 gamma2^3.
    assert found.v2 == pytest.approx(6 * s2**3, rel=1e-9)
    assert found.s2 == pytest.approx(15 * gamma2**3 - 9 * gamma2**3 - 6 * s2**3, rel=1e-9)


@pytest.mark.parametrize("t", [0.01, 0.1, 1.0])
def test_coefficients_agree_with_monte_carlo(t: float):
    u, v, w = np.random.default_rng(0).standard_normal((3, 1_000_000))
    s, c = math.exp(-t), math.sqrt(1 - math.exp(-2 * t))
    y, other = np.tanh(s * u + c * v), np.tanh(s * u + c * w)
    found = coefficients(t)
    assert (v * y).mean() == pytest.approx(found.b, abs=5e-3)
    assert (u * y).mean() / s == pytest.approx(found.a, abs=5e-3)
    assert (y * other).mean() - found.a**2 * s**2 == pytest.approx(found.v2, abs=5e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"psi_p": 0}, "psi_p = 0"),
        ({"psi_n": -1}, "psi_n = -1"),
        ({"t": 0}, "t = 0"),
        ({"covariance": ((1.0, 0.5),)}, "sum to one"),
        ({"covariance": ((-1.0, 1.0),)}, "eigenvalues must be at least 0"),
        ({"activation": lambda y: np.tanh(y) + 0.1}, "activation: has mean 0.1"),
        ({"activation": np.sign}, "activation: too rough"),
    ],
)
def test_bad_input_names_argument_and_rule(change, message):
    with pytest.raises(ValueError, match=message):
        spectral_density(1.0, **({"psi_p": 8, "psi_n": 3, "t": 0.1} | change))


def test_atoms_of_any_number_are_accepted():
    eigenvalues, weights = checked_atoms(TWO)
    assert eigenvalues @ weights == 1.0


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("noises", [1.0, 3.0, math.inf])
def test_jacobian_is_the_derivative_of_the_equations(case, noises: float):
    model = Model.of(**case, noises=noises)
    x, at = np.array([0.3 + 0.2j]), np.array([[0.4 + 0.7j], [0.2 + 0.5j], [0.1 + 0.6j]])
    _, J = model.residual(x, *at)
    h = 1e-6
    for column, step in enumerate(h * np.eye(3)[..., None]):
        plus, minus = model.residual(x, *(at + step))[0], model.residual(x, *(at - step))[0]
        for row in range(3):
            np.testing.assert_allclose(J[row][column], (plus[row] - minus[row]) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_mass_and_first_moment(case):
    """Masses sum to one and the mean eigenvalue is Tr U / p = E[sigma^2]."""
    whole, model = spectrum(**case), Model.of(**case)
    assert whole.delta_weight + sum(b.mass for b in whole.bulks) == pytest.approx(1, abs=2e-5)
    mean = whole.delta_weight * whole.delta_place
    for bulk in whole.bulks:
        angle = (np.arange(2000) + 0.5) * np.pi / 2000
        lam = bulk.low + (bulk.high - bulk.low) * (1 - np.cos(angle)) / 2
        rho = spectral_density(lam, **case)
        mean += (lam * rho * np.sin(angle)).sum() * (bulk.high - bulk.low) / 2 * np.pi / 2000
    c = model.c
    variance = float(model.eigenvalues @ model.weights)
    assert mean == pytest.approx(c.s2 + c.v2 + c.b**2 + model.alpha * variance, rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_masses_are_those_of_theorem_3_2(case):
    whole = spectrum(**case)
    psi_p, psi_n = case["psi_p"], case["psi_n"]
    assert whole.delta_weight == pytest.approx(max(0, 1 - (1 + psi_n) / psi_p))
    split = 1.0 if psi_p == 64 else (0.3 if "covariance" not in case else 0.4)
    last = sum(b.mass for b in whole.bulks if b.low > split or b.low == max(x.low for x in whole.bulks))
    assert last == pytest.approx(1 / psi_p, abs=1e-4)


def test_late_times_are_marchenko_pastur():
    """At t = 20 nothing of the data is left: U = s^2 + b^2 W W^T/d, with edges s^2 + b^2 (sqrt psi_p -+ 1)^2."""
    case = {"psi_p": 6.0, "psi_n": 4.0, "t": 20.0}
    c = Model.of(**case).c
    lam = np.linspace(0.05, 4, 300)
    x = (lam - c.s2) / c.b**2
    low, high = (math.sqrt(6) - 1) ** 2, (math.sqrt(6) + 1) ** 2
    law = np.sqrt(np.maximum((x - low) * (high - x), 0)) / (2 * np.pi * 6 * x * c.b**2)
    away = (abs(x - low) > 0.05) & (abs(x - high) > 0.05)
    np.testing.assert_allclose(spectral_density(lam, **case)[away], law[away], atol=1e-5)


def equivalent_eigenvalues(model: Model, d: int, seed: int) -> np.ndarray:
    """Eigenvalues of the Gaussian-equivalent U at finite d (Lemma C.1)."""
    g = np.random.default_rng(seed)
    p, n = round(model.psi_p * d), round(model.psi_n * d)
    scale = np.sqrt(np.repeat(model.eigenvalues, np.round(model.weights * d).astype(int)))
    W, X = g.standard_normal((p, d)), scale[:, None] * g.standard_normal((d, n))
    G = math.sqrt(model.alpha / d) * W @ X + math.sqrt(model.c.v2) * g.standard_normal((p, n))
    return np.linalg.eigvalsh(G @ G.T / n + model.c.b**2 * W @ W.T / d + model.c.s2 * np.eye(p))


@pytest.mark.parametrize("case", CASES[:3])
def test_distance_to_eigenvalues_falls_with_d(case):
    """Kolmogorov distance between the law and eigenvalues, averaged over draws."""
    model = Model.of(**case)
    whole = spectrum(**case)
    top = max(b.high for b in whole.bulks)
    grid = whole.delta_place + np.geomspace(1e-3 * whole.delta_place, top * 1.1, 6000)
    rho = spectral_density(grid, **case)
    cdf = np.concatenate([[0], np.cumsum((rho[1:] + rho[:-1]) / 2 * np.diff(grid))]) + whole.delta_weight
    distance = {}
    for d in (20, 80):
        found = []
        for seed in range(4):
            eigenvalues = np.sort(equivalent_eigenvalues(model, d, seed))
            share = np.searchsorted(eigenvalues, grid, side="right") / len(eigenvalues)
            found.append(abs(share - cdf).max())
        distance[d] = np.mean(found)
    assert distance[80] < 0.02
    assert distance[80] < 0.5 * distance[20]


def test_times_move_as_the_paper_says():
    """tau_gen does not depend on psi_n; tau_mem grows with it."""
    few, many = spectrum(psi_p=64, psi_n=8, t=0.1), spectrum(psi_p=64, psi_n=16, t=0.1)
    assert few.tau_gen == pytest.approx(many.tau_gen, rel=0.3)
    assert many.tau_mem > few.tau_mem


@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_solver_refuses_what_it_cannot_prove():
    model = Model.of(psi_p=8, psi_n=3, t=0.1)
    with pytest.raises(ValueError, match="upper half plane"):
        model.traces(np.array([0.5 - 0.1j]))
    x = np.array([0.5 + 0.1j])
    assert model.newton(x, model.traces_beside(x), 1)[1] < 1e-12
    with pytest.raises(BranchError, match="no proven solution"):
        broken = Model.of(psi_p=8, psi_n=3, t=0.1)
        object.__setattr__(broken, "c", broken.c._replace(v2=float("nan")))
        broken.__dict__["top"] = 10.0
        broken.traces(np.array([0.5 + 0.1j]))


def test_the_two_times_belong_to_the_bulks_of_theorem_3_2():
    """rho_1 has the mass psi_n/psi_p, less that of a smaller bulk beside the delta; rho_2 has 1/psi_p, in two parts
    where the data have two variances."""
    one = spectrum(psi_p=64, psi_n=8, t=0.01)
    two = spectrum(psi_p=64, psi_n=8, t=0.01, covariance=((0.5, 0.5), (1.5, 0.5)))
    for whole, bulks in ((one, 3), (two, 5)):
        assert len(whole.bulks) == bulks
        assert whole.rho_1.mass == pytest.approx(7 / 64, rel=1e-3)
        assert whole.rho_2.mass == pytest.approx(1 / 64, rel=1e-3)
        unit = 64 / -np.expm1(-0.02)
        assert (whole.tau_gen, whole.tau_mem) == pytest.approx((unit / whole.rho_2.low, unit / whole.rho_1.low))
    assert two.rho_1.low == pytest.approx(one.rho_1.low, rel=0.02)
    merged = spectrum(psi_p=2, psi_n=0.5, t=1.0)
    assert np.isnan(merged.tau_gen) == (merged.split is None)


def test_the_second_moment_is_that_of_true_features():
    """Tr U^2/p of tanh features tends to the integral of lambda^2 rho, the difference falling with d."""
    case = {"psi_p": 4.0, "psi_n": 2.0, "t": 0.3}
    whole, angle = spectrum(**case), (np.arange(4000) + 0.5) * np.pi / 4000
    expected = whole.delta_weight * whole.delta_place**2
    for bulk in whole.bulks:
        half = (bulk.high - bulk.low) / 2
        lam = bulk.low + half * (1 - np.cos(angle))
        expected += float((lam**2 * spectral_density(lam, **case) * np.sin(angle)).sum() * half * np.pi / 4000)
    off = [
        abs(np.mean([np.mean(sample_eigenvalues(d, seed, **case) ** 2) for seed in range(6)]) / expected - 1)
        for d in (20, 120)
    ]
    assert off[1] < 0.03
    assert off[1] < off[0]


def test_the_bulk_of_the_population_is_all_of_it_where_variances_split_it():
    """A twentieth of the directions have a small variance: their bulk, of mass 0.05/psi_p, belongs to rho_2 too."""
    whole = spectrum(psi_p=64, psi_n=16, t=0.05, covariance=((0.02, 0.05), (1.05, 0.95)))
    assert whole.rho_2.mass * 64 == pytest.approx(1, abs=1e-3)
    masses = np.cumsum([b.mass * 64 for b in whole.bulks[::-1]])
    assert any(abs(m - 0.95) < 0.01 for m in masses), "the largest variances alone come close to it"
