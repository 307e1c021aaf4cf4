"""Kullback-Leibler divergence between what a model generates and a known law (Eqs. 25-28)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from .diffusion import Schedule, forward_noise
from .randomness import generator
from .samplers import NoisePrediction


@dataclass(frozen=True)
class Estimate:
    """A value in nats with its standard error."""

    value: float
    error: float


@torch.no_grad()
def kl_from_score(
    predict: NoisePrediction, samples: Tensor, log_prob: Callable[[Tensor], Tensor], schedule: Schedule,
    seed: int, stride: int = 10,
) -> Estimate:  # fmt: skip
    """KL(P_gen || P_0) = E_gen[log P_gen] - E_gen[log P_0], the first term from the model's own score (Eq. 27).

    Along the forward process the entropy obeys dH/dt = E|s(x_t, t)|^2 - d, and P_T is normal, so
    H(0) = (d/2) log(2 pi e) - integral_0^T (E|s|^2 - d) dt, with x_t the noised samples of the model. The formula
    takes the model's score for the score of the law it generates: it can be below zero where they differ.

    predict: noise prediction, s = -eps/sqrt(Delta_t). samples: (m, d). log_prob: of P_0, (m, d) -> (m,).
    stride: see `along_forward`. The standard error comes from the spread over samples.

    |s|^2 is noisy; |xi|^2 of the same noise, whose mean d is known, goes along as a control variate with the
    best coefficient for each span of `stride` steps (1 for long times, where s = -xi; 0 for short ones).
    """
    path = along_forward(predict, samples, schedule, seed, stride)
    m, d = len(path.weight), samples.shape[1]
    square = path.score.square().sum(2)
    control = path.xi.square().sum(2) - d
    centred = control - control.mean(0)
    coefficient = (centred * square).mean(0) / centred.square().mean(0)
    integral = (path.weight * (square - coefficient * control - d)).sum(1)
    terms = integral - log_prob(samples[:m].double()).cpu() - d / 2 * math.log(2 * math.pi * math.e)
    return Estimate(float(terms.mean()), float(terms.std() / m**0.5))


@torch.no_grad()
def relative_fisher(
    predict: NoisePrediction, samples: Tensor, score: Callable[[Tensor, float], Tensor], schedule: Schedule,
    seed: int, stride: int = 10,
) -> Estimate:  # fmt: skip
    """KL(P_gen || P_0) = integral_0^T E_gen|s(x_t, t) - grad log P_t(x_t)|^2 dt, where grad log P_t is known.

    The same divergence as `kl_from_score` under the same assumption (de Bruijn's identity for two laws under one
    Ornstein-Uhlenbeck process), but second order in the error of the score: never negative, exactly zero for the
    exact score, and far less noisy. score: grad log P_t, (x (m, d), t) -> (m, d). Other arguments as there.
    """
    path = along_forward(predict, samples, schedule, seed, stride)
    gap = torch.empty_like(path.weight)
    for k in path.k.unique().tolist():  # one exact score for all samples that meet at the same time
        here = path.k == k
        gap[here] = (path.score[here] - score(path.x[here], float(schedule.t[k]))).square().sum(1)
    terms = (path.weight * gap).sum(1)
    return Estimate(float(terms.mean()), float(terms.std() / len(terms) ** 0.5))


@dataclass(frozen=True)
class ForwardPath:
    """m samples noised at J steps each: k (m, J), weight (m, J), x, xi and model score (m, J, d), on the CPU.

    The sum over J of weight * f is, on average over samples, the integral over t of f.
    """

    k: Tensor
    weight: Tensor
    x: Tensor
    xi: Tensor
    score: Tensor


def along_forward(
    predict: NoisePrediction, samples: Tensor, schedule: Schedule, seed: int, stride: int = 10
) -> ForwardPath:
    """Noise samples along the forward process and take the model's score there, s = -eps/sqrt(Delta_t).

    samples: (m, d). stride: sample i meets the steps k = 1 + (i mod stride), + stride, ... (default 10), so that
    all T-1 steps are used, each by m/stride samples; samples beyond a multiple of stride are left out.
    """
    m, d = len(samples) - len(samples) % stride, samples.shape[1]
    if m < 10 * stride:
        raise ValueError(f"{len(samples)} samples: the estimate needs at least 10 * stride = {10 * stride}")
    spans = math.ceil((schedule.T - 1) / stride)
    k = 1 + torch.arange(m)[:, None] % stride + stride * torch.arange(spans)
    # Weight of step k in the integral: half the distance between its neighbours; the first reaches down to 0.
    t = schedule.t
    edges = torch.cat([torch.zeros(1).to(t), (t[1:-1] + t[2:]) / 2, t[-1:]])
    weight = torch.zeros(int(k.max()) + 1).to(t)  # past the end: 0
    weight[1 : schedule.T] = stride * edges.diff()
    weight, k = weight[k], k.clamp(max=schedule.T - 1)
    x, xi, score = (torch.empty(m, spans, d).to(t) for _ in range(3))
    for j in range(spans):
        noise = torch.randn(m, d, generator=generator(seed, "forward", j))
        noised = forward_noise(samples[:m].float(), k[:, j], noise.to(samples.device), schedule)
        eps = predict(noised, k[:, j].to(samples.device))
        x[:, j], xi[:, j] = noised.double().cpu(), noise.double()
        score[:, j] = -eps.double().cpu() / schedule.noise[k[:, j], None]
    return ForwardPath(k, weight, x, xi, score)


def kl_nearest_neighbour(samples: Tensor, reference: Tensor, k: int = 5, parts: int = 10) -> Estimate:
    """KL(P || Q) from draws of both by distances to the k-th neighbour (Wang, Kulkarni, Verdu 2009).

    KL = d mean_i log(nu_k(i)/rho_k(i)) + log(m_Q/(m_P - 1)), rho_k within `samples` (m_P, d) of P and nu_k to
    `reference` (m_Q, d) of Q. Uses no score and no density, but is biased for few samples in many dimensions;
    copies of the same point (distance zero) are refused. The error joins the spread over samples and, since all
    samples share the reference, the spread over `parts` random parts of the reference (default 10).
    """
    x, y = samples.double().cpu().numpy(), reference.double().cpu().numpy()
    if min(len(x) - 1, len(y) // parts) < k:
        raise ValueError(f"k = {k}: needs more than k samples and at least {parts} k reference points")
    rho = KDTree(x).query(x, k + 1)[0][:, -1]
    nu = KDTree(y).query(x, k)[0].reshape(len(x), -1)[:, -1]
    if rho.min() == 0 or nu.min() == 0:
        raise ValueError(f"{int(((rho == 0) | (nu == 0)).sum())} samples coincide with k = {k} others")
    d = x.shape[1]
    ratio = d * np.log(nu / rho)
    value = ratio.mean() + math.log(len(y) / (len(x) - 1))
    # A statistic of a part of the reference varies parts times as much as that of the whole.
    shuffled = np.random.default_rng(0).permutation(len(y))
    by_part = [
        d * np.log(KDTree(y[part]).query(x, k)[0].reshape(len(x), -1)[:, -1]).mean()
        for part in np.array_split(shuffled, parts)
    ]
    error = math.sqrt(ratio.var(ddof=1) / len(x) + np.var(by_part, ddof=1) / parts)
    return Estimate(float(value), error)
