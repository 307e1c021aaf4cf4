"""Layers that compute several networks at once: their parameters may have a first axis, one slice for each network.

A network made of these needs no second code to be trained together with others. Slices go through batched matrix
products, which keep a machine busy where the products of one small network do not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Stackable:
    """Marks a module that accepts its own parameters, and its input, with a first axis of networks."""


class Linear(nn.Linear, Stackable):
    """x A^T + b, of each network its own."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, in), or (nets, m, in) where stacked."""
        if self.weight.ndim == 2:
            return super().forward(x)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class LayerNorm(nn.LayerNorm, Stackable):
    """Normalisation over the last axis, scale and shift of each network its own."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, features), or (nets, m, features) where stacked."""
        if self.weight.ndim == 1:
            return super().forward(x)
        normal = nn.functional.layer_norm(x, self.normalized_shape, eps=self.eps)
        return torch.addcmul(self.bias[:, None], normal, self.weight[:, None])


class Embedding(nn.Embedding, Stackable):
    """A learned vector for each index, of each network its own."""

    def forward(self, index: Tensor) -> Tensor:
        """index: (m,), or (nets, m) where stacked."""
        if self.weight.ndim == 2:
            return super().forward(index)
        return self.weight[torch.arange(len(self.weight), device=index.device)[:, None], index]


def stack(nets: Sequence[nn.Module]) -> nn.Module:
    """Return one module that computes all of the networks: input and output have a first axis of networks.

    Parameters
    ----------
    nets
        Of one shape. Buffers in which they differ are stacked too; the others are shared.

    Raises
    ------
    ValueError
        Where a module with parameters is not `Stackable`, or drops out: the networks would share the random numbers
        that each has of its own.
    """
    stacked = copy.deepcopy(nets[0])
    for path, module in stacked.named_modules():
        copies = [net.get_submodule(path) for net in nets]
        parameters = dict(module.named_parameters(recurse=False))
        if (parameters and not isinstance(module, Stackable)) or _drops_out(module):
            raise ValueError(
                f"{type(nets[0]).__name__} has a {type(module).__name__}, which cannot be stacked: train such networks "
                "one after another, or give the layer a form in nets/stackable.py"
            )
        for name in parameters:
            setattr(module, name, nn.Parameter(torch.stack([getattr(m, name).detach() for m in copies])))
        for name, value in module.named_buffers(recurse=False):
            values = [getattr(m, name) for m in copies]
            if not all(torch.equal(v, value) for v in values):
                setattr(module, name, torch.stack(values))
    return stacked


def drops_out(net: nn.Module) -> bool:
    """Return whether any part of a network draws random numbers in training, so that it cannot be stacked."""
    return any(_drops_out(module) for module in net.modules())


def _drops_out(module: nn.Module) -> bool:
    """Whether a module of torch draws random numbers in training: every dropout, and RReLU."""
    kind = nn.modules.dropout._DropoutNd
    return (isinstance(module, kind) and module.p > 0) or isinstance(module, nn.RReLU)
