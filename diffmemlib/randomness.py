"""Randomness as a function of what it is for: no generator carries state from one step to the next.

A run that is killed and started again, or a sample that is drawn in another batch, sees the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

NOISE_BLOCK = 64  # steps of noise that are drawn at once for a sample: few calls, little memory


def derive_seed(seed: int, *purpose: int | str) -> int:
    """Return a seed for one purpose; distinct purposes have independent seeds.

    Parameters
    ----------
    seed
        Seed of the whole run.
    *purpose
        Words and numbers that name the purpose, such as ``"noise", tau``.

    Returns
    -------
    int
        63 bits of the BLAKE2b digest of seed and purpose.

    Examples
    --------
    >>> derive_seed(0, "noise", 1) == derive_seed(0, "noise", 1)
    True
    >>> derive_seed(0, "noise", 1) == derive_seed(0, "noise", 2)
    False
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *purpose: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh torch generator for one purpose, on the device; see `derive_seed`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))


class SampleNoise:
    """One stream of standard normal numbers for each sample, so that sample 17 does not depend on its batch.

    Each call returns the next (m, *shape) float32 tensor, with m the number of indices.

    Parameters
    ----------
    seed
        Seed of all samples.
    indices
        Which samples this is the noise of.
    shape
        Shape of one sample.
    device
        Where the tensors are put.
    """

    def __init__(
        self, seed: int, indices: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self.streams = [np.random.Generator(np.random.Philox(derive_seed(seed, "sample", i))) for i in indices]
        self.shape, self.device = tuple(shape), device
        self.block: np.ndarray | None = None
        self.used = 0

    def __call__(self) -> Tensor:
        if self.block is None:  # the first draw stands alone: a deterministic sampler needs no other
            self.block, self.used = self._draw(1), 0
        elif self.used == self.block.shape[1]:
            self.block, self.used = self._draw(NOISE_BLOCK), 0
        self.used += 1
        return torch.from_numpy(self.block[:, self.used - 1].copy()).to(self.device)

    def _draw(self, steps: int) -> np.ndarray:
        return np.stack([g.standard_normal((steps, *self.shape), dtype=np.float32) for g in self.streams])


@contextmanager
def global_seed(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators within the block, and leave them as they were before it.

    Dropout, and every other layer that draws random numbers in its forward pass, takes them from there.
    """
    generators = [torch.default_generator]
    if torch.device(device).type == "cuda":
        torch.cuda.init()
        generators.append(torch.cuda.default_generators[torch.device(device).index or 0])
    elif torch.device(device).type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    states = [g.get_state() for g in generators]
    for g in generators:
        g.manual_seed(seed)
    try:
        yield
    finally:
        for g, state in zip(generators, states, strict=True):
            g.set_state(state)


def seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Return the network that ``make`` builds, its initial weights a function of the seed."""
    with global_seed(seed):
        return make()
