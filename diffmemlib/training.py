"""The training loop: denoising score matching by SGD or Adam, resumable at any step.

Every random number is a function of (seed, tau), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoints import pack, restore
from .files import NumberedFiles
from .losses import Loss
from .progress import Progress
from .randomness import generator, stream

CHECK_EVERY = 100  # steps between checks of the loss; each one waits for a GPU


class DivergedError(FloatingPointError):
    """The loss is no longer a number."""


def log_milestones(first: int, last: int, count: int) -> list[int]:
    """At most `count` distinct steps, evenly spaced in log tau, first and last included; 1 <= first <= last."""
    if not 1 <= first <= last or count < 2:
        raise ValueError(f"first = {first}, last = {last}, count = {count}: need 1 <= first <= last, count >= 2")
    return sorted({round(tau) for tau in np.geomspace(first, last, count)})


def make_optimizer(
    net: nn.Module | Iterable[Tensor], name: str, lr: float, momentum: float = 0.95
) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam with betas (0.9, 0.999), without weight decay: the paper's two optimisers."""
    parameters = net.parameters() if isinstance(net, nn.Module) else net
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.999), fused=True)
    raise ValueError(f"optimizer = {name!r}: choose sgd or adam")


def batch_indices(tau: int, n: int, batch: int, seed: int, device: torch.device | str = "cpu") -> Tensor | None:
    """Which of the n training points step tau (from 0) sees: passes over reshuffled data; None means all of them."""
    if batch >= n:
        return None
    epoch, start = divmod(tau * batch, n)
    parts = [_shuffle(seed, epoch, n, str(device))[start : start + batch]]
    if start + batch > n:
        parts.append(_shuffle(seed, epoch + 1, n, str(device))[: start + batch - n])
    return torch.cat(parts)


@lru_cache(maxsize=128)  # two for each of the nets that train together
def _shuffle(seed: int, epoch: int, n: int, device: str) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "shuffle", epoch, device=device), device=device)


def no_time() -> float:
    """0 seconds: nobody counts them."""
    return 0.0


@dataclass
class Member:
    """A net in training with its data, seed and checkpoints."""

    net: nn.Module
    data: Tensor  # (n, ...) training set, on the device of the net
    seed: int
    labels: Tensor | None = None  # (n,) classes, for a conditional net
    checkpoints: NumberedFiles | None = None
    seconds: Callable[[], float] = no_time  # what the run has taken so far, for its checkpoints

    def points(self, tau: int, batch: int) -> tuple[Tensor, Tensor | None]:
        """The training points that step tau sees, and their labels."""
        index = batch_indices(tau, len(self.data), batch, self.seed, self.data.device)
        if index is None:
            return self.data, self.labels
        return self.data[index], None if self.labels is None else self.labels[index]

    def noise(self, tau: int) -> torch.Generator:
        """The random numbers of step tau."""
        return generator(self.seed, "noise", tau, device=self.data.device)


class Learner(Protocol):
    """What the loop trains: one net, or several together."""

    def step(self, tau: int) -> Tensor:
        """Make step tau; returns the loss, one number or one for each net."""

    def refuse_divergence(self, loss: Tensor, tau: int) -> None:
        """DivergedError, or leave out the net, where a loss or a weight is not finite."""

    def save(self, tau: int) -> None:
        """Write checkpoints."""


class Single:
    """One net with its optimiser."""

    def __init__(self, member: Member, optimizer: torch.optim.Optimizer, loss: Loss, batch: int) -> None:
        self.member, self.optimizer, self.loss, self.batch = member, optimizer, loss, batch
        self.saved = 0
        self.forward: Callable[..., Tensor] = member.net
        self.dropout_stream: tuple[str, ...] = ("dropout",)
        self.dropout = any(isinstance(module, nn.Dropout) and module.p > 0 for module in member.net.modules())

    def step(self, tau: int) -> Tensor:
        x0, labels = self.member.points(tau, self.batch)
        drawn = self.loss.draw(x0, self.member.noise(tau), labels)
        if self.dropout:  # it draws from torch's global generator
            torch.manual_seed(stream(self.member.seed, *self.dropout_stream, tau))
        own_labels = None if labels is None else self.share(labels)
        self.optimizer.zero_grad(set_to_none=True)  # first: CUDA graphs write the next gradients over these
        loss = self.loss.error(self.forward, self.share(x0), own_labels, *map(self.share, drawn)).mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def share(self, x: Tensor) -> Tensor:
        """What this process computes of a batch: all of it."""
        return x

    def refuse_divergence(self, loss: Tensor, tau: int) -> None:
        if not (torch.isfinite(loss) and all(torch.isfinite(p).all() for p in self.member.net.parameters())):
            raise DivergedError(diverged(loss, tau, self.saved))

    def save(self, tau: int) -> None:
        if self.member.checkpoints:
            state = self.optimizer.state_dict()["state"]
            self.member.checkpoints.write(
                tau, pack(self.member.net.state_dict(), state, tau, self.member.seconds()), keep=2
            )
            self.saved = tau


def train(
    net: nn.Module,
    data: Tensor,  # (n, ...) training set, on the device of the net
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    *,
    seed: int,
    milestones: Sequence[int],  # steps tau at which the caller measures; the last one ends the training
    batch: int,  # samples a step; n or more: the full batch
    labels: Tensor | None = None,  # (n,) classes of the training set, for a conditional net
    checkpoints: NumberedFiles | None = None,
    seconds: Callable[[], float] = no_time,  # what the run has taken so far, for its checkpoints
    kind: type[Single] = Single,  # `distributed.Shared` where several processes train it
    **options: Any,  # of `loop`: checkpoint_seconds, should_stop, progress
) -> Iterator[int]:
    """Train one net, and hand control to the caller at every milestone, yielding tau.

    With `checkpoints`, starts from the last whole one. One is written before every milestone is yielded, every
    `checkpoint_seconds`, and at the end; a run that is resumed at a milestone yields it again, so the caller can
    measure what it had not yet measured. A loss or a weight that is NaN or infinite raises DivergedError, and the
    last good checkpoint stays.
    """
    learner = kind(Member(net, data, seed, labels, checkpoints, seconds), optimizer, loss, batch)
    learner.saved = restore(net, optimizer, checkpoints) if checkpoints else 0
    return loop(learner, learner.saved, milestones, max(milestones, default=0), **options)


def loop(
    learner: Learner,
    tau: int,  # the step reached so far
    milestones: Sequence[int],
    last: int,
    checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,  # asked after every step: the loop then saves and ends
    progress: Progress | None = None,
) -> Iterator[int]:
    """The training loop: step, look, save, and yield tau at every milestone, from the one that tau stands at on."""
    at, saved = set(milestones), time.monotonic()
    if tau in at:
        yield tau
    while tau < last:
        loss = learner.step(tau)
        tau += 1
        stop = should_stop()
        save = tau in at or tau == last or stop or time.monotonic() - saved > checkpoint_seconds
        if save or tau % CHECK_EVERY == 0:
            learner.refuse_divergence(loss, tau)
        if progress:
            progress.show(tau, loss)
        if save:
            learner.save(tau)
            saved = time.monotonic()
        if tau in at:
            yield tau
        if stop:
            return


def diverged(loss: Tensor, tau: int, saved: int) -> str:
    """What to say when a loss is no number."""
    return (
        f"training diverged: at step {tau} the loss is {loss.item():.3g}, and it or a weight is not finite. The last "
        f"good state, step {saved}, is kept. Lower the learning rate, or look for broken values in the data"
    )
