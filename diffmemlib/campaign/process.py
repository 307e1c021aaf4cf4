"""A process that may hang or die without taking the one that began it along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STUCK = 5.0  # seconds from SIGKILL on, after which a process is left alone
ROOT = Path(__file__).resolve().parents[2]  # that this library is imported from


class Process:
    """A Python module at work in a process of its own, and in a group with all that it begins.

    Parameters
    ----------
    module, arguments
        As of ``python -m``.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.began = time.monotonic()
        self.asked: float | None = None  # when it was asked to end
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], start_new_session=True, env=os.environ | {"PYTHONPATH": path}
        )

    @property
    def at_work(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def ask(self) -> None:
        """Ask it to end, by SIGTERM."""
        if self.at_work:
            self.asked = time.monotonic()
            self.process.send_signal(signal.SIGTERM)

    def end(self, patience: float) -> str:
        """Return how it ended; one that is still at work so many seconds after it was asked is killed."""
        while self.at_work and self.asked is not None and time.monotonic() < self.asked + patience:
            time.sleep(0.05)
        killed = self.at_work
        with suppress(ProcessLookupError):  # of the group, compilers may be left
            os.killpg(self.process.pid, signal.SIGKILL)
        try:
            status = self.process.wait(STUCK)
        except subprocess.TimeoutExpired:
            return "could not be killed: the device's driver holds it"
        if killed:
            return f"killed after {time.monotonic() - self.began:.0f} s: it did not end when asked"
        if self.asked is not None and status in (0, -signal.SIGTERM):
            return "ended when its time was over"
        return "done" if status == 0 else f"failed with status {status}"
