"""How small a share of copies each measure sees, and what else it takes for copies, where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from .._version import __version__
from ..data.gmm import GaussianMixture
from ..metrics.copying import copying_measures
from ..randomness import derive_seed, generator

DIMENSION, TRAIN, SAMPLES, HELD_OUT = 8, 512, 500, 1000
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# Standard deviation of what is added to a training point: the last is as far from it as its nearest neighbours are.
NEARNESS = {"copies": 1e-3, "near copies": 0.2, "rough copies": 0.4}
WIDE, SHIFT = 1.2, 0.3  # of the first and the last of the faults
FAULTS = ("too wide", "one mode", "shifted")  # of samples none of which is a copy
ALARM = 0.05  # share of fresh sets that are taken for copies


def copying_grid(repetitions: int = 40, progress: bool = True) -> dict[str, Any]:
    """Return how often each measure says "copies", for sets of samples of the mixture of Fig. 8 in 8 dimensions.

    A measure says so where its value is beyond that of 95% of sets of fresh samples, on the side to which copies move
    it. Training, held-out and fresh points are drawn anew in each repetition.

    Parameters
    ----------
    repetitions
        Of each kind of set.
    progress
        Whether to show it.

    Returns
    -------
    dict
        ``alarms``: for each kind of set and measure, the share of sets that are taken for copies; ``medians``: of the
        values; settings.
    """
    kinds = ["fresh", *FAULTS, *(f"{share:g} {kind}" for kind in NEARNESS for share in SHARES)]
    values: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    sides: dict[str, str] = {}
    for repetition in tqdm(range(repetitions), disable=not progress):
        mixture, seed = GaussianMixture(DIMENSION, 1.0), derive_seed(0, "copying", repetition)
        train, held_out, fresh = (
            mixture.sample(count, derive_seed(seed, name))
            for name, count in (("train", TRAIN), ("held out", HELD_OUT), ("fresh", SAMPLES))
        )
        for kind in kinds:
            table = copying_measures(made(kind, fresh, train, seed), train, held_out, seed=seed)
            for name, value, side in zip(table.index, table["samples"], table["copies"], strict=True):
                values[kind].setdefault(name, []).append(value)
                sides[name] = side
    alarms = {kind: {name: _alarms(values, kind, name, sides[name]) for name in sides} for kind in kinds}
    medians = {kind: {name: float(np.median(values[kind][name])) for name in sides} for kind in kinds}
    return {
        "alarms": alarms, "medians": medians, "repetitions": repetitions, "dimension": DIMENSION, "train": TRAIN,
        "samples": SAMPLES, "held_out": HELD_OUT, "shares": SHARES, "nearness": NEARNESS, "alarm": ALARM,
        "version": __version__,
    }  # fmt: skip


def made(kind: str, fresh: Tensor, train: Tensor, seed: int) -> Tensor:
    """Return a set of samples of a kind.

    Parameters
    ----------
    kind
        "fresh", one of the faults, or a share and a kind of copies, such as "0.05 rough copies".
    fresh, train
        Fresh samples of the law, and the training points.
    seed
        Of the copies.
    """
    if kind == "fresh":
        return fresh
    if kind == "too wide":
        return WIDE * fresh
    if kind == "shifted":
        return fresh + SHIFT
    if kind == "one mode":  # those of the other are turned into this one's
        return torch.where(fresh.sum(1, keepdim=True) > 0, fresh, -fresh)
    share, copies = kind.split(" ", 1)
    g, count = generator(seed, kind), round(float(share) * len(fresh))
    chosen = train[torch.randint(len(train), (count,), generator=g)]
    return torch.cat([chosen + NEARNESS[copies] * torch.randn(chosen.shape, generator=g), fresh[count:]])


def _alarms(values: dict[str, dict[str, list[float]]], kind: str, name: str, side: str) -> float:
    """Share of sets beyond the level that ALARM of the fresh ones pass."""
    sign = 1.0 if side == "raise" else -1.0
    fresh: NDArray[np.float64] = sign * np.array(values["fresh"][name])
    return float((sign * np.array(values[kind][name]) > np.quantile(fresh, 1 - ALARM)).mean())


def copying_report(found: dict[str, Any]) -> str:
    """Return the outcome as lines of text: the share of sets that each measure takes for copies, in percent."""
    names = list(found["alarms"]["fresh"])
    rows = [
        f"{kind:>18} " + " ".join(f"{100 * of[name]:>12.0f}" for name in names) for kind, of in found["alarms"].items()
    ]
    return "\n".join([" " * 19 + " ".join(f"{name:>12}" for name in names), *rows])
