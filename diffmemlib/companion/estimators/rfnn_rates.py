"""The exponent eta of the smallest score error: of descents with a finite rate, and of gradient flow at finite d."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...runs.store import Result
from ...timescales.power_laws import exponent
from ..sweeps.tables import sweep_results
from . import Estimate

SWEEP, FLOW = "rfnn-rates", "rfnn-flow"


def step_of(run: Result) -> float:
    """Training time tau that one step takes, eta/d^2."""
    return float(run.config["lr"] / run.config["d"] ** 2)


def smallest(runs: Sequence[Result]) -> pd.DataFrame:
    """The smallest E_score of each run over its milestones: columns step, psi_n, seed, tau, score_error.

    ValueError for a run whose smallest is at its last milestone: it has to go on.
    """
    rows = []
    for r in runs:
        curve = r.curve("score_error")["value"]
        best = curve.idxmin()
        if best == curve.index[-1]:
            raise ValueError(f"run {r.id}: its smallest E_score is its last one; give it more steps")
        rows.append((step_of(r), r.config["psi_n"], r.config["seed"], best * step_of(r), curve[best]))
    return pd.DataFrame(rows, columns=["step", "psi_n", "seed", "tau", "score_error"])


def eta_by_step(runs: Sequence[Result] | None = None) -> dict[float, Estimate]:
    """eta of E_score ~ psi_n^-eta at its smallest, for each size of a step in tau, from large to small steps."""
    runs = sweep_results(SWEEP) if runs is None else runs
    table, found = smallest(runs), {}
    for step in sorted(set(table["step"]), reverse=True):
        part = table[table["step"] == step]
        fit = exponent(part["psi_n"].to_numpy(float), 1 / part["score_error"].to_numpy())
        found[step] = Estimate(fit.value, fit.low, fit.high, tuple(r for r in runs if np.isclose(step_of(r), step)))
    return found


def eta_by_dimension(runs: Sequence[Result] | None = None) -> dict[int, Estimate]:
    """eta of gradient flow, for each dimension d."""
    runs, found = sweep_results(FLOW) if runs is None else runs, {}
    for d in sorted({r.config["d"] for r in runs}):
        own = [r for r in runs if r.config["d"] == d]
        fit = exponent([r.config["psi_n"] for r in own], [1 / r.curve("score_error")["value"].min() for r in own])
        found[d] = Estimate(fit.value, fit.low, fit.high, tuple(own))
    return found
