"""Denoising score matching: the loss that is trained on, and the loss at one diffusion time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from ..randomness import generator
from .schedule import Prediction, Schedule, device_tables, forward_noise, prediction_target, x0_and_eps

NOISES = 5  # of the loss at one time; the paper's
Weighting = Literal["uniform", "low_noise", "high_noise"]
HIDDEN_LABEL = -1  # what a conditional network is given in place of a label that is hidden


class Loss(Protocol):
    """A training loss in two parts, random numbers and error, so that stacked networks can share the second."""

    def draw_noise(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return the random numbers of one step on clean points x0, (m, ...)."""

    def per_sample(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *noise: Tensor) -> Tensor:
        """Return the loss of each point for these random numbers, (m,), or (nets, m) of stacked networks."""


@dataclass(frozen=True)
class DenoisingLoss:
    """Mean over samples and coordinates of |eps - net(x_k, k)|^2 (Eq. 4), with one k in 1 ... T-1 and one eps each.

    Parameters
    ----------
    schedule
        The forward process.
    label_dropout
        Probability with which the label of a conditional network is hidden (-1), for classifier-free guidance.
    bf16
        Whether the network computes in bfloat16; weights and loss stay in float32.
    prediction
        What the network predicts, "eps" (the paper), "x0", "v" or "flow"; see `schedule.x0_and_eps`.
    weighting
        How often the steps k are drawn: "uniform" (the paper), or with density falling as k^(-1/2) from small k
        ("low_noise"), or in the same way from large k ("high_noise").
    jitter
        Standard deviation of the noise that augments the data: each step adds it to x0 anew.
    loss_space
        The quantity whose squared error is the loss, "eps", "x0", "v" or "flow", whatever the network predicts; None,
        the default: the one that it predicts.

    Raises
    ------
    ValueError
        For another weighting or quantity, and a jitter that is negative or not finite.
    """

    schedule: Schedule
    label_dropout: float = 0.0
    bf16: bool = False
    prediction: Prediction = "eps"
    weighting: Weighting = "uniform"
    jitter: float = 0.0
    loss_space: Prediction | None = None

    def __post_init__(self) -> None:
        if self.loss_space is not None and self.loss_space not in get_args(Prediction):
            raise ValueError(f"loss_space = {self.loss_space!r}: choose one of {', '.join(get_args(Prediction))}")
        if self.weighting not in get_args(Weighting):
            raise ValueError(f"weighting = {self.weighting!r}: choose one of {', '.join(get_args(Weighting))}")
        if not 0 <= self.jitter < inf:
            raise ValueError(f"jitter = {self.jitter}: a standard deviation, at least 0 and finite")

    def draw_noise(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return k (m,), eps (m, ...), with labels a uniform number for each point, with jitter its noise (m, ...)."""
        noise = [draw_timesteps(len(x0), self.schedule, g, self.weighting, x0.device)]
        noise.append(torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype))
        if labels is not None:
            noise.append(torch.rand(len(x0), generator=g, device=x0.device))
        if self.jitter:
            noise.append(torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype))
        return tuple(noise)

    def per_sample(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *noise: Tensor) -> Tensor:
        """Return the squared error of each point, (m,), or (nets, m) of stacked networks."""
        timestep, eps, *others = noise
        if self.jitter:
            x0 = x0 + self.jitter * others[-1]
        noised = forward_noise(x0, timestep, eps, self.schedule)
        inputs: tuple[Tensor, ...] = (noised, timestep)
        if labels is not None:
            inputs += (labels.masked_fill(others[0] < self.label_dropout, HIDDEN_LABEL),)
        with torch.autocast(x0.device.type, torch.bfloat16, enabled=self.bf16):
            predicted = net(*inputs)
        space = self.loss_space or self.prediction
        target = eps
        if (self.prediction, space) != ("eps", "eps"):
            shape = timestep.shape + (1,) * (x0.ndim - timestep.ndim)
            tables = device_tables(self.schedule, x0.device, x0.dtype)
            signal, sigma = (table[timestep].view(shape) for table in tables)
            target = prediction_target(x0, eps, signal, sigma, space)
            if space != self.prediction:
                ends = x0_and_eps(predicted.to(target), noised, signal, sigma, self.prediction)
                predicted = prediction_target(*ends, signal, sigma, space)
        return F.mse_loss(predicted.to(target), target, reduction="none").flatten(timestep.ndim).mean(-1)


@dataclass(frozen=True)
class FrozenNoiseLoss:
    """The same error where the noises of a point were drawn once and for all, before training.

    Its training set are the packed points of `freeze_noise`: what a step sees is chosen by the batch alone.

    Parameters
    ----------
    fresh
        The loss that draws anew; its schedule and prediction are used.
    """

    fresh: DenoisingLoss

    def draw_noise(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return nothing: no number is drawn in a step."""
        return ()

    def per_sample(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *noise: Tensor) -> Tensor:
        """Return the squared error of each packed point, (m,), or (nets, m) of stacked networks."""
        d = x0.shape[-1] // 2
        points, eps, timestep = x0[..., :d], x0[..., d : 2 * d], x0[..., 2 * d].long()
        return self.fresh.per_sample(net, points, labels, timestep, eps)


def freeze_noise(x0: Tensor, noises: int, loss: DenoisingLoss, seed: int) -> Tensor:
    """Return the n points with m noises each, packed for `FrozenNoiseLoss`: rows (x0, eps, k), (n m, 2 d + 1).

    Noise j of point i is in row i + j n.

    Parameters
    ----------
    x0
        Vectors, (n, d).
    noises
        m, at least 1.
    loss
        How steps k are drawn.
    seed
        Of the noises.

    Raises
    ------
    ValueError
        For fewer than one noise, points that are no vectors, and a loss with jitter, which is drawn anew.
    """
    if noises < 1 or x0.ndim != 2 or loss.jitter:
        raise ValueError(
            f"{noises} noises for points of shape {tuple(x0.shape)}, jitter {loss.jitter}: need 1 or more "
            "noises, vectors (n, d), and no jitter"
        )
    rows = x0.repeat(noises, 1)
    timestep, eps, *_ = loss.draw_noise(rows, generator(seed, "frozen", device=x0.device), None)
    return torch.cat([rows, eps, timestep[:, None].to(rows)], 1)


def draw_timesteps(
    m: int, schedule: Schedule, g: torch.Generator, weighting: Weighting = "uniform", device: torch.device | str = "cpu"
) -> Tensor:
    """Return m steps k of 1 ... T - 1, drawn with the weighting of `DenoisingLoss`."""
    if weighting == "uniform":
        return torch.randint(1, schedule.T, (m,), generator=g, device=device)
    share = torch.rand(m, generator=g, device=device, dtype=torch.float64).square()
    k = 1 + ((schedule.T - 1) * share).long()
    return k if weighting == "low_noise" else schedule.T - k


def noise_prediction(net: Callable[..., Tensor], schedule: Schedule, prediction: Prediction) -> Callable[..., Tensor]:
    """Return what a network of any kind of prediction says of the noise, (x, k, ...) -> eps; see `x0_and_eps`."""
    if prediction == "eps":
        return net

    def predict(x: Tensor, timestep: Tensor, *labels: Tensor) -> Tensor:
        shape = timestep.shape + (1,) * (x.ndim - timestep.ndim)
        signal, sigma = (table[timestep].view(shape) for table in device_tables(schedule, x.device, x.dtype))
        eps: Tensor = x0_and_eps(net(x, timestep, *labels), x, signal, sigma, prediction)[1]
        return eps

    return predict


@torch.no_grad()
def loss_at(
    net: Callable[[Tensor, Tensor], Tensor],
    x0: Tensor,
    timestep: int,
    schedule: Schedule,
    seed: int,
    draws: int = NOISES,
) -> list[float]:
    """Return the denoising loss on all of x0 at one step, for several independent noises.

    Parameters
    ----------
    net
        Noise prediction, (x (m, ...), timestep (m,)) -> eps (m, ...).
    x0
        Clean data, (m, ...).
    timestep
        The step k; the paper's t = 0.01 is ``schedule.timestep_at(0.01)``.
    schedule
        The forward process.
    seed
        Of the noises.
    draws
        How many noises; 5 in the paper.
    """
    losses = []
    for draw in range(draws):
        g = generator(seed, "loss", draw, device=x0.device)
        eps = torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype)
        steps = torch.full((len(x0),), timestep, device=x0.device)
        losses.append(float(F.mse_loss(net(forward_noise(x0, steps, eps, schedule), steps), eps)))
    return losses


def loss_interval(losses: list[float]) -> tuple[float, float, float]:
    """Return the mean of a loss over noises, and the ends of +- 2 standard errors of that mean; see `loss_band`."""
    mean, error = float(np.mean(losses)), float(np.std(losses, ddof=1)) / len(losses) ** 0.5
    return mean, mean - 2 * error, mean + 2 * error


def loss_band(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Student's 95% interval, 2.776 standard errors, from +- 2 of them for a mean of five noises.

    Two standard errors, as the paper draws them and runs store them, hold the mean in 88 of 100 such cases.

    Parameters
    ----------
    value, low, high
        Of `loss_interval`, (m,) each.
    """
    value, wider = np.asarray(value, float), float(stats.t.ppf(0.975, NOISES - 1)) / 2
    return value + wider * (np.asarray(low) - value), value + wider * (np.asarray(high) - value)
