"""The residual network of the mixture, drawn from its modules (Fig. 8)."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import nn

from ...nets.mlp import ResidualBlock, ResidualMLP
from .names import NOTE
from .style import POPULATION, TRAINING, subplots

WIDTH, HEIGHT = 1.5, 0.8  # of a box


def residual_mlp(net: ResidualMLP) -> tuple[plt.Figure, pd.DataFrame]:
    """The network from left to right (top), and one of its blocks (bottom), with the shapes of the weights.

    Returns the figure, and a table of its layers: name, kind, shape of the weights, parameters.
    """
    figure, (whole, block) = subplots(2, 1, figsize=(9.5, 3.6))
    layers = [("into", net.into), *((f"block {i + 1}", b) for i, b in enumerate(net.blocks)), ("out", net.out)]
    places = [2.6 * (i + 1) for i in range(len(layers))]
    ends = [0.6, *places, places[-1] + 2.0]
    for x, (name, layer) in zip(places, layers, strict=True):
        inner = isinstance(layer, ResidualBlock)
        _box(whole, x, 0.0, name if inner else _linear(layer), POPULATION if inner else "0.35")
        if inner:
            _arrow(whole, (x, 1.25), (x, HEIGHT / 2))
    _row(whole, ends, (r"$x_t$", r"$\hat\epsilon$"))
    blocks = [x for x, (_, layer) in zip(places, layers, strict=True) if isinstance(layer, ResidualBlock)]
    whole.plot([blocks[0] - 1.2, blocks[-1]], [1.25, 1.25], color="0.35", lw=1.2)
    whole.text(blocks[0] - 1.3, 1.25, r"emb$(t)$", ha="right", va="center")

    first = net.blocks[0]
    assert isinstance(first, ResidualBlock)
    steps = ["+ emb$(t)$", _linear(first.first), "GELU", _linear(first.second), "+", type(first.norm).__name__]
    places = [2.6 * (i + 1) for i in range(len(steps))]
    for x, text in zip(places, steps, strict=True):
        _box(block, x, 0.0, text, TRAINING if text == "+" else POPULATION)
    _row(block, [0.9, *places, places[-1] + 2.0], ("in", "out"))
    block.plot([1.2, 1.2, places[4]], [0, 1.1, 1.1], color=TRAINING, lw=1.2)
    _arrow(block, (places[4], 1.1), (places[4], HEIGHT / 2), TRAINING)
    block.text((1.2 + places[4]) / 2, 1.2, "skip", color=TRAINING, ha="center", fontsize=NOTE)
    for axis in (whole, block):
        axis.set(xlim=(0, max(ends[-1], places[-1] + 2.3)), ylim=(-0.6, 1.5), aspect="equal")
        axis.axis("off")
    rows = [
        (name, type(part).__name__, " x ".join(map(str, part.weight.shape)), sum(p.numel() for p in part.parameters()))
        for name, part in net.named_modules()
        if hasattr(part, "weight")
    ]
    return figure, pd.DataFrame(rows, columns=["layer", "kind", "weights", "parameters"])


def _linear(layer: nn.Module) -> str:
    rows, columns = layer.weight.shape  # type: ignore[misc]
    return f"{type(layer).__name__}\n{columns} to {rows}"


def _box(axis: Axes, x: float, y: float, text: str, color: str) -> None:
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    axis.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.08", fc="white", ec=color, lw=1.6))
    axis.text(x, y, text, ha="center", va="center", fontsize=NOTE)


def _row(axis: Axes, places: list[float], ends: tuple[str, str]) -> None:
    """Arrows from each place to the next, and what goes in and comes out."""
    edge = WIDTH / 2 + 0.1
    for i, (a, b) in enumerate(pairwise(places)):
        last = i == len(places) - 2
        _arrow(axis, (a + (edge if i else 0.25), 0), (b - (0.35 if last else edge), 0))
    axis.text(places[0], 0, ends[0], ha="right" if len(ends[0]) > 5 else "center", va="center")
    axis.text(places[-1], 0, ends[1], ha="center", va="center")


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], color: str = "0.35") -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.2})
