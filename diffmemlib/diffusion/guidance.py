"""What is done to a network's prediction while sampling: towards a class, or away from the training data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .losses import HIDDEN_LABEL
from .schedule import Prediction, Schedule, device_tables, prediction_target, x0_and_eps

NetOutput = Callable[[Tensor, Tensor], Tensor]  # (x (m, ...), timestep (m,)) -> prediction (m, ...)
CLOSE = 0.5  # of `away_from`: how much nearer than the second training point the first has to be


def classifier_free_guidance(net: Callable[..., Tensor], label: Tensor | int, w: float = 0.0) -> NetOutput:
    """Return the guided prediction of a network that takes labels: f(x, k, y) + w (f(x, k, y) - f(x, k)).

    Both come from one forward pass of two halves, the second with its labels hidden.

    Parameters
    ----------
    net
        (x, timestep, label) -> prediction; trained with labels hidden (-1) now and then.
    label
        Classes y, (m,), or one class for all.
    w
        Strength. 0, the default, is the conditional model itself. The ``guidance_scale`` of diffusers is 1 + w.

    Returns
    -------
    Callable
        (x, timestep) -> prediction.
    """

    def predict(x: Tensor, timestep: Tensor) -> Tensor:
        y = torch.full_like(timestep, label) if isinstance(label, int) else label
        if w == 0:
            return net(x, timestep, y)
        labels = torch.cat([y, torch.full_like(y, HIDDEN_LABEL)])
        conditional, unconditional = net(torch.cat([x, x]), torch.cat([timestep, timestep]), labels).chunk(2)
        return conditional + w * (conditional - unconditional)

    return predict


def away_from(
    predict: NetOutput, data: Tensor, strength: float, schedule: Schedule, prediction: Prediction = "eps"
) -> NetOutput:
    """Return the prediction with its clean data moved away from a training point that they are about to copy.

    Where the predicted x0 is less than `CLOSE` times as far from its nearest training point a as from the second, it
    becomes x0 + strength (x0 - a); elsewhere nothing changes. No network is trained for it.

    Parameters
    ----------
    predict
        The network, (x, timestep) -> prediction.
    data
        Training points, (n, ...), at least two.
    strength
        0 leaves the prediction as it is.
    schedule
        The forward process.
    prediction
        What the network predicts, "eps", "x0", "v" or "flow".

    Returns
    -------
    Callable
        (x, timestep) -> prediction, of the same kind.

    Raises
    ------
    ValueError
        For fewer than two training points, and a strength below 0.

    References
    ----------
    After Chen, Liu and Xu, "Towards Memorization-Free Diffusion Models", CVPR 2024, who follow the gradient of a
    similarity where it is high; this is the same for the Euclidean distance and the criterion of two neighbours.
    """
    if len(data) < 2 or not strength >= 0:
        raise ValueError(f"{len(data)} training points, strength = {strength}: need at least 2 points, and 0 or more")

    def guided(x: Tensor, timestep: Tensor) -> Tensor:
        signal, noise = (
            table[timestep].view(-1, *[1] * (x.ndim - 1)) for table in device_tables(schedule, x.device, x.dtype)
        )
        x0, _ = x0_and_eps(predict(x, timestep), x, signal, noise, prediction)
        points = data.to(x)
        near = torch.cdist(x0.flatten(1), points.flatten(1)).topk(2, largest=False)
        close = near.values[:, 0] < CLOSE * near.values[:, 1]
        push = strength * close.to(x).view(signal.shape)
        x0 = x0 + push * (x0 - points[near.indices[:, 0]])
        return prediction_target(x0, (x - signal * x0) / noise, signal, noise, prediction)

    return guided
