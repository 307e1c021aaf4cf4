"""Which trainings a probe makes, in what order, and how they share the cores and the minutes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import nn

from ..training.loop import Trainer, TrainState
from ..training.stopping import undisturbed_children
from .data import Data
from .model import Model
from .training import Run, one_thread, read_run, run_folder, train_one, work

SEEDS = 3  # of a size, at most
GROWTH = 1.15  # of a training's time as a power of n that is planned with, at first and at most
LEAST_GROWTH = 0.5  # at least, whatever the trainings so far say: at small n a constant hides the growth
SPARE = 1.25  # times the expected seconds that must be left
USUAL = 1000  # steps of a smallest training until its copies are plain
EVERY = 30.0  # seconds between two lines of progress

Job = tuple[int, int]  # n and seed


def at_once(device: str) -> int:
    """Return how many trainings are made at a time: one for each core that may be used, or one on a GPU."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def order(smallest: int, pool: int) -> list[Job]:
    """Return the trainings worth making, the most telling first: two sizes, then by turns repetitions and larger sizes.

    Parameters
    ----------
    smallest
        The smallest n.
    pool
        Points that there are.
    """
    sizes, n = [], smallest
    while n <= pool:
        sizes.append(n)
        n *= 2
    # Of a size 2^i times the smallest, seed j comes at i + 1.5 j: cheap repetitions before dear sizes.
    jobs = [(i + 1.5 * seed, n, seed) for i, n in enumerate(sizes) for seed in range(SEEDS)]
    return [(n, seed) for _, n, seed in sorted(jobs)]


def expected_seconds(n: int, runs: Sequence[Run]) -> float | None:
    """Return how long a training on n points will take until copies are plain, from those that are through; else None.

    It grows as a power of n, which the trainings of two sizes tell, within LEAST_GROWTH and GROWTH.

    Parameters
    ----------
    n
        Its size.
    runs
        Of the probe so far.
    """
    through = [r for r in runs if r.ended == "copies"]
    if not through:
        return None
    size, seconds = np.log([r.n for r in through]), np.log([r.seconds for r in through])
    growth = float(np.polyfit(size, seconds, 1)[0]) if np.ptp(size) else GROWTH
    growth = min(max(growth, LEAST_GROWTH), GROWTH)
    return max(r.seconds * (n / r.n) ** growth for r in through)


def choose(jobs: Sequence[Job], taken: set[Job], runs: Sequence[Run], left: float) -> Job | None:
    """Return the next training that the seconds left allow, or None.

    As long as none is through, the two smallest sizes are tried: nothing is known of their time.

    Parameters
    ----------
    jobs
        In order.
    taken
        Those that are under way or done.
    runs
        What is known so far.
    left
        Seconds.
    """
    free = [job for job in jobs if job not in taken]
    spent = {(r.n, r.seed): r.seconds for r in runs}
    sizes = sorted({n for n, _ in jobs})[:2]
    for n, seed in free:
        expected = expected_seconds(n, runs)
        if (expected is None and n in sizes and seed == 0) or (
            expected is not None and max(expected - spent.get((n, seed), 0.0), 0.1 * expected) * SPARE <= left
        ):
            return n, seed
    return None


@dataclass
class Plan:
    """The trainings of a probe, under way.

    Parameters
    ----------
    out, model, data
        Of the probe.
    device
        As torch calls it.
    workers
        Trainings at once.
    """

    out: Path
    model: Model
    data: Data
    device: str
    workers: int

    def known(self) -> list[Run]:
        """Return what is known of each training that was ever begun."""
        jobs = order(self.model.smallest, len(self.data.pool))
        found = [
            read_run(run_folder(self.out, self.model, self.data, n, seed), self.model, n, seed) for n, seed in jobs
        ]
        return [run for run in found if run is not None]

    def following(self, left: float) -> str:
        """Return what more minutes would bring, in a sentence: the next training, where the seconds left are too few.

        Parameters
        ----------
        left
            Of the time given.
        """
        runs = self.known()
        done = {(r.n, r.seed): r.seconds for r in runs if r.ended == "time"}
        ended = {(r.n, r.seed) for r in runs if r.ended != "time"}
        for n, seed in order(self.model.smallest, len(self.data.pool)):
            if (n, seed) not in ended and (expected := expected_seconds(n, runs)) is not None:
                more = max(expected - done.get((n, seed), 0.0), 0.1 * expected) * SPARE - max(left, 0.0)
                return (
                    f"The next training, on n = {n}, needs about {expected / 60:.1f} minutes, and "
                    f"{max(left, 0) / 60:.1f} remain. Give {max(more, 60) / 60:.0f} more to run it."
                )
        return ""

    def carry_out(
        self, seconds: float, record: Callable[[float], object] = lambda used: None, stream: TextIO | None = None
    ) -> None:
        """Make trainings until the seconds are over or nothing more fits.

        One at a time runs in this process; more run in processes of one core each.

        Parameters
        ----------
        seconds
            From now.
        record
            Called with the seconds used, at every step or twice a second, and at the end.
        stream
            Where progress is told; standard error unless given.
        """
        began, stream = time.monotonic(), stream or sys.stderr
        jobs = order(self.model.smallest, len(self.data.pool))
        done = {(r.n, r.seed) for r in self.known() if r.ended != "time"}
        running: dict[Job, multiprocessing.context.SpawnProcess] = {}
        tried: set[Job] = set()
        context = multiprocessing.get_context("spawn")
        told = began

        def tell(under_way: Sequence[Job]) -> None:
            nonlocal told
            record(time.monotonic() - began)
            if (now := time.monotonic()) - told > EVERY:
                told = now
                stream.write(progress_line(now - began, seconds, self.known(), under_way) + "\n")
                stream.flush()

        try:
            runs = self.known()
            while True:
                used = time.monotonic() - began
                for job in [job for job, process in running.items() if not process.is_alive()]:
                    process, runs = running.pop(job), self.known()
                    if process.exitcode:
                        raise ChildProcessError(
                            f"the training on n = {job[0]}, seed {job[1]}, {how_it_ended(process.exitcode)}; what was "
                            "trained before is kept"
                        )
                while len(running) < self.workers and used < seconds:
                    following = choose(jobs, done | tried, runs, seconds - used)
                    if following is None:
                        break
                    tried.add(following)
                    arguments = (self.out, self.model, self.data, *following, seconds - used, self.device)
                    if self.workers == 1:
                        train_one(*arguments, each_step=partial(tell, [following]))
                        used, runs = time.monotonic() - began, self.known()
                        continue
                    running[following] = context.Process(target=work, args=(*arguments, os.getpid()), daemon=True)
                    with undisturbed_children():
                        running[following].start()
                if not running:
                    return
                tell(list(running))
                time.sleep(0.5)
        finally:
            record(time.monotonic() - began)
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.join(30)


def too_slow(model: Model, data: Data, device: str, seconds: float, workers: int) -> str:
    """Return a warning where the smallest training would take longer than the seconds given.

    So say the time of a step, and of the network on as many points as are sampled at each milestone.

    Parameters
    ----------
    model, data, device
        Of the probe.
    seconds
        Given.
    workers
        Trainings at once.
    """
    with one_thread(device):
        x = data.pool[: model.batch].to(device)
        net = model.network(data, 0, device)
        learner = Trainer(TrainState(net, x, 0), model.optimizer(net), model.loss(), len(x))
        learner.step(0)  # libraries start
        began = time.monotonic()
        float(learner.step(1))
        step = (time.monotonic() - began) * model.batch / len(x)
        look = time_of_a_look(net, model, x)
    looks = sum(tau <= USUAL for tau in model.milestones())
    needed = USUAL * step + looks * look
    if needed <= seconds:
        return ""
    smaller = ", or a smaller --size" if data.kind == "images" else ""
    return (
        f"Trainings of the smallest size need about {USUAL:,} steps of {step:.2g} s, and {looks} times samples, in "
        f"{look:.2g} s each: {needed / 60:.0f} minutes. Give --minutes "
        f"{max(4 * needed / 60 / min(workers, 4), 1):.0f} or more{smaller}."
    )


@torch.no_grad()
def time_of_a_look(net: nn.Module, model: Model, x: torch.Tensor) -> float:
    """Return the seconds in which a network makes the samples of a milestone, by two of their steps.

    Parameters
    ----------
    net, model
        Of the probe.
    x
        Points, in the units of the network.
    """
    net.eval()
    points = x[torch.arange(model.samples) % len(x)]
    k = torch.zeros(model.samples, dtype=torch.long, device=x.device)
    float(net(points, k).sum())  # libraries start
    began = time.monotonic()
    float((net(points, k) + torch.randn_like(points)).sum())
    return (time.monotonic() - began) * model.sampling_steps


def how_it_ended(status: int) -> str:
    """Return what the exit status of a training's process says, as a part of a sentence."""
    if status > 0:
        return f"ended with status {status} (why stands above)"
    return f"was ended by signal {-status} ({'mostly too little memory' if status == -9 else 'from outside'})"


def progress_line(used: float, seconds: float, runs: Sequence[Run], running: Sequence[Job]) -> str:
    """Return what is under way, in a line."""
    reached = {(r.n, r.seed): int(r.curves["step"].max()) for r in runs if len(r.curves)}
    parts = [f"n = {n} seed {seed}: measured to step {reached.get((n, seed), 0):,}" for n, seed in running]
    through = sum(r.ended == "copies" for r in runs)
    return (
        f"{used / 60:.1f} of {seconds / 60:.1f} minutes, {max(seconds - used, 0) / 60:.1f} left at most; "
        f"{through} trainings through; " + "; ".join(parts)
    )
