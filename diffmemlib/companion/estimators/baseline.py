"""How many fresh data meet the criterion of copies by chance: what f_mem is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from ...data.images import images
from ...experiments import gmm
from ...metrics.memorization import NeighbourIndex
from ...randomness import derive_seed
from ...runs.store import Result

FRESH = 20_000  # points of the mixture that are drawn; of images, all that are held out
THRESHOLDS = {"1/4": 1 / 4, "1/3": 1 / 3, "1/2": 1 / 2}


def train_and_fresh(run: Result) -> tuple[Tensor, Tensor]:
    """The training set of a run, and data that it has not seen."""
    c = run.config
    if "dataset" in c:
        data = images(c["dataset"], c["side"], c["scale"])
        return data.centred(data.training_set(c["n"], c["seed"])), data.centred(data.test)
    return gmm.training_set(c)[0], gmm.population(c).sample(FRESH, derive_seed(c["seed"], "fresh")).float()


def fresh_shares(runs: Sequence[Result]) -> pd.DataFrame:
    """Share of fresh data that meet the criterion for the training sets of the runs, by the threshold k.

    A row for each n, the largest of its runs, and a column for each k.
    """
    rows = []
    for run in runs:
        train, fresh = train_and_fresh(run)
        near = NeighbourIndex(train).two_nearest(fresh)
        rows.append({"n": run.config["n"]} | {k: float(np.mean(near.memorized(v))) for k, v in THRESHOLDS.items()})
    return pd.DataFrame(rows).groupby("n").max()


def by_chance(runs: Sequence[Result]) -> float:
    """The largest share of fresh data that are called copies, at k = 1/3, for the training set of any of the runs."""
    return float(fresh_shares(runs)["1/3"].max())
