"""Denoising score matching: the loss that is trained on, and the loss at one diffusion time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from ..randomness import generator
from .schedule import Prediction, Schedule, device_tables, forward_noise, prediction_target

NOISES = 5  # of the loss at one time; the paper's
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
    """

    schedule: Schedule
    label_dropout: float = 0.0
    bf16: bool = False
    prediction: Prediction = "eps"

    def draw_noise(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return k (m,), eps (m, ...) and, with labels, one uniform number for each point."""
        timestep = torch.randint(1, self.schedule.T, (len(x0),), generator=g, device=x0.device)
        eps = torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype)
        if labels is None:
            return timestep, eps
        return timestep, eps, torch.rand(len(x0), generator=g, device=x0.device)

    def per_sample(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *noise: Tensor) -> Tensor:
        """Return the squared error of each point, (m,), or (nets, m) of stacked networks."""
        timestep, eps, *uniform = noise
        noised = forward_noise(x0, timestep, eps, self.schedule)
        inputs: tuple[Tensor, ...] = (noised, timestep)
        if labels is not None:
            inputs += (labels.masked_fill(uniform[0] < self.label_dropout, HIDDEN_LABEL),)
        with torch.autocast(x0.device.type, torch.bfloat16, enabled=self.bf16):
            predicted = net(*inputs)
        target = eps
        if self.prediction != "eps":
            shape = timestep.shape + (1,) * (x0.ndim - timestep.ndim)
            tables = device_tables(self.schedule, x0.device, x0.dtype)
            signal, sigma = (table[timestep].view(shape) for table in tables)
            target = prediction_target(x0, eps, signal, sigma, self.prediction)
        return F.mse_loss(predicted.to(target), target, reduction="none").flatten(timestep.ndim).mean(-1)


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
