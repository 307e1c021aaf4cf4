"""The (n, p) diagram of a data set: which sizes are safe at which widths, and how long; from trainings of each."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from ..files import RunBusyError
from ..timescales.crossings import Boundary, Timescale, boundary_of_times
from ..training.stopping import undisturbed_children
from .answer import copies_from, good_from
from .data import Data
from .model import Model
from .plan import EVERY, how_it_ended
from .training import Run, copies_plain, read_run, run_folder, train_one

TIMES = (1, 3, 8)  # of tau_gen, the paper's c
Job = tuple[int, int]  # width and n


@dataclass(frozen=True)
class Row:
    """What one width says.

    Parameters
    ----------
    width, parameters : int
        Of the network.
    tau_gen : Timescale or None
        When its samples became good, at the largest n at which they did; None where they did not.
    boundaries : dict
        For each c, the smallest n without copies at c tau_gen, a `Boundary`; where tau_gen is an upper bound, so is n.
    trained, of, diverged : int
        Trainings of this width that were measured, all of them, and those that diverged.
    """

    width: int
    parameters: int
    tau_gen: Timescale | None
    boundaries: dict[int, Boundary]
    trained: int
    of: int
    diverged: int


@dataclass
class Grid:
    """The trainings of a diagram, one of each width on each number of points.

    Parameters
    ----------
    out, data
        Of the diagram.
    models
        A model for each width.
    sizes
        Numbers of points, increasing.
    steps
        That a training makes at most.
    device
        As torch calls it.
    """

    out: Path
    data: Data
    models: Mapping[int, Model]
    sizes: Sequence[int]
    steps: int
    device: str

    @property
    def jobs(self) -> list[Job]:
        """The cheap ones first."""
        return sorted(((width, n) for width in self.models for n in self.sizes), key=lambda job: (job[1], job[0]))

    def known(self) -> dict[Job, Run]:
        """Return what is known of each training that was ever begun."""
        found = {}
        for width, n in self.jobs:
            model = self.models[width]
            if run := read_run(run_folder(self.out, model, self.data, n, 0), model, n, 0):
                found[width, n] = run
        return found

    def enough(self, width: int, runs: Mapping[Job, Run], run: Run) -> bool:
        """Return whether a training may end: copies are plain, or it is past all times that are asked for.

        Parameters
        ----------
        width
            Of the training.
        runs
            All that are known, whose samples may become good later than its own.
        run
            The training.
        """
        if copies_plain(run) or run.ended == "diverged":
            return True
        if run.curves.empty:
            return False
        last = int(run.curves["step"].max())
        if last >= self.models[width].milestones(self.steps)[-1]:
            return True
        good = [good_from(r) for (w, _), r in runs.items() if w == width and len(r.curves)] + [good_from(run)]
        seen = [time.tau for time in good if time.status != "censored"]
        # The run's own too: what is not good yet is not judged.
        return good[-1].status != "censored" and last >= max(TIMES) * max(seen)

    def open(self, runs: Mapping[Job, Run] | None = None) -> list[Job]:
        """Return the trainings that are still to be made, or gone on with.

        Parameters
        ----------
        runs
            All that are known; read unless given.
        """
        runs = self.known() if runs is None else runs
        return [job for job in self.jobs if job not in runs or not self.enough(job[0], runs, runs[job])]

    def carry_out(
        self,
        seconds: float,
        should_stop: Callable[[], bool] = lambda: False,
        each_step: Callable[[], object] = lambda: None,
    ) -> None:
        """Make one training after another until none is left but those of other processes, or the seconds are over.

        Parameters
        ----------
        seconds
            From now.
        should_stop
            Asked at every step too.
        each_step
            Called at every step.
        """
        end = time.monotonic() + seconds
        while not should_stop() and (left := end - time.monotonic()) > 0:
            runs = self.known()
            for width, n in self.open(runs):
                try:
                    train_one(
                        self.out, self.models[width], self.data, n, 0, left, self.device, should_stop, each_step,
                        enough=partial(self.enough, width, runs),
                    )  # fmt: skip
                    break
                except RunBusyError:
                    continue
            else:
                return

    def rows(self, runs: Mapping[Job, Run]) -> list[Row]:
        """Return what each width says, by `boundary_of_times`.

        Parameters
        ----------
        runs
            All that are known.
        """
        rows = []
        for width, model in sorted(self.models.items()):
            parameters = sum(p.numel() for p in model.network(self.data, 0, "cpu").parameters())
            known = [r for (w, _), r in runs.items() if w == width]
            measured = sorted((r for r in known if len(r.curves)), key=lambda r: r.n)
            good = [time for r in measured if (time := good_from(r)).status != "censored"]
            tau_gen, boundaries = good[-1] if good else None, {}
            if tau_gen is not None:
                sizes, times = [r.n for r in measured], [copies_from(r) for r in measured]
                boundaries = {c: boundary_of_times(sizes, times, c * tau_gen.tau) for c in TIMES}
            diverged = sum(r.ended == "diverged" for r in known)
            rows.append(Row(width, parameters, tau_gen, boundaries, len(measured), len(self.sizes), diverged))
        return rows


def work(grid: Grid, seconds: float, parent: int) -> None:
    """Carry out in a process of its own, on one core; ends when its parent does."""
    try:
        grid.carry_out(seconds, should_stop=lambda: os.getppid() != parent)
    except (OSError, MemoryError, ValueError) as error:
        sys.exit(f"Error: {error}")


def together(grid: Grid, workers: int, seconds: float, stream: TextIO | None = None) -> None:
    """Carry out in several processes of one core each, or in this one, and tell how far it is.

    Parameters
    ----------
    grid
        What is to be made.
    workers
        Trainings at once.
    seconds
        From now.
    stream
        Where progress is told; standard error unless given.

    Raises
    ------
    ChildProcessError
        Where one failed; what it printed says why.
    """
    stream, failed = stream or sys.stderr, None
    lines = progress(grid, workers)
    if workers == 1:
        grid.carry_out(seconds, each_step=lambda: _tell(lines, stream))
        return
    context = multiprocessing.get_context("spawn")
    arguments = (grid, seconds, os.getpid())
    processes = [context.Process(target=work, args=arguments, daemon=True) for _ in range(workers)]
    try:
        with undisturbed_children():
            for process in processes:
                process.start()
        while any(process.is_alive() for process in processes):
            if failed := next((process.exitcode for process in processes if process.exitcode), None):
                break
            _tell(lines, stream)
            time.sleep(0.5)
        else:
            failed = next((process.exitcode for process in processes if process.exitcode), None)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(30)
    if failed:
        raise ChildProcessError(f"a training {how_it_ended(failed)}; what was trained before is kept")


def _tell(lines: Iterator[str | None], stream: TextIO) -> None:
    if line := next(lines):
        stream.write(line + "\n")
        stream.flush()


def progress(grid: Grid, workers: int) -> Iterator[str | None]:
    """Yield a line now and then, else None: how many trainings are made, and how long the rest may take.

    Parameters
    ----------
    grid
        What is under way.
    workers
        Trainings at once.
    """
    told = time.monotonic()
    while True:
        if time.monotonic() - told < EVERY:
            yield None
            continue
        told = time.monotonic()
        runs = grid.known()
        left = grid.open(runs)
        made = [runs[job].seconds for job in grid.jobs if job in runs and job not in left]
        rest = ""
        if made:  # the rest are of larger sizes and widths, which take longer
            rest = f", {len(left) * max(made) / workers / 60:.1f} minutes or more to go"
        under_way = [
            f"W = {w}, n = {n}: measured to step {int(runs[w, n].curves['step'].max()):,}"
            for w, n in left
            if (w, n) in runs and len(runs[w, n].curves)
        ]
        yield f"{len(made)} of {len(grid.jobs)} trainings made{rest}" + "".join(f"; {one}" for one in under_way)


def models_of(model: Model, widths: Sequence[int]) -> dict[int, Model]:
    """Return the model with each width."""
    return {width: replace(model, width=width) for width in widths}
