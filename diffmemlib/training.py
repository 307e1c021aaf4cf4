"""The training loop: denoising score matching by SGD or Adam, resumable at any step.

Every random number is a function of (seed, tau), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .diffusion import Schedule, forward_noise
from .files import NumberedFiles
from .progress import Progress
from .randomness import generator

CHECK_EVERY = 100  # steps between checks of the loss; each one waits for a GPU


class DivergedError(FloatingPointError):
    """The loss is no longer a number."""


def log_milestones(first: int, last: int, count: int) -> list[int]:
    """At most `count` distinct steps, evenly spaced in log tau, first and last included; 1 <= first <= last."""
    if not 1 <= first <= last or count < 2:
        raise ValueError(f"first = {first}, last = {last}, count = {count}: need 1 <= first <= last, count >= 2")
    return sorted({round(tau) for tau in np.geomspace(first, last, count)})


def make_optimizer(net: nn.Module, name: str, lr: float, momentum: float = 0.95) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam with betas (0.9, 0.999), without weight decay: the paper's two optimisers."""
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, fused=True)
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=lr, betas=(0.9, 0.999), fused=True)
    raise ValueError(f"optimizer = {name!r}: choose sgd or adam")


class Loss(Protocol):
    """A training loss: of the net on clean points x0 (m, ...), random numbers from g, labels (m,) where there are."""

    def __call__(self, net: nn.Module, x0: Tensor, g: torch.Generator, labels: Tensor | None = None, /) -> Tensor: ...


def denoising_loss(
    net: nn.Module, x0: Tensor, g: torch.Generator, labels: Tensor | None = None,
    *, schedule: Schedule, drop: float = 0.0,
) -> Tensor:  # fmt: skip
    """Mean over samples and coordinates of |eps - net(x_k, k)|^2 (Eq. 4), one k in 1 ... T-1 and one eps each.

    labels: classes of x0 for a conditional net, each hidden (-1) with probability `drop`.
    """
    k = torch.randint(1, schedule.T, (len(x0),), generator=g, device=x0.device)
    eps = torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype)
    noised = forward_noise(x0, k, eps, schedule)
    if labels is None:
        return F.mse_loss(net(noised, k), eps)
    hidden = torch.rand(len(x0), generator=g, device=x0.device) < drop
    return F.mse_loss(net(noised, k, labels.masked_fill(hidden, -1)), eps)


def batch_indices(tau: int, n: int, batch: int, seed: int, device: torch.device | str = "cpu") -> Tensor | None:
    """Which of the n training points step tau (from 0) sees: passes over reshuffled data; None means all of them."""
    if batch >= n:
        return None
    position = torch.arange(tau * batch, (tau + 1) * batch)
    return torch.cat(
        [
            _shuffle(seed, int(epoch), n, str(device))[position[position // n == epoch].to(device) % n]
            for epoch in (position // n).unique()
        ]
    )


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, n: int, device: str) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "shuffle", epoch, device=device), device=device)


def train(
    net: nn.Module,
    data: Tensor,  # (n, ...) training set, on the device of the net
    optimizer: torch.optim.Optimizer,
    loss_of: Loss,
    *,
    seed: int,
    milestones: Sequence[int],  # steps tau at which the caller measures; the last one ends the training
    batch: int,  # samples a step; n or more: the full batch
    labels: Tensor | None = None,  # (n,) classes of the training set, for a conditional net
    checkpoints: NumberedFiles | None = None,
    checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Iterator[int]:
    """Train, and hand control to the caller at every milestone, yielding tau.

    With `checkpoints`, starts from the last whole one. One is written before every milestone is yielded, every
    `checkpoint_seconds`, and at the end; a run that is resumed at a milestone yields it again, so the caller can
    measure what it had not yet measured. `should_stop` is asked after every step: the loop then saves and ends.
    A loss or a weight that is NaN or infinite raises DivergedError, and the last good checkpoint stays.
    """
    at, last = set(milestones), max(milestones, default=0)
    tau = restore(net, optimizer, checkpoints) if checkpoints else 0
    saved_tau, saved_time = tau, time.monotonic()
    if tau in at:
        yield tau
    while tau < last:
        index = batch_indices(tau, len(data), batch, seed, data.device)
        x0 = data if index is None else data[index]
        y = labels if index is None or labels is None else labels[index]
        loss = loss_of(net, x0, generator(seed, "noise", tau, device=data.device), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        tau += 1

        stop = should_stop()
        save = tau in at or stop or time.monotonic() - saved_time > checkpoint_seconds
        if save or tau % CHECK_EVERY == 0:
            _refuse_divergence(loss, net, tau, saved_tau)
        if progress:
            progress.show(tau, loss.detach())
        if save and checkpoints:
            checkpoints.write(tau, pack(net, optimizer, tau), keep=2)
            saved_tau, saved_time = tau, time.monotonic()
        if tau in at:
            yield tau
        if stop:
            return


def _refuse_divergence(loss: Tensor, net: nn.Module, tau: int, saved_tau: int) -> None:
    if torch.isfinite(loss) and all(torch.isfinite(p).all() for p in net.parameters()):
        return
    raise DivergedError(
        f"training diverged: at step {tau} the loss is {loss.item():.3g}, and it or a weight is not finite. The last "
        f"good state, step {saved_tau}, is kept. Lower the learning rate, or look for broken values in the data"
    )


def pack(net: nn.Module, optimizer: torch.optim.Optimizer, tau: int) -> bytes:
    """Weights, optimiser state and step as safetensors: tensors and text only, nothing that could run."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(tensors, metadata={"tau": str(tau), "format": "diffmemlib/1"})


def restore(net: nn.Module, optimizer: torch.optim.Optimizer, checkpoints: NumberedFiles) -> int:
    """Load the last whole checkpoint into net and optimizer; returns its step, 0 where there is none."""
    found = checkpoints.latest()
    if found is None:
        return 0
    tau, data = found
    tensors = safetensors.torch.load(data)
    net.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("net.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return tau


def time_budget(seconds: float | None) -> Callable[[], bool]:
    """A `should_stop` that says yes once this many seconds have passed from now; None never does."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


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
