"""An array of one's own as vectors, or as images of any number of channels, any range and any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..data.inventory import SourceError

MOST = 2**31  # numbers that are taken from an array
LARGEST = 1e30  # of them
ROUNDING = 1e-3  # by which fractions may exceed 1
CHANNELS = 16  # at most, where they are not 1 or 3
SIDE = 16  # that images are brought to unless another is given
LEVELS = 8  # of the 256 shades, that the standard deviation of all numbers, or of a channel's, takes up at least


def from_array(array: NDArray[Any], name: str, size: int | None, grey: bool) -> tuple[NDArray[Any], list[str]]:
    """Return vectors (m, d) in float64, or images (m, channels, size, size) as bytes; and what was found, as sentences.

    Parameters
    ----------
    array
        (m, d), (m, height, width), or with channels first or last.
    name
        Of its file.
    size
        Side that images are brought to; SIDE unless given.
    grey
        Whether colours are turned to grey.

    Raises
    ------
    SourceError
        Where it is neither, or its numbers cannot be taken.
    """
    found = [f"{name} holds {array.dtype} of shape {array.shape}."]
    if array.dtype.kind == "f":
        array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)  # also of another order of bytes
    _check_numbers(array, name)
    if array.ndim == 2:
        if grey or size is not None:
            option = "--grey" if grey else "--size"
            raise SourceError(f"{option} is for pictures, and {name} holds vectors: leave it out")
        low, high = float(array.min()), float(array.max())
        numbers = f"a vector of {array.shape[1]} numbers; they run" if array.shape[1] > 1 else "one number; they run"
        told = f"Each row is {numbers} from {low:g} to {high:g}."
        return array.astype(np.float64), [*found, told]
    images = _channels_first(array, name)
    short, long = sorted(images.shape[2:])
    if short < 4 or long > 8 * short:
        raise SourceError(
            f"{name} has shape {array.shape}, which would be {len(images)} images of {images.shape[2]} x "
            f"{images.shape[3]}: give images of 4 x 4 or more, of which one side is at most 8 times the other, or, of "
            "sequences and the like, one row of numbers a point (reshape to two axes)"
        )
    if grey and images.shape[1] != 3:
        raise SourceError(f"--grey is for colours, and {name} holds images of {_channels(images.shape[1])}")
    x, shades = _in_shades(images, name)
    x, cut = _square(x, SIDE if size is None else size)
    found += [f"They are images of {_channels(x.shape[1])}, from {images.min():g} to {images.max():g}.", *shades, *cut]
    same = [i + 1 for i in range(images.shape[1]) if np.ptp(images[:, i]) == 0]
    found += [f"Channel {i} has the same number everywhere: leave it out." for i in same]
    if grey:
        x = (x * torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        found += ["Colours were turned to grey."]
    return (x * 255).round().clamp(0, 255).byte().numpy(), found


def _check_numbers(array: NDArray[Any], name: str) -> None:
    if array.size > MOST:
        raise SourceError(f"{name} holds {array.size / 1e9:.1f} billion numbers; take a part of the points")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise SourceError(
            f"{name} holds NaN or infinite numbers in {len(bad)} of {len(array)} points, the first of them point "
            f"{bad[0] + 1}: leave these out"
        )
    if array.dtype.kind == "f" and np.abs(array).max() > LARGEST:
        raise SourceError(f"{name} holds numbers above {LARGEST:g}: rescale the data")


def _channels_first(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Images (m, channels, height, width): 1 or 3 channels, or else the one of two places that can be theirs."""
    if array.ndim not in (3, 4):
        raise SourceError(
            f"{name} has shape {array.shape}: give vectors (points, numbers) or images (points, height, width[, "
            "channels])"
        )
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1], array.shape[3]
    if first in (1, 3):
        return array
    if last in (1, 3):
        return np.moveaxis(array, -1, 1)
    may_be_last = last <= CHANNELS and last < min(array.shape[1:3])
    if may_be_last == (first <= CHANNELS and first < min(array.shape[2:])):
        raise SourceError(
            f"{name} has shape {array.shape}, of which neither the second number nor the last is plainly that of "
            f"channels: they should be 1, 3, or at most {CHANNELS} and fewer than the pixels of a side"
        )
    images = np.moveaxis(array, -1, 1) if may_be_last else array
    if images.shape[1] == 4 and (array.dtype == np.uint8 or (array.min() >= 0 and array.max() <= 1)):
        raise SourceError(
            f"{name} holds images with four channels, the last of which looks like transparency (alpha): leave it out, "
            "or, if it is a measurement, give all channels as fractional numbers in their own units"
        )
    return images


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count > 1 else ''}"


def _in_shades(images: NDArray[Any], name: str) -> tuple[Tensor, list[str]]:
    """Images with their numbers in [0, 1]: pictures by what black and white usually are, else by lowest and highest.

    Channels that are no colours may have different units, so each has its own lowest and highest number.
    """
    low, high = float(images.min()), float(images.max())
    x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    colours = images.shape[1] in (1, 3)
    if colours and 0 <= low and 0.5 < high <= 1 + ROUNDING:
        return x, []
    if colours and -1 - ROUNDING <= low < -0.5 and high <= 1 + ROUNDING:
        return (x + 1) / 2, []
    if 0 <= low and 1 < high <= 255 and (images % 1 == 0).all():
        return x / 255, []
    over = None if colours else (0, 2, 3)
    lowest, highest = images.min(axis=over, keepdims=True), images.max(axis=over, keepdims=True)
    span = np.where(highest > lowest, highest - lowest.astype(float), 1.0)
    scaled = torch.from_numpy(((images - lowest) / span).astype(np.float32))
    spread = scaled.flatten() if colours else scaled.transpose(0, 1).flatten(1)
    narrow = (spread.std(-1).view(-1) < LEVELS / 256).numpy() & (highest > lowest).ravel()
    if narrow.any():
        which = "" if colours else f", channel {int(narrow.argmax()) + 1},"
        first, last = (float(ends.ravel()[narrow][0]) for ends in (lowest, highest))
        raise SourceError(
            f"{name}{which} runs from {first:g} to {last:g}, and "
            "nearly all of it lies in a small part of that: cut off what lies far outside, or take its logarithm"
        )
    told = "The lowest number" if colours else "In each channel the lowest number"
    return scaled, [f"{told} was made black and the highest white, with 256 shades between them."]


def _square(x: Tensor, size: int) -> tuple[Tensor, list[str]]:
    """Central squares of images, at a size."""
    height, width = x.shape[-2:]
    if (height, width) == (size, size):
        return x, []
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    x = x[..., top : top + side, left : left + side]
    cut = "" if height == width else "cut to its central square and "
    if side == size:
        return x, [f"Each image of {height} x {width} was cut to its central square."]
    x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    how = "enlarged" if side < size else "brought"
    return x, [f"Each image of {height} x {width} was {cut}{how} to {size} pixels (--size)."]
