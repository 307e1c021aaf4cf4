"""Hermite coefficients of the activation under signal and noise (Eqs. 12-16), by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp, expm1, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Activation = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Atoms = Sequence[tuple[float, float]]  # (eigenvalue, weight) of the data covariance

NODES = (200, 300)  # of the two rules whose agreement is asked for
ACCURACY = 1e-10
LINEAR = 1e-20  # s_t^2 in units of b_t^2 below which it is the rounding of a linear activation


class Coefficients(NamedTuple):
    """a_t, b_t and the squares v_t^2, s_t^2 of one activation, time and data variance."""

    a: float
    b: float
    v2: float
    s2: float


@lru_cache(maxsize=16)
def gauss_hermite(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of E[f(g)] for a standard normal g, which cannot be written to: they are kept."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w /= w.sum()
    for array in (x, w):
        array.setflags(write=False)
    return x, w


def coefficients(t: float, variance: float = 1.0, activation: Activation = np.tanh) -> Coefficients:
    """Return a_t, b_t, v_t^2, s_t^2 of Eqs. 12-16, with u, v, w, z independent standard normal.

    b = E[v sigma(y)], a = E[u sigma(y)]/(e^-t sigma_x) with y = e^-t sigma_x u + sqrt(Delta_t) v,
    v^2 = E[sigma(y) sigma(y')] - a^2 e^-2t sigma_x^2 (y' with w for v), and
    s^2 = E[sigma(Gamma_t z)^2] - a^2 e^-2t sigma_x^2 - v^2 - b^2.
    By Gauss-Hermite quadrature, never Monte Carlo: v^2 and s^2 are small differences, so they are taken as the equal
    E[(E_v sigma - a e^-t sigma_x u)^2] and E[(sigma - E_v sigma - b v)^2].

    Parameters
    ----------
    t
        Ornstein-Uhlenbeck time, positive.
    variance
        sigma_x^2 of the data.
    activation
        sigma, vectorised, of mean zero under N(0, Gamma_t^2).

    Raises
    ------
    ValueError
        For an argument out of range, a mean that is not zero, or an activation too rough for 1e-10.
    """
    if not 0 < t < inf:
        raise ValueError(f"t = {t}: must be positive and finite")
    if not 0 < variance < inf:
        raise ValueError(f"variance = {variance}: must be positive and finite")
    coarse, fine = (_by_rule(t, variance, activation, nodes) for nodes in NODES)
    if not np.allclose(coarse, fine, rtol=0, atol=ACCURACY):
        worst = max(abs(x - y) for x, y in zip(coarse, fine, strict=True))
        raise ValueError(f"activation: too rough for the quadrature, which is off by {worst:.1e} (1e-10 is asked for)")
    mean, *values = fine
    if abs(mean) > 1e-8:
        raise ValueError(f"activation: has mean {mean:.3g} under N(0, Gamma_t^2); the theory needs 0 (subtract it)")
    found = Coefficients(*values)
    if found.s2 <= LINEAR * found.b**2:
        raise ValueError(
            f"activation: b_t = {found.b:.3g} and s_t^2 = {found.s2:.3g}, so that it is linear; the theory needs more"
        )
    return found


def _by_rule(t: float, variance: float, activation: Activation, nodes: int) -> tuple[float, ...]:
    """Mean of the activation, a, b, v^2 and s^2 by one rule."""
    x, w = gauss_hermite(nodes)
    signal, noise = exp(-t) * sqrt(variance), sqrt(-expm1(-2 * t))
    gamma = sqrt(signal**2 + noise**2)
    along = activation(gamma * x)
    # Stein: E[u sigma(y)]/signal = E[v sigma(y)]/noise = E[sigma'] = E[z sigma(gamma z)]/gamma, safe at any t.
    a = float(w @ (x * along)) / gamma
    b = noise * a
    # v^2 and s^2 are the squares of what the linear parts leave of sigma, summed as squares: nothing cancels.
    sigma = activation(signal * x[:, None] + noise * x)
    given_u = sigma @ w
    v2 = float(w @ (given_u - a * signal * x) ** 2)
    s2 = float(w @ (sigma - given_u[:, None] - b * x) ** 2 @ w)
    return float(w @ along), a, b, v2, s2


def covariance_atoms(data: ArrayLike, most: int = 32) -> Atoms:
    """Return the covariance of a data set as (eigenvalue, weight) atoms: groups of neighbouring eigenvalues, averaged.

    Eigenvalues are sorted into groups that each hold about the same share of log(1 + lambda/mean), so that the large
    ones, which the score is made of, stand alone, and the many small ones share an atom.

    Parameters
    ----------
    data
        Points, (n, ...), of which there should be many for each dimension: of few, the small eigenvalues are too small.
    most
        Atoms at most; as many as dimensions keep every eigenvalue.

    Returns
    -------
    list
        (eigenvalue, weight), from small to large; their weighted mean is the mean variance of a coordinate.

    Raises
    ------
    ValueError
        For fewer than two points, numbers that are not finite, data that do not vary, or most < 1.
    """
    x = np.asarray(data, float)
    x = x.reshape(len(x), -1) if x.ndim else x
    if x.ndim != 2 or len(x) < 2 or x.shape[1] == 0:
        raise ValueError(f"data of shape {np.shape(data)}: need at least two points, (n, ...)")
    if not np.isfinite(x).all():
        raise ValueError("data: holds NaN or infinite numbers")
    if most < 1:
        raise ValueError(f"most = {most}: at least one atom")
    eigenvalues = np.maximum(np.linalg.eigvalsh(np.atleast_2d(np.cov(x.T))), 0)
    if not eigenvalues.any():
        raise ValueError("data: all points are the same")
    share = np.cumsum(np.log1p(eigenvalues / eigenvalues.mean()))
    group = np.minimum((share / share[-1] * most).astype(int), most - 1)
    return [(float(eigenvalues[group == g].mean()), float((group == g).mean())) for g in np.unique(group)]


def checked_atoms(covariance: Atoms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvalues and weights; ValueError unless the former are at least 0, not all, and the latter sum to 1."""
    if np.ndim(covariance) == 0 or len(covariance) == 0 or any(np.shape(atom) != (2,) for atom in covariance):
        raise ValueError("covariance: give (eigenvalue, weight) pairs, at least one")
    eigenvalues, weights = np.array(covariance, float).T
    if not (np.isfinite(eigenvalues).all() and (eigenvalues >= 0).all() and eigenvalues.any()):
        raise ValueError(f"covariance: eigenvalues must be at least 0, and not all 0, not {eigenvalues.tolist()}")
    if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"covariance: weights must be positive and sum to one, not {weights.tolist()}")
    return eigenvalues, weights


def check_ratios(psi_p: float, psi_n: float) -> None:
    """Raise ValueError unless psi_p = p/d and psi_n = n/d are positive and finite."""
    for name, value in (("psi_p", psi_p), ("psi_n", psi_n)):
        if not 0 < value < inf:
            raise ValueError(f"{name} = {value}: must be positive and finite")
