"""How much memory is free: on a GPU, in the machine, in a container or job."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int:
    """Return the bytes free on a GPU, or available to this process: of the machine, and of its container or job."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            free = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
    except OSError:  # not Linux
        return free
    return min(free, free_in_group(Path("/sys/fs/cgroup"), group))


def free_in_group(root: Path, name: str) -> int:
    """Return the bytes left below the tightest limit on a control group (version 2) under root, or on one around it."""
    free, folder = 2**63, root / name
    for group in [folder, *folder.parents]:
        if group.is_relative_to(root):
            try:
                limit, used = ((group / f"memory.{file}").read_text().strip() for file in ("max", "current"))
            except OSError:  # the root has none
                continue
            if limit != "max":
                free = min(free, max(int(limit) - int(used), 0))
    return free
