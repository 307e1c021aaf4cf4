"""The training loop: denoising score matching by SGD or Adam, resumable at any step.

Every random number is a function of (seed, tau), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..diffusion.losses import DenoisingLoss, Loss
from ..diffusion.schedule import Schedule
from ..files import NumberedFiles
from ..randomness import derive_seed, generator, global_seed
from .checkpoints import Checkpoint, Stateful, extra_state, restore
from .determinism import in_fixed_order
from .progress import Progress
from .replay import Replay

CHECK_EVERY = 100  # steps between checks of the loss; each one waits for a GPU


class DivergedError(FloatingPointError):
    """The loss is no longer a number."""


def log_milestones(first: int, last: int, count: int) -> list[int]:
    """Return at most ``count`` distinct steps, evenly spaced in log tau, first and last included.

    Parameters
    ----------
    first, last
        Steps tau.
    count
        How many steps at most.

    Raises
    ------
    ValueError
        Unless 1 <= first <= last and count >= 2.

    Examples
    --------
    >>> log_milestones(100, 10000, 3)
    [100, 1000, 10000]
    """
    if not 1 <= first <= last or count < 2:
        raise ValueError(f"first = {first}, last = {last}, count = {count}: need 1 <= first <= last, count >= 2")
    return sorted({round(tau) for tau in np.geomspace(first, last, count)})


class OptimizerSettings(NamedTuple):
    """What `make_optimizer` is told: see there."""

    name: str
    lr: float
    momentum: float = 0.95
    weight_decay: float = 0.0


def make_optimizer(
    net: nn.Module | Iterable[Tensor], name: str, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return SGD with momentum, or Adam with betas (0.9, 0.999): the paper's two optimisers, without weight decay.

    Parameters
    ----------
    net
        A network, or its parameters.
    name
        "sgd" or "adam".
    lr
        Learning rate.
    momentum
        Of SGD.
    weight_decay
        Of every parameter: part of the gradient in SGD, decoupled from it in Adam, which is then AdamW.

    Raises
    ------
    ValueError
        For another name.
    """
    parameters = list(net.parameters() if isinstance(net, nn.Module) else net)
    on_gpu = any(p.is_cuda for p in parameters)  # where its step may be recorded, and counts on the device
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
    if name == "adam" and weight_decay:
        return torch.optim.AdamW(
            parameters, lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay, fused=True, capturable=on_gpu
        )
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.999), fused=True, capturable=on_gpu)
    raise ValueError(f"optimizer = {name!r}: choose sgd or adam")


def batch_indices(tau: int, n: int, batch: int, seed: int, device: torch.device | str = "cpu") -> Tensor | None:
    """Return which of the n training points step tau (from 0) sees: passes over reshuffled data; None means all."""
    if batch >= n:
        return None
    epoch, start = divmod(tau * batch, n)
    parts = [_shuffle(seed, epoch, n, str(device))[start : start + batch]]
    if start + batch > n:
        parts.append(_shuffle(seed, epoch + 1, n, str(device))[: start + batch - n])
    return torch.cat(parts)


@lru_cache(maxsize=128)  # two for each of the networks that train together
def _shuffle(seed: int, epoch: int, n: int, device: str) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "shuffle", epoch, device=device), device=device)


@dataclass
class TrainState:
    """A network in training, with its data, seed and checkpoints.

    Parameters
    ----------
    net
        The network.
    data
        Training set, (n, ...), on the device of the network.
    seed
        Of everything random.
    labels
        Classes, (n,), for a conditional network.
    checkpoints
        Where its state is kept.
    elapsed
        Returns the seconds that the run has taken so far, for its checkpoints.
    ema
        Averaged weights, updated after every step.
    extra
        Further objects whose state checkpoints keep.
    """

    net: nn.Module
    data: Tensor
    seed: int
    labels: Tensor | None = None
    checkpoints: NumberedFiles | None = None
    elapsed: Callable[[], float] = lambda: 0.0
    ema: AveragedModel | None = None
    extra: Mapping[str, Stateful] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.noise = torch.Generator(self.data.device)
        self.index: Tensor | None = None

    def prepare_step(self, tau: int, batch: int) -> None:
        """Choose the points of step tau and seed ``noise``, its random numbers; where they lie does not change."""
        index = batch_indices(tau, len(self.data), batch, self.seed, self.data.device)
        if index is None or self.index is None or len(index) != len(self.index):
            self.index = None if index is None else index.clone()
        else:
            self.index.copy_(index)
        self.noise.manual_seed(derive_seed(self.seed, "noise", tau))

    def points(self) -> tuple[Tensor, Tensor | None]:
        """Return the training points that the step sees, and their labels."""
        if self.index is None:
            return self.data, self.labels
        return self.data[self.index], None if self.labels is None else self.labels[self.index]

    @property
    def stateful(self) -> dict[str, Stateful]:
        """What checkpoints keep beside network and optimiser."""
        return {**self.extra, **({"ema": self.ema} if self.ema is not None else {})}


class Learner(Protocol):
    """What the loop trains: one network, or several together."""

    device: torch.device

    def step(self, tau: int) -> Tensor:
        """Make step tau; return the loss, one number or one for each network."""

    def check_finite(self, loss: Tensor, tau: int) -> None:
        """Raise DivergedError, or leave out the network, where a loss or a weight is not finite."""

    def save(self, tau: int) -> None:
        """Write checkpoints."""


class Trainer:
    """One network with its optimiser.

    Parameters
    ----------
    state
        The network and its data.
    optimizer
        Of its parameters.
    loss
        What it is trained on.
    batch
        Samples in a step.
    replayed
        Whether the work of a step is recorded and replayed, see `replay`; no number changes.
    """

    def __init__(
        self, state: TrainState, optimizer: torch.optim.Optimizer, loss: Loss, batch: int, replayed: bool = False
    ) -> None:
        self.state, self.optimizer, self.loss, self.batch = state, optimizer, loss, batch
        self.saved, self.device = 0, state.data.device
        self.forward: Callable[..., Tensor] = state.net
        self.dropout_stream: tuple[str, ...] = ("dropout",)
        self.run: Callable[[], Tensor] = self.work
        if replayed:
            self.run = Replay(self.work, self.device, [state.noise])

    def step(self, tau: int) -> Tensor:
        self.state.prepare_step(tau, self.batch)
        with global_seed(derive_seed(self.state.seed, *self.dropout_stream, tau), self.device):
            loss = self.run()
        if self.state.ema is not None:
            self.state.ema.update_parameters(self.state.net)
        return loss

    def work(self) -> Tensor:
        """Make the step that is prepared: the same calls, whichever it is."""
        x0, labels = self.state.points()
        noise = self.loss.draw_noise(x0, self.state.noise, labels)
        labels = None if labels is None else self.share(labels)
        self.optimizer.zero_grad(set_to_none=True)  # first: a recording writes the next gradients over these
        loss = self.loss.per_sample(self.forward, self.share(x0), labels, *map(self.share, noise)).mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def share(self, x: Tensor) -> Tensor:
        """Return what this process computes of a batch: all of it."""
        return x

    def check_finite(self, loss: Tensor, tau: int) -> None:
        if not (torch.isfinite(loss) and all(torch.isfinite(p).all() for p in self.state.net.parameters())):
            raise DivergedError(divergence_message(loss, tau, self.saved))

    def save(self, tau: int) -> None:
        if self.state.checkpoints:
            weights, optimizer = self.state.net.state_dict(), self.optimizer.state_dict()["state"]
            extra = extra_state(self.state.stateful)
            checkpoint = Checkpoint(tau, weights, optimizer, self.state.elapsed(), extra)
            self.state.checkpoints.write(tau, checkpoint.pack(), keep=2)
            self.saved = tau


def train(
    net: nn.Module, data: Tensor, optimizer: torch.optim.Optimizer, loss: Loss | None = None, *,
    milestones: Sequence[int], seed: int = 0, batch: int = 512, labels: Tensor | None = None,
    checkpoints: NumberedFiles | None = None, ema: AveragedModel | None = None,
    extra: Mapping[str, Stateful] | None = None, elapsed: Callable[[], float] = lambda: 0.0,
    trainer_cls: Callable[..., Trainer] = Trainer, **options: Any,
) -> Iterator[int]:  # fmt: skip
    """Train one network, and hand control to the caller at every milestone, yielding its step tau.

    With ``checkpoints``, starts from the last whole one. One is written before every milestone is yielded, every
    ``checkpoint_seconds``, and at the end; a run that is resumed at a milestone yields it again, so the caller can
    measure what it had not yet measured.

    Parameters
    ----------
    net
        (x, timestep) -> prediction, or (x, timestep, label) -> prediction with labels.
    data
        Training set, (n, ...), on the device of the network.
    optimizer
        Of the network's parameters.
    loss
        The paper's `DenoisingLoss` unless given.
    milestones
        Steps tau at which the caller measures; the last one ends the training.
    seed
        Of batches, times, noises and dropout.
    batch
        Samples in a step; n or more is the full batch.
    labels
        Classes of the training set, (n,), for a conditional network.
    checkpoints
        Where states are kept.
    ema
        Averaged weights, such as ``AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))`` of torch, updated
        after every step and kept in checkpoints. None, as in the paper: no averaging.
    extra
        Further objects with a state_dict that checkpoints keep, by name.
    elapsed
        Returns the seconds that the run has taken so far, for its checkpoints.
    trainer_cls
        `Trainer`, with ``partial(Trainer, replayed=True)`` where its steps are replayed, or `DDPTrainer` where several
        processes train the network.
    **options
        Of `loop`: checkpoint_seconds, should_stop, progress.

    Yields
    ------
    int
        The milestone reached.

    Raises
    ------
    DivergedError
        For a loss or a weight that is NaN or infinite; the last good checkpoint stays.
    ValueError
        For a batch below 1, a training set without points, and milestones that are no steps.

    Examples
    --------
    >>> from diffmemlib import ResidualMLP, make_optimizer, train
    >>> import torch
    >>> net, data = ResidualMLP(d=2, width=8), torch.randn(16, 2)
    >>> list(train(net, data, make_optimizer(net, "adam", 1e-3), milestones=[2, 5]))
    [2, 5]
    """
    if batch < 1 or len(data) == 0:
        raise ValueError(f"batch = {batch}, {len(data)} training points: both are at least 1")
    if bad := [tau for tau in milestones if tau != int(tau) or tau < 0]:
        raise ValueError(f"milestones hold {bad[0]}: give whole steps, 0 or more")
    loss = DenoisingLoss(Schedule()) if loss is None else loss
    state = TrainState(net, data, seed, labels, checkpoints, elapsed, ema, extra or {})
    trainer = trainer_cls(state, optimizer, loss, batch)
    trainer.saved = restore(net, optimizer, checkpoints, state.stateful) if checkpoints else 0
    return loop(trainer, trainer.saved, milestones, max(milestones, default=0), **options)


def loop(
    learner: Learner, tau: int, milestones: Sequence[int], last: int, checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False, progress: Progress | None = None,
) -> Iterator[int]:  # fmt: skip
    """Run the training loop: step, check, save, and yield tau at every milestone, from the one that tau stands at on.

    Parameters
    ----------
    learner
        What is trained.
    tau
        The step reached so far.
    milestones
        Steps to yield at.
    last
        The step to end at.
    checkpoint_seconds
        Between two checkpoints, at most.
    should_stop
        Asked after every step; the loop then saves and ends.
    progress
        Shown after every step.
    """
    milestone_steps, saved_at = set(milestones), time.monotonic()
    step = in_fixed_order(learner.step, learner.device)
    if tau in milestone_steps:
        yield tau
    while tau < last:
        loss = step(tau)
        tau += 1
        stop = should_stop()
        save = tau in milestone_steps or tau == last or stop or time.monotonic() - saved_at > checkpoint_seconds
        if save or tau % CHECK_EVERY == 0:
            learner.check_finite(loss, tau)
        if progress:
            progress.show(tau, loss)
        if save:
            learner.save(tau)
            saved_at = time.monotonic()
        if tau in milestone_steps:
            yield tau
        if stop:
            return


def divergence_message(loss: Tensor, tau: int, saved: int) -> str:
    """Return what to say when a loss is no number."""
    return (
        f"training diverged: at step {tau} the loss is {loss.item():.3g}, and it or a weight is not finite. The last "
        f"good state, step {saved}, is kept. Lower the learning rate, or look for broken values in the data"
    )
