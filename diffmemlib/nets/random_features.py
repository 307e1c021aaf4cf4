"""The random-features score of Eq. 7: frozen first layer, trained second one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .stackable import Stackable


class RandomFeatures(nn.Module, Stackable):
    """Score s_A(x) = A tanh(W x/sqrt(d))/sqrt(p), with A = 0 at the start (Eq. 7).

    Parameters
    ----------
    W
        Frozen features, (p, d). A, the only parameter, is (d, p).
    """

    W: Tensor

    def __init__(self, W: Tensor) -> None:
        super().__init__()
        self.register_buffer("W", W, persistent=False)
        self.A = nn.Parameter(torch.zeros(W.shape[1], W.shape[0], dtype=W.dtype, device=W.device))

    @property
    def B(self) -> Tensor:
        """A/sqrt(p), (d, p), detached."""
        return self.A.detach() / math.sqrt(self.W.shape[-2])

    def forward(self, x: Tensor) -> Tensor:
        """Return the score at noised samples x, (m, d), or (nets, m, d) where stacked; as x."""
        p, d = self.W.shape[-2:]
        return torch.tanh(x @ self.W.mT / math.sqrt(d)) @ self.A.mT / math.sqrt(p)
