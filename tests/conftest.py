"""What tests of all folders share."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm import cluster  # noqa: F401 -- a fixture

STATUS = Path("/proc/self/status")
# The peak that getrusage tells begins at the parent's, which lives on across fork and exec; this one begins at exec.
PEAK = f'peak = lambda: next(int(l.split()[1]) * 1024 for l in open("{STATUS}") if l.startswith("VmHWM"))'


@pytest.fixture
def peak_memory() -> Callable[[str, str], tuple[int, int]]:
    """Run a setup and then a work in a process of their own; peaks in bytes after the one, and after both."""
    if not STATUS.exists():
        pytest.skip(f"this system has no {STATUS}, where Linux tells the peak of a process")

    def measure(setup: str, work: str) -> tuple[int, int]:
        script = "\n".join([PEAK, setup, "print(peak())", work, "print(peak())"])
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
        before, after = map(int, run.stdout.split())
        return before, after

    return measure
