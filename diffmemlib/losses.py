"""Denoising score matching: the loss that is trained on, and the loss at one diffusion time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .diffusion import Schedule, forward_noise
from .randomness import generator


class Loss(Protocol):
    """A training loss in two parts, so that stacked nets can share the second: random numbers, and the error."""

    def draw(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """The random numbers of one step on clean points x0, (m, ...)."""

    def error(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *drawn: Tensor) -> Tensor:
        """The loss of each point for these numbers, (m,), or (nets, m) of stacked nets; the mean is trained on."""


@dataclass(frozen=True)
class Denoising:
    """Mean over samples and coordinates of |eps - net(x_k, k)|^2 (Eq. 4), one k in 1 ... T-1 and one eps each.

    drop: probability with which a label, of a conditional net, is hidden (-1; default 0). bf16: the net computes in
    bfloat16, weights and loss staying in float32 (default no).
    """

    schedule: Schedule
    drop: float = 0.0
    bf16: bool = False

    def draw(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """k (m,), eps (m, ...) and, with labels, a uniform number each."""
        k = torch.randint(1, self.schedule.T, (len(x0),), generator=g, device=x0.device)
        eps = torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype)
        return (k, eps) if labels is None else (k, eps, torch.rand(len(x0), generator=g, device=x0.device))

    def error(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *drawn: Tensor) -> Tensor:
        k, eps, *uniform = drawn
        noised = forward_noise(x0, k, eps, self.schedule)
        given = () if labels is None else (labels.masked_fill(uniform[0] < self.drop, -1),)
        with torch.autocast(x0.device.type, torch.bfloat16, enabled=self.bf16):
            predicted = net(noised, k, *given)
        return F.mse_loss(predicted.to(eps), eps, reduction="none").flatten(k.ndim).mean(-1)


@torch.no_grad()
def loss_at(
    net: Callable[[Tensor, Tensor], Tensor], x0: Tensor, k: int, schedule: Schedule, seed: int, draws: int = 5
) -> list[float]:
    """The denoising loss on all of x0 at one step k, for `draws` independent noises (5 in the paper)."""
    losses = []
    for draw in range(draws):
        g = generator(seed, "loss", draw, device=x0.device)
        eps = torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype)
        steps = torch.full((len(x0),), k, device=x0.device)
        losses.append(float(F.mse_loss(net(forward_noise(x0, steps, eps, schedule), steps), eps)))
    return losses


def spread(losses: list[float]) -> tuple[float, float, float]:
    """Mean of a loss over noises, and the range of +- 2 standard deviations of that mean."""
    mean, error = float(np.mean(losses)), float(np.std(losses, ddof=1)) / len(losses) ** 0.5
    return mean, mean - 2 * error, mean + 2 * error
