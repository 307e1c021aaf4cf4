"""Edges of the spectrum against thirty digits and against matrices; masses where the spectrum is hard to see."""

import numpy as np
import pytest
from digits import coefficients_in_thirty_digits
from mpmath import mp

from diffmemlib.rfnn import support
from diffmemlib.rfnn.coefficients import coefficients
from diffmemlib.rfnn.model import BranchError, Model
from diffmemlib.rfnn.spectrum import spectrum
from diffmemlib.rfnn.support import inside


def edge_in_thirty_digits(psi_p, psi_n, t, noises, start, traces):
    """The root of the equations and of their Jacobian, near a start.

    For averaged noise as the paper has them (Eqs. 17-19), which hold no u; for frozen noises with all three traces.
    """
    a, b, v2, s2 = coefficients_in_thirty_digits(t)
    alpha = (a * mp.exp(-mp.mpf(t))) ** 2

    def of_the_paper(q, r, z):
        D = 1 + psi_p / psi_n * (alpha * r + v2 * q)
        s_hat, r_hat = b**2 * psi_p + 1 / q, psi_p * alpha / D
        s = 1 / (s_hat + r_hat)
        first = psi_p * (s2 - z) + psi_p * v2 / D + (1 - psi_p) / q - s / q**2
        return q * first, 1 - s / r

    def frozen(q, r, u, z):
        m = mp.mpf(noises)
        of_noise = psi_p / (psi_n * m) * (b**2 * u + s2 * q)
        D_1, D_2 = 1 + of_noise + psi_p / psi_n * (alpha * r + v2 * q), 1 + of_noise
        kappa = 1 / (m * D_1) + (1 - 1 / m) / D_2
        S = b**2 * kappa + alpha / D_1
        one = q / (1 + psi_p * q * S)
        return q * (s2 * kappa - z + v2 / D_1) + one * S - 1, 1 - one / r, 1 - one / u

    equations, traces = (of_the_paper, traces[:2]) if noises == mp.inf else (frozen, traces)

    def system(*at):
        traces = at[:-1]
        jacobian = mp.matrix(len(traces), len(traces))
        for by in range(len(traces)):
            along = [mp.mpf(0)] * by, [mp.mpf(0)] * (len(at) - by - 1)
            step = traces[by] * mp.mpf(10) ** -12
            up, down = (equations(*(v + sign * w for v, w in zip(at, [*along[0], step, *along[1]], strict=True)))
                        for sign in (1, -1))  # fmt: skip
            for row in range(len(traces)):
                jacobian[row, by] = (up[row] - down[row]) / 2 * mp.mpf(10) ** 12
        return (*equations(*at), mp.det(jacobian))

    return mp.findroot(system, (*(mp.mpf(v) for v in traces), mp.mpf(start)), maxsteps=40, tol=mp.mpf(10) ** -30)[
        len(traces)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("psi_p", "psi_n", "t", "noises"),
    [(64, 8, 0.1, mp.inf), (64, 16, 0.1, mp.inf), (64, 32, 0.1, mp.inf), (6, 3, 0.1, mp.inf), (6, 3, 0.7, mp.inf),
     (64, 8, 0.01, mp.inf), (65536, 4, 0.1, mp.inf),
     (3, 8, 0.1, mp.inf), (4, 2, 0.3, 1), (4, 2, 0.3, 3), (64, 8, 0.1, 7), (64, 8, 0.1, 20)],
)  # fmt: skip
def test_edges_are_right_to_a_billionth(psi_p: float, psi_n: float, t: float, noises):
    case = {"psi_p": psi_p, "psi_n": psi_n, "t": t, "noises": float(noises)}
    whole, model = spectrum(**case), Model.of(**case)
    with mp.workdps(40):
        for bulk in whole.bulks:
            for edge, side in ((bulk.low, -1), (bulk.high, 1)):
                near = edge + side * 1e-5 * (edge - whole.delta_place)  # on the outer side, where the traces are real
                traces = [float(v[0].real) for v in model.traces(np.array([near * (1 + 1e-12j)]))]
                exact = edge_in_thirty_digits(psi_p, psi_n, t, noises, near, traces)
                assert edge == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("psi_n", "left"), [(8, 0.06253), (16, 0.02813), (32, 0.01487)])
def test_the_left_edge_that_sets_the_time_of_memorisation(psi_n: float, left: float):
    """At psi_p = 64, t = 0.1; these were told apart from .0619, .0264, .0143 by matrices."""
    assert spectrum(psi_p=64, psi_n=psi_n, t=0.1).rho_1.low == pytest.approx(left, abs=5e-6)


def lowest_eigenvalue(d: int, seed: int, psi_p: int, psi_n: int, t: float) -> float:
    """Of the bulk next to s^2, of U's Gaussian equivalent s^2 + b^2 Y Y^T + F F^T/n with F = sqrt(alpha) Y X + v G."""
    model, rows = Model.of(psi_p=psi_p, psi_n=psi_n, t=t), np.random.default_rng(seed)
    p, n = psi_p * d, psi_n * d
    Y, X, G = rows.standard_normal((p, d)) / d**0.5, rows.standard_normal((d, n)), rows.standard_normal((p, n))
    F = model.alpha**0.5 * Y @ X + model.c.v2**0.5 * G
    parts = np.hstack([model.c.b * Y, F / n**0.5])  # U - s^2 has the nonzero eigenvalues of this matrix's Gram matrix
    return model.c.s2 + np.linalg.eigvalsh(parts.T @ parts)[0]


@pytest.mark.parametrize(("psi_p", "psi_n", "t"), [(6, 3, 0.4), (16, 4, 0.1)])
def test_the_smallest_eigenvalues_of_matrices_come_to_the_edge(psi_p: int, psi_n: int, t: float):
    """At d = 400 to within a hundredth of the width of the bulk, nearer than at d = 50."""
    whole = spectrum(psi_p=psi_p, psi_n=psi_n, t=t)
    edge, width = whole.bulks[0].low, whole.bulks[0].high - whole.bulks[0].low
    small, large = (
        abs(np.mean([lowest_eigenvalue(d, seed, psi_p, psi_n, t) for seed in range(count)]) - edge) / width
        for d, count in ((50, 24), (400, 3))
    )
    assert large < small
    assert large < 0.01


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "t"),
    [(1, 8, 1.0), (1.1, 2, 0.5), (8, 8, 5.0), (1e7, 1, 0.1), (2, 8, 2.0), (8, 8, 2.0), (9, 8, 0.5), (64, 1e5, 0.1),
     (3131.85721, 1.77546189, 4.0368), (1203.586104, 0.28841756, 4.9365), (1e4, 1e4, 1.0), (0.01, 100, 3.0),
     (100, 0.01, 0.1), (1024, 64, 0.001)],
)  # fmt: skip
def test_ordinary_ratios_and_times_are_served(psi_p: float, psi_n: float, t: float):
    whole = spectrum(psi_p=psi_p, psi_n=psi_n, t=t)
    assert whole.delta_weight + sum(b.mass for b in whole.bulks) == pytest.approx(1, abs=1e-7)
    assert all(whole.delta_place <= b.low < b.high for b in whole.bulks)
    assert all(a.high < b.low for a, b in zip(whole.bulks, whole.bulks[1:], strict=False))
    if whole.split is not None:
        assert whole.rho_2.mass * psi_p == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("psi_p", "psi_n"), [(64, 4), (4096, 2), (16384, 4), (65536, 4), (65536, 8), (262144, 2), (262144, 32), (3e7, 4)]
)
def test_a_narrow_interval_is_found_wherever_it_lies(psi_p: float, psi_n: float):
    """With many features rho_1 is narrow, and a grid steps over it; the gap that it lies in holds its mass."""
    whole = spectrum(psi_p=psi_p, psi_n=psi_n, t=0.1)
    assert [b.mass * psi_p for b in whole.bulks] == pytest.approx([1, psi_n - 1, 1], rel=1e-6)
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=0.1)
    middle = whole.delta_place + model.c.v2 * psi_p / psi_n  # v^2 G G^T/n has equal eigenvalues for p >> n
    assert whole.rho_1.low < middle * (1 + 4 * (psi_n / psi_p) ** 0.5) and whole.rho_1.high > middle
    assert whole.rho_1.high / whole.rho_1.low < (1 + 4 * (psi_n / psi_p) ** 0.5) ** 2


def test_an_interval_between_others_at_ordinary_ratios_is_found():
    """A grid of 400 points stepped over the second of these three."""
    whole = spectrum(psi_p=687.5305272369604, psi_n=0.7919769181348528, t=0.0035586825599073233)
    assert [b.mass * 687.5305272369604 for b in whole.bulks] == pytest.approx([0.791976918, 0.208023082, 0.791976918])


def test_traces_from_a_guess_are_those_from_far_above_at_every_point():
    """A guess serves most points; near an edge, where traces have a root, it leads nowhere: these start from above."""
    model = Model.of(psi_p=64, psi_n=8, t=0.1)
    edge = spectrum(psi_p=64, psi_n=8, t=0.1).rho_1.low - model.c.s2
    x = np.concatenate([edge * np.geomspace(0.5, 2, 7), edge * (1 + np.array([-1e-9, 1e-9]))]).astype(complex)
    guess = model.traces_beside(x.real * (1 + 1e-3j))
    _, good = model.newton(x.real * (1 + 1e-9j), guess, 5)
    assert 0 < sum(good < 1e-10) < len(x), "some are led to, and some are not"
    for found, plain in zip(model.traces_beside(x.real * (1 + 1e-9j), guess),
                            model.traces_beside(x.real * (1 + 1e-9j)), strict=True):  # fmt: skip
        assert found == pytest.approx(plain, rel=1e-7)


def test_mass_in_a_gap_is_noticed(monkeypatch):
    """Without the search of the gaps, an interval that was stepped over is counted to its neighbour."""
    case = {"psi_p": 65536.0, "psi_n": 4.0, "t": 0.1}
    monkeypatch.setattr(support, "GRIDS", (400,))
    monkeypatch.setattr(support, "_edges", lambda model, grid, extra, find=support._edges: find(model, grid, extra[:0]))
    with pytest.raises(BranchError, match="1 of the gaps"):
        spectrum(**case)


def test_what_cannot_be_told_is_an_error_and_no_number():
    with pytest.raises(
        BranchError, match=r"could not be told|an interval was missed|did not converge|no proven solution"
    ):
        spectrum(psi_p=1e13, psi_n=1e-6, t=0.1)


def test_a_point_is_within_or_outside_whatever_the_density():
    """The bulk of (2, 8, 2.0) is 2e-7 wide and holds half of the mass; a point beside it is outside."""
    model = Model.of(psi_p=2, psi_n=8, t=2.0)
    low, high = (edge - model.c.s2 for edge in (spectrum(psi_p=2, psi_n=8, t=2.0).bulks[0].low,
                                                spectrum(psi_p=2, psi_n=8, t=2.0).bulks[0].high))  # fmt: skip
    points = np.array([0.99 * low, 1.01 * low, 0.99 * high, 1.01 * high, 30 * high])
    assert inside(model, points).tolist() == [False, True, True, False, False]


def test_the_real_branch_solves_the_equations_and_knows_its_slope():
    model = Model.of(psi_p=8, psi_n=3, t=0.1, covariance=((0.5, 0.5), (1.5, 0.5)))
    for z in (model.c.s2 * 1.001, 12.0, 40.0):
        q, r, u = (float(v[0].real) for v in model.traces(np.array([z + 1e-10j])))
        distance, g, h, slope = (value.real for value in model.real_branch(q, r, u))
        assert distance == pytest.approx(z - model.c.s2, rel=1e-6)
        assert abs(g) < 1e-6 * abs(r)
        assert abs(h) < 1e-6 * abs(u)
        assert slope > 0  # outside the spectrum q grows with z


@pytest.mark.parametrize("t", [1e-3, 0.1, 5.0])
def test_coefficients_keep_their_digits_at_any_time(t: float):
    """v^2 is 1e-15 at t = 5, where the difference that defines it keeps six digits."""
    with mp.workdps(30):
        exact = [float(value) for value in coefficients_in_thirty_digits(t)]
    np.testing.assert_allclose(coefficients(t), exact, rtol=1e-9)
