"""The images that U-Nets learn, by the name of the data set: bytes in, centred numbers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..randomness import derive_seed, generator
from . import celeba, own
from .digits import digits


@dataclass(frozen=True)
class Images:
    """A pool to take training sets from and a held-out set, bytes (m, 1, side, side), without an image in common.

    scale: of the numbers that networks see (default 1: pixels in [0, 1] minus their mean, as in the paper).
    """

    pool: Tensor
    test: Tensor
    scale: float = 1.0

    @cached_property
    def centre(self) -> float:
        """Mean pixel of the pool, in [0, 1]."""
        return int(self.pool.sum(dtype=torch.int64)) / self.pool.numel() / 255

    def centred(self, images: Tensor) -> Tensor:
        """Bytes as the float32 numbers that networks see: scale times (pixel in [0, 1] minus the mean pixel)."""
        return self.scale * (images.float() / 255 - self.centre)

    def pixels(self, samples: Tensor) -> Tensor:
        """Back to [0, 1], with what lies outside cut off: what is shown, and what features are taken from."""
        return (samples / self.scale + self.centre).clamp(0, 1)

    def gaussian_images(self, count: int, seed: int) -> Tensor:
        """Return images, (count, 1, side, side) in [0, 1], of the Gaussian with the pool's mean and covariance.

        What a model makes that has learned two moments of the pixels; cut off at 0 and 1, which changes these a little.
        """
        flat = self.pool.flatten(1).double() / 255
        mean, centred = flat.mean(0), flat - flat.mean(0)
        weights = torch.randn(count, len(flat), generator=generator(seed, "twins"), dtype=torch.float64)
        images = mean + weights @ centred / (len(flat) - 1) ** 0.5
        return images.view(count, *self.pool.shape[1:]).clamp(0, 1).float()

    def training_set(self, n: int, seed: int) -> Tensor:
        """n images of the pool, bytes, the first of any larger set of this seed.

        ValueError for n too large, and where one of them is held out too, byte for byte: nothing could then be said of
        copies, nor of the distance to held-out images.
        """
        if not 2 <= n <= len(self.pool):
            raise ValueError(f"n = {n}: the pool holds {len(self.pool)} images, and two are the fewest")
        order = np.random.Generator(np.random.Philox(derive_seed(seed, "train"))).permutation(len(self.pool))
        chosen = self.pool[torch.from_numpy(order[:n])]
        held_out = {image.tobytes() for image in self.test.numpy()}
        if twice := sum(image.tobytes() in held_out for image in chosen.numpy()):
            raise ValueError(
                f"{twice} of the {n} training images are among the held-out images too, byte for byte: leave repeats "
                "out of the data set and prepare it again"
            )
        return chosen


def _digits(side: int) -> tuple[Tensor, Tensor]:
    return digits("train", side)[0], digits("test", side)[0]


DATASETS: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {"digits": _digits, "celeba": celeba.load}


def images(dataset: str, side: int, scale: float = 1.0) -> Images:
    """The data set of this name, or "name@checksum" of the reader's own, at this side in pixels."""
    pool, test = own.load(dataset, side) if "@" in dataset else DATASETS[dataset](side)
    return Images(pool, test, scale)


def known(dataset: str) -> bool:
    """Whether this is a name that settings may hold: one of DATASETS, or the reader's own with its checksum."""
    return dataset in DATASETS or own.EXACT.fullmatch(dataset) is not None


def identify(dataset: str, side: int) -> str:
    """The name as runs store it: with the checksum of the images where they are the reader's own.

    ValueError where nothing of this name is known.
    """
    if known(dataset) or not own.NAME.fullmatch(dataset):
        return dataset  # or for the settings to refuse
    try:
        return own.identify(dataset, side)
    except FileNotFoundError as error:
        raise ValueError(f"dataset = {dataset!r}: neither {' nor '.join(DATASETS)}, nor your own: {error}") from None
