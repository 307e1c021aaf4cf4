"""Losses at finite training times by another solver: 2 x 2 matrices as in the derivation, and no closed form.

The library solves for the corner entries of the two-point traces by hand. Here every equation is evaluated with real
2 x 2 matrices at every pair of nodes. The corners enter them linearly, so that their values at zero and along each
corner give the linear system.
"""

import numpy as np
import pytest
from digits import coefficients_in_thirty_digits

from diffmemlib.rfnn.learning_curves import learning_curves

Array = np.ndarray
TOP = 300.0  # above the spectrum of each case
CORNER = np.array([[0, 1], [0, 0]], complex)


class Matrices:
    """The equations of the traces q, r, u for matrices of any size; m = inf is the average over the noise."""

    def __init__(self, psi_p: float, psi_n: float, t: float, m: float, atoms: list[tuple[float, float]]) -> None:
        a, b, v2, s2 = (float(value) for value in coefficients_in_thirty_digits(t))
        self.alpha, self.b2, self.v2, self.s2 = (a * np.exp(-t)) ** 2, b**2, v2, s2
        self.psi_p, self.ratio, self.shared, self.m, self.atoms = psi_p, psi_p / psi_n, psi_p / psi_n / m, m, atoms

    def kappa(self, q: Array, r: Array, u: Array) -> tuple[Array, Array]:
        one = np.eye(q.shape[-1])
        d2 = one + self.shared * (self.b2 * u + self.s2 * q)
        d1 = d2 + self.ratio * (self.alpha * r + self.v2 * q)
        over = np.linalg.inv(d1)
        return over / self.m + (1 - 1 / self.m) * np.linalg.inv(d2), over

    def residual(self, z: Array, eps: float, q: Array, r: Array, u: Array) -> list[Array]:
        """What is zero at the solution; eps: of the population matrix, added above the diagonal."""
        corner = CORNER if q.shape[-1] == 2 else np.zeros((1, 1))
        kappa, over = self.kappa(q, r, u)
        first = self.s2 * kappa - z + self.v2 * over - eps * (self.s2 + self.v2) * corner
        second, third, inverse = r.copy(), u.copy(), np.linalg.inv(q)
        for eigenvalue, weight in self.atoms:
            S = self.b2 * kappa + self.alpha * eigenvalue * over - eps * (self.alpha * eigenvalue + self.b2) * corner
            first = first + weight * np.linalg.inv(np.linalg.inv(S) + self.psi_p * q)
            inner = weight * np.linalg.inv(inverse + self.psi_p * S)
            second, third = second - eigenvalue * inner, third - inner
        return [q @ first - np.eye(q.shape[-1]), second, third]

    def traces(self, z: Array) -> Array:
        """(3, points): q, r, u by Newton's method, continued from far above the real axis."""
        height = 1e5 * (1j * np.sign(z.imag))
        at = np.array([-1 / (z + height)] * 3)
        while True:
            here = (z + height).reshape(-1, 1, 1)
            for _ in range(50):
                found = np.array([f[:, 0, 0] for f in self.residual(here, 0.0, *at[..., None, None])])
                step, columns = 1e-7 * abs(at), []
                for i in range(3):
                    moved = at.copy()
                    moved[i] += step[i]
                    ahead = np.array([f[:, 0, 0] for f in self.residual(here, 0.0, *moved[..., None, None])])
                    columns.append((ahead - found) / step[i])
                change = np.linalg.solve(np.array(columns).transpose(2, 1, 0), found.T[..., None])[..., 0].T
                at = at - change
                if (abs(change) < 1e-13 * abs(at)).all():
                    break
            if not np.any(height):
                return at
            height = np.where(abs(height) > 1e-3 * abs(z), 0.7 * height, 0)

    def corner(self, z1: Array, z2: Array, at_1: Array, at_2: Array) -> Array:
        """Q(z1, z2) at every pair."""
        shape = (len(z1), len(z2))

        def matrices(one: Array, two: Array, corner: Array) -> Array:
            filled = np.zeros((*shape, 2, 2), complex)
            filled[..., 0, 0], filled[..., 1, 1], filled[..., 0, 1] = one[:, None], two[None], corner
            return filled

        z, zero = matrices(z1, z2, np.zeros(shape)), np.zeros((3, *shape), complex)

        def top(eps: float, corners: Array) -> Array:
            traces = [matrices(*entries) for entries in zip(at_1, at_2, corners, strict=True)]
            return np.array([f[..., 0, 1] for f in self.residual(z, eps, *traces)])

        start, columns = top(1.0, zero), []
        for i in range(3):
            along = zero.copy()
            along[i] = 1
            columns.append(top(0.0, along))
        system = np.array(columns).transpose(2, 3, 1, 0)
        corners = -np.linalg.solve(system, start.transpose(1, 2, 0)[..., None])[..., 0].transpose(2, 0, 1)
        q, r, u = (matrices(*entries) for entries in zip(at_1, at_2, corners, strict=True))
        kappa, _ = self.kappa(q, r, u)
        return (self.b2 * self.psi_p * kappa @ u @ kappa - kappa)[..., 0, 1]


def losses(case: Matrices, t: float, tau: float, gamma: float, nodes: int) -> tuple[float, float]:
    """Train and test loss by trapezoidal rules on two ellipses in log(z + shift), one within the other."""
    c = 2 * -np.expm1(-2 * t) / case.psi_p
    shift = gamma + 1 / (c * tau)
    sides = []
    for height, count in ((0.6, nodes), (0.9, nodes)):
        angle = (np.arange(count) + 0.5) * 2 * np.pi / count
        low, high = np.log(shift) - height, np.log(TOP + shift) + height
        w = np.exp((low + high) / 2 + (high - low) / 2 * np.cos(angle) + 1j * height * np.sin(angle))
        along = w * (-(high - low) / 2 * np.sin(angle) + 1j * height * np.cos(angle)) / (1j * count)
        z = w - shift
        decay = np.expm1(-c * tau * (z + gamma)) / (z + gamma)
        sides.append((z, along, decay, case.traces(z)))
    (z1, d1, g1, at_1), (z2, d2, g2, at_2) = sides
    kappa, _ = case.kappa(*(at[:, None, None] for at in at_1))
    kappa = kappa[:, 0, 0]
    cross = case.b2 * kappa * case.psi_p * at_1[2]
    train = 1 - ((z1 * g1**2 + 2 * g1) * (1 - kappa + kappa * cross) * d1).sum()
    test = 1 - 2 * (g1 * cross * d1).sum() + (g1 * d1) @ case.corner(z1, z2, at_1, at_2) @ (g2 * d2)
    return float(train.real), float(test.real)


@pytest.mark.parametrize(
    ("psi_p", "psi_n", "t", "m", "gamma", "tau"),
    [(4, 2, 0.3, 2, 0.0, 10.0), (4, 2, 0.3, 2, 0.0, 1e3), (4, 2, 0.3, 1, 0.0, 30.0), (4, 2, 0.3, 3, 0.02, 100.0),
     (2, 4, 0.3, 3, 0.0, 10.0), (4, 2, 0.3, 1e13, 0.0, 30.0)],
)  # fmt: skip
def test_losses_at_finite_times_are_those_of_the_matrices(psi_p, psi_n, t, m, gamma, tau: float):
    case = Matrices(psi_p, psi_n, t, m, [(1.0, 1.0)])
    train, test = losses(case, t, tau, gamma, 320)
    found = learning_curves(tau, psi_p=psi_p, psi_n=psi_n, t=t, noises=m, ridge=gamma)
    assert float(found.train) == pytest.approx(train, abs=1e-9)
    assert float(found.test) == pytest.approx(test, abs=1e-9)


def test_two_variances_of_the_data_are_those_of_the_matrices():
    atoms = [(0.5, 0.5), (1.5, 0.5)]
    train, test = losses(Matrices(3, 2, 0.3, 4, atoms), 0.3, 50.0, 1e-3, 240)
    found = learning_curves(50.0, psi_p=3, psi_n=2, t=0.3, noises=4, ridge=1e-3, covariance=tuple(atoms))
    assert [float(found.train), float(found.test)] == pytest.approx([train, test], abs=1e-9)
