"""Times and exponents of the mixture runs; the choices that define them stand at the top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..runs import Result
from ..sweeps import results
from ..timescales import Collapse, Fit, Timescale, collapse_exponent, exponent, first_crossing
from . import Estimate

F_MEM = 0.02  # tau_mem: the first time that two samples in a hundred are copies; every stored run gets there
KL_GOOD = 3.0  # tau_gen: the first time that the score gap is below 3 nats; n = 64 never gets below 1.5
KL_GOOD_WIDTH = 1.2  # the same for the dependence on W, at n = 256, where the gap falls further
KL_RISE = 2.0  # the second rise of KL: 2 nats above its smallest value
LOSS_GAP = 0.05  # tau_overfit: test loss above train loss by a twentieth of the test loss
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # of f_mem, at which the collapse is measured


def sweep_n() -> list[Result]:
    """The runs of Fig. 9 left: SGD, full batch, W = 128, every n and seed."""
    return results("mixture-n")


def sweep_width(n: int, widths: Sequence[int] = (32, 64, 128, 256)) -> list[Result]:
    """The runs of Fig. 9 right: SGD, full batch, n = 64 or 256, every W of these and every seed."""
    return [r for r in results(f"mixture-width-{n}") if r.config["width"] in widths]


def crossings(runs: Sequence[Result], metric: str, threshold: float, rising: bool = True) -> list[Timescale]:
    """First crossing of a threshold by one metric, in every run."""
    curves = [r.curve(metric)["value"] for r in runs]
    return [first_crossing(c.index.to_numpy(), c.to_numpy(), threshold, rising) for c in curves]


def tau_mem(runs: Sequence[Result], f_mem: float = F_MEM, metric: str = "f_mem") -> list[Timescale]:
    """First time that f_mem reaches 0.02 (metric f_mem_1/2 or f_mem_1/4 for another k)."""
    return crossings(runs, metric, f_mem)


def tau_gen(runs: Sequence[Result], kl: float = KL_GOOD) -> list[Timescale]:
    """First time that the score gap falls to 3 nats."""
    return crossings(runs, "kl_fisher", kl, rising=False)


def tau_kl_rise(runs: Sequence[Result], rise: float = KL_RISE) -> list[Timescale]:
    """First time after its smallest value that the score gap is 2 nats above it."""
    times = []
    for run in runs:
        curve = run.curve("kl_fisher")["value"]
        later = curve.loc[curve.idxmin() :]
        times.append(first_crossing(later.index.to_numpy(), later.to_numpy(), later.iloc[0] + rise))
    return times


def tau_overfit(runs: Sequence[Result], gap: float = LOSS_GAP) -> list[Timescale]:
    """The time from which test and train loss at t = 0.01 stay apart by more than 5% of the test loss.

    The last upward crossing, not the first: the losses of a small training set differ by chance before that.
    """
    times = []
    for run in runs:
        test, train = run.curve("loss_test")["value"], run.curve("loss_train")["value"]
        apart = (test - train) / test
        below = np.flatnonzero((apart < gap).to_numpy())
        late = apart.iloc[below[-1] if len(below) else 0 :]
        times.append(first_crossing(late.index.to_numpy(), late.to_numpy(), gap))
    return times


def sizes(runs: Sequence[Result], key: str = "n") -> list[float]:
    """n (or another setting) of every run."""
    return [r.config[key] for r in runs]


def largest_n(runs: Sequence[Result]) -> list[Result]:
    """The runs with the largest n of which two runs or more, and no run less than all, reached tau_mem."""
    reached: dict[int, list[bool]] = {}
    for run, time in zip(runs, tau_mem(runs), strict=True):
        reached.setdefault(run.config["n"], []).append(time.status == "interpolated")
    n = max(n for n, seen in reached.items() if all(seen) and len(seen) > 1)
    return [r for r in runs if r.config["n"] == n]


def tau_mem_exponent(metric: str = "f_mem") -> Estimate:
    """Slope of log tau_mem against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_mem(runs, metric=metric)), runs)


def tau_mem_exponent_half() -> Estimate:
    """The same at k = 1/2."""
    return tau_mem_exponent("f_mem_1/2")


def tau_mem_exponent_quarter() -> Estimate:
    """The same at k = 1/4."""
    return tau_mem_exponent("f_mem_1/4")


def tau_gen_exponent() -> Estimate:
    """Slope of log tau_gen against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_gen(runs)), runs)


def tau_gen_width_exponent(
    n: int = 256, kl: float = KL_GOOD_WIDTH, widths: Sequence[int] = (32, 64, 128, 256)
) -> Estimate:
    """Slope of log tau_gen against log W at one n, for a threshold of the score gap."""
    runs = sweep_width(n, widths)
    return estimate_of(exponent(sizes(runs, "width"), tau_gen(runs, kl)), runs)


def tau_mem_width_exponent() -> Estimate:
    """Slope of log tau_mem against log W, at n = 64."""
    runs = sweep_width(64)
    return estimate_of(exponent(sizes(runs, "width"), tau_mem(runs)), runs)


def kl_rise_exponent() -> Estimate:
    """Slope against log n of the time of the second rise of KL."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_kl_rise(runs)), runs)


def overfit_exponent() -> Estimate:
    """Slope of log tau_overfit against log n."""
    runs = sweep_n()
    return estimate_of(exponent(sizes(runs), tau_overfit(runs)), runs)


def fit_collapse(runs: Sequence[Result]) -> Collapse:
    """The a that best collapses f_mem(tau / n^a) over several levels of f_mem."""
    curves = [(c.index.to_numpy(), c.to_numpy()) for c in (r.curve("f_mem")["value"] for r in runs)]
    return collapse_exponent(sizes(runs), curves, LEVELS)


def collapse() -> Estimate:
    """`fit_collapse` of the runs of Fig. 9."""
    runs = sweep_n()
    fit = fit_collapse(runs)
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def smallest_kl() -> Estimate:
    """KL by nearest neighbours at the milestone of the smallest score gap, for the largest n; nats.

    Mean over seeds with its t interval: every seed has its own training set, samples and reference.
    """
    runs = largest_n(sweep_n())
    best = [r.curve("kl_knn")["value"].loc[r.curve("kl_fisher")["value"].idxmin()] for r in runs]
    return Estimate(*t_interval(best), tuple(runs))


def window() -> Estimate:
    """tau_mem / tau_gen at the largest n."""
    runs = largest_n(sweep_n())
    return ratio(tau_mem(runs), tau_gen(runs), runs)


def overfitting_lag() -> Estimate:
    """tau_mem / tau_overfit over the runs where both were seen."""
    runs = sweep_n()
    return ratio(tau_mem(runs), tau_overfit(runs), runs)


def estimate_of(fit: Fit, runs: Sequence[Result]) -> Estimate:
    """A fitted exponent with the runs behind it."""
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def ratio(top: Sequence[Timescale], bottom: Sequence[Timescale], runs: Sequence[Result]) -> Estimate:
    """Geometric mean over runs of a ratio of times, with its t interval; it needs both times of a run."""
    both = [(a, b, r) for a, b, r in zip(top, bottom, runs, strict=True) if a.status == b.status == "interpolated"]
    value, low, high = (float(np.exp(v)) for v in t_interval([np.log(a.tau / b.tau) for a, b, _ in both]))
    return Estimate(value, low, high, tuple(r for _, _, r in both))


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95% Student interval of independent values, two or more."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} run(s) saw what is averaged here: an interval needs two or more")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean, mean - float(half), mean + float(half)
