"""Exact training dynamics of the random-features model at finite d, without sampling any noise (Eqs. 8-11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, expm1, factorial, log, sqrt

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .coefficients import gauss_hermite

TensorActivation = Callable[[Tensor], Tensor]
TERMS = 96  # of Mehler's series at most, for the few largest correlations in small d; 8 do for most at d = 60
CHUNK = 2**22  # numbers at once in that quadrature, 32 MiB
POINTS = 512  # at once in the series


@dataclass(frozen=True)
class Losses:
    """Curves over tau, each of its shape: train, test (Eq. 4 and its population version), score_error (Eq. 8)."""

    tau: NDArray[np.float64]
    train: NDArray[np.float64]
    test: NDArray[np.float64]
    score_error: NDArray[np.float64]


class GradientFlow:
    """Gradient flow from A = 0 on n points at one diffusion time: U, V and the losses at any tau, all exact.

    tau = steps * rate / d^2; the mode of eigenvalue l of U relaxes at the rate 2 Delta_t (l + gamma) / psi_p. All is
    float64.

    Noise is averaged by Mehler's formula: with m_i = |w_i|/sqrt(d), h = e^-t w_i.x/sqrt(d), r_ij the cosine of w_i and
    w_j, and c_k(h; m) = E_g[sigma(h + sqrt(Delta) m g) He_k(g)]/sqrt(k!),
    U_ij = sum_k r_ij^k mean_nu c_k(h_i) c_k(h_j) off the diagonal, U_ii = mean_nu E_g[sigma^2],
    V_i = mean_nu c_1(h_i) w_i/|w_i|. The population's are the same with one Gaussian for signal and noise. Of noises
    that are drawn once and kept, U and V are the means over the noisy points themselves.

    Parameters
    ----------
    W
        Frozen features, (p, d).
    X
        Training points, (n, d).
    t
        Ornstein-Uhlenbeck time, positive.
    covariance
        Of the population N(0, Sigma), as eigenvalues along the axes, (d,), or a matrix, (d, d); I unless given.
    activation
        sigma, of tensors.
    device
        "cpu" or "cuda".
    noises
        The frozen noises of every point, (n, m, d), standard normal; averaged over all noise unless given.
    ridge
        gamma, the weight decay in units of the eigenvalues of U, at least 0.

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, a feature of zeros, a covariance with a negative
        eigenvalue, a time that is not positive and finite, and a ridge that is negative.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0)
    >>> flow = GradientFlow(rows.standard_normal((40, 10)), rows.standard_normal((30, 10)), t=0.1)
    >>> losses = flow.losses([0.0, 100.0])
    >>> float(losses.train[0]), bool(losses.train[1] < losses.test[1])
    (1.0, True)
    """

    def __init__(
        self, W: ArrayLike, X: ArrayLike, t: float, covariance: ArrayLike | None = None,
        activation: TensorActivation = torch.tanh, device: str = "cpu", noises: ArrayLike | None = None,
        ridge: float = 0.0,
    ) -> None:  # fmt: skip
        if not 0 < t < np.inf:
            raise ValueError(f"t = {t}: must be positive and finite")
        self.W, self.X = (torch.as_tensor(np.asarray(v), dtype=torch.float64, device=device) for v in (W, X))
        if self.W.ndim != 2 or self.X.ndim != 2 or self.W.shape[1] != self.X.shape[1]:
            raise ValueError(f"W {tuple(self.W.shape)} and X {tuple(self.X.shape)}: need (p, d) and (n, d)")
        if self.W.numel() == 0 or self.X.numel() == 0:
            raise ValueError(f"W {tuple(self.W.shape)} and X {tuple(self.X.shape)}: at least one feature and one point")
        if not (torch.isfinite(self.W).all() and torch.isfinite(self.X).all()) or (self.W == 0).all(1).any():
            raise ValueError("W or X holds NaN or infinite numbers, or W a feature of zeros")
        self.p, self.d = self.W.shape
        self.noises = None if noises is None else torch.as_tensor(np.asarray(noises)).to(self.X)
        if self.noises is not None:
            n, shape = len(self.X), tuple(self.noises.shape)
            if len(shape) != 3 or (shape[0], shape[2]) != (n, self.d) or shape[1] == 0:
                raise ValueError(f"noises {shape}: need ({n}, m, {self.d}), m draws for each of the points X")
            if not torch.isfinite(self.noises).all():
                raise ValueError("noises holds NaN or infinite numbers")
        self.ridge = checked_ridge(ridge)
        self.activation = activation
        self.t, self.delta = t, -expm1(-2 * t)
        Sigma = torch.ones(self.d) if covariance is None else torch.as_tensor(np.asarray(covariance))
        Sigma = Sigma.to(self.W)
        if Sigma.shape not in ((self.d,), (self.d, self.d)):
            raise ValueError(f"covariance of shape {tuple(Sigma.shape)}: need ({self.d},) or ({self.d}, {self.d})")
        Sigma = torch.diag(Sigma) if Sigma.ndim == 1 else Sigma
        if not torch.isfinite(Sigma).all() or not (torch.linalg.eigvalsh(Sigma) >= -1e-12 * Sigma.abs().max()).all():
            raise ValueError("covariance: has a negative eigenvalue, or NaN or infinite numbers")
        self.Sigma_t = exp(-2 * t) * Sigma + self.delta * torch.eye(self.d).to(Sigma)

    @cached_property
    def UV(self) -> tuple[Tensor, Tensor]:
        """U (p, p) and V (p, d) of the training set."""
        if self.noises is not None:
            noisy = exp(-self.t) * self.X[:, None] + sqrt(self.delta) * self.noises
            phi = self.activation(noisy.flatten(0, 1) @ self.W.T / sqrt(self.d))  # (n m, p)
            return phi.T @ phi / len(phi), phi.T @ self.noises.flatten(0, 1) / len(phi)
        norm = self.W.norm(dim=1)
        h = exp(-self.t) / sqrt(self.d) * self.W @ self.X.T
        unit = self.W / norm[:, None]
        U, first = averages(unit @ unit.T, h, sqrt(self.delta / self.d) * norm, self.activation)
        return U, first[:, None] * unit

    @cached_property
    def population(self) -> tuple[Tensor, Tensor]:
        """U (p, p) and V (p, d) of the population N(0, Sigma)."""
        half = self.W @ self.Sigma_t
        sd = ((half * self.W).sum(1) / self.d).sqrt()
        correlation = half @ self.W.T / self.d / (sd[:, None] * sd)
        U, first = averages(correlation, torch.zeros_like(sd)[:, None], sd, self.activation)
        return U, (first / sd)[:, None] * sqrt(self.delta / self.d) * self.W

    @cached_property
    def modes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Eigenvalues of U and, for the losses, |V_i|^2, V_i.V~_i and U~_ij (V_i.V_j) in its eigenbasis."""
        (U, V), (U_pop, V_pop) = self.UV, self.population
        eigenvalues, Q = torch.linalg.eigh(U)
        # Of equal features, or fewer noisy points than features, some are zero but for rounding: they relax at no time,
        # and carry nothing of V.
        rounding = float(eigenvalues[-1]) * self.p * torch.finfo(torch.float64).eps
        V, V_pop = (eigenvalues > rounding)[:, None] * (Q.T @ V), Q.T @ V_pop
        eigenvalues = eigenvalues.clamp(min=rounding)
        return eigenvalues, V.square().sum(1), (V * V_pop).sum(1), Q.T @ U_pop @ Q * (V @ V.T)

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """Of U, increasing, (p,)."""
        return self.modes[0].cpu().numpy()

    def losses_of(self, B: Tensor) -> tuple[float, float, float]:
        """Return train loss, test loss and E_score of any B = A/sqrt(p).

        L = 1 + (Delta Tr(B U B^T) + 2 sqrt(Delta) Tr(B V))/d, with the mean square of frozen noises for 1 in the train
        loss; the test loss and E_score as in `losses`.

        Parameters
        ----------
        B
            (d, p), float64.
        """
        train, test = (
            start + float(self.delta * ((B @ U) * B).sum() + 2 * sqrt(self.delta) * (B * V.T).sum()) / self.d
            for start, (U, V) in ((self.start, self.UV), (1.0, self.population))
        )
        return train, test, (test - 1) / self.delta + self.floor

    @cached_property
    def start(self) -> float:
        """The train loss at tau = 0, the mean square of the noises: 1, but for the scatter of frozen ones."""
        return 1.0 if self.noises is None else float(self.noises.square().mean())

    @cached_property
    def floor(self) -> float:
        """Tr(Sigma_t^-1)/d, which E_score is above (L_test - 1)/Delta."""
        return float(torch.trace(torch.linalg.inv(self.Sigma_t)) / self.d)

    def losses(self, tau: ArrayLike) -> Losses:
        """Return train loss, test loss and E_score at every tau (Prop. C.1); E_score is exact for Gaussian data.

        With g(l) = (exp(-2 Delta (l + gamma) tau/psi_p) - 1)/(l + gamma): L = 1 + Tr(V^T (g U g + 2 g) V)/d (`start`
        for 1 where noises are frozen), the test loss with U~ and V~, E_score = (L_test - 1)/Delta + Tr(Sigma_t^-1)/d.

        Parameters
        ----------
        tau
            Training times, at least 0, of any shape.

        Raises
        ------
        ValueError
            For a negative time.
        """
        tau = checked_times(tau)
        eigenvalues, squares, cross, pairs = self.modes
        held = eigenvalues + self.ridge
        rate = 2 * self.delta * self.d / self.p * held
        g = torch.expm1(-rate * torch.tensor(tau.ravel()).to(rate)[:, None]) / held  # (times, p)
        train = self.start + (squares * (g * eigenvalues + 2) * g).sum(1) / self.d
        test = 1 + ((g @ pairs * g).sum(1) + 2 * g @ cross) / self.d
        score = (test - 1) / self.delta + self.floor
        train_, test_, score_ = (v.cpu().numpy().reshape(tau.shape) for v in (train, test, score))
        return Losses(tau, train_, test_, score_)


def checked_times(tau: ArrayLike) -> NDArray[np.float64]:
    """Return training times as an array; ValueError for a negative one."""
    tau = np.asarray(tau, float)
    if not (tau >= 0).all():
        raise ValueError("tau: training times are zero or positive")
    return tau


def checked_ridge(ridge: float) -> float:
    """Return the weight decay; ValueError unless it is zero or positive, and finite."""
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge = {ridge}: weight decay is zero or positive")
    return float(ridge)


def averages(correlation: Tensor, h: Tensor, scale: Tensor, activation: TensorActivation) -> tuple[Tensor, Tensor]:
    """Return E[sigma(h_i + s_i g) sigma(h_j + s_j g')] and E[sigma(h_i + s_i g) g], averaged over the points.

    g and g' are standard normal of correlation r_ij, one and the same on the diagonal. By Mehler's series
    sum_k r^k c_k c_k^T, without the terms below 1e-12 of the sum.

    Parameters
    ----------
    correlation
        r, (p, p).
    h
        (p, n).
    scale
        s, (p,).
    activation
        sigma, of tensors.

    Returns
    -------
    tuple
        (p, p) and (p,).

    Raises
    ------
    ValueError
        Where the last of TERMS terms is above 1e-6 of the sum.
    """
    p, n = h.shape
    total, first, diagonal = h.new_zeros(p, p), h.new_zeros(p), h.new_zeros(p)
    largest = float(correlation.clone().fill_diagonal_(0).abs().max())
    terms = min(TERMS, 2 + ceil(log(1e-8) / log(min(max(largest, 1e-8), 0.99))))  # one feature correlates with none
    for part in h.split(POINTS, dim=1):
        c, square = hermite_means(part, scale, activation, terms)
        first += c[1].sum(1)
        diagonal += square.sum(1)
        size = c.square().mean(2).amax(1).cpu().numpy() * largest ** np.arange(terms)  # bounds each term's entries
        small = size / max(size.max(), 1e-300)
        if largest > 0 and small[-2:].max() > 1e-6:  # of an odd activation every other one is zero
            raise ValueError(
                f"{terms} terms of Mehler's series are too few, the last is {small[-2:].max():.0e} of it: two features "
                f"are nearly parallel (correlation {largest:.4f}), or the data too large; take a larger d, or smaller "
                "data"
            )
        power = torch.ones_like(correlation)
        for k in range(int(np.flatnonzero(small > 1e-12).max(initial=0)) + 1):
            if k:
                power *= correlation
            if small[k] > 1e-12:
                total.addcmul_(power, c[k] @ c[k].T)
    return (total / n).fill_diagonal_(0) + torch.diag(diagonal / n), first / n


def hermite_means(h: Tensor, scale: Tensor, activation: TensorActivation, terms: int) -> tuple[Tensor, Tensor]:
    """Return c_k = E_g[sigma(h + scale g) He_k(g)]/sqrt(k!) and E_g[sigma^2], g standard normal, by quadrature.

    Parameters
    ----------
    h
        (p, n).
    scale
        (p,).
    activation
        sigma, of tensors.
    terms
        How many c_k.

    Returns
    -------
    tuple
        (terms, p, n) and (p, n).
    """
    x, w = gauss_hermite(terms + 32)
    He = np.polynomial.hermite_e.hermevander(x, terms - 1) / [sqrt(factorial(k)) for k in range(terms)]
    to_terms, weight = torch.from_numpy((He * w[:, None]).T.copy()).to(h), torch.tensor(w).to(h)
    shift = torch.tensor(x).to(h)[:, None, None] * scale[:, None]
    c, square = [], []
    for part in h.split(max(1, CHUNK // (len(x) * len(h))), dim=1):
        y = activation(part + shift).flatten(1)  # (nodes, p m)
        c.append((to_terms @ y).unflatten(1, part.shape))
        square.append((weight @ y.square_()).view(part.shape))
    return torch.cat(c, 2), torch.cat(square, 1)
