"""The same sums in the same order, so that a run that is resumed on a GPU ends as the unbroken one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

T = TypeVar("T")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for, read at the first product


@contextmanager
def deterministic(device: torch.device | str, strict: bool = True) -> Iterator[None]:
    """On a GPU, let torch take kernels that add in a fixed order within the block; elsewhere nothing is to be done.

    Some gradients of convolutions and of attention are else sums in the order in which threads happen to end.

    Parameters
    ----------
    device
        Where the sums are made.
    strict
        Whether an operation that has no such kernel raises RuntimeError. If not, torch warns of it; attention then
        adds in any order.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    memory.fill_uninitialized_memory = False  # nothing here reads what it did not write
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]


def in_fixed_order(step: Callable[[int], T], device: torch.device | str) -> Callable[[int], T]:
    """Return a step that adds in a fixed order; with a warning, in any, where an operation has no kernel for that."""
    strict = True

    def made(tau: int) -> T:
        nonlocal strict
        if strict:
            try:
                with deterministic(device):
                    return step(tau)
            except RuntimeError as error:
                if "deterministic" not in str(error):
                    raise
                reason = str(error).splitlines()[0]
                warnings.warn(f"a resumed run may end with other last digits: {reason}", stacklevel=2)
                strict = False
        with deterministic(device, strict=False):
            return step(tau)

    return made
