"""The random-features model in the limit d -> infinity: the equations of its resolvent, and their physical solution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms, Coefficients, check_ratios, checked_atoms, coefficients

Complex = NDArray[np.complex128]
START = 1e3  # imaginary part, in units of the spectrum's scale, where q = -1/z is a good first guess
SHRINK = 0.6  # of the imaginary part from one step of the continuation to the next
RESIDUAL = 1e-10
ROUNDING = 1e-14  # of r, relative: very near to s^2 its imaginary part is smaller than that


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

    def residual(self, x: Complex, q: Complex, r: Complex) -> tuple[Complex, Complex, NDArray[np.complex128]]:
        """Return both equations at z = s^2 + x, multiplied by q and as they stand, and their Jacobian in (q, r).

        The equations hold z as s^2 - z only, and at large t the spectrum is much nearer to s^2 than s^2 is to zero: of
        the distance x no digit is lost. The Jacobian is (..., 2, 2).
        """
        ratio, alpha, v2 = self.psi_p / self.psi_n, self.alpha, self.c.v2
        lam, w = self.eigenvalues, self.weights
        D = 1 + ratio * (alpha * r + v2 * q)
        S = self.c.b**2 + alpha * lam / D[..., None]
        m = 1 / (1 + self.psi_p * q[..., None] * S)
        f = q * (v2 / D - x + (w * S * m).sum(-1)) - 1
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

    def newton(self, x: Complex, q: Complex, r: Complex, steps: int) -> tuple[Complex, Complex, NDArray[np.float64]]:
        """Return q and r at z = s^2 + x after Newton steps, and the size of the equations there."""
        for _ in range(steps):
            f, g, J = self.residual(x, q, r)
            det = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0]
            q = q - (J[..., 1, 1] * f - J[..., 0, 1] * g) / det
            r = r - (J[..., 0, 0] * g - J[..., 1, 0] * f) / det
        f, g, _ = self.residual(x, q, r)
        return q, r, np.maximum(abs(f), abs(g) / np.maximum(abs(r), 1e-300))

    def traces(self, z: ArrayLike, guess: tuple[Complex, Complex] | None = None) -> tuple[Complex, Complex]:
        """Return q(z) and r(z) at points of any shape, Im z > 0; see `traces_beside`."""
        return self.traces_beside(np.asarray(z, complex) - self.c.s2, guess)

    def traces_beside(self, x: ArrayLike, guess: tuple[Complex, Complex] | None = None) -> tuple[Complex, Complex]:
        """Return q and r at z = s^2 + x, continued from far above the real axis.

        Parameters
        ----------
        x
            Distances of the points from s^2, Im x > 0, of any shape.
        guess
            q and r near the solution, which spare the way from above where they lead to what can be proven.

        Raises
        ------
        BranchError
            Where the equations are not met to 1e-10, or Im q or Im r is not positive, which only the physical solution
            has.
        ValueError
            For points that are not in the upper half plane.
        """
        x = np.asarray(x, complex)
        if not (x.imag > 0).all():
            raise ValueError("z: the traces are computed in the upper half plane only, Im z > 0")
        if guess is not None:
            near_q, near_r, off = self.newton(x, *guess, 5)
            if _proven(near_q, near_r, off).all():
                return near_q, near_r
        height = START * max(1.0, self.top)
        q: Complex = np.asarray(-1 / (self.c.s2 + x.real + 1j * height), np.complex128)
        r = q * float(self.weights @ self.eigenvalues)
        while height > x.imag.min():
            q, r, _ = self.newton(x.real + 1j * np.maximum(height, x.imag), q, r, 2)
            height *= SHRINK
        q, r, off = self.newton(x, q, r, 4)
        bad = ~_proven(q, r, off)
        if bad.any():
            where = x[bad].flat[0]
            raise BranchError(
                f"no proven solution at {int(bad.sum())} of {x.size} points, the first at z = {self.c.s2:.6g} + "
                f"{where:.4g} (residual {off[bad].flat[0]:.1e}): move them away from the edges of the spectrum, or "
                "from the real axis"
            )
        return q, r

    @property
    def delta_weight(self) -> float:
        """Weight of the eigenvalue s_t^2 itself, max(0, 1 - (1 + psi_n)/psi_p) (Theorem 3.2)."""
        return max(0.0, 1 - (1 + self.psi_n) / self.psi_p)

    def real_branch(self, q: complex, r: complex) -> tuple[complex, complex, complex]:
        """Return z - s^2 and the second equation at real q and r, and the derivative of z along its solutions.

        The second equation does not hold z, so it makes r a function of q, and the first one says z(q). Outside the
        spectrum q is real and grows with z; where dz/dq = 0 the spectrum ends. The third number is dz/dq times the
        derivative of the second equation by r, which is positive on the physical branch.
        """
        ratio, alpha, v2 = self.psi_p / self.psi_n, self.alpha, self.c.v2
        lam, w = self.eigenvalues, self.weights
        D = 1 + ratio * (alpha * r + v2 * q)
        S = self.c.b**2 + alpha * lam / D
        m = 1 / (1 + self.psi_p * q * S)
        S_D = -alpha * lam / D**2
        z_D = -v2 / D**2 + (w * m**2 * S_D).sum()
        z_q = 1 / q**2 - self.psi_p * (w * (S * m) ** 2).sum() + z_D * ratio * v2
        z_r = z_D * ratio * alpha
        g_D = self.psi_p * q**2 * (w * lam * m**2 * S_D).sum()
        g_q = -(w * lam * m).sum() + self.psi_p * q * (w * lam * S * m**2).sum() + g_D * ratio * v2
        g_r = 1 + g_D * ratio * alpha
        return v2 / D + (w * S * m).sum() - 1 / q, r - q * (w * lam * m).sum(), z_q * g_r - z_r * g_q


def _proven(q: Complex, r: Complex, off: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the equations are met by the physical solution, the one with Im q > 0 and Im r > 0, within rounding."""
    return np.asarray((off < RESIDUAL) & (q.imag > 0) & (r.imag > -ROUNDING * abs(r)))
