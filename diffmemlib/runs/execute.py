"""One run from configuration to stored result: train, measure at milestones, store; the same call resumes it."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..diffusion.losses import Loss
from ..files import NumberedFiles, RunBusyError, run_lock
from ..nets.stackable import drops_out
from ..training.allocator import keep_freed_memory
from ..training.checkpoints import elapsed_seconds
from ..training.distributed import DDPTrainer, any_rank, barrier, is_distributed, is_main_process
from ..training.ensemble import train_ensemble
from ..training.loop import DivergedError, OptimizerSettings, Trainer, TrainState, make_optimizer, train
from ..training.progress import Progress
from ..training.stopping import stop_when_asked
from .config import Config, Metrics
from .measurements import (
    CURVES,
    Arrays,
    Measurement,
    Row,
    curves_table,
    measured_seconds,
    read_all,
    read_measurement,
    stack_arrays,
    start_afresh_if_lost,
)
from .provenance import code, device_name, provenance
from .store import Result, complete_result, read_result, write_result

ROUNDED = "rounded"  # a file beside the checkpoints of a run that once went on from a state rounded to bfloat16


@dataclass(frozen=True)
class Job:
    """All that is needed to make one run.

    Attributes
    ----------
    config : Config
        Its settings.
    net : Module
        The network, with its first weights.
    data : Tensor
        Training set, (n, ...), float32.
    loss : Loss
        What is trained on.
    optimizer : OptimizerSettings
        Name, learning rate, momentum, weight decay.
    batch : int
        Samples in a step.
    milestones : list of int
        Steps at which it is measured.
    measure : callable
        (net, tau) -> metrics and arrays to keep.
    facts : dict
        About the run, kept in its provenance.
    labels : Tensor or None
        Classes of the training set, for a conditional network.
    ema : float
        Decay, each step, of the averaged weights, which are then what is measured; 0: none, the network itself.
    replayed : bool
        Whether steps are recorded and replayed; see `training.replay`.
    """

    config: Config
    net: nn.Module
    data: Tensor
    loss: Loss
    optimizer: OptimizerSettings
    batch: int
    milestones: list[int]
    measure: Callable[[nn.Module, int], tuple[Metrics, Arrays]]
    facts: dict[str, Any] = field(default_factory=dict)
    labels: Tensor | None = None
    ema: float = 0.0
    replayed: bool = False

    @property
    def stackable(self) -> bool:
        """Whether it can be trained together with others: without averaged weights and dropout."""
        return not (self.ema or drops_out(self.net))

    @property
    def shape(self) -> tuple[Any, ...]:
        """What runs must share to be trained together."""
        parameters = tuple((name, tuple(p.shape)) for name, p in self.net.named_parameters())
        loss, rule = (self.loss, self.optimizer), (self.batch, tuple(self.milestones))
        return (parameters, tuple(self.data.shape), self.labels is None, *loss, *rule, self.ema)


def execute(job: Job, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make the run, or go on with it, or read it where it is complete.

    Parameters
    ----------
    job
        The run.
    device
        As torch calls it.
    budget
        Seconds; when they have passed, or SIGTERM comes, the run saves its state and ends. It is stored too, with
        ``complete: false`` in its provenance: its curves end where it ended. One that stopped before its first
        milestone is returned with empty curves and not stored.
    show_progress
        Whether to show steps, rate and remaining time.

    Raises
    ------
    RunBusyError
        Where another process is at it.
    DivergedError
        Where the loss is no number.
    """
    with claim_run(job.config) if is_main_process() else nullcontext(complete_result(job.config)) as stored:
        if stored:
            return stored
        work = _Work(job, device)
        state = work.state
        show = show_progress and is_main_process()
        progress = Progress(job.milestones[-1], f"{job.config.experiment} {job.config.id}") if show else None
        try:
            with stop_when_asked(budget) as should_stop:
                for tau in train(
                    state.net, state.data, make_optimizer(state.net, *job.optimizer), job.loss,
                    seed=state.seed, milestones=job.milestones, batch=job.batch, labels=state.labels,
                    checkpoints=state.checkpoints, elapsed=state.elapsed, ema=state.ema,
                    trainer_cls=DDPTrainer if is_distributed() else partial(Trainer, replayed=job.replayed),
                    should_stop=any_rank(should_stop, device), progress=progress,
                ):  # fmt: skip
                    work.measure(tau)
        finally:
            if progress:
                progress.close()
        return work.finish()


@contextmanager
def claim_run(config: Config) -> Iterator[Result | None]:
    """Yield the stored result of a run that is complete; else None, and hold the run for this process meanwhile.

    Checkpoints and measurements of a complete run are removed.
    """
    if stored := complete_result(config):  # reading it needs no place that can be written
        if config.checkpoint_dir.exists():  # of a process that died after storing
            with suppress(OSError, RunBusyError), run_lock(config.checkpoint_dir):
                shutil.rmtree(config.checkpoint_dir)
        yield stored
        return
    with run_lock(config.checkpoint_dir):
        yield complete_result(config)  # asked again: another process may have ended it just now


def compute_once(config: Config, device: str, compute: Callable[[], tuple[list[Row], Arrays, bytes]]) -> Result:
    """Make a run that is one computation, not a training, or read it where it is complete.

    Parameters
    ----------
    config
        Of the run.
    device
        As torch calls it.
    compute
        Returns rows (step, metric, value, low, high), arrays to store, and the bytes of the data it used.

    Raises
    ------
    RunBusyError
        Where another process is at it.
    """
    with claim_run(config) as stored:
        if stored:
            return stored
        code()  # before anything: a commit made meanwhile is not its own
        began = time.monotonic()
        rows, arrays, data = compute()
        seconds, sha256 = time.monotonic() - began, hashlib.sha256(data).hexdigest()
        curves = pd.DataFrame(rows, columns=CURVES)
        write_result(config, curves, arrays, provenance(config, device, seconds, sha256, complete=True))
    return read_result(config.result_dir)


def execute_ensemble(
    jobs: Sequence[Job], device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> list[Result | DivergedError]:
    """Do the same for runs of one shape, trained together; each has its own place in the store, as if made alone.

    In the provenance ``together`` is how many there were, ``seconds`` a run's share.

    Parameters
    ----------
    jobs
        The runs.
    device, budget, show_progress
        As of `execute`.

    Returns
    -------
    list
        Results in the order of the jobs; in place of one that diverged, its error.

    Raises
    ------
    ValueError
        Where shapes differ.
    MemoryError
        Where they do not fit.
    """
    if len({job.shape for job in jobs}) > 1:
        raise ValueError("runs that differ in net, n, loss, optimizer, batch or milestones cannot be trained together")
    results: dict[int, Result | DivergedError] = {}
    with ExitStack() as locks:
        for i, job in enumerate(jobs):
            if stored := locks.enter_context(claim_run(job.config)):
                results[i] = stored
        missing = [i for i in range(len(jobs)) if i not in results]
        if missing:
            works = [_Work(jobs[i], device, together=len(missing)) for i in missing]
            first = jobs[missing[0]]
            failed: dict[int, DivergedError] = {}  # by position among those that are made now
            progress = Progress(first.milestones[-1], f"{len(missing)} runs together") if show_progress else None
            try:
                with stop_when_asked(budget) as should_stop:
                    for tau, positions in train_ensemble(
                        [w.state for w in works], first.optimizer, first.loss, milestones=first.milestones,
                        batch=first.batch, failed=failed, should_stop=should_stop, progress=progress,
                    ):  # fmt: skip
                        for j in positions:
                            try:
                                works[j].measure(tau)
                            except DivergedError as error:
                                failed[j] = error
            finally:
                if progress:
                    progress.close()
            results |= {i: failed[j] if j in failed else works[j].finish() for j, i in enumerate(missing)}
    return [results[i] for i in range(len(jobs))]


class _Work:
    """A run under way: what was measured so far, and the checkpoints it goes on from."""

    def __init__(self, job: Job, device: str, together: int = 1) -> None:
        self.job, self.device, self.together = job, device, together
        keep_freed_memory()
        self.log = NumberedFiles(job.config.checkpoint_dir / "milestones", ".npz", job.config.id)
        checkpoints = NumberedFiles(job.config.checkpoint_dir / "checkpoints", ".safetensors", job.config.id)
        if is_main_process():
            self.log.tidy()
            checkpoints.tidy()
            start_afresh_if_lost(self.log, checkpoints, job.milestones)
        barrier()
        self.before, self.began = max(measured_seconds(self.log), elapsed_seconds(checkpoints)), time.monotonic()
        code()  # asked now: a commit made while the run is under way is not its own
        labels = None if job.labels is None else job.labels.to(device)
        net, data = job.net.to(device), job.data.to(device)
        ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(job.ema)) if job.ema else None
        if ema is not None:
            ema.n_averaged = ema.n_averaged.cpu()  # it is asked at every step, which would wait for a GPU
        self.state = TrainState(net, data, job.config.seed, labels, checkpoints, lambda: self.seconds, ema)

    @property
    def seconds(self) -> float:
        return self.before + (time.monotonic() - self.began) / self.together

    def measure(self, tau: int) -> None:
        """Measure at a milestone what is not measured yet; of several processes the first does, the others wait."""
        if is_main_process() and read_measurement(self.log, tau) is None:
            net = self.state.net if self.state.ema is None else self.state.ema.module
            net.eval()
            metrics, arrays = self.job.measure(net, tau)
            net.train()
            measurement = Measurement(metrics, arrays, self.seconds, device_name(self.device), tau)
            self.log.write(tau, measurement.pack())
        barrier()

    def finish(self) -> Result:
        """Store what there is."""
        config, milestones = self.job.config, self.job.milestones
        measured = read_all(self.log, milestones)
        curves = curves_table(measured)
        record = provenance(
            config, self.device, self.seconds,
            hashlib.sha256(self.state.data.cpu().numpy().tobytes()).hexdigest(),
            complete=len(measured) == len(milestones), last_milestone=max(measured, default=0),
            together=self.together, processes=dist.get_world_size() if is_distributed() else 1, **self.job.facts,
            **({"rounded_state": True} if (config.checkpoint_dir / ROUNDED).exists() else {}),
        )  # fmt: skip
        devices = [m.device for m in measured.values() if m.device] + [record["device"]]
        record["device"] = ", then ".join(dict.fromkeys(devices))  # a run may be gone on with elsewhere
        if not measured:  # nothing to store yet: the checkpoint goes on from here
            return Result(config.result_dir, vars(config), curves, record)
        if is_main_process():
            write_result(config, curves, stack_arrays(measured), record)
            if record["complete"]:
                shutil.rmtree(config.checkpoint_dir, ignore_errors=True)
        barrier()
        return read_result(config.result_dir)
