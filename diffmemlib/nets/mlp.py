"""The residual MLP that learns the mixture (Fig. 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .stackable import Embedding, LayerNorm, Linear


def sinusoidal_table(T: int, width: int) -> Tensor:
    """Position embedding of Vaswani et al. for steps 0 ... T-1: width/2 sines, then width/2 cosines; (T, width)."""
    if width < 4 or width % 2:
        raise ValueError(f"width = {width}: the time embedding needs an even width of at least 4")
    frequency = torch.exp(-math.log(1e4) * torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = torch.arange(T, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


class ResidualBlock(nn.Module):
    """LayerNorm(x + Linear(GELU(Linear(x + emb(t))))), all of width W."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Linear(width, width)
        self.second = Linear(width, width)
        self.norm = LayerNorm(width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.norm(x + self.second(F.gelu(self.first(x + embedding))))


class ResidualMLP(nn.Module):
    """Noise prediction eps(x, k): Linear(d, W), residual blocks, Linear(W, d).

    d: data dimension (default 8). width: W (default 128). blocks: residual blocks (default 3). T: steps of the
    schedule (default 1000). classes: of the data (default 0, none); their embedding, learned, joins that of time.
    p = 102 024 parameters at d = 8, W = 128 without classes; the time table is not one of them.
    """

    embedding: Tensor

    def __init__(self, d: int = 8, width: int = 128, blocks: int = 3, T: int = 1000, classes: int = 0) -> None:
        super().__init__()
        self.register_buffer("embedding", sinusoidal_table(T, width), persistent=False)
        self.into = Linear(d, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.out = Linear(width, d)
        self.label = Embedding(classes + 1, width) if classes else None  # row 0: no label

    def forward(self, x: Tensor, k: Tensor, label: Tensor | None = None) -> Tensor:
        """x: noised samples, (m, d). k: their steps, integer, (m,). Returns the predicted noise, (m, d).

        label: (m,) classes 0 ..., or -1 for a label that is hidden; None hides all. Of stacked nets all of these have a
        first axis of nets.
        """
        embedding, x = self.embedding[k], self.into(x)
        if self.label is not None:
            embedding = embedding + self.label(torch.full_like(k, 0) if label is None else label + 1)
        for block in self.blocks:
            x = block(x, embedding)
        return self.out(x)
