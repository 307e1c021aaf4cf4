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
from .digits import PARTS, SIDES, digits


@dataclass(frozen=True)
class Images:
    """A pool to take training sets from and a held-out set, without an image in common.

    Parameters
    ----------
    pool, test
        Bytes, (m, channels, side, side).
    scale
        Of the numbers that networks see; 1, the paper's: pixels in [0, 1] minus their mean.
    """

    pool: Tensor
    test: Tensor
    scale: float = 1.0

    @cached_property
    def centre(self) -> float:
        """Mean pixel of the pool, in [0, 1]."""
        return int(self.pool.sum(dtype=torch.int64)) / self.pool.numel() / 255

    def centred(self, images: Tensor) -> Tensor:
        """Return bytes as the float32 numbers that networks see: scale times (pixel in [0, 1] minus the mean pixel)."""
        return self.scale * (images.float() / 255 - self.centre)

    def pixels(self, samples: Tensor) -> Tensor:
        """Return samples in [0, 1], with what lies outside cut off: what is shown, and what features are taken from."""
        return (samples / self.scale + self.centre).clamp(0, 1)

    def gaussian_images(self, count: int, seed: int) -> Tensor:
        """Return images of the Gaussian with the pool's mean and covariance.

        They are what a model makes that has learned two moments of the pixels; cut off at 0 and 1, which changes these
        a little.

        Parameters
        ----------
        count
            How many.
        seed
            Of the images.

        Returns
        -------
        Tensor
            (count, channels, side, side) in [0, 1].
        """
        flat = self.pool.flatten(1).double() / 255
        mean, centred = flat.mean(0), flat - flat.mean(0)
        weights = torch.randn(count, len(flat), generator=generator(seed, "twins"), dtype=torch.float64)
        images = mean + weights @ centred / (len(flat) - 1) ** 0.5
        return images.view(count, *self.pool.shape[1:]).clamp(0, 1).float()

    def training_set(self, n: int, seed: int) -> Tensor:
        """Return n images of the pool, bytes; they are the first of any larger set of this seed.

        Parameters
        ----------
        n
            How many, 2 to all.
        seed
            Of the choice.

        Raises
        ------
        ValueError
            For n out of range, and where one of them is held out too, byte for byte: nothing could then be said of
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
    """Return the data set of a name.

    Parameters
    ----------
    dataset
        One of DATASETS, or "name@checksum" of the reader's own.
    side
        Of an image, in pixels.
    scale
        Of the numbers that networks see.
    """
    pool, test = own.load(dataset, side) if "@" in dataset else DATASETS[dataset](side)
    return Images(pool, test, scale)


def known(dataset: str) -> bool:
    """Whether this is a name that settings may hold: one of DATASETS, or the reader's own with its checksum."""
    return dataset in DATASETS or own.EXACT.fullmatch(dataset) is not None


def image_counts(dataset: str, side: int) -> tuple[int, int] | None:
    """Return how many images a data set has in its pool and held out, without reading them; None where unknown."""
    if dataset == "digits":
        (first, second), (third, fourth) = PARTS["train"], PARTS["test"]
        return second - first, fourth - third
    if dataset == "celeba":
        return celeba.counts(side)
    return own.counts(dataset, side) if "@" in dataset else None


def size_rules(dataset: str, side: int, n: int = 2) -> dict[str, tuple[bool, str]]:
    """Return the rules for n and side that a data set decides, for `Config.require`."""
    counts = image_counts(dataset, side)
    most = counts[0] if counts else None
    return {
        "n": (2 <= n <= (most or n), f"2 to {most}, the images of the pool" if most else "at least 2"),
        "side": (side in SIDES, f"{' or '.join(map(str, SIDES))} for digits")
        if dataset == "digits"
        else (side >= 4 and side % 4 == 0, "a multiple of 4, for the three resolutions"),
    }


def missing(dataset: str, side: int) -> str:
    """Return why a data set cannot be read here, "" if it can, without reading it.

    Parameters
    ----------
    dataset
        One of DATASETS, or "name@checksum" of the reader's own.
    side
        Of an image, in pixels.
    """
    if dataset == "digits":
        return ""
    return celeba.missing(side) if dataset == "celeba" else own.missing(dataset, side)


def identify(dataset: str, side: int) -> str:
    """Return the name as runs store it: with the checksum of the images where they are the reader's own.

    Parameters
    ----------
    dataset
        The name.
    side
        Of an image, in pixels.

    Raises
    ------
    ValueError
        Where nothing of this name is known.
    """
    if known(dataset) or not own.NAME.fullmatch(dataset):
        return dataset  # or for the settings to refuse
    try:
        return own.identify(dataset, side)
    except FileNotFoundError as error:
        raise ValueError(f"dataset = {dataset!r}: neither {' nor '.join(DATASETS)}, nor your own: {error}") from None
