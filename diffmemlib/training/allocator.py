"""What the C library does with memory that a training step frees."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is taken next, for the rest of the process; return whether it can.

    By default it hands large blocks back to the system, which clears every page of them when they are taken again: a
    step of the U-Net on a CPU takes and frees the same hundreds of blocks each time, and waits for some 8000 pages. No
    number changes. The process stays at the most memory that it ever had. Another C library is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))
