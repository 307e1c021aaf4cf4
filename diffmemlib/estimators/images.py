"""Times and exponents of the image runs; the choices that define them stand at the top."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..data.features import digit_features
from ..data.images import images
from ..experiments.unet import features_of
from ..frechet import frechet_interval
from ..runs import Result
from ..sweeps import results
from ..timescales import Timescale, exponent
from . import Estimate
from .gmm import crossings, estimate_of, fit_collapse, ratio, sizes, tau_mem, tau_overfit

FD_GOOD = 0.5  # tau_gen: the first time that the Frechet distance is below half of the digits' own variance


def sweep_n() -> list[Result]:
    """The runs of every n: Adam, W = 16, batches of 32."""
    return results("images-n")


def tau_gen(runs: Sequence[Result], fd: float = FD_GOOD) -> list[Timescale]:
    """First time that the Frechet distance falls to 0.5."""
    return crossings(runs, "fd", fd, rising=False)


def tau_gen_exponent() -> Estimate:
    """Slope of log tau_gen against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_gen(runs)), runs)


def tau_mem_exponent(metric: str = "f_mem") -> Estimate:
    """Slope of log tau_mem against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_mem(runs, metric=metric)), runs)


def tau_mem_exponent_half() -> Estimate:
    """The same at k = 1/2."""
    return tau_mem_exponent("f_mem_1/2")


def collapse() -> Estimate:
    """The a that best collapses f_mem(tau / n^a)."""
    runs = sweep_n()
    fit = fit_collapse(runs)
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def overfit_exponent() -> Estimate:
    """Slope of log tau_overfit against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_overfit(runs)), runs)


def overfitting_lag() -> Estimate:
    """tau_mem / tau_overfit over the runs where both were seen."""
    runs = sweep_n()
    return ratio(tau_mem(runs), tau_overfit(runs), runs)


def floor(count: int, side: int) -> tuple[float, float, float]:
    """The Frechet distance of `count` real digits of the pool to the held-out ones: what no model is asked to beat."""
    data, features = images("digits", side), digit_features()
    real, held_out = (features_of(features, x.float() / 255) for x in (data.pool[:count], data.test))
    return frechet_interval(real, held_out)


def times(runs: Sequence[Result]) -> pd.DataFrame:
    """All three times of every run, in steps, with how each was found."""
    rows = []
    for r, *found in zip(runs, tau_gen(runs), tau_overfit(runs), tau_mem(runs), strict=True):
        named = zip(("tau_gen", "tau_overfit", "tau_mem"), found, strict=True)
        rows.append({"n": r.config["n"], "seed": r.config["seed"]} | {k: t.tau for k, t in named})
    return pd.DataFrame(rows)
