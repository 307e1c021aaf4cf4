"""What the monitor would have said of stored runs, had it watched them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from ...experiments.gmm import population, training_set
from ...monitor.evidence import copies_to_stop, log_evidences
from ...monitor.monitor import MemorizationMonitor
from ...randomness import derive_seed
from ...runs.store import Result
from .scaling import tau_mem
from .window import as_text

HELD_OUT = 2000  # points of the population that no run trains on
CHANCE = 0.8  # with which a share of copies is called detectable
TRAININGS = 500  # that are simulated for a power
COPIED, LOOK = 0.02, 512  # share of copies, and samples at a look, for which it is told


def watch(run: Result) -> MemorizationMonitor:
    """A monitor that was handed the stored samples of a mixture run, milestone by milestone, and both losses."""
    train, _ = training_set(run.config)
    held_out, _ = population(run.config).labelled(HELD_OUT, derive_seed(run.config["seed"], "monitor"))
    steps = run.samples["step"].tolist()
    monitor = MemorizationMonitor(train, held_out.float(), milestones=steps)
    loss_train, loss_test = (run.curve(f"loss_{part}")["value"] for part in ("train", "test"))
    for step, samples in zip(steps, run.samples["samples"], strict=True):
        losses = {"loss_train": loss_train[step], "loss_test": loss_test[step]}
        monitor.update(step, samples.astype(np.float32), **losses)
    return monitor


def stops(runs: Sequence[Result]) -> pd.DataFrame:
    """When the monitor says stop, f_mem there by all samples of the run, tau_mem, and the last step, of every run."""
    rows = []
    for run, time in zip(runs, tau_mem(runs), strict=True):
        table = watch(run).table()
        stop = table.loc[table["stop"], "step"].min()
        f_mem = run.curve("f_mem")["value"].get(stop, np.nan)
        rows.append((run.config["n"], run.config["seed"], stop, f_mem, as_text(time), int(table["step"].max())))
    columns = ["n", "seed", "stopped at step", "f_mem then", "tau_mem", "run ends at"]
    return pd.DataFrame(rows, columns=columns).sort_values(["n", "seed"], ignore_index=True)


def detectable(held_out: Sequence[int], samples: Sequence[int], looks: int = 10, alpha: float = 0.05) -> pd.DataFrame:
    """The least share of copies that one look detects with probability CHANCE, after others without copies.

    held_out, samples: how many there are of either; of the held-out data none meets the criterion. A row for each
    number of held-out points, a column for each number of samples a look.
    """
    rows = {}
    for size in held_out:
        row = []
        for m in samples:
            needed = copies_to_stop(m, alpha, 0, size, before=([0] * looks, [m] * looks))
            # The rate at which so many or more have that probability: a quantile of a beta distribution.
            row.append(np.nan if needed is None else stats.beta.ppf(CHANCE, needed, m - needed + 1))
        rows[size] = row
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(samples)).rename_axis("held-out points")


def power(
    held_out: Sequence[tuple[int, int]], looks: int = 4, f_mem: float = COPIED, samples: int = LOOK, alpha: float = 0.05
) -> pd.DataFrame:
    """The share of simulated trainings that are stopped after so many looks, if a share f_mem of samples are copies.

    held_out: pairs of the number of held-out points and of those that meet the criterion, a row each. No looks went
    before. A column for each number of looks.
    """
    drawn = np.random.default_rng(0).binomial(samples, f_mem, size=(TRAININGS, looks))
    rows = []
    for size, copies in held_out:
        over = [log_evidences(row, [samples] * looks, copies, size) >= -np.log(alpha) for row in drawn]
        rows.append((size, copies, *np.logical_or.accumulate(over, axis=1).mean(axis=0)))
    return pd.DataFrame(rows, columns=["held-out points", "that meet the criterion", *range(1, looks + 1)])
