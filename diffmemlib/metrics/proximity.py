"""Whether samples lie nearer to the training data than to other data, which comes long before copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .copying import distances, flat
from .inputs import Kind, as_points, check_alike

ROWS = 256  # samples whose distances to all others are in memory at once


def nearer_to_training(samples: Any, train: Any, fresh: Any) -> NDArray[np.float64]:
    """How often each sample is nearer to the training set than to a fresh set of the same size.

    The mean over all subsets of the fresh points of that size: with r of the F fresh points nearer to the sample than
    its nearest of the n training points, C(F - r, n)/C(F, n). Where samples do not depend on which points were trained
    on, both sets are alike and the expectation is 1/2; copies have 1. Fresh points as near as the training point count
    half.

    Parameters
    ----------
    samples, train, fresh
        (m, ...), (n, ...), (F, ...), with F >= n; tensors, arrays or lists.

    Returns
    -------
    array
        (m,), between 0 and 1.

    Raises
    ------
    ValueError
        For points that cannot be compared, and fewer fresh than training points.
    """
    x, t, f = (as_points(points, name) for points, name in ((samples, "samples"), (train, "train"), (fresh, "fresh")))
    check_alike(Kind.of(x), Kind.of(t))
    check_alike(Kind.of(f), Kind.of(t), "fresh")
    n, count = len(t), len(f)
    if count < n:
        raise ValueError(f"{count} fresh points for {n} training points: as many are the fewest")
    x, t, f = flat(x), flat(t), flat(f)
    farther = []
    for part in x.split(ROWS):
        own, apart = distances(part, t).amin(1, keepdim=True).numpy(), distances(part, f).numpy()
        # numpy counts what is true six times as fast as torch adds it up
        farther.append(np.stack([np.count_nonzero(apart >= own, 1), np.count_nonzero(apart > own, 1)], 1))
    return _all_farther(np.concatenate(farther), count, n).mean(1)


def _all_farther(farther: NDArray[np.int64], count: int, n: int) -> NDArray[np.float64]:
    """C(farther, n)/C(count, n): the share of subsets of n that lie among so many of count points."""
    enough = np.maximum(farther, n)
    log = gammaln(enough + 1) - gammaln(enough - n + 1) - gammaln(count + 1) + gammaln(count - n + 1)
    return np.where(farther < n, 0.0, np.exp(np.minimum(log, 0.0)))
