"""Losses at any training time in the limit d -> infinity, for any number of noises a point.

At m = 1 this is regression on random features (arXiv:2110.11805); for other m the literature has the end of training
(arXiv:2502.00336 for fresh noise, arXiv:2609.26392 for any m).

Three averages over the spectrum are needed, with Y = W/sqrt(d) and R(z) = (U - z)^-1, U and V of the training set, U~
of the population: X(z) = lim Tr[V^T R(z) V]/d, lim Tr[V^T R(z) b Y]/d and Q(z1, z2) = lim Tr[V^T R(z1) U~ R(z2) V]/d.
The resolvent of the covariance of (phi, xi), its second block sent to infinity, gives the first two,
X = 1 - kappa + b^2 kappa^2 psi_p u and b^2 kappa psi_p u, with the traces of `model`. For Q put two copies of the
resolvent in a 2 x 2 upper-triangular block, Z = diag(z1, z2) for z, and move the population into its corner: S_k gets
-eps (alpha lambda_k + b^2) E_12, the constant s^2 kappa - Z + v^2 D_1^-1 gets -eps (s^2 + v^2) E_12. The equations hold
for 2 x 2 matrices, q^-1 = s^2 kappa - Z + v^2 D_1^-1 + sum_k w_k S_k (1 + psi_p q S_k)^-1 and
u = sum_k w_k (1 + psi_p q S_k)^-1 q, and Q is the corner of 1 - kappa + b^2 kappa psi_p u kappa, a unit of eps. The
diagonals are the scalar solutions at z1 and z2; the corners are linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, inf, log, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms
from .gradient_flow import Losses, checked_ridge, checked_times
from .model import BranchError, Complex, Model, Traces
from .support import support

NODES, MOST_NODES = 200, 6400  # on each contour: doubled until two rules agree
ACCURACY = 1e-9  # of the losses, relative to the larger of themselves and one
HEIGHTS = (0.7, 0.85)  # of the nested contours in log z: about as far from the spectrum as from Re z = 0
Known = tuple[NDArray[np.float64], Traces]  # angles along a contour, and the traces there
BLOCK = 2**19  # entries of the kernel, times atoms, that are held at a time


def learning_curves(
    tau: ArrayLike, *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),),
    activation: Activation = np.tanh, noises: float = inf, ridge: float = 0.0,
) -> Losses:  # fmt: skip
    """Return train loss, test loss and E_score at every training time, in the limit d -> infinity.

    With c = 2 Delta/psi_p, g(l) = (e^{-c (l + gamma) tau} - 1)/(l + gamma), <.> a contour integral around the spectrum
    and <<.>> the double one over two nested contours, and X and Q of the module's head,
    L_train = 1 + <l g^2 + 2 g>_X, L_test = 1 + 2 <g>_{b^2 kappa psi_p u} + <<g g>>_Q,
    E_score = (L_test - 1)/Delta + sum_k w_k/Sigma_t,k. One Q serves all tau. The contours get more nodes
    until the losses agree within 1e-9 (relative where they exceed one), so E_score is right within 1e-9/Delta.

    Parameters
    ----------
    tau
        Training times tau = steps * rate / d^2, at least 0, of any shape; inf is the end of training.
    psi_p, psi_n
        Features and training points in units of d, positive.
    t
        Ornstein-Uhlenbeck time, positive.
    covariance
        (eigenvalue, weight) atoms of the data's covariance.
    activation
        sigma, vectorised, of mean zero under N(0, Gamma_t^2).
    noises
        m, in how many noises, drawn once before training, each point is seen, at least 1 (a mean number may be a
        fraction); inf, fresh noise at every step, unless given.
    ridge
        gamma, the weight decay in units of the eigenvalues of U: the gradient gets 2 Delta gamma A d/p, at least 0.

    Returns
    -------
    Losses
        Each of the shape of tau. The train loss is that without the ridge's term.

    Raises
    ------
    ValueError
        For arguments out of range.
    BranchError
        Where the resolvent cannot be proven, where no two contour rules agree within 1e-9 on every loss, or where the
        test loss has no end: at tau = inf without ridge if nm = p.

    Examples
    --------
    >>> curves = learning_curves([0.0, 10.0, 1e5], psi_p=64, psi_n=8, t=0.1)
    >>> [round(float(v), 3) for v in curves.test - curves.train]
    [0.0, 0.009, 2.12]
    """
    tau = checked_times(tau)
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation, noises=noises)
    delta = -expm1(-2 * t)
    rate = 2 * delta / psi_p * tau.ravel()[:, None]
    where = Contour.around(model, float(rate.max(initial=0)), checked_ridge(ridge))
    before = np.full((2, tau.size), np.inf)
    nodes, known = NODES // 2, dict[float, Known]()
    while nodes <= MOST_NODES:
        train, test = losses = contour_losses(model, where, rate, nodes, known=known)
        change = np.max(abs(losses - before) / np.maximum(abs(losses), 1), initial=0)
        if change < ACCURACY:
            break
        before, nodes = losses, 2 * nodes
    else:
        raise BranchError(
            f"the losses at psi_p = {psi_p}, psi_n = {psi_n}, t = {t} still change by {change:.1e} between "
            f"{nodes // 4} and {nodes // 2} nodes; {ACCURACY} is asked for"
        )
    sigma_t = exp(-2 * t) * model.eigenvalues + delta
    score = (test - 1) / delta + float(model.weights @ (1 / sigma_t))
    if (score < -ACCURACY * np.maximum(abs(test), 1) / delta).any():
        raise BranchError(f"E_score = {score.min():.2e} at psi_p = {psi_p}, psi_n = {psi_n}, t = {t}: it is positive")
    return Losses(tau, *(v.reshape(tau.shape) for v in (train, test, score)))


@dataclass(frozen=True)
class Contour:
    """Ellipses in log(z + shift) around [low, top], the part of the spectrum that V sees.

    Where noises are frozen, that part may come close to zero, and zeros lie below it that carry nothing of V. The
    contours may cross the real axis below zero, since g is entire, but no further than -gamma - 1/c tau, where
    e^{-c (z + gamma) tau} begins to grow. For averaged noise the spectrum begins at s^2, and `shift` is zero.
    """

    low: float
    top: float
    shift: float
    ridge: float

    @classmethod
    def around(cls, model: Model, fastest: float, ridge: float) -> Contour:
        """Return what serves all rates c tau up to `fastest`; BranchError where nothing can be crossed."""
        if model.noises == inf:
            return cls(model.c.s2, model.top, 0.0, ridge)
        shift = min(ridge + (1 / fastest if fastest else inf), model.top)
        if shift:
            return cls(0.0, model.top, shift, ridge)
        low = support(model)[0][0]
        if low <= 0:
            raise BranchError(
                f"the test loss has no end at psi_p = {model.psi_p}, psi_n = {model.psi_n} and {model.noises:g} "
                "noises, as many noisy points as features: give finite times, or a ridge"
            )
        return cls(low, model.top, 0.0, ridge)

    def nodes(self, height: float, count: int) -> tuple[NDArray[np.float64], Complex, Complex]:
        """Return angles, nodes z and dz/(2 pi i) on the upper half of an ellipse, which has `count` nodes in all."""
        low, high = log(self.low + self.shift) - height, log(self.top + self.shift) + height
        angle = (np.arange(count // 2) + 0.5) * 2 * pi / count
        half = (high - low) / 2
        z: Complex = np.exp((high + low) / 2 + half * np.cos(angle) + 1j * height * np.sin(angle))
        return angle, z - self.shift, z * (-half * np.sin(angle) + 1j * height * np.cos(angle)) / (1j * count)

    def decayed(self, rate: NDArray[np.float64], z: Complex) -> Complex:
        """g(z) = (e^{-rate (z + gamma)} - 1)/(z + gamma); its limit where the rate is infinite."""
        finite, z = np.isfinite(rate), z + self.ridge
        return np.where(finite, np.expm1(-np.where(finite, rate, 0) * z), -1) / z


def contour_losses(
    model: Model,
    where: Contour,
    rate: NDArray[np.float64],
    nodes: int,
    heights: tuple[float, float] = HEIGHTS,
    known: dict[float, Known] | None = None,
) -> NDArray[np.float64]:
    """Train and test loss, (2, times), for a column of rates c tau, by contours of so many nodes and such heights.

    known: traces on contours of fewer nodes, which spare most of the work; those found here take their place.
    """
    known = {} if known is None else known
    # Upper half of the first contour: the lower one gives the complex conjugate of every integral.
    (z1, dz1, at_1), upper = (_on_contour(model, where, height, nodes, known) for height in heights)
    z2, dz2, q2, r2, u2 = (np.concatenate([v, v.conj()]) for v in (*upper[:2], *upper[2]))
    g1, g2 = where.decayed(rate, z1), where.decayed(rate, z2)
    kappa, cross = _cross(model, *at_1)
    train = 1 - 2 * ((z1 * g1**2 + 2 * g1) @ ((1 - kappa + kappa * cross) * dz1)).real
    test = 1 - 4 * (g1 @ (cross * dz1)).real
    size = max(1, BLOCK // (nodes * len(model.weights)))
    for start in range(0, nodes // 2, size):
        at = slice(start, start + size)
        q1, r1, u1 = (v[at, None] for v in at_1)
        Q = two_point(model, (q1, r1, u1), (q2, r2, u2))
        test += 2 * (((g1[:, at] * dz1[at]) @ Q) * (g2 * dz2)).sum(1).real
    return np.array([train, test])


def _on_contour(
    model: Model, where: Contour, height: float, nodes: int, known: dict[float, Known]
) -> tuple[Complex, Complex, Traces]:
    """Nodes z on the upper half of a contour, dz/(2 pi i) of each, and the traces there."""
    angle, z, dz = where.nodes(height, nodes)
    guess = None
    if height in known:  # all traces stay in the upper half plane, so their logarithms are smooth along the contour
        before, found = known[height]
        q, r, u = (np.exp(np.interp(angle, before, np.log(v))) for v in found)
        guess = q, r, u
    traces = model.traces(z, guess)
    known[height] = angle, traces
    return z, dz, traces


def _cross(model: Model, q: Complex, r: Complex, u: Complex) -> tuple[Complex, Complex]:
    """kappa, and lim Tr[V^T R(z) b Y]/d = b^2 kappa psi_p u."""
    _, _, kappa, _, _ = model.denominators(q, r, u)
    return kappa, model.c.b**2 * kappa * model.psi_p * u


def two_point(model: Model, at_1: Traces, at_2: Traces) -> Complex:
    """Q(z1, z2) = lim Tr[V^T R(z1) U~ R(z2) V]/d, for traces at z1 and z2 that broadcast.

    The corners a unit of eps: of D_1^-1, -fall; of kappa, 1 - stay; then those of q, r, u are explicit, and fall and
    stay solve two linear equations.
    """
    (D1_1, D2_1, kappa_1, S_1, N_1), (D1_2, D2_2, kappa_2, S_2, N_2) = (model.denominators(*at) for at in (at_1, at_2))
    (q_1, _, u_1), (q_2, _, u_2) = at_1, at_2
    psi_p, ratio, shared, m = model.psi_p, model.psi_p / model.psi_n, model.shared, model.noises
    alpha, b2, s2, v2, lam = model.alpha, model.c.b**2, model.c.s2, model.c.v2, model.eigenvalues
    both = model.weights / (N_1 * N_2)  # (..., atoms)
    P0, P1, P2 = (both.sum(-1), (both * lam).sum(-1), (both * lam**2).sum(-1))
    qq = psi_p * q_1 * q_2
    noise, signal = s2 + b2 * P0, v2 + alpha * P1
    scale = 1 / (q_1 * q_2) - psi_p * (both * S_1 * S_2).sum(-1)
    # Corners of q, r and u, each as (factor of stay, factor of 1 + fall).
    corner_q = noise / scale, signal / scale
    corner_r = P1 * corner_q[0] + qq * b2 * P1, P1 * corner_q[1] + qq * alpha * P2
    corner_u = P0 * corner_q[0] + qq * b2 * P0, P0 * corner_q[1] + qq * alpha * P1
    # Corners of D_2 and D_1 over both diagonals: fall = D_1,12/(D_1 D_1), and that of kappa is its part by both.
    D_2 = [shared * (b2 * u + s2 * q) for u, q in zip(corner_u, corner_q, strict=True)]
    D_1 = [d + ratio * (alpha * r + v2 * q) for d, r, q in zip(D_2, corner_r, corner_q, strict=True)]
    over_1, over_2 = 1 / (D1_1 * D1_2), (1 - 1 / m) / (D2_1 * D2_2)
    # 1 + fall = 1 + over_1 (D_1[0] stay + D_1[1] (1 + fall));  stay = 1 + fall/m + over_2 (D_2[0] stay + ...).
    a, b = -over_1 * D_1[0], 1 - over_1 * D_1[1]
    c, d = 1 - over_2 * D_2[0], -1 / m - over_2 * D_2[1]
    rest = 1 - 1 / m
    det = a * d - b * c
    stay, grown = (d - b * rest) / det, (a * rest - c) / det
    moved = 1 - stay  # the corner of kappa
    u_12 = corner_u[0] * stay + corner_u[1] * grown
    through = b2 * psi_p * (moved * (u_2 * kappa_2 + kappa_1 * u_1) + kappa_1 * kappa_2 * u_12)
    return through - moved
