"""torch.compile for shapes that are known: no size becomes a symbol, however many shapes there are."""

from __future__ import annotations

import torch
from torch import nn

SHAPES = 64  # of all networks of a process; beyond its own limit of 8 torch silently compiles no more


def compile_static(net: nn.Module, mode: str = "default") -> None:
    """Compile a network in place, anew for each shape that it is called with.

    With a second size torch would otherwise compile for all sizes at once, for whose algebra a GPU waited for minutes.

    Parameters
    ----------
    net
        The network; pad its input, so that the shapes are few (`FixedBatch`).
    mode
        Of torch.compile; one without CUDA graphs of its own, which `Replay` makes of the whole step.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    net.compile(mode=mode, dynamic=False)
