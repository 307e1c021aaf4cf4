"""torch.compile for shapes that are known: no size becomes a symbol, however many shapes there are."""

from __future__ import annotations

import os
import shutil
import warnings

import torch
from torch import nn

SHAPES = 64  # of all networks of a process; beyond its own limit of 8 torch silently compiles no more


def has_compiler() -> bool:
    """Return whether there is a C or C++ compiler, which torch.compile calls on a CPU and on a GPU."""
    names = [os.environ.get("CC"), os.environ.get("CXX"), "cc", "gcc", "clang", "g++"]
    return any(shutil.which(name) for name in names if name)


def compile_static(net: nn.Module, mode: str = "default") -> None:
    """Compile a network in place, anew for each shape that it is called with; with a warning, not without a compiler.

    With a second size torch would otherwise compile for all sizes at once, for whose algebra a GPU waited for minutes.

    Parameters
    ----------
    net
        The network; pad its input, so that the shapes are few (`FixedBatch`).
    mode
        Of torch.compile; one without CUDA graphs of its own, which `Replay` makes of the whole step.
    """
    if not has_compiler():
        warnings.warn("no C compiler is found here, so the network is not compiled: it is slower", stacklevel=2)
        return
    limit = torch._dynamo.config.cache_size_limit  # its first name, which later versions keep
    torch._dynamo.config.cache_size_limit = max(limit, SHAPES)
    net.compile(mode=mode, dynamic=False)
