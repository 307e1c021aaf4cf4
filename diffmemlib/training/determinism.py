"""The same sums in the same order, so that a run that is resumed on a GPU ends as the unbroken one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic(device: torch.device | str, wanted: bool = True) -> Iterator[None]:
    """On a GPU, let torch take kernels that add in a fixed order within the block; elsewhere nothing is to be done.

    Some gradients of convolutions and of attention are else sums in the order in which threads happen to end. An
    operation without such a kernel is warned of by torch, and done.
    """
    if torch.device(device).type != "cuda" or not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for; read as it starts
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # nothing here reads what it did not write
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]
