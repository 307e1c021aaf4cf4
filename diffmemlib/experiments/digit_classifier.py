"""How the network behind the digits' Frechet distance was trained; its weights come with the library."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch.nn import functional as F

from ..data.digits import digits
from ..metrics.digit_features import SEED, WEIGHTS, DigitFeatures, fresh_network, scaled_to
from ..randomness import generator

STEPS, BATCH, SHIFT = 3000, 100, 2


def train() -> DigitFeatures:
    """Train the network to name the digits of the third part, each moved by up to two pixels; a minute on one core."""
    images, classes = digits("features")
    x = F.pad(images.float() / 255, (SHIFT,) * 4)
    net = fresh_network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        g = generator(SEED, "features", step)
        chosen = torch.randint(len(x), (BATCH,), generator=g)
        down, right = torch.randint(2 * SHIFT + 1, (2,), generator=g).tolist()
        batch = x[chosen, :, down : down + 16, right : right + 16]
        loss = F.cross_entropy(net.classes(F.relu(net(batch))), classes[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return scaled_to(net.eval().requires_grad_(False), x[..., SHIFT:-SHIFT, SHIFT:-SHIFT])


def accuracy(net: DigitFeatures) -> float:
    """Return the share of the held-out digits that the network names rightly."""
    images, classes = digits("test")
    with torch.no_grad():
        return float((net.classes(F.relu(net(images.float() / 255))).argmax(1) == classes).double().mean())


def write(path: Path = WEIGHTS) -> float:
    """Train, write the weights, and return the accuracy on held-out digits."""
    net = train()
    safetensors.torch.save_file(net.state_dict(), path)
    return accuracy(net)
