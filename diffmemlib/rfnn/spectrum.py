"""Spectrum of U, the matrix that sets the training times of the random-features model (Theorems 3.1, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms, Coefficients, check_ratios, checked_atoms, coefficients

Complex = NDArray[np.complex128]
START = 1e3  # imaginary part, in units of the spectrum's scale, where q = -1/z is a good first guess
SHRINK = 0.6  # of the imaginary part from one step of the continuation to the next
RESIDUAL = 1e-10


class BranchError(RuntimeError):
    """The solver cannot prove that it found the physical solution."""


@dataclass(frozen=True)
class Model:
    """The limit d -> infinity at fixed psi_p = p/d and psi_n = n/d: coefficients and covariance atoms.

    Its equations, for the resolvent traces q(z) = Tr(U - z)^-1 / p and r(z), that of W Sigma W^T/d against it:
    with alpha = a^2 e^-2t, D = 1 + (psi_p/psi_n)(alpha r + v^2 q) and S_k = b^2 + alpha lambda_k / D,
    1/q = s^2 - z + v^2/D + sum_k w_k S_k/(1 + psi_p q S_k),  r = sum_k w_k lambda_k q/(1 + psi_p q S_k).
    """

    psi_p: float
    psi_n: float
    t: float
    eigenvalues: NDArray[np.float64]
    weights: NDArray[np.float64]
    c: Coefficients

    @classmethod
    def of(
        cls,
        *,
        psi_p: float,
        psi_n: float,
        t: float,
        covariance: Atoms = ((1.0, 1.0),),
        activation: Activation = np.tanh,
    ) -> Model:
        """Return the model of the paper's parameters; ValueError names what is out of range."""
        check_ratios(psi_p, psi_n)
        eigenvalues, weights = checked_atoms(covariance)
        c = coefficients(t, float(weights @ eigenvalues), activation)
        return cls(psi_p, psi_n, t, eigenvalues, weights, c)

    @property
    def alpha(self) -> float:
        """a_t^2 e^-2t."""
        return self.c.a**2 * exp(-2 * self.t)

    @cached_property
    def top(self) -> float:
        """An upper bound of the spectrum, from the norms of its Gaussian-equivalent parts."""
        features = (1 + sqrt(self.psi_p)) ** 2
        data = self.alpha * self.eigenvalues.max() * (1 + 1 / sqrt(self.psi_n)) ** 2
        noise = self.c.v2 * (1 + sqrt(self.psi_p / self.psi_n)) ** 2
        return float(self.c.s2 + 2 * noise + 2 * (self.c.b**2 + data) * features)

    def residual(self, z: Complex, q: Complex, r: Complex) -> tuple[Complex, Complex, NDArray[np.complex128]]:
        """Return both equations, multiplied by q and as they stand, and their Jacobian (..., 2, 2) in (q, r)."""
        ratio, alpha, v2 = self.psi_p / self.psi_n, self.alpha, self.c.v2
        lam, w = self.eigenvalues, self.weights
        D = 1 + ratio * (alpha * r + v2 * q)
        S = self.c.b**2 + alpha * lam / D[..., None]
        m = 1 / (1 + self.psi_p * q[..., None] * S)
        f = q * (self.c.s2 - z + v2 / D + (w * S * m).sum(-1)) - 1
        g = r - q * (w * lam * m).sum(-1)
        # Derivatives: D by (q, r) = ratio (v2, alpha); S by D = -alpha lam/D^2; m by S and q below.
        S_D = -alpha * lam / D[..., None] ** 2
        Sm_S, m_S, m_q = m**2, -self.psi_p * q[..., None] * m**2, -self.psi_p * S * m**2
        f_D = q * (-v2 / D**2 + (w * Sm_S * S_D).sum(-1))
        g_D = -q * (w * lam * m_S * S_D).sum(-1)
        f_q = (f + 1) / q + q * (w * S * m_q).sum(-1) + f_D * ratio * v2
        g_q = -(w * lam * m).sum(-1) - q * (w * lam * m_q).sum(-1) + g_D * ratio * v2
        jacobian = np.stack(
            [np.stack([f_q, f_D * ratio * alpha], -1), np.stack([g_q, 1 + g_D * ratio * alpha], -1)], -2
        )
        return f, g, jacobian

    def newton(self, z: Complex, q: Complex, r: Complex, steps: int) -> tuple[Complex, Complex, NDArray[np.float64]]:
        """Return q and r after Newton steps, and the size of the equations there."""
        for _ in range(steps):
            f, g, J = self.residual(z, q, r)
            det = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0]
            q = q - (J[..., 1, 1] * f - J[..., 0, 1] * g) / det
            r = r - (J[..., 0, 0] * g - J[..., 1, 0] * f) / det
        f, g, _ = self.residual(z, q, r)
        return q, r, np.maximum(abs(f), abs(g) / np.maximum(abs(r), 1e-300))

    def traces(self, z: ArrayLike) -> tuple[Complex, Complex]:
        """Return q(z) and r(z), continued from far above the real axis.

        Parameters
        ----------
        z
            Points with Im z > 0, of any shape.

        Raises
        ------
        BranchError
            Where the equations are not met to 1e-10, or Im q or Im r is not positive, which only the physical solution
            has.
        ValueError
            For points that are not in the upper half plane.
        """
        z = np.asarray(z, complex)
        if not (z.imag > 0).all():
            raise ValueError("z: the traces are computed in the upper half plane only, Im z > 0")
        height = START * max(1.0, self.top)
        q = -1 / (z.real + 1j * height)
        r = q * float(self.weights @ self.eigenvalues)
        while height > z.imag.min():
            q, r, _ = self.newton(z.real + 1j * np.maximum(height, z.imag), q, r, 2)
            height *= SHRINK
        q, r, off = self.newton(z, q, r, 4)
        bad = ~((off < RESIDUAL) & (q.imag > 0) & (r.imag > 0))
        if bad.any():
            where = z[bad].flat[0]
            raise BranchError(
                f"no proven solution at {int(bad.sum())} of {z.size} points, the first at z = {where:.4g} (residual "
                f"{off[bad].flat[0]:.1e}): move them away from the edges of the spectrum, or from the real axis"
            )
        return q, r


def spectral_density(
    lam: ArrayLike, *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),),
    activation: Activation = np.tanh,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the density rho(lambda) of the eigenvalues of U without its delta, Im q(lambda + i0)/pi (Theorem 3.1).

    Parameters
    ----------
    lam
        Eigenvalues, positive, of any shape.
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
    ndarray
        Of lam's shape; it integrates to one less the weight of the delta, see `spectrum`.

    Raises
    ------
    ValueError
        For arguments out of range.
    BranchError
        Where the solution cannot be proven.
    """
    lam = np.asarray(lam, float)
    if not (lam > 0).all():
        raise ValueError("lam: eigenvalues of U are positive")
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation)
    return _continuous(model, lam)


@dataclass(frozen=True)
class Bulk:
    """One interval of the continuous spectrum: its edges and its mass."""

    low: float
    high: float
    mass: float


@dataclass(frozen=True)
class Spectrum:
    """The whole spectrum of U in the limit, and the times that it predicts, tau = psi_p/(Delta_t lambda).

    Parameters
    ----------
    delta_place, delta_weight
        s_t^2 and max(0, 1 - (1 + psi_n)/psi_p).
    bulks
        From small to large eigenvalues.
    tau_gen
        Of the left edge of rho_2, the largest eigenvalues, of mass 1/psi_p; NaN where no gap sets them apart.
    tau_mem
        Of the left edge of rho_1, the bulk below it (of all, where there is no gap). At finite psi_n a smaller bulk may
        lie between rho_1 and the delta, the last to relax.
    split
        Index of the first bulk above the gap, or None.
    """

    delta_place: float
    delta_weight: float
    bulks: tuple[Bulk, ...]
    tau_gen: float
    tau_mem: float
    split: int | None

    @property
    def rho_1(self) -> Bulk:
        """The bulk of the training set, below the gap; of all eigenvalues where there is none."""
        return self.bulks[(self.split or 1) - 1]

    @property
    def rho_2(self) -> Bulk:
        """The eigenvalues above the gap as one interval, which several variances of the data may split further."""
        above = self.bulks[self.split or 0 :]
        return Bulk(above[0].low, above[-1].high, sum(b.mass for b in above))


def spectrum(
    *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),), activation: Activation = np.tanh
) -> Spectrum:
    """Return the whole spectrum of U in the limit: delta, edges and masses of the bulks, and the predicted times.

    Parameters
    ----------
    psi_p, psi_n, t, covariance, activation
        As of `spectral_density`.

    Returns
    -------
    Spectrum
        With the bulks from small to large eigenvalues.

    Raises
    ------
    ValueError
        For arguments out of range.
    BranchError
        Unless all masses sum to one within 1e-4.

    Examples
    --------
    >>> whole = spectrum(psi_p=64, psi_n=8, t=0.01)
    >>> round(whole.rho_2.mass * 64, 3), bool(whole.tau_gen < whole.tau_mem)
    (1.0, True)
    """
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation)
    bulks = tuple(Bulk(low, high, _mass(model, low, high)) for low, high in _support(model))
    weight = _delta_weight(model)
    total = weight + sum(b.mass for b in bulks)
    if abs(total - 1) > 1e-4:
        raise BranchError(f"the masses of the spectrum sum to {total:.6f}, not to 1: an interval was missed")
    unit = psi_p / -float(np.expm1(-2 * t))
    above = np.cumsum([b.mass for b in bulks[::-1]])  # of one bulk and of those at larger eigenvalues
    last = np.flatnonzero(abs(above * psi_p - 1) < 1e-3)  # where they are rho_2 and nothing else
    if len(last) == 0 or last[0] + 1 == len(bulks):
        return Spectrum(model.c.s2, weight, bulks, float("nan"), unit / bulks[0].low, None)
    split = len(bulks) - 1 - int(last[0])
    return Spectrum(model.c.s2, weight, bulks, unit / bulks[split].low, unit / bulks[split - 1].low, split)


def _delta_weight(model: Model) -> float:
    return max(0.0, 1 - (1 + model.psi_n) / model.psi_p)


def _continuous(model: Model, lam: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density without the delta, a relative 1e-7 above the real axis."""
    z = lam * (1 + 1e-7j)
    q, _ = model.traces(z)
    return np.maximum((q - _delta_weight(model) / (model.c.s2 - z)).imag / pi, 0)


def _support(model: Model, grid: int = 4000, rounds: int = 4, sections: int = 48) -> list[tuple[float, float]]:
    """Intervals where the density is positive, from a grid even in log(lambda - s^2), edges refined by sections."""
    floor = model.c.s2
    weight = _delta_weight(model)

    def inside(shift: NDArray[np.float64]) -> NDArray[np.bool_]:
        rounding = 1e-8 * weight / shift  # of the delta that was taken off
        return _continuous(model, floor + shift) > 1e-4 / model.top + rounding

    shift = np.geomspace(1e-4 * floor, model.top, grid)
    fine = inside(shift)
    change = np.flatnonzero(fine[1:] != fine[:-1])
    low, high, starts = shift[change], shift[change + 1], fine[change + 1]
    for _ in range(rounds):
        parts = np.linspace(low, high, sections, axis=-1)
        crossed = inside(parts) == starts[:, None]
        first = np.maximum(crossed.argmax(-1), 1)
        rows = np.arange(len(low))
        low, high = parts[rows, first - 1], parts[rows, first]
    edges = (floor + (low + high) / 2).tolist()
    if fine[0]:  # the density reaches down to s^2
        edges.insert(0, floor)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _mass(model: Model, low: float, high: float, nodes: int = 4000) -> float:
    """Integral of the density over a bulk, on nodes that crowd at the edges, where it is a square root."""
    angle = (np.arange(nodes) + 0.5) * pi / nodes
    lam = low + (high - low) * (1 - np.cos(angle)) / 2
    return float(_continuous(model, lam) @ np.sin(angle) * (high - low) / 2 * pi / nodes)
