"""The residual MLP that learns the mixture (Fig. 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .stackable import Embedding, LayerNorm, Linear


def sinusoidal_table(T: int, width: int, to_the_end: bool = False) -> Tensor:
    """Return the position embedding of Vaswani et al. (2017): width/2 sines, then width/2 cosines of every step.

    Parameters
    ----------
    T
        Number of steps.
    width
        Even, at least 4.
    to_the_end
        Whether the slowest of the width/2 frequencies, which fall from 1 in equal ratios, is 1e-4 itself, as in the
        code of Ho et al. (2020) and in the paper's U-Net, or one ratio above it (the default), as Vaswani et al. wrote.

    Returns
    -------
    Tensor
        (T, width), float32.

    Raises
    ------
    ValueError
        For another width.
    """
    if width < 4 or width % 2:
        raise ValueError(f"width = {width}: the time embedding needs an even width of at least 4")
    ratios = width // 2 - to_the_end
    frequency = torch.exp(-math.log(1e4) * torch.arange(width // 2, dtype=torch.float64) / ratios)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


class ResidualBlock(nn.Module):
    """LayerNorm(x + Linear(Dropout(GELU(Linear(x + emb(t)))))), all of width W."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.second = Linear(width, width)
        self.norm = LayerNorm(width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.norm(x + self.second(self.dropout(F.gelu(self.first(x + embedding)))))


class ResidualMLP(nn.Module):
    """Noise prediction eps(x, k) for vectors: Linear(d, W), residual blocks, Linear(W, d).

    p = 102 024 parameters at d = 8, W = 128 without classes; the time table is not one of them.

    Parameters
    ----------
    d
        Dimension of the data.
    width
        W.
    blocks
        Residual blocks.
    T
        Steps of the schedule.
    classes
        Of the data; their embedding, learned, joins that of time. 0: data have no labels.
    dropout
        Probability with which training zeroes a value inside a block; 0, the default, as in the paper.

    Examples
    --------
    >>> net = ResidualMLP(d=8, width=128)
    >>> sum(p.numel() for p in net.parameters())
    102024
    """

    embedding: Tensor

    def __init__(
        self, d: int = 8, width: int = 128, blocks: int = 3, T: int = 1000, classes: int = 0, dropout: float = 0.0
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("embedding", sinusoidal_table(T, width), persistent=False)
        self.into = Linear(d, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, dropout) for _ in range(blocks))
        self.out = Linear(width, d)
        self.label = Embedding(classes + 1, width) if classes else None  # row 0: no label

    def forward(self, x: Tensor, timestep: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the predicted noise; of stacked networks all arguments have one more axis in front.

        Parameters
        ----------
        x
            Noised samples, (m, d).
        timestep
            Their steps k, integers, (m,).
        label
            Classes 0 ..., or -1 for a label that is hidden, (m,); None hides all.

        Returns
        -------
        Tensor
            (m, d).
        """
        embedding, x = self.embedding[timestep], self.into(x)
        if self.label is not None:
            embedding = embedding + self.label(torch.zeros_like(timestep) if label is None else label + 1)
        for block in self.blocks:
            x = block(x, embedding)
        return self.out(x)
