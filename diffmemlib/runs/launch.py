"""One run as a process of its own: which GPU it takes, whether torchrun started it, and how it ends."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from ..files import RunBusyError, run_lock
from ..training.distributed import is_main_process, process_group, started_by_torchrun
from .config import Config
from .store import Result

UNFINISHED = 75  # exit status of a run that saved its state and wants to be called again (EX_TEMPFAIL)
GRACE = 300.0  # seconds kept back from a job's time limit, for the last measurement and for storing
BUSY = 60.0  # seconds to wait where another process is at the run

Run = Callable[[Config, str, float | None], Result]


def launch(run: Run, config: Config, device: str = "cpu", budget: float | None = None) -> int:
    """Make a run in this process, and return the status that the process is to end with.

    Parameters
    ----------
    run
        Makes it: `experiments.registry.run`.
    config
        Of the run.
    device
        "cuda" takes a GPU of this machine that no other such process holds. Under torchrun each process takes its own.
    budget
        Seconds; the run then saves its state. So it does on SIGTERM.

    Returns
    -------
    int
        0 where the run is whole; `UNFINISHED` where it saved its state and, after a minute, where another process is at
        it. Under torchrun, which takes anything else for a failure, 0.
    """
    if started_by_torchrun():
        with process_group(device) as rank_device:
            if not run(config, rank_device, budget).provenance["complete"] and is_main_process():
                print("Stopped before its end: run the same command again to go on.")
        return 0
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # one process a core is how runs fill a machine
    print(f"{config.experiment} {config.id}: {config.command}", flush=True)
    try:
        with free_gpu(device) as free:
            result = run(config, free, budget)
    except RunBusyError as error:  # a job that a workflow left behind, say; it is not for us to fail it
        print(f"{error}; this one ends in {BUSY:.0f} seconds, to be called again", file=sys.stderr)
        time.sleep(BUSY)
        return UNFINISHED
    if result.provenance["complete"]:
        return 0
    print("stopped before its end, its state is saved: run the same command again to go on", flush=True)
    return UNFINISHED


@contextmanager
def free_gpu(device: str, uuids: Callable[[], Sequence[str]] | None = None) -> Iterator[str]:
    """Yield the device itself, or for "cuda" the first GPU that no process holds through this function, held meanwhile.

    A GPU is known by its hardware number, so jobs that a scheduler gave different GPUs under the same index do not
    meet.

    Parameters
    ----------
    device
        As torch calls it.
    uuids
        Lists the GPUs; torch's unless given.

    Raises
    ------
    RunBusyError
        Where all are held.
    ValueError
        Where there is none.
    """
    if device != "cuda":
        yield device
        return
    gpus = uuids() if uuids else [_uuid(i) for i in range(torch.cuda.device_count())]
    if not gpus:
        raise ValueError("device = 'cuda': torch sees no CUDA device here; use cpu")
    with ExitStack() as held:
        for i, uuid in enumerate(gpus):
            try:
                held.enter_context(run_lock(Path(tempfile.gettempdir()) / f"diffmemlib-gpus-{os.getuid()}" / uuid))
            except RunBusyError:
                continue
            yield f"cuda:{i}"
            return
    raise RunBusyError(f"all {len(gpus)} GPUs are at work for other runs: start no more at once than there are GPUs")


def _uuid(index: int) -> str:
    return str(torch.cuda.get_device_properties(index).uuid)
