"""Which samples an eye that knows digits would take for one: a judge of quality beside the Frechet distance.

The distance is between clouds of features and says nothing of one sample. This judge knows pixels only: a sample is
recognised if it lies as near to a real digit as other digits do (the ball of arXiv 1904.06991, of the nearest digit
alone, since a black picture lies in the large balls of rare digits), and if its neighbours agree on what it is. No
digit that anything is trained on is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ...data.digits import digits
from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing
from ..sweeps.tables import sweep_results
from . import Estimate
from .scaling import F_MEM, exponent_of

NEIGHBOURS, AGREEING = 10, 8  # nearest real digits, and how many of them are of one class
BALL = 3  # a sample has to be as near to its nearest digit as that digit's third neighbour
EDGES = (0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.7, 1.5, 3.0, 10.0)  # of the groups of distances
LARGE = 256  # training images from which on samples become good before they are copies
GOOD = 2 / 3  # of the share of real digits that is recognised


@lru_cache(maxsize=2)
def _known(side: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Real digits that are in no training set, their classes, and the radius of the ball of each."""
    parts = [digits(part, side) for part in ("test", "features")]
    points = np.concatenate([_flat(x.numpy()) for x, _ in parts])
    distances, _ = _nearest(points, points, BALL + 1)  # the digit itself among them
    return points, np.concatenate([y.numpy() for _, y in parts]), distances[:, BALL]


def _flat(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pictures.reshape(len(pictures), -1).astype(float)


def _nearest(
    queries: NDArray[np.float64], points: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and indices of the nearest points; exact, since pixels are whole numbers."""
    squares = (queries**2).sum(1)[:, None] + (points**2).sum(1) - 2 * queries @ points.T
    index = np.argpartition(squares, count, axis=1)[:, :count]
    index = np.take_along_axis(index, np.argsort(np.take_along_axis(squares, index, 1), axis=1), 1)
    return np.sqrt(np.take_along_axis(squares, index, 1)), index


def recognised(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pictures, (m, 1, side, side) bytes, are taken for a digit."""
    points, classes, radius = _known(pictures.shape[-1])
    distance, index = _nearest(_flat(pictures), points, NEIGHBOURS)
    agreeing = np.array([np.bincount(row, minlength=10).max() for row in classes[index]])
    near: NDArray[np.bool_] = (distance[:, 0] <= radius[index[:, 0]]) & (agreeing >= AGREEING)
    return near


@lru_cache(maxsize=2)
def share_of_real(side: int = 16) -> float:
    """The share of the digits that training sets are taken from that is recognised: no samples are asked for more."""
    return float(recognised(digits("train", side)[0].numpy()).mean())


def tau_recognised(runs: Sequence[Result], good: float = GOOD) -> list[Timescale]:
    """First time that so many of the kept samples are recognised, in units of `share_of_real`.

    The share is a running median of three milestones, as the distance of tau_gen is.
    """
    times = []
    for r in runs:
        share = milestones([r]).set_index("step")["share"].rolling(3, center=True, min_periods=2).median()
        level = good * share_of_real(r.config["side"])
        times.append(first_crossing(share.index.to_numpy(), share.to_numpy(), level))
    return times


def exponent_in_n(sweep: str, good: float = GOOD) -> Estimate:
    """Slope of log tau_recognised against log n."""
    runs = sweep_results(sweep)
    return exponent_of(tau_recognised(runs, good), runs)


def milestones(runs: Sequence[Result]) -> pd.DataFrame:
    """A row a milestone of each run: columns n, step, distance (Frechet), f_mem, and the share that is recognised.

    The share is of the kept samples, the others are of all.
    """
    rows = []
    for r in runs:
        distances, f_mem = (r.curve(metric)["value"] for metric in ("fd", "f_mem"))
        for step, pictures in zip(r.samples["step"].tolist(), r.samples["samples"], strict=True):
            share = float(recognised(pictures).mean())
            rows.append((r.config["n"], step, distances[step], f_mem[step], share))
    return pd.DataFrame(rows, columns=["n", "step", "distance", "f_mem", "share"])


def by_distance(table: pd.DataFrame, edges: Sequence[float] = EDGES) -> pd.DataFrame:
    """Mean share in groups of the distance, with Student's 95% interval: columns distance, value, low, high, count.

    The distance of a group is the geometric mean of its milestones.
    """
    rows = []
    for _, part in table.groupby(pd.cut(table["distance"], list(edges)), observed=True):
        if len(part) > 1:
            value = float(part["share"].mean())
            half = float(stats.t.ppf(0.975, len(part) - 1) * part["share"].std() / len(part) ** 0.5)
            rows.append((float(np.exp(np.log(part["distance"]).mean())), value, value - half, value + half, len(part)))
    return pd.DataFrame(rows, columns=["distance", "value", "low", "high", "count"])


def share_at(distance: float, table: pd.DataFrame, edges: Sequence[float] = EDGES) -> float:
    """The share at a distance, of large training sets before tau_mem, interpolated in the distance's logarithm."""
    groups = by_distance(table[(table["n"] >= LARGE) & (table["f_mem"] < F_MEM)], edges)
    return float(np.interp(np.log(distance), np.log(groups["distance"]), groups["value"]))
