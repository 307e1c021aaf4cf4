"""One run from configuration to stored result: train, measure at milestones, store; the same call resumes it."""

from __future__ import annotations

import hashlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..files import NumberedFiles, exclusive
from ..progress import Progress
from ..runs import Config, Metrics, Result, ResultError, provenance, read_result, write_result
from ..training import Loss, make_optimizer, time_budget, train

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Measurement:
    """What was measured at one milestone: metrics, a few arrays to keep, and the seconds spent up to then."""

    metrics: Metrics
    arrays: Arrays
    seconds: float

    def pack(self) -> bytes:
        """As the bytes of an npz file, without pickle."""
        file = io.BytesIO()
        names, values = np.array(list(self.metrics)), np.array(list(self.metrics.values()))
        np.savez(file, allow_pickle=False, metric=names, value=values, seconds=self.seconds, **self.arrays)
        return file.getvalue()

    @classmethod
    def unpack(cls, data: bytes) -> Measurement:
        """From the bytes of an npz file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        names, values, seconds = arrays.pop("metric"), arrays.pop("value"), arrays.pop("seconds")
        rows = zip(names, values.tolist(), strict=True)
        return cls({str(m): (v[0], v[1], v[2]) for m, v in rows}, arrays, float(seconds))


def execute(
    config: Config,
    *,
    net: nn.Module,
    data: Tensor,  # training set, float32
    loss: Loss,
    optimizer: tuple[str, float, float],  # name, learning rate, momentum
    batch: int,
    milestones: list[int],
    measure: Callable[[nn.Module, int], tuple[Metrics, Arrays]],
    facts: dict[str, Any],  # about the run, kept in its provenance
    labels: Tensor | None = None,  # classes of the training set, for a conditional net
    device: str = "cpu",
    budget: float | None = None,  # seconds; when they have passed the run saves its state and ends incomplete
    show_progress: bool = True,
) -> Result:
    """Make the run, or go on with it, or read it where it is complete.

    A run that stopped on its budget is stored too, with ``complete: false`` in its provenance: its curves end where
    it ended; one that stopped before its first milestone is returned with empty curves and not stored. RunBusyError
    where another process is at it; DivergedError where the loss is no number.
    """
    with exclusive(config.work):
        try:
            stored = read_result(config.folder)
            if stored.provenance["complete"]:
                return stored
        except ResultError:
            pass
        log = NumberedFiles(config.work / "milestones", ".npz")
        states = NumberedFiles(config.work / "checkpoints", ".safetensors")
        _start_afresh_if_lost(log, states, milestones)
        spent, began = _spent(log), time.monotonic()
        should_stop = time_budget(budget)
        net, data = net.to(device), data.to(device)
        labels = None if labels is None else labels.to(device)
        progress = Progress(milestones[-1], f"{config.experiment} {config.id}") if show_progress else None
        try:
            for tau in train(
                net, data, make_optimizer(net, *optimizer), loss,
                seed=config.seed, milestones=milestones, batch=batch, labels=labels,
                checkpoints=states, should_stop=should_stop, progress=progress,
            ):  # fmt: skip
                if log.read(tau) is None:
                    net.eval()
                    metrics, arrays = measure(net, tau)
                    net.train()
                    log.write(tau, Measurement(metrics, arrays, spent + time.monotonic() - began).pack())
        finally:
            if progress:
                progress.close()
        measured = _read_all(log, milestones)
        curves = _curves(measured)
        origin = provenance(
            config, device, spent + time.monotonic() - began,
            hashlib.sha256(data.cpu().numpy().tobytes()).hexdigest(),
            complete=len(measured) == len(milestones), last_milestone=max(measured, default=0), **facts,
        )  # fmt: skip
        if not measured:  # nothing to store yet: the checkpoint goes on from here
            return Result(config.folder, vars(config), curves, origin)
        write_result(config, curves, _stack(measured), origin)
    return read_result(config.folder)


def _start_afresh_if_lost(log: NumberedFiles, states: NumberedFiles, milestones: list[int]) -> None:
    """Drop the checkpoints where a measurement before the last one is missing or damaged: it can only be made again."""
    reached = states.latest()
    lost = [tau for tau in milestones if reached and tau < reached[0] and log.read(tau) is None]
    if lost:
        warnings.warn(f"the measurement at step {lost[0]} is missing or damaged; the run starts afresh", stacklevel=3)
        states.clear()


def _read_all(log: NumberedFiles, milestones: list[int]) -> dict[int, Measurement]:
    read = {tau: log.read(tau) for tau in milestones}
    return {tau: Measurement.unpack(data) for tau, data in read.items() if data is not None}


def _spent(log: NumberedFiles) -> float:
    found = log.latest()
    return Measurement.unpack(found[1]).seconds if found else 0.0


def _curves(measured: dict[int, Measurement]) -> pd.DataFrame:
    rows = [(tau, name, *v) for tau, measurement in measured.items() for name, v in measurement.metrics.items()]
    return pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])


def _stack(measured: dict[int, Measurement]) -> Arrays:
    """Arrays of all milestones along a new first axis, beside the milestones themselves."""
    stacked = {"step": np.array(list(measured), dtype=np.int64)}
    for name in next(iter(measured.values())).arrays if measured else ():
        stacked[name] = np.stack([m.arrays[name] for m in measured.values()])
    return stacked


def seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network with its initial weights a function of the seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
