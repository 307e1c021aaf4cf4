"""Layers that compute several nets at once: their parameters may have a first axis, one slice for each net.

A net made of these needs no second code to be trained together with others. Slices go through batched matrix products,
which keep a machine busy where the products of one small net do not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Stackable:
    """Marks a module that accepts its own parameters, and its input, with a first axis of nets."""


class Linear(nn.Linear, Stackable):
    """x A^T + b, of each net its own."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, in), or (nets, m, in) where stacked."""
        if self.weight.ndim == 2:
            return super().forward(x)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class LayerNorm(nn.LayerNorm, Stackable):
    """Normalisation over the last axis, scale and shift of each net its own."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, features), or (nets, m, features) where stacked."""
        if self.weight.ndim == 1:
            return super().forward(x)
        normal = nn.functional.layer_norm(x, self.normalized_shape, eps=self.eps)
        return torch.addcmul(self.bias[:, None], normal, self.weight[:, None])


class Embedding(nn.Embedding, Stackable):
    """A learned vector for each index, of each net its own."""

    def forward(self, index: Tensor) -> Tensor:
        """index: (m,), or (nets, m) where stacked."""
        if self.weight.ndim == 2:
            return super().forward(index)
        return self.weight[torch.arange(len(self.weight), device=index.device)[:, None], index]


def stack(nets: Sequence[nn.Module]) -> nn.Module:
    """One module that computes all of them: input and output with a first axis of nets.

    nets: of one shape. Buffers in which they differ are stacked too; the others are shared. ValueError where a module
    with parameters is not Stackable, or drops out: the nets would share the random numbers that each has of its own.
    """
    stacked = copy.deepcopy(nets[0])
    for path, module in stacked.named_modules():
        own = [net.get_submodule(path) for net in nets]
        parameters = dict(module.named_parameters(recurse=False))
        if (parameters and not isinstance(module, Stackable)) or (isinstance(module, nn.Dropout) and module.p > 0):
            raise ValueError(
                f"{type(nets[0]).__name__} has a {type(module).__name__}, which cannot be stacked: train such nets one "
                "after another, or give the layer a form in nets/stackable.py"
            )
        for name in parameters:
            setattr(module, name, nn.Parameter(torch.stack([getattr(m, name).detach() for m in own])))
        for name, value in module.named_buffers(recurse=False):
            values = [getattr(m, name) for m in own]
            if not all(torch.equal(v, value) for v in values):
                setattr(module, name, torch.stack(values))
    return stacked
