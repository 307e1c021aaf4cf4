"""The random-features model in the limit d -> infinity: the equations of its resolvent, and their physical solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, inf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms, Coefficients, check_ratios, checked_atoms, coefficients

Complex = NDArray[np.complex128]
START = 1e3  # imaginary part, in units of the spectrum's scale, where q = -1/z is a good first guess
SHRINK = 0.6  # of the imaginary part from one step of the continuation to the next
RESIDUAL = 1e-10
ROUNDING = 1e-14  # of r and u, relative: very near to s^2 their imaginary parts are smaller than that


class BranchError(RuntimeError):
    """The solver cannot prove that it found the physical solution."""


Traces = tuple[Complex, Complex, Complex]  # q, r and u at some points


@dataclass(frozen=True)
class Model:
    """The limit d -> infinity at fixed psi_p = p/d and psi_n = n/d: coefficients, covariance atoms, noises a point.

    Each training point is seen in m noises that are drawn once (`noises`); m = inf is the average over the noise, as in
    the paper. The equations, for the resolvent traces q(z) = Tr(U - z)^-1/p, and r(z) and u(z), those of W Sigma W^T/d
    and of W W^T/d against it: with alpha = a^2 e^-2t and psi = psi_p/psi_n,
    D_2 = 1 + (psi/m)(b^2 u + s^2 q), D_1 = D_2 + psi (alpha r + v^2 q), kappa = (1/m)/D_1 + (1 - 1/m)/D_2,
    S_k = b^2 kappa + alpha lambda_k/D_1, N_k = 1 + psi_p q S_k,
    1/q = s^2 kappa - z + v^2/D_1 + sum_k w_k S_k/N_k, r = sum_k w_k lambda_k q/N_k, u = sum_k w_k q/N_k.
    """

    psi_p: float
    psi_n: float
    t: float
    eigenvalues: NDArray[np.float64]
    weights: NDArray[np.float64]
    c: Coefficients
    noises: float = inf

    @classmethod
    def of(
        cls,
        *,
        psi_p: float,
        psi_n: float,
        t: float,
        covariance: Atoms = ((1.0, 1.0),),
        activation: Activation = np.tanh,
        noises: float = inf,
    ) -> Model:
        """Return the model of the paper's parameters; ValueError names what is out of range."""
        check_ratios(psi_p, psi_n)
        if not noises >= 1:
            raise ValueError(f"noises = {noises}: each point is seen in one at least")
        eigenvalues, weights = checked_atoms(covariance)
        c = coefficients(t, float(weights @ eigenvalues), activation)
        return cls(psi_p, psi_n, t, eigenvalues, weights, c, noises)

    @property
    def alpha(self) -> float:
        """a_t^2 e^-2t."""
        return self.c.a**2 * exp(-2 * self.t)

    @property
    def shared(self) -> float:
        """psi_p/(psi_n m): features for each noisy point, 0 where the noise is averaged."""
        return self.psi_p / self.psi_n / self.noises

    @property
    def origin(self) -> float:
        """Where the eigenvalues outside all bulks are, the lower end of the spectrum: s_t^2, or 0 of finite m."""
        return self.c.s2 if self.noises == inf else 0.0

    @property
    def delta_weight(self) -> float:
        """Weight of the eigenvalue `origin`, max(0, 1 - (1 + psi_n)/psi_p) (Theorem 3.2), or max(0, 1 - nm/p)."""
        return 1 - self.bulk_weight

    @property
    def bulk_weight(self) -> float:
        """Mass of all bulks: the rank of U, or of what it adds to s_t^2, a feature."""
        return min(1.0, (1 + self.psi_n) / self.psi_p if self.noises == inf else 1 / self.shared)

    @cached_property
    def top(self) -> float:
        """An upper bound of the spectrum, from the norms of its Gaussian-equivalent parts."""
        features, points = (1 + sqrt(self.psi_p)) ** 2, self.psi_n * self.noises
        signal = self.alpha * self.eigenvalues.max() * features * (1 + 1 / sqrt(self.psi_n)) ** 2
        noise = self.c.b**2 * features * (1 + 1 / sqrt(points)) ** 2
        rest_of_signal = self.c.v2 * (1 + sqrt(self.psi_p / self.psi_n)) ** 2
        rest = self.c.s2 * (1 + sqrt(self.shared)) ** 2
        return float(sum(map(sqrt, (signal, noise, rest_of_signal, rest))) ** 2)

    def denominators(self, q: Complex, r: Complex, u: Complex) -> tuple[Complex, Complex, Complex, Complex, Complex]:
        """Return D_1, D_2, kappa, and for each atom S_k and N_k."""
        D_2 = 1 + self.shared * (self.c.b**2 * u + self.c.s2 * q)
        D_1 = D_2 + self.psi_p / self.psi_n * (self.alpha * r + self.c.v2 * q)
        kappa = 1 / self.noises / D_1 + (1 - 1 / self.noises) / D_2
        S = self.c.b**2 * kappa[..., None] + self.alpha * self.eigenvalues / D_1[..., None]
        return D_1, D_2, kappa, S, 1 + self.psi_p * q[..., None] * S

    def residual(self, x: Complex, q: Complex, r: Complex, u: Complex) -> tuple[list[Complex], list[list[Complex]]]:
        """Return the three equations at z = origin + x, the first multiplied by q, and their Jacobian in (q, r, u).

        For averaged noise the equations hold z as s^2 - z only, and at large t the spectrum is much nearer to s^2 than
        s^2 is to zero: of the distance x no digit is lost.
        """
        ratio, shared, m, lam, w = self.psi_p / self.psi_n, self.shared, self.noises, self.eigenvalues, self.weights
        alpha, b2, s2, v2 = self.alpha, self.c.b**2, self.c.s2, self.c.v2
        D_1, D_2, kappa, S, N = self.denominators(q, r, u)
        equations = [
            q * (s2 * kappa - self.origin - x + v2 / D_1 + (w * S / N).sum(-1)) - 1,
            r - q * (w * lam / N).sum(-1),
            u - q * (w / N).sum(-1),
        ]
        weighted = w / N**2
        jacobian: list[list[Complex]] = [[], [], []]
        for by, (D_2_by, D_1_by) in enumerate(
            ((shared * s2, shared * s2 + ratio * v2), (0.0, ratio * alpha), (shared * b2, shared * b2))
        ):
            over_D_1 = -D_1_by / D_1**2  # the derivative of 1/D_1
            kappa_by = over_D_1 / m - (1 - 1 / m) * D_2_by / D_2**2
            S_by = b2 * kappa_by[..., None] + alpha * lam * over_D_1[..., None]
            inner = self.psi_p * q**2
            jacobian[0].append(q * (s2 * kappa_by + v2 * over_D_1 + (weighted * S_by).sum(-1)))
            jacobian[1].append(inner * (weighted * lam * S_by).sum(-1))
            jacobian[2].append(inner * (weighted * S_by).sum(-1))
            if by == 0:  # q stands outside of D_1, D_2 and S too; 1/N + q d(1/N)/dq = 1/N^2 at given S
                jacobian[0][0] += (equations[0] + 1) / q - self.psi_p * q * (weighted * S**2).sum(-1)
                jacobian[1][0] -= (weighted * lam).sum(-1)
                jacobian[2][0] -= weighted.sum(-1)
            else:
                jacobian[by][by] += 1
        return equations, jacobian

    def newton(self, x: Complex, traces: Traces, steps: int) -> tuple[Traces, NDArray[np.float64]]:
        """Return the traces at z = origin + x after Newton steps, and the size of the equations there."""
        for _ in range(steps):
            f, J = self.residual(x, *traces)
            det = determinant(J)
            solved = (determinant([[*row[:i], f[k], *row[i + 1 :]] for k, row in enumerate(J)]) / det for i in range(3))
            q, r, u = (value - step for value, step in zip(traces, solved, strict=True))
            traces = q, r, u
        f, _ = self.residual(x, *traces)
        off = [abs(f[0]), *(abs(f[i]) / np.maximum(abs(traces[i]), 1e-300) for i in (1, 2))]
        return traces, np.max(off, axis=0)

    def traces(self, z: ArrayLike, guess: Traces | None = None) -> Traces:
        """Return q(z), r(z) and u(z) at points of any shape, Im z > 0; see `traces_beside`."""
        return self.traces_beside(np.asarray(z, complex) - self.origin, guess)

    def traces_beside(self, x: ArrayLike, guess: Traces | None = None) -> Traces:
        """Return q, r and u at z = origin + x, continued from far above the real axis.

        Parameters
        ----------
        x
            Distances of the points from `origin`, Im x > 0, of any shape.
        guess
            q, r and u near the solution, which spare the way from above where they lead to what can be proven.

        Raises
        ------
        BranchError
            Where the equations are not met to 1e-10, or Im q, Im r or Im u is not positive, which only the physical
            solution has.
        ValueError
            For points that are not in the upper half plane.
        """
        x = np.asarray(x, complex)
        if not (x.imag > 0).all():
            raise ValueError("z: the traces are computed in the upper half plane only, Im z > 0")
        if guess is not None:
            near, off = self.newton(x, guess, 5)
            if (good := _proven(near, off)).all():
                return near
            if good.any():
                for value, known in zip(near, self.traces_beside(x[~good]), strict=True):
                    value[~good] = known
                return near
        height = START * max(1.0, self.top)
        q: Complex = np.asarray(-1 / (self.origin + x.real + 1j * height), np.complex128)
        traces = q, q * float(self.weights @ self.eigenvalues), q
        while height > x.imag.min():
            traces, _ = self.newton(x.real + 1j * np.maximum(height, x.imag), traces, 2)
            height *= SHRINK
        traces, off = self.newton(x, traces, 4)
        bad = ~_proven(traces, off)
        if bad.any():
            where = x[bad].flat[0]
            raise BranchError(
                f"no proven solution at {int(bad.sum())} of {x.size} points, the first at z = {self.origin:.6g} + "
                f"{where:.4g} (residual {off[bad].flat[0]:.1e}): move them away from the edges of the spectrum, or "
                "from the real axis"
            )
        return traces

    def real_branch(self, q: complex, r: complex, u: complex) -> tuple[complex, complex, complex, complex]:
        """Return z - origin, the second and the third equation at real traces, and the derivative of z along solutions.

        These two equations do not hold z, so they make r and u functions of q, and the first one says z(q). Outside the
        spectrum q is real and grows with z; where dz/dq = 0 the spectrum ends. The last number is dz/dq times the
        Jacobian of the two equations in r and u, which is positive on the physical branch.
        """
        at = tuple(np.asarray(v, complex) for v in (q, r, u))
        distance = self.residual(np.zeros((), complex), *at)[0][0] / q
        (_, g, h), jacobian = self.residual(distance, *at)
        return complex(distance), complex(g), complex(h), complex(determinant(jacobian) / q)


def determinant(rows: Sequence[Sequence[Complex]]) -> Complex:
    """Of a 3 x 3 matrix of arrays."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _proven(traces: Traces, off: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the equations are met by the physical solution, the one with Im q, Im r and Im u > 0, within rounding."""
    q, *others = traces
    proven = (off < RESIDUAL) & (q.imag > 0)
    for other in others:
        proven &= other.imag > -ROUNDING * abs(other)
    return np.asarray(proven)
