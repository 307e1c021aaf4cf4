"""A small network behind the Frechet distance of images that are no photographs: trained on digits, or not at all."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..randomness import seeded

WEIGHTS = Path(__file__).with_name("digit_features.safetensors")
DIMENSION = 32
SEED = 0  # of the weights before training


class DigitFeatures(nn.Module):
    """Three convolutions and a linear layer: images (m, 1, side, side) in [0, 1] -> 32 features (m, 32).

    Images are averaged to 16 x 16 first. Of the shipped weights, the features' variances over digits add up to 1, so 1
    is a large Frechet distance.

    Parameters
    ----------
    channels
        Of the images.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        sizes = ((channels, 16), (16, 32), (32, 32))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in sizes)
        self.linear = nn.Linear(32 * 4 * 4, DIMENSION)
        self.classes = nn.Linear(DIMENSION, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images if images.shape[-2:] == (16, 16) else F.adaptive_avg_pool2d(images, 16)
        for i, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            x = F.max_pool2d(x, 2) if i < 2 else x
        return self.linear(x.flatten(1))


@lru_cache(maxsize=1)
def digit_features() -> DigitFeatures:
    """Return the trained network, from the weights that come with the library."""
    net = DigitFeatures()
    net.load_state_dict(safetensors.torch.load_file(WEIGHTS))
    return net.eval().requires_grad_(False)


def untrained_features(images: Tensor) -> DigitFeatures:
    """Return the same network as it is before training, scaled to these images: features for images of any kind.

    Random convolutions see less than trained ones, and more than means and covariances of pixels do.

    Parameters
    ----------
    images
        (m, channels, height, width) in [0, 1].
    """
    return scaled_to(fresh_network(images.shape[1]).eval().requires_grad_(False), images)


def fresh_network(channels: int = 1) -> DigitFeatures:
    """Return the network with its first weights, which are always the same."""
    net = seeded(SEED, lambda: DigitFeatures(channels))
    assert isinstance(net, DigitFeatures)
    return net


def scaled_to(net: DigitFeatures, images: Tensor) -> DigitFeatures:
    """Return the same classifier, changed in place so that its features' variances on these images add up to 1."""
    scale = net(images).double().var(0).sum().sqrt().float()
    for layer, factor in ((net.linear, 1 / scale), (net.classes, scale)):
        layer.weight.mul_(factor)  # ReLU between the two passes the factor on
    net.linear.bias.mul_(1 / scale)
    return net
