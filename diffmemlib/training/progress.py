"""A progress bar on a terminal; in a log, a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import TextIO

import torch
from torch import Tensor
from tqdm import tqdm


def mean(loss: Tensor | float) -> float:
    """Return the loss, or the mean over runs that train together, without those that diverged."""
    return float(torch.as_tensor(loss).nanmean())


class Progress:
    """Shows step, rate, remaining time and loss of a training run.

    The rate counts from the first step that this process shows, so it is right after a resume; the remaining time
    counts measuring as well as training.

    Parameters
    ----------
    total
        Last step.
    label
        What runs.
    every
        Seconds between lines where the stream is not a terminal.
    stream
        Standard error unless given.
    """

    def __init__(self, total: int, label: str = "", every: float = 30.0, stream: TextIO | None = None) -> None:
        self.total, self.label, self.every = total, label, every
        self.stream = stream or sys.stderr
        self.start: int | None = None
        self.began = self.shown = time.monotonic()
        self.bar: tqdm | None = None

    def show(self, tau: int, loss: Tensor | float) -> None:
        """Say that step tau is done. Called at every step; reads the loss (and so waits for a GPU) only to print."""
        now = time.monotonic()
        if self.start is None:
            self.start = tau - 1
            if self.stream.isatty():
                self.bar = tqdm(total=self.total, initial=tau - 1, desc=self.label, unit="step", file=self.stream)
        if self.bar is not None:
            if now - self.shown > 1:
                self.bar.set_postfix(loss=f"{mean(loss):.4f}", refresh=False)
                self.shown = now
            self.bar.update(tau - self.bar.n)
            return
        if now - self.shown < self.every and tau < self.total:
            return
        self.shown = now
        rate = (tau - self.start) / max(now - self.began, 1e-9)
        left = timedelta(seconds=round((self.total - tau) / rate)) if rate > 0 else "?"
        self.stream.write(
            f"{self.label} step {tau} of {self.total} ({tau / self.total:.0%}), {rate:.0f} steps/s, "
            f"{left} left, loss {mean(loss):.4f}\n"
        )
        self.stream.flush()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
