"""Kullback-Leibler divergence between what a model generates and a known distribution (Eqs. 25-28)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.guidance import NetOutput
from ..diffusion.schedule import Schedule, forward_noise
from ..randomness import generator


@dataclass(frozen=True)
class MonteCarloEstimate:
    """A value in nats with its standard error."""

    value: float
    error: float


@torch.no_grad()
def kl_from_score(
    predict: NetOutput, samples: Tensor, log_prob: Callable[[Tensor], Tensor], schedule: Schedule,
    seed: int, stride: int = 10,
) -> MonteCarloEstimate:  # fmt: skip
    """Return KL(P_gen || P_0) = E_gen[log P_gen] - E_gen[log P_0], the first term from the model's own score (Eq. 27).

    Along the forward process the entropy obeys dH/dt = E|s(x_t, t)|^2 - d, and P_T is normal, so
    H(0) = (d/2) log(2 pi e) - integral_0^T (E|s|^2 - d) dt, with x_t the noised samples of the model. The formula
    takes the model's score for the score of the distribution it generates: it can be below zero where they differ.

    |s|^2 is noisy; |xi|^2 of the same noise, whose mean d is known, goes along as a control variate with the best
    coefficient for each span of ``stride`` steps (1 for long times, where s = -xi; 0 for short ones).

    Parameters
    ----------
    predict
        Noise prediction; the score is -eps/sqrt(Delta_t).
    samples
        Of the model, (m, d).
    log_prob
        log P_0, (m, d) -> (m,).
    schedule
        The forward process.
    seed
        Of the noises.
    stride
        See `forward_path`.

    Returns
    -------
    MonteCarloEstimate
        Its error comes from the spread over samples.
    """
    return kl_along(forward_path(predict, samples, schedule, seed, stride), samples, log_prob)


def kl_along(path: ForwardPath, samples: Tensor, log_prob: Callable[[Tensor], Tensor]) -> MonteCarloEstimate:
    """Return the estimate of `kl_from_score` on a path that was noised before, so that two estimates share it."""
    m, d = len(path.weight), samples.shape[1]
    square = path.score.square().sum(2)
    control = path.xi.square().sum(2) - d
    centred = control - control.mean(0)
    coefficient = (centred * square).mean(0) / centred.square().mean(0)
    integral = (path.weight * (square - coefficient * control - d)).sum(1)
    terms = integral - log_prob(samples[:m].cpu().double()) - d / 2 * math.log(2 * math.pi * math.e)
    return MonteCarloEstimate(float(terms.mean()), float(terms.std() / m**0.5))


@torch.no_grad()
def kl_score_gap(
    predict: NetOutput, samples: Tensor, score: Callable[[Tensor, float], Tensor], schedule: Schedule,
    seed: int, stride: int = 10,
) -> MonteCarloEstimate:  # fmt: skip
    """Return KL(P_gen || P_0) = integral_0^T E_gen|s(x_t, t) - grad log P_t(x_t)|^2 dt, for a known score.

    The same divergence as `kl_from_score` under the same assumption (de Bruijn's identity for two distributions under
    one Ornstein-Uhlenbeck process), but second order in the error of the score: never negative, exactly zero for the
    exact score, and far less noisy.

    Parameters
    ----------
    predict, samples
        As of `kl_from_score`.
    score
        grad log P_t, (x (m, d), t) -> (m, d).
    schedule, seed, stride
        As of `kl_from_score`.
    """
    return score_gap_along(forward_path(predict, samples, schedule, seed, stride), score, schedule)


def score_gap_along(
    path: ForwardPath, score: Callable[[Tensor, float], Tensor], schedule: Schedule
) -> MonteCarloEstimate:
    """Return the estimate of `kl_score_gap` on a path that was noised before."""
    x, found, timestep = path.x.flatten(0, 1), path.score.flatten(0, 1), path.timestep.flatten()
    gap = torch.empty_like(path.weight).flatten()
    times, counts = timestep.unique(return_counts=True)
    together = timestep.argsort(stable=True).split(counts.tolist())
    for k, at_k in zip(times.tolist(), together, strict=True):  # one exact score for all that meet at the same time
        gap[at_k] = (found[at_k] - score(x[at_k], float(schedule.t[k]))).square().sum(1)
    terms = (path.weight * gap.view_as(path.weight)).sum(1)
    return MonteCarloEstimate(float(terms.mean()), float(terms.std() / len(terms) ** 0.5))


@dataclass(frozen=True)
class ForwardPath:
    """Samples noised along the forward process, m of them at J steps each, with the model's score there.

    The sum over J of weight * f is, on average over samples, the integral over t of f. All are on the CPU.

    Attributes
    ----------
    timestep, weight : Tensor
        (m, J).
    x, xi, score : Tensor
        Noised samples, their noise and the score, (m, J, d), float64.
    """

    timestep: Tensor
    weight: Tensor
    x: Tensor
    xi: Tensor
    score: Tensor


def forward_path(predict: NetOutput, samples: Tensor, schedule: Schedule, seed: int, stride: int = 10) -> ForwardPath:
    """Noise samples along the forward process and take the model's score there, s = -eps/sqrt(Delta_t).

    Parameters
    ----------
    predict
        Noise prediction.
    samples
        (m, d).
    schedule
        The forward process.
    seed
        Of the noises.
    stride
        Sample i meets the steps k = 1 + (i mod stride), + stride, ..., so that all T-1 steps are used, each by m/stride
        samples; samples beyond a multiple of stride are left out.

    Raises
    ------
    ValueError
        For fewer than 10 stride samples, and samples that are not finite.
    FloatingPointError
        Where the network's prediction is not finite.
    """
    if samples.ndim != 2 or not torch.isfinite(samples).all():
        raise ValueError(f"samples of shape {tuple(samples.shape)}: give (m, d), without NaN or infinite numbers")
    m, d = len(samples) - len(samples) % stride, samples.shape[1]
    if m < 10 * stride:
        raise ValueError(f"{len(samples)} samples: the estimate needs at least 10 * stride = {10 * stride}")
    spans = math.ceil((schedule.T - 1) / stride)
    timestep = 1 + torch.arange(m)[:, None] % stride + stride * torch.arange(spans)
    # Weight of step k in the integral: half the distance between its neighbours; the first reaches down to 0.
    t = schedule.t
    edges = torch.cat([torch.zeros(1).to(t), (t[1:-1] + t[2:]) / 2, t[-1:]])
    weights = torch.zeros(int(timestep.max()) + 1).to(t)  # past the end: 0
    weights[1 : schedule.T] = stride * edges.diff()
    weight, timestep = weights[timestep], timestep.clamp(max=schedule.T - 1)
    x, xi, score = (torch.empty(m, spans, d).to(t) for _ in range(3))
    for j in range(spans):
        noise = torch.randn(m, d, generator=generator(seed, "forward", j))
        noised = forward_noise(samples[:m].float(), timestep[:, j], noise.to(samples.device), schedule)
        eps = predict(noised, timestep[:, j].to(samples.device))
        x[:, j], xi[:, j] = noised.cpu().double(), noise.double()
        score[:, j] = -eps.cpu().double() / schedule.noise[timestep[:, j], None]
    if not torch.isfinite(score).all():
        raise FloatingPointError("the network's prediction on noised samples is NaN or infinite: it has diverged")
    return ForwardPath(timestep, weight, x, xi, score)
