"""Points as people hand them over: tensors on any device, with gradients or without, arrays, lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 1e150  # whose square is still a number
BYTES = 255.0
# Types of numpy that torch does not have, or cannot compute with; by name, which says nothing of the order of bytes.
OF_TORCH = {"uint16": "int32", "uint32": "int64", "uint64": "int64", "longdouble": "float64", "float128": "float64"}


def as_points(x: Any, name: str) -> Tensor:
    """Return points as a detached tensor, the first axis counting them.

    Parameters
    ----------
    x
        Tensor, array, or nested list of numbers, of two axes at least.
    name
        To call it by in an error.

    Raises
    ------
    ValueError
        For what holds no numbers, no points, NaN, infinite or astronomical numbers.
    """
    if isinstance(x, list | tuple) and x and all(isinstance(part, Tensor) for part in x):
        if len({part.shape for part in x}) > 1:
            raise ValueError(f"{name} is a list of tensors of different shapes: give points of one shape")
        x = torch.stack(list(x))
    if not isinstance(x, Tensor):
        if np.ma.isMaskedArray(x):
            raise ValueError(f"{name} is a masked array: leave masked points out, and give x.data")
        try:
            array = np.asarray(x)
        except ValueError as error:  # a list of lists of different length
            raise ValueError(f"{name} is no array of points of one shape ({error})") from None
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds {array.dtype} and no numbers: give a tensor, an array or a list of numbers")
        x = torch.as_tensor(np.ascontiguousarray(array.astype(OF_TORCH.get(array.dtype.name, array.dtype.name))))
    if x.layout != torch.strided:
        raise ValueError(f"{name} is a sparse tensor: give x.to_dense()")
    x = x.detach()
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
        x = x.to(torch.int64)
    if x.is_complex():
        raise ValueError(f"{name} holds complex numbers: give real ones")
    if x.ndim < 2 or len(x) == 0 or x.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected one or more points along the first axis")
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinite numbers; distances to them mean nothing")
    if x.dtype == torch.float64 and float(x.abs().max()) > LARGEST:
        raise ValueError(f"{name} holds numbers above {LARGEST:g}, whose squares are infinite: rescale the data")
    return x


@dataclass(frozen=True)
class Kind:
    """What sets of points must share to be compared: layout, type and scale."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    low: float
    high: float

    @classmethod
    def of(cls, x: Tensor) -> Kind:
        """Return that of points."""
        return cls(tuple(x.shape[1:]), x.dtype, float(x.min()), float(x.max()))

    @property
    def like_bytes(self) -> bool:
        """Whether the numbers run from 0 to 255."""
        return self.low >= 0 and BYTES / 2 < self.high <= BYTES

    @property
    def like_unit(self) -> bool:
        """Whether the numbers run from 0 to 1."""
        return self.low >= 0 and 0.5 < self.high <= 1.05

    @property
    def like_signed(self) -> bool:
        """Whether the numbers run from -1 to 1."""
        return -1.05 <= self.low < -0.5 and 0.5 < self.high <= 1.05

    def may_be_shifted(self, other: Kind) -> bool:
        """Whether one runs from 0 to 1 and the other from -1 to 1, as of pictures before and after they are centred."""
        return (self.like_unit and other.like_signed) or (self.like_signed and other.like_unit)

    @property
    def like_fractions(self) -> bool:
        """Whether the numbers stay within [-1.5, 1.5]."""
        return 0 < max(-self.low, self.high) <= 1.5


def check_alike(samples: Kind, train: Kind, called: str = "samples") -> None:
    """Raise ValueError where samples and training points cannot be of one kind: layout, bytes beside fractions.

    Parameters
    ----------
    samples, train
        The kinds.
    called
        What to call the samples.
    """
    if samples.shape != train.shape:
        raise ValueError(
            f"{called} have shape {samples.shape} each and train {train.shape}: bring them to one layout, such as "
            "(channels, height, width) for both"
        )
    if samples.dtype.is_floating_point != train.dtype.is_floating_point:
        raise ValueError(
            f"{called} are {samples.dtype} and train {train.dtype}, whole numbers beside fractions: bring them to one "
            "type and scale"
        )
    for name, one, other_name, other in ((called, samples, "train", train), ("train", train, called, samples)):
        if one.like_bytes and other.like_fractions:
            raise ValueError(
                f"{name} run from {one.low:g} to {one.high:g}, as bytes do, and {other_name} from {other.low:g} to "
                f"{other.high:g}: bring them to one scale"
            )
