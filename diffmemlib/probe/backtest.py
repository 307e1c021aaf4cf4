"""The prediction put to the test: what the smaller trainings of a probe would have told of its larger ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import pandas as pd

from ..timescales.crossings import Timescale
from ..timescales.power_laws import Interval
from .answer import copies_from, good_from, tau_gen_of, tau_mem_at
from .training import Run

FACTOR = 4  # times the largest n that a prediction is made from
Verdict = Literal["inside", "earlier", "later", "not told"]


@dataclass(frozen=True)
class Backtest:
    """A training, and what was predicted of it from smaller ones.

    Parameters
    ----------
    n, seed : int
        Of the training.
    sizes : tuple of int
        n of those that the prediction was made from.
    predicted, measured : tuple, Timescale
        When copies come: with the ends of the 95% interval, and as it was.
    good_predicted, good_measured : tuple or None, Timescale
        The same of when samples are good.
    """

    n: int
    seed: int
    sizes: tuple[int, ...]
    predicted: Interval
    measured: Timescale
    good_predicted: Interval | None
    good_measured: Timescale

    @property
    def ratio(self) -> Interval:
        """Measured over predicted: the value, and what it would be by the ends of the interval."""
        value, low, high = self.predicted
        return self.measured.tau / value, self.measured.tau / high, self.measured.tau / low

    @property
    def verdict(self) -> Verdict:
        """Whether copies came "inside" the interval, "earlier", or "later".

        "not told" where the training ended before its high end, or where the first look came after its low end.
        """
        tau, (_, low, high), status = self.measured.tau, self.predicted, self.measured.status
        if status != "at first point" and tau > high:
            return "later"
        if status != "censored" and tau < low:
            return "earlier"
        return "inside" if status == "interpolated" else "not told"


def backtests(runs: Sequence[Run], factor: float = FACTOR) -> list[Backtest]:
    """Return a test of the prediction for each training that has ``factor`` times as many points as two smaller sizes.

    Parameters
    ----------
    runs
        Of one probe.
    factor
        By which the largest n that is used is smaller.
    """
    tests = []
    for run in sorted(runs, key=lambda r: (r.n, r.seed)):
        used = [r for r in runs if r.n * factor <= run.n and len(r.curves)]
        predicted = tau_mem_at(used, run.n) if used and len(run.curves) else None
        if predicted is not None:
            sizes = tuple(sorted({r.n for r in used}))
            good = tau_gen_of(used, run.n), good_from(run)
            tests.append(Backtest(run.n, run.seed, sizes, predicted, copies_from(run), *good))
    return tests


def good_by_todays_rule(reports: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return when samples should be good by the rule as it is, for each training that stored reports had predicted.

    Parameters
    ----------
    reports
        The content of several report.json.

    Returns
    -------
    DataFrame
        data, n, seed; low, high, the ends of the interval on n points.
    """
    rows = []
    for report in reports:
        runs = [run_of(run, report["model"]["samples"]) for run in report["runs"] if run["curves"]]
        for test in report.get("backtests", []):
            if test["good_predicted"]:
                told = tau_gen_of([run for run in runs if run.n in test["sizes"]], test["n"])
                low, high = (0.0, inf) if told is None else told[1:]
                rows.append((report["source"], test["n"], test["seed"], low, high))
    return pd.DataFrame(rows, columns=["data", "n", "seed", "low", "high"])


def run_of(stored: dict[str, Any], samples: int) -> Run:
    """A training of a report as the probe knew it, without its samples."""
    curves = pd.concat([pd.DataFrame(curve).assign(metric=name) for name, curve in stored["curves"].items()])
    numbers = {key: stored[key] for key in ("n", "seed", "baseline", "level", "copies_distance", "gaussian_distance",
                                            "seconds", "steps_per_second", "ended")}  # fmt: skip
    return Run(curves=curves, arrays={}, samples=samples, **numbers)
