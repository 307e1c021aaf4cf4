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

    index: (m, 2) integers, nearest first. distance: (m, 2), L2, float64, d1 <= d2.
    """

    index: np.ndarray
    distance: np.ndarray

    def memorized(self, k: float = 1 / 3) -> np.ndarray:
        """d1 < k d2, sample by sample; (m,) booleans."""
        return self.distance[:, 0] < k * self.distance[:, 1]


@dataclass(frozen=True)
class MemorizedFraction:
    """f_mem with its 95% bootstrap interval [low, high], and the neighbours it was read from."""

    value: float
    low: float
    high: float
    neighbours: Neighbours


def memorized_fraction(
    samples: Tensor, train: Tensor, k: float = 1 / 3, resamples: int = 1000, seed: int = 0
) -> MemorizedFraction:
    """Share of samples with d1/d2 < k (Eq. 6), and its 95% interval from bootstrap resamples of the samples.

    samples: (m, ...). train: (n, ...), n >= 2. k: threshold in (0, 1), default 1/3. resamples: default 1000.
    """
    if not 0 < k < 1:
        raise ValueError(f"k = {k}: the threshold of d1/d2 lies between 0 and 1")
    neighbours = two_nearest(samples, train)
    return MemorizedFraction(*bootstrap(neighbours.memorized(k), resamples, seed), neighbours)


def bootstrap(hits: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[float, float, float]:
    """Share of yes among yes/no values and its 95% interval from resamples of them."""
    # A resample of m yes/no values has a binomial number of yes.
    draws = np.random.default_rng(seed).binomial(len(hits), hits.mean(), size=resamples) / len(hits)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(hits.mean()), float(low), float(high)


def two_nearest(samples: Tensor, train: Tensor, memory: int = 2**28) -> Neighbours:
    """The two nearest training points of every sample in L2, exactly.

    samples: (m, ...), train: (n, ...) with n >= 2, on whose device the work is done; trailing axes are flattened.
    memory: bytes for the table of fast distances (default 256 MiB; at most 1024 samples are taken at once), beside a
    float32 copy of train.

    Fast pass: float32 squared distances by one matrix product, and the 8 smallest of each row. Exact pass: norms of
    float64 differences, which lose nothing for near-duplicates, of the first 2; of all 8 where the third could be
    nearer within the rounding of the fast pass; of all training points where the ninth could.
    """
    samples, train = _flat(samples, "samples"), _flat(train, "train")
    if samples.shape[1] != train.shape[1]:
        raise ValueError(f"samples have {samples.shape[1]} numbers each, train has {train.shape[1]}")
    if len(train) < 2:
        raise ValueError("train has fewer than 2 points: d1/d2 needs a second neighbour")
    centre = train.mean(0)  # near the data, so that rounding is relative to their spread
    b = (train - centre).float()
    b2 = b.square().sum(1)
    rows = min(ROWS, max(1, memory // (4 * len(train))))
    index, distance = [], []
    for part in samples.split(rows):
        part = part.to(train.device)
        a = (part - centre).float()
        with _full_precision():
            fast = torch.addmm(b2, a, b.T, alpha=-2)  # |a - b|^2 - |a|^2, the same order in each row
        candidate, value = _smallest(fast, min(CANDIDATES, len(train)))
        # Every product of d terms is off by at most d + 8 roundings of (|a| + |b|)^2.
        a2 = a.double().square().sum(1)
        slack = (part.shape[1] + 8) * torch.finfo(torch.float32).eps * (a2.sqrt() + b2.max().double().sqrt()) ** 2
        bound = value.double() + (a2 - slack)[:, None]  # no point from candidate c on is nearer than bound[:, c]^1/2
        i, d = _certain(part, train, candidate, bound)
        index.append(i.cpu().numpy())
        distance.append(d.cpu().numpy())
    return Neighbours(np.concatenate(index), np.concatenate(distance))


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 in the product, whatever the caller allows elsewhere: the bound on its rounding is that of float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _certain(part: Tensor, train: Tensor, candidate: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """The two nearest, from as few candidates as prove it: the first 2, else all, else the whole training set."""
    i, d = _exact(part, train, candidate[:, :2])
    if len(train) > 2:
        row = (bound[:, 2] <= d[:, 1] ** 2).nonzero().flatten()
        i[row], d[row] = _exact(part[row], train, candidate[row])
    if len(train) > CANDIDATES:
        for r in (bound[:, -1] <= d[:, 1] ** 2).nonzero().flatten().tolist():
            i[r], d[r] = _search_row(part[r], train)
    return i, d


def near_duplicates(train: Tensor, ratio: float = 0.1) -> int:
    """Number of training points that have another one nearer than ratio times the typical distance.

    The typical distance is the median over the training set of the distance to the nearest other point. Points
    like these blind the test d1/d2 < k: a copy of one is as near to the other. ratio: default 0.1.
    """
    distance = two_nearest(train, train).distance[:, 1]
    return int((distance <= ratio * np.median(distance)).sum()) if len(train) > 2 else 0


def _flat(x: Tensor, name: str) -> Tensor:
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected one or more points along the first axis")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinite numbers; distances to them mean nothing")
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
