"""Where a result comes from: code, versions, machine, time."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .._version import __version__
from ..places import checkout
from .config import Config


def provenance(config: Config, device: str, seconds: float, data_sha256: str, **more: Any) -> dict[str, Any]:
    """Return where a result came from: commit, versions, device, seed, data, time, command.

    Parameters
    ----------
    config
        Of the run.
    device
        As torch calls it.
    seconds
        That it took.
    data_sha256
        Checksum of the training set.
    **more
        Further facts.
    """
    return {
        "command": config.command,
        **code(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scipy", "pandas")}
        | {"diffmemlib": __version__},
        "seed": config.seed,
        "data_sha256": data_sha256,
        "seconds": round(seconds, 1),
        "finished": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        **more,
    }


def device_name(device: str) -> str:
    """Return what the device calls itself: the GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()


@cache
def code() -> dict[str, Any]:
    """Return the commit whose code this process runs, and whether it was changed: asked once, as a run begins.

    Both are None where they are not known: of an installed library, without git, and in a folder that is no clone of
    its own, whose commit would be another repository's.
    """
    root = checkout()
    top = _git(root, "rev-parse", "--show-toplevel") if root else None
    if root is None or top is None or Path(top).resolve() != root:
        return {"commit": None, "changed_since_commit": None}
    changes = _git(root, "status", "--porcelain", "--", "diffmemlib", "book/runs")
    return {
        "commit": _git(root, "rev-parse", "HEAD"),
        "changed_since_commit": None if changes is None else bool(changes),
    }


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
