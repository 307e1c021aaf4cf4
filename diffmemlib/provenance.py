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

from . import __version__
from .runs import ROOT, Config


def provenance(config: Config, device: str, seconds: float, data_sha256: str, **more: Any) -> dict[str, Any]:
    """Where a result came from: commit, versions, device, seed, data, time, command."""
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
    """What the device calls itself: the GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()


@cache
def code() -> dict[str, Any]:
    """The commit whose code this process runs, and whether it was changed: asked once, as a run begins."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--", "diffmemlib", "book/runs")),
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
