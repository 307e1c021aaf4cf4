"""How long one may train on images of one's own: the window of a sweep, and its end at a larger n."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...runs.store import Result
from ...timescales.crossings import BOUND, Timescale
from ...timescales.prediction import predict
from . import Estimate
from .images import tau_gen
from .scaling import exponent_of, sizes, tau_mem


def smaller_and_largest(runs: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """The runs below the largest n, and those at it; ValueError where all have one n."""
    if len(set(sizes(runs))) < 2:
        raise ValueError(f"every run has n = {runs[0].config['n']}: a prediction for larger n needs a smaller one too")
    largest = max(sizes(runs))
    return [r for r in runs if r.config["n"] < largest], [r for r in runs if r.config["n"] == largest]


def tau_mem_at(runs: Sequence[Result], n: float, slope: float | None = None) -> Estimate:
    """tau_mem of one more run, with n training images, and its 95% prediction interval; see `prediction.predict`.

    slope: of log tau_mem against log n, such as the paper's 1; else a power law and one with an offset are fitted. Not
    a number, between 0 and infinity, where copies were seen at too few n.
    """
    try:
        predicted = predict(sizes(runs), tau_mem(runs), n, slope=slope)
    except ValueError:
        predicted = (np.nan, 0.0, np.inf)
    return Estimate(*predicted, tuple(runs))


def windows(runs: Sequence[Result]) -> pd.DataFrame:
    """When the samples of each run become good and when copies appear, in steps, as text: "> 100" was not seen."""
    rows = [
        (
            r.config["n"],
            r.config["seed"],
            as_text(good),
            as_text(copies),
            window_between(good, copies),
        )
        for r, good, copies in zip(runs, tau_gen(runs), tau_mem(runs), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["n", "seed", "good from", "copies from", "window"])
    return table.sort_values(["n", "seed"])


def window_between(good: Timescale, copies: Timescale) -> str:
    """Whether samples become good before copies appear: yes, no, or unknown where bounds allow both."""
    (good_from, good_to), (copies_from, copies_to) = _range(good), _range(copies)
    if good_to < copies_from or (good_to == copies_from and copies.status == "censored"):
        return "yes"
    return "no" if copies_to <= good_from else "unknown"


def _range(time: Timescale) -> tuple[float, float]:
    """The times that are possible."""
    low = 0.0 if time.status == "at first point" else time.tau
    return low, np.inf if time.status == "censored" else time.tau


def verdict(low: float, high: float, measured: Timescale) -> str:
    """What a measured time says of a predicted interval; a bound contradicts it only where it excludes all of it."""
    earliest, latest = _range(measured)
    if not (np.isfinite(low) and np.isfinite(high)):
        return "nothing to compare with: copies were seen at too few sizes"
    if latest < low or high < earliest:
        return "outside the interval"
    if measured.status == "interpolated":
        return "inside the interval"
    when = "ended" if measured.status == "censored" else "was first measured"
    return f"not contradicted: the run {when} {'before' if measured.status == 'censored' else 'after'} it could be told"


def exponent_text(runs: Sequence[Result]) -> str:
    """The exponent of tau_mem in n with its interval, or why there is none."""
    try:
        return str(exponent_of(tau_mem(runs), runs))
    except ValueError:
        return "unknown (copies were seen at fewer than two sizes)"


def as_text(time: Timescale) -> str:
    """A time in whole steps, with > or < where it is only a bound."""
    return f"{BOUND[time.status]}{time.tau:,.0f}"


def predictions(runs: Sequence[Result], pool: int) -> pd.DataFrame:
    """tau_mem as it is predicted: at the largest n from the runs below it, and for all `pool` images from all runs.

    Columns n, law (what tau is taken for), steps, low, high (95%), measured (of the runs that were not used, as text).
    """
    smaller, largest = smaller_and_largest(runs)
    measured_at_largest = ", ".join(map(as_text, tau_mem(largest)))
    rows = []
    for used, n, measured in ((smaller, int(max(sizes(largest))), measured_at_largest), (runs, pool, "")):
        for name, slope in (("power of n, or offset and n", None), ("proportional to n", 1.0)):
            e = tau_mem_at(used, n, slope)
            rows.append((n, name, e.value, e.low, e.high, measured))
    return pd.DataFrame(rows, columns=["n", "form", "steps", "low", "high", "measured"])
