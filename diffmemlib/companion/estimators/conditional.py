"""Times of the conditional runs (Fig. 10), class by class, and the effect of guidance and of the sampler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...runs.store import Result
from ..sweeps.tables import sweep_results
from . import Estimate
from .gmm import neighbour_metric
from .scaling import by_size, ratio, sizes, t_interval, tau_mem

F_MEM = 0.05  # tau_mem of one class: 25 of its 500 samples are copies


def guided_runs(strength: float) -> list[Result]:
    """Runs at n = 128 that were sampled with this strength of guidance, by seed."""
    return [r for r in sweep_results("conditional-guidance") if r.config["guidance"] == strength]


def times_by_level(runs: Sequence[Result], levels: Sequence[float] = (0.02, 0.05, 0.1, 0.2)) -> pd.DataFrame:
    """Time at which f_mem reaches each level, over n, mean over seeds (`by_size`): a row for each n, a column a level.

    NaN where no seed gets there.
    """
    reached = {level: by_size(tau_mem(runs, level), runs) for level in levels}
    sized = sorted(set(sizes(runs)))
    columns = {level: [at.get(n, np.nan) / n for n in sized] for level, at in reached.items()}
    return pd.DataFrame(columns, index=pd.Index(sized, name="n"))


def class_ratio(sweep: str, f_mem: float = F_MEM) -> Estimate:
    """tau_mem of class 1 over that of class 0, geometric mean over the seeds of a sweep."""
    runs = sweep_results(sweep)
    first, second = (tau_mem(runs, f_mem, f"f_mem_class_{label}") for label in (0, 1))
    return ratio(second, first, runs)


def guidance_ratio(strength: float = 3.0) -> Estimate:
    """tau_mem with guidance over tau_mem without it, for the same networks."""
    runs, plain = guided_runs(strength), guided_runs(0.0)
    return ratio(tau_mem(runs, F_MEM), tau_mem(plain, F_MEM), runs)


def guidance_kl(strength: float) -> Estimate:
    """Smallest divergence from the law of the class over training time (nearest neighbours, mean of classes), nats."""
    runs = guided_runs(strength)
    metric = neighbour_metric(runs)
    best = [np.mean([r.curve(f"{metric}_class_{label}")["value"] for label in (0, 1)], 0).min() for r in runs]
    return Estimate(*t_interval(best), tuple(runs))


def by_sampler(
    step: int | None = None, sweep: str = "sampling", metrics: Sequence[str] = ("f_mem", "kl")
) -> pd.DataFrame:
    """What samplers of several costs make of one network, at one milestone (None: the last).

    Columns sampler, steps (network evaluations), and each metric with its low and high; kl is that by nearest
    neighbours. Image runs sample by DDIM.
    """
    runs, rows = sweep_results(sweep), []
    stored = {"kl": neighbour_metric(runs)}
    for r in runs:
        c = {"sampler": "ddim", **r.config}
        default = 999 if c["sampler"] == "euler_maruyama" else 100
        curves = {metric: r.curve(stored.get(metric, metric)) for metric in metrics}
        at = step or int(curves["f_mem"].index[-1])
        values = {
            name if part == "value" else f"{name}_{part}": curve.loc[at, part]
            for name, curve in curves.items()
            for part in ("value", "low", "high")
        }
        rows.append({"sampler": c["sampler"], "steps": c["sampling_steps"] or default, "step": at, **values})
    return pd.DataFrame(rows).sort_values(["sampler", "steps"], ignore_index=True)


def cheapest(table: pd.DataFrame, metric: str, sampler: str) -> int:
    """Fewest sampling steps from which on the interval of a metric overlaps that of the most steps."""
    rows = table[table["sampler"] == sampler].sort_values("steps", ascending=False)
    most = rows.iloc[0]
    same = (rows[f"{metric}_low"] <= most[f"{metric}_high"]) & (rows[f"{metric}_high"] >= most[f"{metric}_low"])
    return int(rows["steps"][same.cummin()].min())
