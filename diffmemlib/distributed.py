"""One net trained by several processes, one a GPU: torchrun starts them, each takes its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from .losses import Loss
from .training import Member, Single

PATIENCE = timedelta(hours=6)  # of the processes that wait while the first one measures
ASK_EVERY = 20  # steps between agreements on whether to stop; each one waits for all processes


def started_by_torchrun() -> bool:
    """Whether this process is one of several that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def active() -> bool:
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized()


def first() -> bool:
    """Whether this process is the one that measures and writes: the only one, or rank 0."""
    return not active() or dist.get_rank() == 0


def meet() -> None:
    """Wait until every process is here."""
    if active():
        dist.barrier()


@contextmanager
def group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started; yields this one's device, cpu or cuda:<local rank>."""
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if backend == "nccl":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def agreed(should_stop: Callable[[], bool], device: str) -> Callable[[], bool]:
    """The same for all processes: yes once one of them says yes, asked every twenty steps."""
    if not active():
        return should_stop
    asked = 0

    def answer() -> bool:
        nonlocal asked
        asked += 1
        if asked % ASK_EVERY:
            return False
        said = torch.tensor(float(should_stop()), device=device)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    return answer


class Shared(Single):
    """One net with its optimiser, on every process alike; gradients are averaged over the shares of a batch.

    All random numbers are drawn for the whole batch, as one process would, and then shared out, so that the curves are
    those of one process up to rounding; dropout alone differs, each share having its own. ValueError where the
    processes cannot share a batch evenly.
    """

    def __init__(self, member: Member, optimizer: torch.optim.Optimizer, loss: Loss, batch: int) -> None:
        super().__init__(member, optimizer, loss, batch)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        points = min(batch, len(member.data))
        if points % self.size:
            raise ValueError(f"{points} points a step cannot be shared evenly by {self.size} processes")
        self.forward = DistributedDataParallel(member.net, broadcast_buffers=False)
        self.dropout_stream = ("dropout", f"rank {self.rank}")

    def step(self, tau: int) -> Tensor:
        loss = super().step(tau)
        dist.all_reduce(loss)
        return loss / self.size

    def share(self, x: Tensor) -> Tensor:
        return x[self.rank :: self.size]

    def save(self, tau: int) -> None:
        if self.rank == 0:
            super().save(tau)
        self.saved = tau
