"""The score of a training set: what a model that memorises perfectly would learn."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.schedule import delta


def empirical_score(x: Tensor, t: float, train: Tensor, chunk: int = 4096) -> Tensor:
    """Return the score of the noised training set (Eq. 5), by a streaming soft-max over the data.

    s(x) = sum_nu w_nu (exp(-t) x_nu - x) / Delta_t, with w_nu the soft-max of -|x - exp(-t) x_nu|^2 / (2 Delta_t).
    Distances are of differences, in float64, and weights are relative to the nearest point, so any t > 0 is safe.

    Parameters
    ----------
    x
        Where the score is asked for, (m, d).
    t
        Ornstein-Uhlenbeck time, positive.
    train
        Training points, (n, d).
    chunk
        Training points at once; memory is m x chunk x d numbers at most.

    Returns
    -------
    Tensor
        (m, d), float64.

    Raises
    ------
    ValueError
        For t <= 0.
    """
    if t <= 0:
        raise ValueError(f"t = {t}: the empirical score is defined for t > 0 only")
    x, variance = x.double(), float(delta(t))
    centres = torch.exp(torch.tensor(-t, dtype=torch.float64)) * train.double()
    top = torch.full((len(x), 1), -torch.inf, dtype=torch.float64, device=x.device)
    weight = torch.zeros_like(top)
    mean = torch.zeros_like(x)  # of (exp(-t) x_nu - x) under the weights, up to their sum
    for part in centres.split(chunk):
        difference = part[None] - x[:, None]
        log_w = -difference.square().sum(-1) / (2 * variance)
        new_top = torch.maximum(top, log_w.amax(1, keepdim=True))
        rescale, w = torch.exp(top - new_top), torch.exp(log_w - new_top)
        weight = weight * rescale + w.sum(1, keepdim=True)
        mean = mean * rescale + torch.einsum("mn,mnd->md", w, difference)
        top = new_top
    return mean / weight / variance
