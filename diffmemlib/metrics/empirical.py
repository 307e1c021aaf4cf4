"""The score of a training set: what a model that memorises perfectly would learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..diffusion.schedule import delta

NUMBER = 24  # bytes that a coordinate of a pair of points takes: its difference, the square, the product


def empirical_score(x: Tensor, t: float, train: Tensor, memory: int = 2**28) -> Tensor:
    """Return the score of the noised training set (Eq. 5), by a streaming soft-max over the data.

    s(x) = sum_nu w_nu (exp(-t) x_nu - x) / Delta_t, with w_nu the soft-max of -|x - exp(-t) x_nu|^2 / (2 Delta_t).
    Distances are of differences, in float64, and weights are relative to the nearest point, so small t is safe.

    Parameters
    ----------
    x
        Where the score is asked for, (m, d).
    t
        Ornstein-Uhlenbeck time, positive.
    train
        Training points, (n, d).
    memory
        Bytes for the differences of points, which are taken so many at once.

    Returns
    -------
    Tensor
        (m, d), float64.

    Raises
    ------
    ValueError
        For t that is not positive and finite, points of different dimensions, numbers that are not finite, and a t so
        small that the score is beyond float64.
    """
    if not 0 < t < math.inf:
        raise ValueError(f"t = {t}: the empirical score is defined for positive, finite t only")
    x, train = torch.as_tensor(x), torch.as_tensor(train)
    if x.ndim != 2 or train.ndim != 2 or x.shape[1] != train.shape[1] or len(train) == 0:
        raise ValueError(f"x has shape {tuple(x.shape)} and train {tuple(train.shape)}: expected (m, d) and (n, d)")
    for name, points in (("x", x), ("train", train)):
        if not torch.isfinite(points).all():
            raise ValueError(f"{name} holds NaN or infinite numbers")
    numbers = max(1, int(memory) // (NUMBER * x.shape[1]))  # pairs of points at once
    chunk = min(len(train), max(1, int(numbers**0.5)))
    parts = [_score(part.double(), t, train, chunk) for part in x.split(max(1, numbers // chunk))]
    score = torch.cat(parts) if parts else x.double()
    if not torch.isfinite(score).all():
        raise ValueError(f"t = {t:g} is too small for points of this size: the score is beyond float64")
    return score


def _score(x: Tensor, t: float, train: Tensor, chunk: int) -> Tensor:
    variance = float(delta(t))
    top = torch.full((len(x), 1), -torch.inf, dtype=torch.float64, device=x.device)
    weight = torch.zeros_like(top)
    mean = torch.zeros_like(x)  # of (exp(-t) x_nu - x) under the weights, up to their sum
    for part in train.split(chunk):
        difference = math.exp(-t) * part.double()[None] - x[:, None]
        log_w = -difference.square().sum(-1) / (2 * variance)
        new_top = torch.maximum(top, log_w.amax(1, keepdim=True))
        rescale, w = torch.exp(top - new_top), torch.exp(log_w - new_top)
        weight = weight * rescale + w.sum(1, keepdim=True)
        mean = mean * rescale + torch.einsum("mn,mnd->md", w, difference)
        top = new_top
    return mean / weight / variance
