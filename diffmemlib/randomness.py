"""Randomness as a function of what it is for: no generator carries state from one step to the next.

A run that is killed and started again, or a sample that is drawn in another batch, sees the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 64  # steps of noise drawn at once per sample: few calls, little memory


def stream(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed for one purpose, e.g. ``stream(seed, "noise", tau)``; distinct purposes do not overlap."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *purpose: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator for one purpose, on the device."""
    return torch.Generator(device).manual_seed(stream(seed, *purpose))


class SampleNoise:
    """One stream of standard normal numbers a sample, so that sample 17 does not depend on its batch.

    seed: of the whole draw. indices: which samples. shape: of one sample. Each call gives the next (m, *shape)
    float32 tensor, m = len(indices), on the device.
    """

    def __init__(
        self, seed: int, indices: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self.streams = [np.random.Generator(np.random.Philox(stream(seed, "sample", i))) for i in indices]
        self.shape, self.device = tuple(shape), device
        self.block: np.ndarray | None = None
        self.used = 0

    def __call__(self) -> Tensor:
        if self.block is None:  # the first draw stands alone: a deterministic sampler needs no other
            self.block, self.used = self._draw(1), 0
        elif self.used == self.block.shape[1]:
            self.block, self.used = self._draw(BLOCK), 0
        self.used += 1
        return torch.from_numpy(self.block[:, self.used - 1].copy()).to(self.device)

    def _draw(self, steps: int) -> np.ndarray:
        return np.stack([g.standard_normal((steps, *self.shape), dtype=np.float32) for g in self.streams])


def seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network with its initial weights a function of the seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
