"""A small network behind the Frechet distance of images that are no faces: trained on digits, or not at all."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..randomness import generator
from .digits import digits

WEIGHTS = Path(__file__).with_name("digit_features.safetensors")
DIMENSION = 32
STEPS, BATCH, SHIFT, SEED = 3000, 100, 2, 0


class DigitFeatures(nn.Module):
    """Three convolutions and a linear layer: images (m, 1, side, side) in [0, 1] -> 32 features (m, 32).

    Images are averaged to 16 x 16 first. Of the shipped weights, the features' variances over digits add up to 1, so 1
    is a large Frechet distance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 16), (16, 32), (32, 32)))
        self.linear = nn.Linear(32 * 4 * 4, DIMENSION)
        self.classes = nn.Linear(DIMENSION, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images if images.shape[-1] == 16 else F.adaptive_avg_pool2d(images, 16)
        for i, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            x = F.max_pool2d(x, 2) if i < 2 else x
        return self.linear(x.flatten(1))


@lru_cache(maxsize=1)
def digit_features() -> DigitFeatures:
    """The trained network, from the weights that come with the library."""
    net = DigitFeatures()
    net.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    return net.eval().requires_grad_(False)


def untrained_features(images: Tensor) -> DigitFeatures:
    """The same network as it is before training, scaled to these images: features for images of any kind.

    Random convolutions see less than trained ones, and more than means and covariances of pixels do.
    """
    return _scaled(_fresh().eval().requires_grad_(False), images)


def _fresh() -> DigitFeatures:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return DigitFeatures()


def train() -> DigitFeatures:
    """Train the network to name the digits of the third part, each moved by up to two pixels; a minute on one core."""
    images, classes = digits("features")
    x = F.pad(images.float() / 255, (SHIFT,) * 4)
    net = _fresh()
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
    return _scaled(net.eval().requires_grad_(False), x[..., SHIFT:-SHIFT, SHIFT:-SHIFT])


def _scaled(net: DigitFeatures, images: Tensor) -> DigitFeatures:
    """The same classifier, with features whose variances on these images add up to 1."""
    scale = net(images).double().var(0).sum().sqrt().float()
    for layer, factor in ((net.linear, 1 / scale), (net.classes, scale)):
        layer.weight.mul_(factor)  # ReLU between the two passes the factor on
    net.linear.bias.mul_(1 / scale)
    return net


def accuracy(net: DigitFeatures) -> float:
    """Share of the held-out digits that it names rightly."""
    images, classes = digits("test")
    with torch.no_grad():
        return float((net.classes(F.relu(net(images.float() / 255))).argmax(1) == classes).double().mean())


def write(path: Path = WEIGHTS) -> float:
    """Train, write the weights, and return the accuracy on held-out digits."""
    net = train()
    safetensors.torch.save_file(net.state_dict(), path)
    return accuracy(net)
