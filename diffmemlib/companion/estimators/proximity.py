"""How much nearer samples lie to their own training set than to others of its size, as training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from torch import Tensor

from ...data.images import images
from ...metrics.proximity import nearer_to_training
from ...runs.store import Result
from ..sweeps.tables import sweep_results
from . import Estimate
from .baseline import train_and_fresh
from .scaling import sizes, t_interval, tau_mem

DIGITS = ("images-n", "images-sgd")
STAND_INS = 2000  # points of the mixture that stand in for samples
LEVEL = 0.6  # of the comparisons, from which on samples are called biased: in between chance, 1/2, and copies, 1


def sets_of(run: Result) -> tuple[Tensor, Tensor, Tensor]:
    """The training set of a run, fresh data, and more of these as stand-ins for samples; in the units of its samples."""
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
    """Nearness to the training set along training, beside the held-out loss; a row for each milestone and n.

    Means over the runs of an n in each sweep. Columns: sweep, n, step; share, how often samples are nearer to their
    own set; real, the same of unseen data; f_mem; loss; turn, the step at which the loss is least; tau_mem, the geometric mean, infinite where no run
    comes to it.
    """
    from .questions import lowest

    parts = []
    for sweep in sweeps:
        runs = sweep_results(sweep)
        for n in sorted(set(sizes(runs))):
            some = [r for r in runs if r.config["n"] == n]
            some = [r for r in some if r.config["steps"] == some[0].config["steps"]]  # the same milestones
            loss = pd.concat([held_out_loss(r, averaged) for r in some], axis=1).mean(axis=1)
            found = [nearer(r) for r in some]
            share = pd.concat([by_step for by_step, _ in found], axis=1).mean(axis=1)
            f_mem = pd.concat([r.curve("f_mem")["value"] for r in some], axis=1).mean(axis=1)
            copies = [time.tau for time in tau_mem(some) if time.status == "interpolated"]
            parts.append(pd.DataFrame({
                "sweep": sweep, "n": int(n), "step": share.index, "share": share.to_numpy(),
                "real": float(np.mean([real for _, real in found])), "f_mem": f_mem.to_numpy(),
                "loss": loss.to_numpy(), "turn": lowest(loss)[0],
                "tau_mem": float(np.exp(np.mean(np.log(copies)))) if copies else np.inf,
            }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def at_turn(sweeps: Sequence[str], averaged: bool = False) -> pd.DataFrame:
    """The nearness where the held-out loss is least, and when it passes `LEVEL`; a row for each n of each sweep.

    Columns: sweep, n; turn, tau_mem, real as in `biases`; share, there, interpolated in log step; since, the first step from
    which on the share stays above `LEVEL`.
    """
    rows = []
    for (sweep, n), part in biases(tuple(sweeps), averaged).groupby(["sweep", "n"], sort=False):
        turn = float(part["turn"].iloc[0])
        share = float(np.interp(np.log(turn), np.log(part["step"]), part["share"]))
        below = np.flatnonzero(part["share"].to_numpy() < LEVEL)
        late = part.iloc[(below[-1] + 1 if len(below) else 0) :]
        since = float(late["step"].iloc[0]) if len(late) else np.inf
        rows.append((sweep, n, turn, share, since, *(float(part[name].iloc[0]) for name in ("real", "tau_mem"))))
    return pd.DataFrame(rows, columns=["sweep", "n", "turn", "share", "since", "real", "tau_mem"])


def nearer_at_turn(sweeps: Sequence[str] = ("questions",), averaged: bool = False) -> Estimate:
    """How often samples are nearer to their training set than to a fresh one where the held-out loss is least.

    The mean over sizes, each of them one value, with Student's interval; less what unseen data have beyond 1/2, which
    is chance of the training set.
    """
    found = at_turn(sweeps, averaged)
    value, low, high = t_interval((found["share"] - found["real"] + 0.5).tolist())
    return Estimate(value, max(low, 0.0), min(high, 1.0), tuple(r for sweep in sweeps for r in sweep_results(sweep)))
