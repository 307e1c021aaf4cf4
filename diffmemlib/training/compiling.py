"""torch.compile for shapes that are known: no size becomes a symbol, however many shapes there are."""

from __future__ import annotations

import os
import shutil
import warnings
from functools import cache

import torch
from torch import nn

from ..files import first_line

SHAPES = 64  # of all networks of a process; beyond its own limit of 8 torch silently compiles no more


def has_compiler() -> bool:
    """Return whether there is a C or C++ compiler, which torch.compile calls on a CPU and on a GPU."""
    names = [os.environ.get("CC"), os.environ.get("CXX"), "cc", "gcc", "clang", "g++"]
    return any(shutil.which(name) for name in names if name)


@cache
def why_not(device: str) -> str:
    """Return why torch.compile cannot be used on a device, "" if it can; on a GPU it is tried, which takes seconds.

    Parameters
    ----------
    device
        "cpu" or "cuda".
    """
    if not has_compiler():
        return "no C compiler is found here"
    if device != "cuda":
        return ""
    try:  # Triton needs the headers of Python too, which a bare node may lack
        torch.compile(lambda x: 2 * x + 1, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler may raise
        return f"torch.compile fails here ({first_line(error)})"
    return ""


def compile_static(net: nn.Module, device: torch.device | str, mode: str = "default") -> bool:
    """Compile a network in place, anew for each shape that it is called with; return whether it is compiled.

    With a warning, it is not where nothing can be compiled; see `why_not`. With a second size torch would otherwise
    compile for all sizes at once, for whose algebra a GPU waited for minutes.

    Parameters
    ----------
    net
        The network; pad its input, so that the shapes are few (`FixedBatch`).
    device
        Where it will compute.
    mode
        Of torch.compile; one without CUDA graphs of its own, which `Replay` makes of the whole step.
    """
    if reason := why_not(torch.device(device).type):
        warnings.warn(f"{reason}, so the network is not compiled: it is slower", stacklevel=2)
        return False
    limit = torch._dynamo.config.cache_size_limit  # its first name, which later versions keep
    torch._dynamo.config.cache_size_limit = max(limit, SHAPES)
    net.compile(mode=mode, dynamic=False)
    return True
