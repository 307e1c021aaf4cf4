"""Memorised fraction f_mem: the share of samples much nearer to one training point than to any other (Eq. 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CANDIDATES = 8  # kept from the fast pass, then measured exactly
ROWS, EXACT_ROWS = 1024, 256  # samples at once in the two passes: large for the product, small for the cache
BLOCK = 64  # training points whose fast distances are reduced together before candidates are chosen


@dataclass(frozen=True)
class Neighbours:
    """The two nearest training points of each of m samples.

    Parameters
    ----------
    index : ndarray
        (m, 2) integers, nearest first.
    distance : ndarray
        (m, 2), L2, float64, d1 <= d2.
    """

    index: np.ndarray
    distance: np.ndarray

    def memorized(self, k: float = 1 / 3) -> np.ndarray:
        """Return d1 < k d2, sample by sample; (m,) booleans."""
        return self.distance[:, 0] < k * self.distance[:, 1]


@dataclass(frozen=True)
class MemorizedFraction:
    """f_mem with its 95% bootstrap interval, and the neighbours it was read from.

    Parameters
    ----------
    value, low, high : float
        f_mem and the ends of its interval.
    neighbours : Neighbours
        Of all samples.
    """

    value: float
    low: float
    high: float
    neighbours: Neighbours


class NeighbourIndex:
    """Training points made ready for neighbour search, so that many sets of samples share the preparation.

    Parameters
    ----------
    train
        (n, ...) with n >= 2; trailing axes are flattened. The work is done on its device (on the CPU instead of MPS,
        which has no float64).
    memory
        Bytes for the table of fast distances (default 256 MiB; at most 1024 samples are taken at once), beside a
        float32 copy of train.

    Raises
    ------
    ValueError
        For fewer than two points, and for NaN or infinite numbers.

    Examples
    --------
    >>> import torch
    >>> index = NeighbourIndex(torch.tensor([[0.0], [1.0], [5.0]]))
    >>> index.two_nearest(torch.tensor([[0.9]])).index
    array([[1, 0]])
    """

    def __init__(self, train: Tensor, memory: int = 2**28) -> None:
        self.train = _flat(train, "train")
        if len(self.train) < 2:
            raise ValueError("train has fewer than 2 points: d1/d2 needs a second neighbour")
        self.centre = self.train.mean(0)  # near the data, so that rounding is relative to their spread
        self.centred = (self.train - self.centre).float()
        self.square = self.centred.square().sum(1)
        self.rows = min(ROWS, max(1, memory // (4 * len(self.train))))

    def two_nearest(self, samples: Tensor) -> Neighbours:
        """Return the two nearest training points of every sample, (m, ...), in L2, exactly.

        Fast pass: float32 squared distances by one matrix product, and the 8 smallest of each row. Exact pass: norms
        of float64 differences, which lose nothing for near-duplicates, of the first 2; of all 8 where the third could
        be nearer within the rounding of the fast pass; of all training points where the ninth could.
        """
        samples = _flat(samples, "samples")
        if samples.shape[1] != self.train.shape[1]:
            raise ValueError(f"samples have {samples.shape[1]} numbers each, train has {self.train.shape[1]}")
        index, distance = [], []
        for part in samples.split(self.rows):
            i, d = self._two_nearest(part.to(self.train.device))
            index.append(i.cpu().numpy())
            distance.append(d.cpu().numpy())
        return Neighbours(np.concatenate(index), np.concatenate(distance))

    def _two_nearest(self, part: Tensor) -> tuple[Tensor, Tensor]:
        a = (part - self.centre).float()
        with _full_precision():
            # |a - b|^2 - |a|^2, the same order in each row
            fast = torch.addmm(self.square, a, self.centred.T, alpha=-2)
        candidate, value = _smallest(fast, min(CANDIDATES, len(self.train)))
        # Every product of d terms is off by at most d + 8 roundings of (|a| + |b|)^2.
        a2 = a.double().square().sum(1)
        eps = torch.finfo(torch.float32).eps
        slack = (part.shape[1] + 8) * eps * (a2.sqrt() + self.square.max().double().sqrt()) ** 2
        bound = value.double() + (a2 - slack)[:, None]  # no point from candidate c on is nearer than bound[:, c]^1/2
        return self._prove(part, candidate, bound)

    def _prove(self, part: Tensor, candidate: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
        """The two nearest, from as few candidates as prove it: the first 2, else all, else the whole training set."""
        i, d = _exact(part, self.train, candidate[:, :2])
        if len(self.train) > 2:
            row = (bound[:, 2] <= d[:, 1] ** 2).nonzero().flatten()
            i[row], d[row] = _exact(part[row], self.train, candidate[row])
        if len(self.train) > CANDIDATES:
            for r in (bound[:, -1] <= d[:, 1] ** 2).nonzero().flatten().tolist():
                i[r], d[r] = _search_row(part[r], self.train)
        return i, d


def two_nearest(samples: Tensor, train: Tensor | NeighbourIndex, memory: int = 2**28) -> Neighbours:
    """Return the two nearest training points of every sample in L2, exactly; see `NeighbourIndex`.

    Parameters
    ----------
    samples
        (m, ...).
    train
        (n, ...) with n >= 2, or a `NeighbourIndex` of it, which keeps what samples share.
    memory
        Bytes for the table of fast distances.

    Raises
    ------
    ValueError
        For samples and training points of different sizes, and for NaN or infinite numbers.
    """
    index = train if isinstance(train, NeighbourIndex) else NeighbourIndex(train, memory)
    return index.two_nearest(samples)


def memorized_fraction(
    samples: Tensor, train: Tensor | NeighbourIndex, k: float = 1 / 3, resamples: int = 1000, seed: int = 0
) -> MemorizedFraction:
    """Return the share of samples with d1/d2 < k (Eq. 6), and its 95% interval from bootstrap resamples of them.

    Parameters
    ----------
    samples
        (m, ...).
    train
        (n, ...) with n >= 2, or a `NeighbourIndex` of it.
    k
        Threshold in (0, 1).
    resamples
        Of the bootstrap.
    seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        For k out of range, and as `two_nearest`.

    Examples
    --------
    >>> import torch
    >>> train, samples = torch.rand(1000, 64), torch.rand(500, 64)
    >>> samples[:50] = train[:50] + 0.01
    >>> memorized_fraction(samples, train).value
    0.1
    """
    if not 0 < k < 1:
        raise ValueError(f"k = {k}: the threshold of d1/d2 lies between 0 and 1")
    neighbours = two_nearest(samples, train)
    return MemorizedFraction(*bootstrap(neighbours.memorized(k), resamples, seed), neighbours)


def bootstrap(hits: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[float, float, float]:
    """Return the share of yes among yes/no values, and its 95% interval from resamples of them."""
    # A resample of m yes/no values has a binomial number of yes.
    draws = np.random.default_rng(seed).binomial(len(hits), hits.mean(), size=resamples) / len(hits)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(hits.mean()), float(low), float(high)


def near_duplicates(train: Tensor, ratio: float = 0.1) -> int:
    """Return the number of training points that have another one nearer than ratio times the typical distance.

    Points like these blind the test d1/d2 < k: a copy of one is as near to the other.

    Parameters
    ----------
    train
        (n, ...).
    ratio
        Of the typical distance, which is the median over the training set of the distance to the nearest other point.
    """
    distance = two_nearest(train, train).distance[:, 1]
    return int((distance <= ratio * np.median(distance)).sum()) if len(train) > 2 else 0


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 in the product, whatever the caller allows elsewhere: the bound on its rounding is that of float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _flat(x: Tensor, name: str) -> Tensor:
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected one or more points along the first axis")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinite numbers; distances to them mean nothing")
    x = x.detach().cpu() if x.device.type == "mps" else x.detach()
    return x.flatten(1) if x.dtype == torch.float64 else x.flatten(1).float()  # exact for bytes and half precision


def _smallest(fast: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Columns of the `count` smallest entries of each row, and these entries, both in increasing order.

    The smallest entries lie in the blocks with the smallest minima, so a row is read once and sorted never.
    """
    rows, n = fast.shape
    if n <= 4 * count * BLOCK:
        values, columns = fast.topk(count, dim=1, largest=False)
        return columns, values
    whole = n // BLOCK * BLOCK
    blocks = fast[:, :whole].view(rows, -1, BLOCK)
    chosen = blocks.amin(2).topk(count, dim=1, largest=False).indices
    columns = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK, device=fast.device)).flatten(1)
    columns = torch.cat([columns, torch.arange(whole, n, device=fast.device).expand(rows, -1)], dim=1)
    values, best = fast.gather(1, columns).topk(count, dim=1, largest=False)
    return columns.gather(1, best), values


def _exact(part: Tensor, train: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
    """The two nearest among the candidates (m, c) by float64 differences; ties go to the lower index."""
    candidate = candidate.sort(dim=1).values
    blocks = zip(part.split(EXACT_ROWS), candidate.split(EXACT_ROWS), strict=True)
    d = torch.cat([train[c].double().sub_(p.double()[:, None]).norm(dim=2) for p, c in blocks])
    d, best = d.sort(dim=1, stable=True)
    return candidate.gather(1, best[:, :2]), d[:, :2]


def _search_row(row: Tensor, train: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    d = torch.cat([(part.double() - row.double()).norm(dim=1) for part in train.split(chunk)])
    d, index = d.sort(stable=True)
    return index[:2], d[:2]
