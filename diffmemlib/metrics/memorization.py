"""Memorised fraction f_mem: the share of samples much nearer to one training point than to any other (Eq. 6)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..precision import tensor_float_32
from .inputs import Kind, as_points, check_alike

CANDIDATES = 8  # kept from the fast pass, then measured exactly
ROWS, EXACT_ROWS = 1024, 256  # samples at once in the two passes: large for the product, small for the cache
BLOCK = 64  # training points whose fast distances are reduced together before candidates are chosen
CLUSTER = 32  # near-duplicates of a point that are looked for at most
Z = 1.959963984540054  # standard normal quantile of 0.975
PART, PARTS, TRIED = 4, 512, 2000  # of `hide_copies`: points in a part at least, parts of a set, points in all parts
ORDINARY = (1e-10, 1e10)  # sizes of numbers whose squares float32 holds with all its digits


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
    """f_mem with its 95% interval, how far it is blind, and the neighbours it was read from.

    Parameters
    ----------
    value, low, high : float
        f_mem and the ends of Wilson's interval.
    blind : int
        Samples whose nearest training point has a near-duplicate: a copy of such a point is as near to the other, and
        is not counted. Where there are many, f_mem is too small.
    neighbours : Neighbours
        Of all samples.
    """

    value: float
    low: float
    high: float
    blind: int
    neighbours: Neighbours


class NeighbourIndex:
    """Training points made ready for neighbour search, so that many sets of samples share the preparation.

    Parameters
    ----------
    train
        (n, ...) with n >= 2, tensor, array or list. The work is done on its device (on the CPU instead of MPS, which
        has no float64).
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

    def __init__(self, train: Any, memory: int = 2**28) -> None:
        points = as_points(train, "train")
        if len(points) < 2:
            raise ValueError("train has fewer than 2 points: d1/d2 needs a second neighbour")
        self.kind = Kind.of(points)
        size = max(-self.kind.low, self.kind.high)
        self.unit = 1.0 if ORDINARY[0] <= size <= ORDINARY[1] or size == 0 else size
        self.train = self._flat(points)
        self.centre = self.train.mean(0)  # near the data, so that rounding is relative to their spread
        self.centred = (self.train - self.centre).float()
        self.square = self.centred.square().sum(1)
        self.rows = min(ROWS, max(1, memory // (4 * len(self.train))))

    def two_nearest(self, samples: Any) -> Neighbours:
        """Return the two nearest training points of every sample, (m, ...), in L2, exactly.

        Fast pass: float32 squared distances by one matrix product, and the 8 smallest of each row. Exact pass: norms
        of float64 differences, which lose nothing for near-duplicates, of the first 2; of all 8 where the third could
        be nearer within the rounding of the fast pass; of all training points where the ninth could.
        """
        samples = as_points(samples, "samples")
        check_alike(Kind.of(samples), self.kind)
        index, distance = [], []
        for part in self._flat(samples).split(self.rows):
            i, d = self._two_nearest(part.to(self.train.device))
            index.append(i.cpu().numpy())
            distance.append(d.cpu().numpy())
        return Neighbours(np.concatenate(index), self.unit * np.concatenate(distance))

    def has_near_duplicate(self, index: np.ndarray | None = None, k: float = 1 / 3) -> np.ndarray:
        """Return whether training points belong to a group of near-duplicates, as booleans.

        Sorted by distance, the other points e_1 <= e_2 <= ... of such a point make a jump: e_j < k e_{j+1} for a j up
        to 32. The rule compares a point with its own surroundings, so it holds where all points have duplicates too.

        Parameters
        ----------
        index
            Of the training points to look at; all unless given.
        k
            The ratio that counts as a jump.
        """
        _check_k(k)
        rows = torch.arange(len(self.train))
        if index is not None:  # integers, or a boolean for each point
            rows = rows[torch.as_tensor(np.asarray(index) if len(index) else np.zeros(0, int))]
        found = []
        for part in rows.to(self.train.device).split(self.rows):
            candidate, _ = _smallest(self._fast(self.train[part]), min(CLUSTER + 2, len(self.train)))
            _, d = _exact(self.train[part], self.train, candidate, keep=candidate.shape[1])
            others = d[:, 1:]  # the nearest point is the point itself, or one that equals it
            found.append((others[:, :-1] < k * others[:, 1:]).any(1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros(0, bool)

    def _flat(self, x: Tensor) -> Tensor:
        """Points in a row each, in float64 where float32 does not hold them exactly, in units that it can square."""
        x = (x.cpu() if x.device.type == "mps" else x).flatten(1)
        if self.unit != 1:
            return x.double() / self.unit
        exact = x.dtype in (torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.bool)
        return x.float() if exact else x.double()

    def _fast(self, part: Tensor) -> Tensor:
        """|a - b|^2 - |a|^2 for every training point b, the same order in each row, in float32."""
        with tensor_float_32(False):  # the bound on the rounding of the product is that of float32
            return torch.addmm(self.square, (part - self.centre).float(), self.centred.T, alpha=-2)

    def _two_nearest(self, part: Tensor) -> tuple[Tensor, Tensor]:
        candidate, value = _smallest(self._fast(part), min(CANDIDATES, len(self.train)))
        # Every product of d terms is off by at most d + 8 roundings of (|a| + |b|)^2.
        a2 = (part - self.centre).float().double().square().sum(1)
        eps = torch.finfo(torch.float32).eps
        slack = (part.shape[1] + 8) * eps * (a2.sqrt() + self.square.max().double().sqrt()) ** 2
        bound = value.double() + (a2 - slack)[:, None]  # no point from candidate c on is nearer than bound[:, c]^1/2
        bound[~torch.isfinite(bound)] = -torch.inf  # a sample too far away for float32: all training points are tried
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


def two_nearest(samples: Any, train: Any, memory: int = 2**28) -> Neighbours:
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


def memorized_fraction(samples: Any, train: Any, k: float = 1 / 3) -> MemorizedFraction:
    """Return the share of samples with d1/d2 < k (Eq. 6), and Wilson's 95% interval for it.

    Warns where samples lie nearest to training points that have near-duplicates, which the criterion does not see.

    Parameters
    ----------
    samples
        (m, ...), tensor, array or list.
    train
        (n, ...) with n >= 2, of the same layout and scale, or a `NeighbourIndex` of it.
    k
        Threshold in (0, 1).

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
    _check_k(k)
    index = train if isinstance(train, NeighbourIndex) else NeighbourIndex(train)
    neighbours = index.two_nearest(samples)
    nearest, which = np.unique(neighbours.index[:, 0], return_inverse=True)
    blind = int(index.has_near_duplicate(nearest, k)[which].sum())
    if blind:
        warnings.warn(
            f"{blind} of {len(which)} samples lie nearest to a training point that has a near-duplicate: a copy of it "
            "is as near to the other and is not counted, so f_mem may be too small; leave near-duplicates out of train",
            stacklevel=2,
        )
    return MemorizedFraction(*wilson(neighbours.memorized(k)), blind, neighbours)


def wilson_interval(share: ArrayLike, count: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Wilson's 95% intervals for shares of so many yes/no values; see `wilson`."""
    share, z2 = np.asarray(share, float), Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return np.where(share == 0, 0.0, middle - half), np.where(share == 1, 1.0, middle + half)


def wilson(hits: np.ndarray) -> tuple[float, float, float]:
    """Return the share of yes among yes/no values, and Wilson's 95% interval for the probability behind it.

    It has a width where nothing, or everything, is a yes.

    Parameters
    ----------
    hits
        (m,) booleans.

    References
    ----------
    Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16 (2001).

    Examples
    --------
    >>> low, high = wilson(np.zeros(200, bool))[1:]
    >>> low, round(high, 4)
    (0.0, 0.0188)
    """
    share = float(np.mean(hits))
    low, high = wilson_interval(share, len(hits))
    return share, float(low), float(high)


def near_duplicates(train: Any, k: float = 1 / 3, sample: int | None = None) -> int:
    """Return the number of training points with a near-duplicate; see `NeighbourIndex.has_near_duplicate`.

    Points like these blind the test d1/d2 < k: a copy of one is as near to the other. The work grows with the square of
    the number of points, or with ``sample`` times it.

    Parameters
    ----------
    train
        (n, ...), or a `NeighbourIndex` of it.
    k
        The ratio that counts as a jump.
    sample
        Points to look at, chosen at random, where there are more; what is returned is then an estimate. All unless
        given.
    """
    index = train if isinstance(train, NeighbourIndex) else NeighbourIndex(train)
    count = len(index.train)
    if sample is None or sample >= count:
        return int(index.has_near_duplicate(k=k).sum())
    chosen = np.random.Generator(np.random.Philox(0)).choice(count, sample, replace=False)
    return round(count * float(index.has_near_duplicate(chosen, k).mean()))


def hide_copies(train: Any, k: float = 1 / 3, sample: int | None = None, least: float = 0.05) -> tuple[int, bool]:
    """Return the number of training points with a near-duplicate, and whether these are more than chance explains.

    In few dimensions some points of any data lie so near to each other. That share does not depend on how many points
    there are, while near-duplicates lose each other in a part of the data. So it is taken from small parts, drawn at
    random, and more than twice of it is no chance. Groups of up to `CLUSTER` near-duplicates are seen.

    Parameters
    ----------
    train, k, sample
        As of `near_duplicates`.
    least
        Share of points with a near-duplicate up to which they do not matter.
    """
    index = train if isinstance(train, NeighbourIndex) else NeighbourIndex(train)
    count = len(index.train)
    found = near_duplicates(index, k, sample)
    size, g = max(PART, count // PARTS), np.random.Generator(np.random.Philox(1))
    parts = [index.train[g.choice(count, min(size, count), replace=False)] for _ in range(math.ceil(TRIED / size))]
    by_chance = float(np.mean([NeighbourIndex(part).has_near_duplicate(k=k).mean() for part in parts]))
    return found, found > max(least, 2 * by_chance) * count


def _check_k(k: float) -> None:
    if not 0 < k < 1:
        raise ValueError(f"k = {k}: the threshold of d1/d2 lies between 0 and 1")


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


def _exact(part: Tensor, train: Tensor, candidate: Tensor, keep: int = 2) -> tuple[Tensor, Tensor]:
    """The nearest among the candidates (m, c) by float64 differences; ties go to the lower index."""
    candidate = candidate.sort(dim=1).values
    rows = max(1, EXACT_ROWS * CANDIDATES // candidate.shape[1])
    blocks = zip(part.split(rows), candidate.split(rows), strict=True)
    d = torch.cat([train[c].double().sub_(p.double()[:, None]).norm(dim=2) for p, c in blocks])
    d, best = d.sort(dim=1, stable=True)
    return candidate.gather(1, best[:, :keep]), d[:, :keep]


def _search_row(row: Tensor, train: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    d = torch.cat([(part.double() - row.double()).norm(dim=1) for part in train.split(chunk)])
    d, index = d.sort(stable=True)
    return index[:2], d[:2]
