"""Several trainings of few images on one GPU: does it make more steps where processes share it?

With n <= 512 images the batch is the training set, and a large GPU is half idle.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from .ways import WAYS

N, WIDTH, SIDE = 64, 32, 32
COUNTS = (1, 2, 4)  # processes
LONGEST = 60.0  # seconds for one of them to begin, or to be timed


def sharing(
    device: str, seconds: float = 3.0, counts: tuple[int, ...] = COUNTS, n: int = N,
    save: Callable[[dict[str, Any]], None] = lambda found: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the steps a second of all processes together, for each number of processes that train at once.

    The steps are replayed and not compiled, so that processes begin soon.

    Parameters
    ----------
    device
        As torch calls it.
    seconds
        Of each timing.
    counts
        How many processes.
    n
        Images of each training, all of them in a step.
    save
        Called with what is known, after each count.
    """
    rates: dict[str, float] = {}
    found: dict[str, Any] = {"n": n, "steps_per_second": rates}
    for count in counts:
        line = [sys.executable, "-m", __name__, json.dumps({"device": device, "seconds": seconds, "n": n})]
        processes = [
            subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        try:
            for process in processes:
                _line(process)  # ready
            for process in processes:
                print("go", file=process.stdin, flush=True)
            rates[str(count)] = sum(float(_line(process)) for process in processes)
        finally:
            for process in processes:
                process.kill()
                process.communicate()
        best = max(rates, key=lambda count: rates[count])
        found |= {"best": int(best), "gain": rates[best] / rates[str(counts[0])]}
        save(found)
    return found


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], LONGEST)[0]:
        raise RuntimeError(f"a process that shares the device said nothing for {LONGEST:.0f} s")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process that shares the device died; it may have too little memory for them")
    return line


def sharing_report(found: dict[str, Any]) -> str:
    """Return the outcome as text."""
    rates = ", ".join(f"{rate:.1f} by {count}" for count, rate in found["steps_per_second"].items())
    return f"steps a second at n = {found['n']}, of all processes together: {rates}"


def take_part(device: str, seconds: float, n: int) -> None:
    """Get ready, say so, wait for a line, make steps for some seconds, and say how many a second."""
    way = next(way for way in WAYS["cuda" if device.startswith("cuda") else "cpu"].values())
    data = torch.randn(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    trainer, tau = way.trainer(WIDTH, n, data, device), 0
    for tau in range(5):
        trainer.step(tau)
    _wait(device)
    print("ready", flush=True)
    sys.stdin.readline()
    began, first = time.perf_counter(), tau
    while time.perf_counter() - began < seconds:
        tau += 1
        trainer.step(tau)
        if tau % 20 == 0:
            _wait(device)
    _wait(device)
    print((tau - first) / (time.perf_counter() - began), flush=True)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    take_part(**json.loads(sys.argv[1]))
