"""How long a call takes, measured beside others so that what slows the machine slows all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

WARM_UP = 3  # rounds that are not counted


def timed(call: Callable[[int], object], device: str, enough: float) -> float:
    """Return the median seconds of a call; see `in_turns`."""
    return in_turns([call], device, enough)[0]


def in_turns(calls: Sequence[Callable[[int], object]], device: str, enough: float) -> list[float]:
    """Return the median seconds of several calls, made one after the other in every round.

    Parameters
    ----------
    calls
        Called with the number of the round.
    device
        Waited for after each call.
    enough
        Seconds of calls, on average over them, after three rounds that are not counted.
    """

    def one(call: Callable[[int], object], i: int) -> float:
        began = time.perf_counter()
        call(i)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    rounds: list[list[float]] = []
    while len(rounds) < 2 * WARM_UP or sum(map(sum, rounds[WARM_UP:])) < enough * len(calls):
        rounds.append([one(call, len(rounds)) for call in calls])
    return [float(np.median(times)) for times in zip(*rounds[WARM_UP:], strict=True)]
