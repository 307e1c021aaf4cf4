"""One training of a probe: on n points, until copies are plain or time is up; it goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta
from torch import nn

from ..files import NumberedFiles, RunBusyError, run_lock, to_json, write_atomic
from ..randomness import derive_seed
from ..runs.measurements import Arrays, Measurement, curves_table, read_all, stack_arrays, start_afresh_if_lost
from ..training.loop import DivergedError, train
from .data import Data
from .model import Measure, Model

COPIES = 0.02  # share above what new data may have at which copies have come
ERRORS = 2.0  # standard errors of the samples' share, where these are more
SURE = 0.9  # that new data have no more than that
PLAIN = 0.04  # share above that level at which a run has shown what it is made for, and ends
WAIT = 60.0  # seconds for a process of an earlier call to let go of a run
CHECKPOINT_SECONDS = 20.0


class TimeIsOver(Exception):
    """The time was over in the middle of a measurement, which is made again when the training goes on."""


@dataclass(frozen=True)
class Run:
    """What is known of one training.

    Parameters
    ----------
    n : int
        Points that it learned.
    seed : int
        Of their choice and of all else.
    curves : DataFrame
        Columns step, metric, value, low, high.
    arrays : dict
        Samples at each milestone, and the places of their nearest training points.
    baseline : float
        Share of held-out data that meets the criterion of copies.
    level : float
        Share of samples at which copies have come; see `copies_level`.
    copies_distance, gaussian_distance : float
        Distances to the held-out data of the training points themselves, and of a Gaussian; see `model.Measure`.
    seconds : float
        What it took, with measuring.
    steps_per_second : float
        Rate of training alone; 0 where it is not known.
    ended : str
        "copies", "time", or "diverged".
    samples : int
        At each milestone.
    """

    n: int
    seed: int
    curves: pd.DataFrame
    arrays: Arrays
    baseline: float
    level: float
    copies_distance: float
    gaussian_distance: float
    seconds: float
    steps_per_second: float
    ended: str
    samples: int

    def curve(self, metric: str) -> pd.DataFrame:
        """Return the rows of a metric."""
        return self.curves[self.curves["metric"] == metric].sort_values("step")


def copies_level(baseline: float, held_out: int, samples: int) -> float:
    """Return the share of samples at which copies have come.

    In few dimensions many points meet the criterion by chance. How many new data do is known from the held-out ones
    only: the upper end of the one-sided 90% Clopper-Pearson interval is allowed for, and 0.02 more, or two standard
    errors of such a share of samples where this is more. So a training without copies reaches the level, at any of its
    milestones, in one case of twenty at most.

    Parameters
    ----------
    baseline
        Share of the held-out data that meets the criterion.
    held_out, samples
        How many there are of either.
    """
    met = round(baseline * held_out)
    most = float(beta.ppf(SURE, met + 1, held_out - met)) if met < held_out else 1.0
    return most + max(COPIES, ERRORS * (most * (1 - most) / samples) ** 0.5)


def copies_plain(run: Run) -> bool:
    """Return whether a run has shown how copies come: their share was last well above the level."""
    return run.ended == "copies"


def chosen(data: Data, n: int, seed: int) -> np.ndarray:
    """Return which points of the pool a run learns: others for each n and seed, so that runs err independently."""
    order = np.random.Generator(np.random.Philox(derive_seed(seed, "train", n))).permutation(len(data.pool))
    return order[:n]


def run_folder(out: Path, model: Model, data: Data, n: int, seed: int) -> Path:
    """Return where a training lies: by all that decides it."""
    text = json.dumps([asdict(model), data.checksum, n, seed], sort_keys=True)
    return out / "runs" / f"n{n}-seed{seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def train_one(
    out: Path, model: Model, data: Data, n: int, seed: int, seconds: float, device: str = "cpu",
    should_stop: Callable[[], bool] = lambda: False, each_step: Callable[[], object] = lambda: None,
    enough: Callable[[Run], bool] = copies_plain,
) -> Run:  # fmt: skip
    """Train on n points until copies are plain or the seconds are over; the same call resumes.

    Parameters
    ----------
    out
        Folder of the probe.
    model, data
        Of the probe.
    n, seed
        Of the run.
    seconds
        From now.
    device
        As torch calls it.
    should_stop
        Asked at every step too.
    each_step
        Called at every step, to tell how far the training is.
    enough
        Asked at every milestone, with what is known of the run by then, whether it ends there.

    Raises
    ------
    RunBusyError
        Where another process is at it.
    """
    folder, end = run_folder(out, model, data, n, seed), time.monotonic() + seconds
    with run_lock(folder), one_thread(device):
        if (stored := read_run(folder, model, n, seed)) and (stored.ended == "diverged" or enough(stored)):
            return stored
        points = data.pool[chosen(data, n, seed)]
        drawn = points.repeat(-(-model.batch // n), *(1 for _ in data.shape))
        own = derive_seed(seed, "run", n)
        measure = Measure(model, data, points, own, device)
        net = model.network(data, derive_seed(own, "weights"), device)
        log = NumberedFiles(folder / "milestones", ".npz", folder.name)
        states = NumberedFiles(folder / "states", ".safetensors", folder.name)
        milestones = model.milestones()
        for files in (log, states):
            files.tidy()
        start_afresh_if_lost(log, states, milestones)
        earlier = read_facts(folder)
        before = float(earlier.get("seconds", 0.0))
        began, measuring, steps, ended = time.monotonic(), 0.0, 0, "time"
        level = copies_level(measure.baseline, len(data.held_out), model.samples)
        facts = {"n": n, "seed": seed, "baseline": measure.baseline, "level": level, **measure.landmarks}

        def over() -> bool:
            each_step()
            return time.monotonic() > end or should_stop()

        def asked() -> bool:
            nonlocal steps
            steps += 1
            return over()

        def while_measuring(module: nn.Module, _: object) -> None:
            if not module.training and over():
                raise TimeIsOver

        net.register_forward_pre_hook(while_measuring)

        def keep(ended: str) -> None:
            now = time.monotonic()
            rate = steps / max(now - began - measuring, 1e-9) if steps else float(earlier.get("steps_per_second", 0.0))
            told = {"seconds": before + now - began, "steps_per_second": rate, "ended": ended}
            write_atomic(folder / "run.json", to_json(facts | told))

        try:
            for tau in train(
                net, drawn.to(device), model.optimizer(net), model.loss(), seed=own, milestones=milestones,
                batch=model.batch, checkpoints=states, checkpoint_seconds=CHECKPOINT_SECONDS,
                should_stop=asked,
            ):  # fmt: skip
                now = time.monotonic()
                if log.read(tau) is None:
                    net.eval()
                    metrics, arrays = measure(net, tau)
                    net.train()
                    log.write(tau, Measurement(metrics, arrays, before + now - began, device, tau).pack())
                    measuring += time.monotonic() - now
                keep("time")
                if (run := read_run(folder, model, n, seed)) and enough(run):
                    break
        except (DivergedError, FloatingPointError):
            ended = "diverged"
        except TimeIsOver:
            pass
        keep(ended)
        stored = read_run(folder, model, n, seed)
        assert stored is not None
        return stored


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Compute by one thread of the CPU within the block: sums of several threads differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what was written of a training beside its measurements; empty where nothing can be read."""
    try:
        return dict(json.loads((folder / "run.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def read_run(folder: Path, model: Model, n: int, seed: int) -> Run | None:
    """Return what is known of a training; None where it has not begun."""
    facts = read_facts(folder)
    if not facts:
        return None
    measured = read_all(NumberedFiles(folder / "milestones", ".npz", folder.name), model.milestones())
    last = measured[max(measured)].metrics["f_mem"][0] if measured else 0.0
    copies = "copies" if last >= facts["level"] + PLAIN else "time"
    return Run(
        n, seed, curves_table(measured), stack_arrays(measured), baseline=facts["baseline"], level=facts["level"],
        copies_distance=facts["copies"], gaussian_distance=facts["gaussian"], seconds=facts["seconds"],
        steps_per_second=facts["steps_per_second"], ended="diverged" if facts["ended"] == "diverged" else copies,
        samples=model.samples,
    )  # fmt: skip


def work(out: Path, model: Model, data: Data, n: int, seed: int, seconds: float, device: str, parent: int) -> None:
    """Train in a process of its own, on one core; ends when its parent does."""
    end = time.monotonic() + seconds
    try:
        while True:
            try:
                left = end - time.monotonic()
                train_one(out, model, data, n, seed, left, device, should_stop=lambda: os.getppid() != parent)
                return
            except RunBusyError:  # of a call that was killed just now, whose processes see it at their next step
                if time.monotonic() > end - seconds + WAIT:
                    raise
                time.sleep(1)
    except (OSError, MemoryError, RunBusyError, ValueError) as error:
        sys.exit(f"Error: {error}")
