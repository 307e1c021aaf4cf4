"""How well a time on more points is told from trainings on few: simulations in which the growth of tau_mem is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from .._version import __version__
from ..randomness import derive_seed
from ..timescales.prediction import STEEPER, predict
from .coverage import LAWS, SCATTER, STEEP
from .estimators.probed import CLOSE

DESIGNS = [(sizes, runs) for sizes in (2, 3, 4) for runs in (2, 3)]  # sizes of 32, 64, ..., runs of each
FIRST = 32
TIMES = 4  # the largest size, where the prediction is made
CONFIDENCES = (0.95, 0.9)


def accuracy(repetitions: int = 300, progress: bool = True) -> dict[str, Any]:
    """Predict one more training in every design and growth, and count how often it lies where it should.

    Returns rows of growth, sizes, runs, trials; held, for each of CONFIDENCES; near, how often the time is within a
    factor of CLOSE of the predicted one; and width, the median ratio of the ends of the first interval.
    """
    rows = []
    cases = [(law, sizes, runs) for law in LAWS | STEEP for sizes, runs in DESIGNS]
    for law, sizes, runs in tqdm(cases, disable=not progress):
        rng = np.random.default_rng(derive_seed(0, "accuracy", law, sizes, runs))
        n = np.repeat(FIRST * 2.0 ** np.arange(sizes), runs)
        at = TIMES * n.max()
        expected = np.log((LAWS | STEEP)[law](np.append(n, at)))
        held, near, width = [0] * len(CONFIDENCES), 0, []
        for _ in range(repetitions):
            tau = np.exp(expected + SCATTER * rng.standard_normal(len(expected)))
            for i, confidence in enumerate(CONFIDENCES):
                value, low, high = predict(n, tau[:-1], at, powers=STEEPER, confidence=confidence)
                held[i] += bool(low <= tau[-1] <= high)
                if i == 0:
                    width.append(high / low)
            near += bool(1 / CLOSE <= tau[-1] / value <= CLOSE)
        rows.append(
            {"growth": law, "sizes": sizes, "runs": runs, "trials": repetitions, "held": held, "near": near,
             "width": float(np.median(width))}
        )  # fmt: skip
    return {"rows": rows, "confidences": list(CONFIDENCES), "close": CLOSE, "version": __version__}


def by_design(found: dict[str, Any]) -> pd.DataFrame:
    """For each design the lowest and highest share over all growths, as text, and the median width of the interval.

    found: as of `accuracy`.
    """
    close, table = f"within {found['close']:g} times", []
    for (sizes, runs), part in pd.DataFrame(found["rows"]).groupby(["sizes", "runs"]):
        near, steep = part["near"] / part["trials"], part["growth"].isin(STEEP)
        row: dict[str, Any] = {"sizes": sizes, "trainings of each": runs}
        for i, confidence in enumerate(found["confidences"]):
            row[f"in the {confidence:.0%} interval"] = _span(part["held"].str[i] / part["trials"])
        row[close] = _span(near[~steep])
        row[f"{close}, growth that steepens"] = _span(near[steep])
        row["high/low"] = f"{part['width'].min():.1f} to {part['width'].max():.1f}"
        table.append(row)
    return pd.DataFrame(table)


def accuracy_report(found: dict[str, Any]) -> str:
    """Return the table for a terminal."""
    return by_design(found).to_string(index=False)


def _span(shares: pd.Series) -> str:
    return f"{shares.min():.0%} to {shares.max():.0%}"
