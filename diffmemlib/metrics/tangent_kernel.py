"""The tangent kernel of a network: how fast gradient descent learns which functions, before it has learned them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap


def tangent_gram(net: nn.Module, x: Tensor, timestep: Tensor, output: int = 0) -> Tensor:
    """Return the Gram matrix K_ij = grad f(x_i) . grad f(x_j) of the gradients of one output by all weights.

    A small step of gradient descent on the squared error of this output at these points shrinks the part of the error
    that lies along an eigenvector of K in proportion to its eigenvalue (Jacot, Gabriel and Hongler, NeurIPS 2018).

    Parameters
    ----------
    net
        (x (m, d), timestep (m,)) -> prediction (m, d).
    x, timestep
        The points, and their steps.
    output
        Which of the d outputs.

    Returns
    -------
    Tensor
        (m, m), float64, whatever the type of the network.
    """
    weights = {name: p.detach() for name, p in net.named_parameters()}
    gram = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for name, weight in weights.items():  # one layer after another, since all gradients at once need too much memory
        gradient = _gradient_of(net, weights, name, output)(weight, x, timestep).flatten(1).double()
        gram.addmm_(gradient, gradient.T)
    return gram


def _gradient_of(net: nn.Module, weights: dict[str, Tensor], name: str, output: int) -> Callable[..., Tensor]:
    """Return what computes the gradients by one weight at points, (weight, x (m, d), timestep (m,)) -> (m, ...)."""

    def value(weight: Tensor, x: Tensor, timestep: Tensor) -> Tensor:
        result: Tensor = functional_call(net, {**weights, name: weight}, (x[None], timestep[None]))
        return result[0, output]

    gradients: Callable[..., Tensor] = vmap(grad(value), in_dims=(None, 0, 0))
    return gradients


def tangent_spectrum(net: nn.Module, x: Tensor, timestep: Tensor, output: int = 0) -> NDArray[np.float64]:
    """Return the eigenvalues of `tangent_gram`, the largest first, (m,)."""
    return torch.linalg.eigvalsh(tangent_gram(net, x, timestep, output)).flip(0).cpu().numpy()
