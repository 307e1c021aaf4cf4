"""From a table of runs to stored results: what is missing, and one run through its notebook, stopped and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from .distributed import first, group
from .experiments.execute import execute
from .experiments.registry import JOBS
from .files import RunBusyError, exclusive
from .runs import ROOT, Config
from .store import complete
from .sweeps import configurations, tables

UNFINISHED = 75  # exit status of a run that saved its state and wants to be called again (EX_TEMPFAIL)
GRACE = 300.0  # seconds kept back from a job's time limit, for the last measurement and for storing
BUSY = 60.0  # seconds to wait where another process is at the run


def wanted(tier: str, figure: str | None = None, missing: bool = True) -> list[Config]:
    """The runs of a tier's tables, or of those that draw one figure, each once; only those not stored unless told.

    ValueError names the figures that there are.
    """
    chosen = [name for name, table in tables(tier).items() if figure is None or figure in table["figures"]]
    if not chosen:
        known = sorted({f for table in tables(tier).values() for f in table["figures"]}, key=lambda f: (len(f), f))
        raise ValueError(f"no sweep of tier {tier} draws figure {figure!r}; there are {', '.join(known)}")
    runs = {c.id: c for name in chosen for c in configurations(name, tier)}
    return [c for c in runs.values() if not (missing and complete(c))]


def run_notebook(config: Config, device: str = "cpu", budget: float | None = None) -> int:
    """Execute the run's notebook by papermill; returns 0, UNFINISHED, or what papermill ended with.

    UNFINISHED also, after a minute, where another process is at the same run.

    The executed notebook lies in executed/<tier>/. device: "cuda" takes a GPU of this machine that no other such call
    holds. budget: seconds; the run then saves its state. So it does on SIGTERM, which is handed on to the kernel.
    """
    try:
        with exclusive(config.work):
            pass
    except RunBusyError as error:  # a job that a workflow left behind, say; it is not for us to fail it
        print(f"{error}; this one ends in {BUSY:.0f} seconds, to be called again", file=sys.stderr)
        time.sleep(BUSY)
        return UNFINISHED
    out = ROOT / "executed" / config.tier / f"{config.experiment}-{config.id}.ipynb"
    out.parent.mkdir(parents=True, exist_ok=True)
    with own_gpu(device) as device:
        line = [*config.command.split(), "-p", "device", device, "--no-progress-bar", "--log-output"]
        line[2] = str(out)
        if budget is not None:
            line += ["-p", "budget", str(budget)]
        threads = {} if device != "cpu" or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, "-m", *line], cwd=ROOT, env={**os.environ, **threads})
        with _handed_on(process):
            status = process.wait()
    if complete(config):
        return 0
    return UNFINISHED if status == 0 else status


def run_here(config: Config, device: str = "cpu", budget: float | None = None) -> int:
    """Make the run in this process and those that torchrun started beside it, without a notebook; returns 0.

    ValueError for an experiment that trains no net.
    """
    if config.experiment not in JOBS:
        raise ValueError(f"{config.experiment} is not trained by several processes; run it without torchrun")
    with group(device) as own:
        result = execute(JOBS[config.experiment](config, own), own, budget)
        if first() and not result.provenance["complete"]:
            print("Stopped before its end: run the same command again to go on.")
    return 0


@contextmanager
def _handed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Send SIGTERM on to the kernel, the child of papermill, so that the run in it saves its state."""

    def hand_on(*_: object) -> None:
        import psutil

        with suppress(psutil.NoSuchProcess):  # it may end by itself just now
            for child in psutil.Process(process.pid).children():  # not theirs: torch's compilers must live to save
                child.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def own_gpu(device: str, uuids: Callable[[], Sequence[str]] | None = None) -> Iterator[str]:
    """The device itself, or for "cuda" the first GPU that no process holds through this function, held meanwhile.

    RunBusyError where all are held. A GPU is known by its hardware number, so jobs that a scheduler gave different
    GPUs under the same index do not meet. uuids: lists them (default: torch's).
    """
    if device != "cuda":
        yield device
        return
    found = (
        uuids() if uuids else [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    )
    if not found:
        raise ValueError("device = 'cuda': torch sees no CUDA device here; use cpu")
    with ExitStack() as held:
        for i, uuid in enumerate(found):
            try:
                held.enter_context(exclusive(Path(tempfile.gettempdir()) / f"diffmemlib-gpus-{os.getuid()}" / uuid))
            except RunBusyError:
                continue
            yield f"cuda:{i}"
            return
    raise RunBusyError(f"all {len(found)} GPUs are at work for other runs: start no more at once than there are GPUs")
