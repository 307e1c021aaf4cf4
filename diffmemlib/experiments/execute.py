"""One run from configuration to stored result: train, measure at milestones, store; the same call resumes it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch.distributed as dist
from torch import Tensor, nn

from ..allocator import keep_freed_memory
from ..checkpoints import spent
from ..distributed import Shared, active, agreed, first, meet
from ..files import NumberedFiles, exclusive
from ..losses import Loss
from ..progress import Progress
from ..provenance import code, device_name, provenance
from ..runs import Config, Metrics
from ..stopping import stop_when_asked
from ..store import Result, complete, read_result, write_result
from ..together import train_together
from ..training import DivergedError, Member, Single, make_optimizer, train
from .measurements import (
    CURVES,
    Arrays,
    Measurement,
    Row,
    curves_of,
    read_all,
    seconds_spent,
    stacked,
    start_afresh_if_lost,
)


@dataclass(frozen=True)
class Job:
    """All that is needed to make one run."""

    config: Config
    net: nn.Module
    data: Tensor  # training set, float32
    loss: Loss
    optimizer: tuple[str, float, float]  # name, learning rate, momentum
    batch: int
    milestones: list[int]
    measure: Callable[[nn.Module, int], tuple[Metrics, Arrays]]
    facts: dict[str, Any] = field(default_factory=dict)  # about the run, kept in its provenance
    labels: Tensor | None = None  # classes of the training set, for a conditional net

    @property
    def shape(self) -> tuple[Any, ...]:
        """What runs must share to be trained together."""
        parameters = tuple((name, tuple(p.shape)) for name, p in self.net.named_parameters())
        loss, rule = (self.loss, self.optimizer), (self.batch, tuple(self.milestones))
        return (parameters, tuple(self.data.shape), self.labels is None, *loss, *rule)


def execute(job: Job, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make the run, or go on with it, or read it where it is complete.

    budget: seconds; when they have passed, or SIGTERM comes, the run saves its state and ends. It is stored too, with
    ``complete: false`` in its provenance: its curves end where it ended; one that stopped before its first milestone is
    returned with empty curves and not stored. RunBusyError where another process is at it; DivergedError where the loss
    is no number.
    """
    with taken(job.config) if first() else nullcontext(complete(job.config)) as stored:
        if stored:
            return stored
        work = _Work(job, device)
        m = work.member
        show = show_progress and first()
        progress = Progress(job.milestones[-1], f"{job.config.experiment} {job.config.id}") if show else None
        try:
            with stop_when_asked(budget) as should_stop:
                for tau in train(
                    m.net, m.data, make_optimizer(m.net, *job.optimizer), job.loss,
                    seed=m.seed, milestones=job.milestones, batch=job.batch, labels=m.labels,
                    checkpoints=m.checkpoints, seconds=m.seconds, kind=Shared if active() else Single,
                    should_stop=agreed(should_stop, device), progress=progress,
                ):  # fmt: skip
                    work.measure(tau)
        finally:
            if progress:
                progress.close()
        return work.finish()


@contextmanager
def taken(config: Config) -> Iterator[Result | None]:
    """The stored result of a run that is complete; else None, and the run is held for this process meanwhile."""
    if stored := complete(config):  # reading it needs no place that can be written
        yield stored
        return
    with exclusive(config.work):
        yield complete(config)  # asked again: another process may have ended it just now


def compute_once(config: Config, device: str, compute: Callable[[], tuple[list[Row], Arrays, bytes]]) -> Result:
    """Make a run that is one computation, not a training, or read it where it is complete; RunBusyError as above.

    compute: gives rows (step, metric, value, low, high), arrays to store, and the bytes of the data it used.
    """
    with taken(config) as stored:
        if stored:
            return stored
        code()  # before anything: a commit made meanwhile is not its own
        began = time.monotonic()
        rows, arrays, data = compute()
        spent, sha256 = time.monotonic() - began, hashlib.sha256(data).hexdigest()
        curves = pd.DataFrame(rows, columns=CURVES)
        write_result(config, curves, arrays, provenance(config, device, spent, sha256, complete=True))
    return read_result(config.folder)


def execute_together(
    jobs: Sequence[Job], device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> list[Result | DivergedError]:
    """The same for runs of one shape, trained together; each has its own place in the store, as if made alone.

    Results in the order of the jobs; in place of one that diverged, its error. ValueError where shapes differ;
    MemoryError where they do not fit. In the provenance `together` is how many there were, `seconds` a run's share.
    """
    if len({job.shape for job in jobs}) > 1:
        raise ValueError("runs that differ in net, n, loss, optimizer, batch or milestones cannot be trained together")
    found: dict[int, Result | DivergedError] = {}
    with ExitStack() as locks:
        for i, job in enumerate(jobs):
            if stored := locks.enter_context(taken(job.config)):
                found[i] = stored
        open_ = [i for i in range(len(jobs)) if i not in found]
        if open_:
            works = [_Work(jobs[i], device, together=len(open_)) for i in open_]
            one = jobs[open_[0]]
            failed: dict[int, DivergedError] = {}  # by position among those that are made now
            progress = Progress(one.milestones[-1], f"{len(open_)} runs together") if show_progress else None
            try:
                with stop_when_asked(budget) as should_stop:
                    for tau, here in train_together(
                        [w.member for w in works], one.optimizer, one.loss, milestones=one.milestones,
                        batch=one.batch, failed=failed, should_stop=should_stop, progress=progress,
                    ):  # fmt: skip
                        for j in here:
                            try:
                                works[j].measure(tau)
                            except DivergedError as error:
                                failed[j] = error
            finally:
                if progress:
                    progress.close()
            found |= {i: failed[j] if j in failed else works[j].finish() for j, i in enumerate(open_)}
    return [found[i] for i in range(len(jobs))]


class _Work:
    """A run under way: what was measured so far, and the checkpoints it goes on from."""

    def __init__(self, job: Job, device: str, together: int = 1) -> None:
        self.job, self.device, self.together = job, device, together
        keep_freed_memory()
        self.log = NumberedFiles(job.config.work / "milestones", ".npz")
        states = NumberedFiles(job.config.work / "checkpoints", ".safetensors")
        if first():
            self.log.tidy()
            states.tidy()
            start_afresh_if_lost(self.log, states, job.milestones)
        meet()
        self.spent, self.began = max(seconds_spent(self.log), spent(states)), time.monotonic()
        code()  # asked now: a commit made while the run is under way is not its own
        labels = None if job.labels is None else job.labels.to(device)
        self.member = Member(
            job.net.to(device), job.data.to(device), job.config.seed, labels, states, lambda: self.seconds
        )

    @property
    def seconds(self) -> float:
        return self.spent + (time.monotonic() - self.began) / self.together

    def measure(self, tau: int) -> None:
        """Measure at a milestone what is not measured yet; of several processes the first does, the others wait."""
        if first() and self.log.read(tau) is None:
            net = self.member.net
            net.eval()
            metrics, arrays = self.job.measure(net, tau)
            net.train()
            self.log.write(tau, Measurement(metrics, arrays, self.seconds, device_name(self.device)).pack())
        meet()

    def finish(self) -> Result:
        """Store what there is."""
        config, milestones = self.job.config, self.job.milestones
        measured = read_all(self.log, milestones)
        curves = curves_of(measured)
        origin = provenance(
            config, self.device, self.seconds,
            hashlib.sha256(self.member.data.cpu().numpy().tobytes()).hexdigest(),
            complete=len(measured) == len(milestones), last_milestone=max(measured, default=0),
            together=self.together, processes=dist.get_world_size() if active() else 1, **self.job.facts,
        )  # fmt: skip
        devices = [m.device for m in measured.values() if m.device] + [origin["device"]]
        origin["device"] = ", then ".join(dict.fromkeys(devices))  # a run may be gone on with elsewhere
        if not measured:  # nothing to store yet: the checkpoint goes on from here
            return Result(config.folder, vars(config), curves, origin)
        if first():
            write_result(config, curves, stacked(measured), origin)
        meet()
        return read_result(config.folder)
