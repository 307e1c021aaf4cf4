"""Losses at any training time in the limit d -> infinity, which the paper has for tau -> infinity only.

Beside the resolvent trace m(z), the test loss needs the two-point trace
T(z1, z2) = lim Tr[Y^T R(z1) Y Sigma_t Y^T R(z2) Y]/d, with Y = W/sqrt(d) and R(z) = (U - z)^-1. Put two copies of the
resolvent in a 2 x 2 upper-triangular block, Z = diag(z1, z2) for z and b^2 I + eps Sigma_t E_12 for b^2: the equations
of the spectrum hold for 2 x 2 matrices q, r, D, S_k in the order of products

    q^-1 = s^2 - Z + v^2 D^-1 + sum_k w_k S_k (I + psi_p q S_k)^-1,  r = sum_k w_k lambda_k (I + psi_p q S_k)^-1 q,

and T = -dM_12/d eps for M = psi_p sum_k w_k (I + psi_p q S_k)^-1 q. The diagonals are the scalar solutions at z1 and
z2; the corners solve two linear equations.
"""

from __future__ import annotations

from math import exp, expm1, log, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms
from .gradient_flow import Losses
from .model import BranchError, Complex, Model

NODES, MOST_NODES = 200, 6400  # on each contour: doubled until two rules agree
ACCURACY = 1e-9  # of the losses, relative to the larger of themselves and one
HEIGHTS = (0.7, 0.85)  # of the nested contours in log z: about as far from the spectrum as from Re z = 0
Known = tuple[NDArray[np.float64], Complex, Complex]  # angles along a contour, and the traces there
BLOCK = 2**19  # entries of the kernel that are held at a time


def learning_curves(
    tau: ArrayLike, *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),),
    activation: Activation = np.tanh,
) -> Losses:  # fmt: skip
    """Return train loss, test loss and E_score at every training time, in the limit d -> infinity.

    With c = 2 Delta/psi_p, g(l) = (e^{-c l tau} - 1)/l, <.>_m a contour integral around the spectrum against m(z) and
    <<.>>_K the double one over two nested contours,
    L_train = 1 + b^2 <(e^{-2 c l tau} - 1)/l>_m, L_test = 1 + 2 b^2 <g>_m + b^2 <<g g>>_K,
    K(z1, z2) = (s^2 + v^2)(m(z1) - m(z2))/(z1 - z2) + a^2 T(z1, z2),
    E_score = (L_test - 1)/Delta + sum_k w_k/Sigma_t,k. One K serves all tau. The contours get more nodes
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

    Returns
    -------
    Losses
        Each of the shape of tau.

    Raises
    ------
    ValueError
        For arguments out of range.
    BranchError
        Where the resolvent cannot be proven, or where no two contour rules agree within 1e-9 on every loss.

    Examples
    --------
    >>> curves = learning_curves([0.0, 10.0, 1e5], psi_p=64, psi_n=8, t=0.1)
    >>> [round(float(v), 3) for v in curves.test - curves.train]
    [0.0, 0.009, 2.12]
    """
    tau = np.asarray(tau, float)
    if not (tau >= 0).all():
        raise ValueError("tau: training times are zero or positive")
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation)
    delta = -expm1(-2 * t)
    sigma_t = exp(-2 * t) * model.eigenvalues + delta
    rate = 2 * delta / psi_p * tau.ravel()[:, None]
    before = np.full((2, tau.size), np.inf)
    nodes, known = NODES // 2, dict[float, Known]()
    while nodes <= MOST_NODES:
        train, test = losses = contour_losses(model, sigma_t, rate, nodes, known=known)
        change = np.max(abs(losses - before) / np.maximum(abs(losses), 1), initial=0)
        if change < ACCURACY:
            break
        before, nodes = losses, 2 * nodes
    else:
        raise BranchError(
            f"the losses at psi_p = {psi_p}, psi_n = {psi_n}, t = {t} still change by {change:.1e} between "
            f"{nodes // 4} and {nodes // 2} nodes; {ACCURACY} is asked for"
        )
    score = (test - 1) / delta + float(model.weights @ (1 / sigma_t))
    if (score < -ACCURACY * np.maximum(abs(test), 1) / delta).any():
        raise BranchError(f"E_score = {score.min():.2e} at psi_p = {psi_p}, psi_n = {psi_n}, t = {t}: it is positive")
    return Losses(tau, *(v.reshape(tau.shape) for v in (train, test, score)))


def contour_losses(
    model: Model,
    sigma_t: NDArray[np.float64],
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
    z1, dz1, q1, r1 = (v[: nodes // 2] for v in _on_contour(model, heights[0], nodes, known))
    z2, dz2, q2, r2 = _on_contour(model, heights[1], nodes, known)
    m1, m2 = _trace(model, q1, r1), _trace(model, q2, r2)
    g1, g2 = _decayed(rate, z1), _decayed(rate, z2)
    b2 = model.c.b**2
    train = 1 - 2 * b2 * (_decayed(2 * rate, z1) @ (m1 * dz1)).real
    test = 1 - 4 * b2 * (g1 @ (m1 * dz1)).real
    size = max(1, BLOCK // nodes)
    for start in range(0, nodes // 2, size):
        at = slice(start, start + size)
        T = _two_point(model, sigma_t, (q1[at, None], r1[at, None]), (q2, r2))
        K = (model.c.s2 + model.c.v2) * (m1[at, None] - m2) / (z1[at, None] - z2) + model.c.a**2 * T
        test += 2 * b2 * (((g1[:, at] * dz1[at]) @ K) * (g2 * dz2)).sum(1).real
    return np.array([train, test])


def _decayed(rate: NDArray[np.float64], z: Complex) -> Complex:
    """(e^{-rate z} - 1)/z; its limit -1/z where the rate is infinite."""
    finite = np.isfinite(rate)
    return np.where(finite, np.expm1(-np.where(finite, rate, 0) * z), -1) / z


def _on_contour(
    model: Model, height: float, nodes: int, known: dict[float, Known]
) -> tuple[Complex, Complex, Complex, Complex]:
    """Nodes z on an ellipse in log z around the spectrum, dz/(2 pi i) of each, and the traces q, r there.

    The ellipse crosses the real axis right of 0 and left of s^2, and |arg z| stays below pi/2, so that e^{-c z tau}
    never grows. The lower half is the mirror image of the upper.
    """
    low, high = log(model.c.s2) - height, log(model.top) + height
    angle = (np.arange(nodes // 2) + 0.5) * 2 * pi / nodes
    half = (high - low) / 2
    z = np.exp((high + low) / 2 + half * np.cos(angle) + 1j * height * np.sin(angle))
    dz = z * (-half * np.sin(angle) + 1j * height * np.cos(angle)) / (1j * nodes)
    guess = None
    if height in known:  # both traces stay in the upper half plane, so their logarithms are smooth along the contour
        before, *traces = known[height]
        q, r = (np.exp(np.interp(angle, before, np.log(v))) for v in traces)
        guess = q, r
    q, r = model.traces(z, guess)
    known[height] = angle, q, r
    return (
        np.concatenate([z, z.conj()]),
        np.concatenate([dz, dz.conj()]),
        np.concatenate([q, q.conj()]),
        np.concatenate([r, r.conj()]),
    )


def _parts(model: Model, q: Complex, r: Complex) -> tuple[Complex, Complex, Complex]:
    """D, and for each atom S_k and 1 + psi_p q S_k."""
    D = 1 + model.psi_p / model.psi_n * (model.alpha * r + model.c.v2 * q)
    S = model.c.b**2 + model.alpha * model.eigenvalues / D[..., None]
    return D, S, 1 + model.psi_p * q[..., None] * S


def _trace(model: Model, q: Complex, r: Complex) -> Complex:
    """m(z) = lim Tr[Y^T R(z) Y]/d."""
    _, _, N = _parts(model, q, r)
    return model.psi_p * q * (model.weights / N).sum(-1)


def _two_point(
    model: Model, sigma_t: NDArray[np.float64], at_1: tuple[Complex, Complex], at_2: tuple[Complex, Complex]
) -> Complex:
    """T(z1, z2) from the corners q_12, r_12 per unit of eps, for traces at z1 and z2 that broadcast."""
    (q1, r1), (q2, r2) = at_1, at_2
    (D1, S1, N1), (D2, S2, N2) = _parts(model, q1, r1), _parts(model, q2, r2)
    psi, alpha, v2, lam = model.psi_p, model.alpha, model.c.v2, model.eigenvalues
    P = model.weights / (N1 * N2)  # (..., atoms)
    qq = q1 * q2
    kappa = model.psi_p / model.psi_n / (D1 * D2)  # D_12/(D1 D2) = kappa (alpha r_12 + v^2 q_12)
    # S_12 = Sigma_t - alpha lambda kappa (alpha r_12 + v^2 q_12); [S N^-1]_12 = (S_12 - psi S1 S2 q_12)/(N1 N2);
    # [N^-1 q]_12 = (q_12 - psi q1 q2 S_12)/(N1 N2).
    P0, P1, P2 = P.sum(-1), (P * lam).sum(-1), (P * lam**2).sum(-1)
    from_q = -1 / qq + v2**2 * kappa + alpha * kappa * v2 * P1 + psi * (P * S1 * S2).sum(-1)
    from_r = alpha * kappa * (v2 + alpha * P1)
    second_q = -P1 - psi * qq * alpha * kappa * v2 * P2
    second_r = 1 - psi * qq * alpha**2 * kappa * P2
    given = (P * sigma_t).sum(-1)
    given_2 = -psi * qq * (P * lam * sigma_t).sum(-1)
    det = from_q * second_r - from_r * second_q
    q12 = (given * second_r - from_r * given_2) / det
    r12 = (from_q * given_2 - second_q * given) / det
    pull = alpha * kappa * (alpha * r12 + v2 * q12)
    return -psi * (q12 * P0 - psi * qq * (given - pull * P1))
