"""Spectrum of U, the matrix that sets the training times of the random-features model (Theorems 3.1, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .coefficients import Activation, Atoms
from .model import BranchError as BranchError, Model
from .support import support

SPLIT = 1e-6  # how near to 1/psi_p the mass of the largest eigenvalues is where they are rho_2


def spectral_density(
    lam: ArrayLike, *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),),
    activation: Activation = np.tanh, noises: float = inf,
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
    noises
        m, in how many noises, drawn once, each point is seen; averaged over all of them unless given.

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
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation, noises=noises)
    return _continuous(model, lam) if lam.size else np.zeros(lam.shape)


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
        s_t^2 and max(0, 1 - (1 + psi_n)/psi_p); for m frozen noises 0 and max(0, 1 - nm/p).
    bulks
        From small to large eigenvalues.
    tau_gen
        Of the left edge of rho_2, the largest eigenvalues, of mass 1/psi_p; NaN where no gap sets them apart.
    tau_mem
        Of the left edge of rho_1, the bulk below it (of all, where there is no gap). At finite psi_n a smaller bulk may
        lie between rho_1 and the delta, the last to relax. Infinite where the spectrum reaches zero, nm = p.
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
    *, psi_p: float, psi_n: float, t: float, covariance: Atoms = ((1.0, 1.0),), activation: Activation = np.tanh,
    noises: float = inf,
) -> Spectrum:  # fmt: skip
    """Return the whole spectrum of U in the limit: delta, edges and masses of the bulks, and the predicted times.

    Edges are where d lambda/dq = 0, to rounding; masses are contour integrals, to 1e-8; see `support`.

    Parameters
    ----------
    psi_p, psi_n, t, covariance, activation, noises
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
        Unless all masses sum to one within 1e-8.

    Examples
    --------
    >>> whole = spectrum(psi_p=64, psi_n=8, t=0.01)
    >>> round(whole.rho_2.mass * 64, 3), bool(whole.tau_gen < whole.tau_mem)
    (1.0, True)
    """
    model = Model.of(psi_p=psi_p, psi_n=psi_n, t=t, covariance=covariance, activation=activation, noises=noises)
    bulks = tuple(Bulk(*interval) for interval in support(model))
    weight = model.delta_weight
    times = [psi_p / -float(np.expm1(-2 * t)) / b.low if b.low else inf for b in bulks]
    above = np.cumsum([b.mass for b in bulks[::-1]])  # of one bulk and of those at larger eigenvalues
    last = np.flatnonzero(abs(above * psi_p - 1) < SPLIT)  # where they are rho_2 and nothing else
    if len(last) == 0 or last[0] + 1 == len(bulks):
        return Spectrum(model.origin, weight, bulks, float("nan"), times[0], None)
    split = len(bulks) - 1 - int(last[0])
    return Spectrum(model.origin, weight, bulks, times[split], times[split - 1], split)


def _continuous(model: Model, lam: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density without the delta, above the real axis by 1e-7 of the distance from it."""
    distance = lam - model.origin
    x = distance + 1e-7j * np.where(distance == 0, model.c.s2, abs(distance))
    q, *_ = model.traces_beside(x)
    return np.maximum((q + model.delta_weight / x).imag / pi, 0)
