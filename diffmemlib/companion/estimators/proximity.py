"""How much nearer samples lie to their own training set than to others of its size, as training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from torch import Tensor

from ...data.images import images
from ...metrics.memorization import NeighbourIndex
from ...metrics.proximity import nearer_to_training
from ...runs.store import Result
from ..sweeps.tables import sweep_results
from . import Estimate
from .baseline import train_and_fresh
from .questions import lowest
from .scaling import sizes, t_interval, tau_mem

DIGITS = ("images-n", "images-sgd")
STAND_INS = 2000  # points of the mixture that stand in for samples


def sets_of(run: Result) -> tuple[Tensor, Tensor, Tensor]:
    """A run's training set, fresh data, and more of these as stand-ins for samples; in the units of its samples."""
    c = run.config
    if "dataset" not in c:
        train, fresh = train_and_fresh(run)
        return train, fresh[STAND_INS:], fresh[:STAND_INS]
    data = images(c["dataset"], c["side"], c["scale"])
    pool = data.training_set(len(data.pool), c["seed"]).float()
    return pool[: c["n"]], pool[c["n"] :], data.test.float()


def nearer(run: Result) -> tuple[pd.Series, float]:
    """How often the stored samples of a run are nearer to its training set than to fresh sets, by the step.

    Then the same for real data that the run has not seen: 1/2, but for what this one training set is by chance.
    """
    train, fresh, real = sets_of(run)
    shares = [nearer_to_training(at.astype(np.float32), train, fresh).mean() for at in run.samples["samples"]]
    by_step = pd.Series(shares, index=pd.Index(run.samples["step"].astype(float), name="step"))
    return by_step, float(nearer_to_training(real, train, fresh).mean())


def held_out_loss(run: Result, averaged: bool = False) -> pd.Series:
    """The held-out loss by the step: at t = 0.01, or its mean over the times of diffusion that were looked at."""
    names = [m for m in run.curves["metric"].unique() if m.startswith("loss_test_")] if averaged else ["loss_test"]
    if not names:
        raise ValueError(f"run {run.id} kept its losses at t = 0.01 only")
    return pd.concat([run.curve(name)["value"] for name in names], axis=1).mean(axis=1)


@lru_cache(maxsize=4)
def biases(sweeps: tuple[str, ...], averaged: bool = False) -> pd.DataFrame:
    """Nearness to the training set along training, beside the held-out loss; a row for each milestone of each run.

    Columns: sweep, n, seed, step; share, how often samples are nearer to their own set; real, the same of unseen data;
    turn, the step at which the loss is least, in the mean over the runs of this n; tau_mem, their geometric mean,
    infinite where none comes to it.
    """
    parts = []
    for sweep in sweeps:
        runs = sweep_results(sweep)
        for n in sorted(set(sizes(runs))):
            some = [r for r in runs if r.config["n"] == n]
            some = [r for r in some if r.config["steps"] == some[0].config["steps"]]  # the same milestones
            loss = pd.concat([held_out_loss(r, averaged) for r in some], axis=1).mean(axis=1)
            copies = [time.tau for time in tau_mem(some) if time.status == "interpolated"]
            of_n = {
                "turn": lowest(loss)[0], "tau_mem": float(np.exp(np.mean(np.log(copies)))) if copies else np.inf,
            }  # fmt: skip
            for r in some:
                share, real = nearer(r)
                of_run = {"sweep": sweep, "n": int(n), "seed": r.config["seed"], "real": real}
                parts.append(pd.DataFrame({"step": share.index, "share": share.to_numpy()}).assign(**of_run, **of_n))
    return pd.concat(parts, ignore_index=True)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `biases` with the mean over the runs of each n in place of each run."""
    return table.drop(columns="seed").groupby(["sweep", "n", "step"], sort=False, as_index=False).mean()


def at_turn(table: pd.DataFrame, keys: Sequence[str] = ("sweep", "n")) -> pd.DataFrame:
    """The nearness where the held-out loss is least; a row for each n of each sweep, or each run if `keys` have a seed.

    table: of `over_seeds`, or of `biases`. Columns: the keys; turn, tau_mem, real as in `biases`; share, there,
    interpolated in log step.
    """
    rows = []
    for key, part in table.groupby(list(keys), sort=False):
        turn, real, copies = (float(part[name].iloc[0]) for name in ("turn", "real", "tau_mem"))
        rows.append((*key, turn, float(np.interp(np.log(turn), np.log(part["step"]), part["share"])), real, copies))
    return pd.DataFrame(rows, columns=[*keys, "turn", "share", "real", "tau_mem"])


def nearer_at_turn(sweeps: Sequence[str] = ("questions",), averaged: bool = False) -> Estimate:
    """How often samples are nearer to their training set than to a fresh one where the held-out loss is least.

    The mean over runs with Student's interval; less what unseen data have beyond 1/2, which is chance of the training
    set.
    """
    found = at_turn(biases(tuple(sweeps), averaged), ("sweep", "n", "seed"))
    value, low, high = t_interval((found["share"] - found["real"] + 0.5).tolist())
    return Estimate(value, max(low, 0.0), min(high, 1.0), tuple(r for sweep in sweeps for r in sweep_results(sweep)))


def isolation_of_copied(
    sweep: str = "mixture-n", shares: tuple[float, float] = (0.05, 0.5), by_chance: float = 0.005
) -> Estimate:
    """How isolated the training points are that are copied first: the mean share of points that are less so.

    A point's isolation is the distance to its nearest other training point. Samples count that are nearer to a training
    point than a share `by_chance` of fresh points is, at the milestones where f_mem is within `shares`: the ratio d1/d2
    would favour isolated points. By chance 1/2: the same is subtracted for the fresh points that are as near. Mean over
    runs with Student's interval.
    """
    found, used = [], []
    for run in sweep_results(sweep):
        train, fresh = train_and_fresh(run)
        index = NeighbourIndex(train)
        isolation, near = index.two_nearest(train).distance[:, 1], index.two_nearest(fresh)
        rank = (np.argsort(np.argsort(isolation)) + 0.5) / len(isolation)
        close = np.quantile(near.distance[:, 0], by_chance)
        f_mem = run.curve("f_mem")["value"].loc[run.samples["step"]].to_numpy()
        at = (f_mem >= shares[0]) & (f_mem <= shares[1])
        copied = run.samples["neighbours"][at][..., 0][run.samples["distances"][at][..., 0] <= close]
        if len(copied):
            usual = rank[near.index[near.distance[:, 0] <= close, 0]].mean()
            found.append(float(rank[copied].mean() - usual + 0.5))
            used.append(run)
    return Estimate(*t_interval(found), tuple(used))
