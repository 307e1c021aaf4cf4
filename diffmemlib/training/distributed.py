"""One network trained by several processes, one for each GPU: torchrun starts them, each takes its share of a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..diffusion.losses import Loss
from .loop import Trainer, TrainState

PATIENCE = timedelta(hours=6)  # of the processes that wait while the first one measures
ASK_EVERY = 20  # steps between agreements on whether to stop; each one waits for all processes


def started_by_torchrun() -> bool:
    """Return whether this process is one of several that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_distributed() -> bool:
    """Return whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized()


def is_main_process() -> bool:
    """Return whether this process is the one that measures and writes: the only one, or rank 0."""
    return not is_distributed() or dist.get_rank() == 0


def barrier() -> None:
    """Wait until every process has come to this call."""
    if is_distributed():
        dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[str]:
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


def any_rank(should_stop: Callable[[], bool], device: str) -> Callable[[], bool]:
    """Return the same answer for all processes: yes once one of them says yes, asked every twenty steps."""
    if not is_distributed():
        return should_stop
    calls = 0

    def answer() -> bool:
        nonlocal calls
        calls += 1
        if calls % ASK_EVERY:
            return False
        stop = torch.tensor(float(should_stop()), device=device)
        dist.all_reduce(stop, dist.ReduceOp.MAX)
        return bool(stop)

    return answer


class DDPTrainer(Trainer):
    """One network with its optimiser, on every process alike; gradients are averaged over the shares of a batch.

    All random numbers are drawn for the whole batch, as one process would, and then shared out, so that the curves are
    those of one process up to rounding; dropout alone differs, each share having its own.

    Parameters
    ----------
    state, optimizer, loss, batch
        As of `Trainer`.

    Raises
    ------
    ValueError
        Where the processes cannot share a batch evenly.
    """

    def __init__(self, state: TrainState, optimizer: torch.optim.Optimizer, loss: Loss, batch: int) -> None:
        super().__init__(state, optimizer, loss, batch)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        points = min(batch, len(state.data))
        if points % self.size:
            raise ValueError(f"{points} points a step cannot be shared evenly by {self.size} processes")
        self.forward = DistributedDataParallel(state.net, broadcast_buffers=False)
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
