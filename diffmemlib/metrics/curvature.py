"""How curved the training loss is: how fast descent can learn, and the learning rate above which it diverges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..randomness import generator

TOLERANCE = 1e-3  # of the largest eigenvalue, relative


def gauss_newton_trace(net: nn.Module, predict: Callable[[], Tensor], probes: int, seed: int) -> tuple[float, float]:
    """Return the trace of the Gauss-Newton matrix 2 J^T J / N of a mean squared error, and its standard error.

    Gradient descent of small learning rate eta takes steps of eta times this matrix: its trace is the sum of the
    rates at which errors shrink, the mean over probes v of 2 |J^T v|^2 / N with v of N signs (Hutchinson).

    Parameters
    ----------
    net
        The network whose trained weights J differentiates by.
    predict
        Returns the N predictions.
    probes
        Random directions, 2 or more.
    seed
        Of the directions.
    """
    output = predict()
    traces = []
    for probe in range(probes):
        g = generator(seed, "probe", probe, device=output.device)
        signs = torch.randint(0, 2, output.shape, generator=g, device=output.device) * 2.0 - 1.0
        traces.append(_pull_back(net, output, signs))
    return float(np.mean(traces)), float(np.std(traces, ddof=1) / probes**0.5)


def rayleigh_quotient(net: nn.Module, predict: Callable[[], Tensor], direction: Tensor) -> float:
    """Return the rate v^T (2 J J^T / N) v at which an error of direction v shrinks; at most the largest of all rates.

    Parameters
    ----------
    net, predict
        As of `gauss_newton_trace`.
    direction
        Of the shape of the predictions, or one that broadcasts to it; it is normalised.
    """
    output = predict()
    v = direction.expand_as(output)
    return _pull_back(net, output, v / v.norm())


def _pull_back(net: nn.Module, output: Tensor, v: Tensor) -> float:
    gradients = torch.autograd.grad(output, _weights(net), v, retain_graph=True)
    return 2 / output.numel() * float(sum(g.square().sum() for g in gradients))


def hessian_max_eigenvalue(net: nn.Module, loss: Callable[[], Tensor], seed: int) -> float:
    """Return the largest eigenvalue of the Hessian of a loss in the trained weights, to 1e-3, by Lanczos (ARPACK).

    Parameters
    ----------
    net
        The network.
    loss
        Returns the loss, one number.
    seed
        Of the start vector.
    """
    weights = _weights(net)
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative on a CPU
        gradients = torch.autograd.grad(loss(), weights, create_graph=True)
        flat = torch.cat([g.flatten() for g in gradients])

        def hessian_times(v: NDArray[np.float32]) -> NDArray[np.float32]:
            direction = torch.as_tensor(v.reshape(-1), dtype=flat.dtype, device=flat.device)
            products = torch.autograd.grad(flat, weights, direction, retain_graph=True)
            return torch.cat([p.flatten() for p in products]).cpu().numpy()

        hessian = LinearOperator((len(flat),) * 2, matvec=hessian_times, dtype=np.float32)
        start = torch.randn(len(flat), generator=generator(seed, "start")).numpy()
        (value,) = eigsh(
            hessian, k=1, which="LA", ncv=min(8, len(flat)), tol=TOLERANCE, v0=start, return_eigenvectors=False
        )
    return float(value)


def _weights(net: nn.Module) -> list[Tensor]:
    return [p for p in net.parameters() if p.requires_grad]


def max_stable_learning_rate(curvature: float, momentum: float = 0.95) -> float:
    """Return the learning rate above which SGD diverges where the loss has this curvature, 2 (1 + momentum)/curvature.

    It is that of full-batch descent with torch's momentum on a quadratic.

    Parameters
    ----------
    curvature
        Largest eigenvalue of the Hessian, positive.
    momentum
        Of SGD.

    Examples
    --------
    >>> max_stable_learning_rate(390.0, momentum=0.95)
    0.01
    """
    return 2 * (1 + momentum) / curvature
