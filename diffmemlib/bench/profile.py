"""Where the time of a training step goes: the kernels that take most of it, and the gaps between them."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ..training.loop import Trainer
from ..training.replay import WARM_UP

KERNELS = 10  # told
STEPS = 4  # profiled, of which the first is not timed


def profile_step(trainer: Trainer, device: str) -> dict[str, Any]:
    """Return what a few steps spend their time on.

    Returns
    -------
    dict
        ``step``, seconds; ``kernels``, the ten that take most, on a CPU operations of torch: name, calls a step,
        seconds a step, share of the seconds of all; ``busy``, seconds of all kernels over those of the steps: what it
        lacks to one are gaps, most of them launches.
    """
    cuda = device.startswith("cuda")

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize(device)

    for tau in range(WARM_UP + 1):
        trainer.step(tau)
    wait()
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as found:
        trainer.step(0)  # the profiler starts with it
        wait()
        began = time.perf_counter()
        for tau in range(1, STEPS):
            trainer.step(tau)
        wait()
        seconds = (time.perf_counter() - began) / (STEPS - 1)
    rows = []
    for event in found.key_averages():
        microseconds = event.self_device_time_total if cuda else event.self_cpu_time_total
        if microseconds > 0:
            rows.append((event.key, event.count / STEPS, microseconds / 1e6 / STEPS))
    total = sum(each for *_, each in rows)
    rows.sort(key=lambda row: -row[2])
    kernels = [
        {"name": name[:100], "calls": calls, "seconds": each, "share": each / total}
        for name, calls, each in rows[:KERNELS]
    ]
    return {"step": seconds, "busy": total / seconds, "kernels": kernels}
