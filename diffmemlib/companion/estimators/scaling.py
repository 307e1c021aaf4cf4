"""How the times of a sweep of trained runs scale; the choices that define them stand at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from ...runs.store import Result
from ...timescales import censored, power_laws
from ...timescales.censored import Floats
from ...timescales.crossings import Timescale, first_crossing, share_crossing, times_and_bounds
from ...timescales.power_laws import Collapse, collapse_exponent, exponent, geometric_mean
from ..sweeps.tables import F_MEM, sweep_results
from . import Estimate

LOSS_GAP = 0.05  # tau_overfit: held-out loss above training loss by a twentieth of the former
LEVELS = (0.02, 0.05, 0.1, 0.2)  # of f_mem, at which the collapse is measured; few runs go on to more

# tau_mem as a sum of delays, up to their coefficients: functions of n and the draws m of a step.
LAWS: dict[str, Callable[[Floats, Floats], tuple[Floats, ...]]] = {
    "A n/m + B n": lambda n, m: (n / m, n),
    "A n/sqrt(m)": lambda n, m: (n / m**0.5,),
    "T + A n/m + B n": lambda n, m: (np.ones_like(n), n / m, n),
    "T + A n/sqrt(m)": lambda n, m: (np.ones_like(n), n / m**0.5),
}


def sizes(runs: Sequence[Result], key: str = "n") -> list[float]:
    """n (or another setting) of every run."""
    return [r.config[key] for r in runs]


def by_size(times: Sequence[Timescale], runs: Sequence[Result]) -> dict[float, float]:
    """Geometric mean over seeds, for each n in increasing order at which a time was seen.

    A run that ended before counts as the bound that it is, with the spread over seeds that all n share.
    """
    tau, bound = times_and_bounds(times)
    n = np.array(sizes(runs), float)
    seen = sorted(set(n[bound == 0]))
    if not seen:
        return {}
    keep = np.isin(n, seen)
    design = (n[keep, None] == np.array(seen)).astype(float)
    fitted = censored.fit(design, np.log(tau[keep]), bound[keep], np.eye(len(seen))[0])
    return dict(zip(seen, np.exp(fitted.coefficients).tolist(), strict=True))


def crossings(
    runs: Sequence[Result], metric: str, threshold: float, rising: bool = True, lasting: bool = False
) -> list[Timescale]:
    """First crossing of a threshold by one metric, in every run; with `lasting`, none that the curve takes back."""
    curves = [r.curve(metric)["value"] for r in runs]
    return [first_crossing(c.index.to_numpy(), c.to_numpy(), threshold, rising, lasting) for c in curves]


def tau_mem(runs: Sequence[Result], f_mem: float = F_MEM, metric: str = "f_mem") -> list[Timescale]:
    """When f_mem reaches 0.02, by `share_crossing` (metric f_mem_1/2 or f_mem_1/4 for another k, f_mem_class_0)."""
    return [
        share_crossing(curve.index.to_numpy(), curve.to_numpy(), samples_behind(run, metric), f_mem)
        for run, curve in ((run, run.curve(metric)["value"]) for run in runs)
    ]


def samples_behind(run: Result, metric: str) -> int:
    """How many samples a share was counted among: half of them for one class of two."""
    return run.config["samples"] // (2 if "_class_" in metric else 1)


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


def exponent_of(
    times: Sequence[Timescale], runs: Sequence[Result], key: str = "n", each: str | None = None
) -> Estimate:
    """Slope of log tau against log n, or log of another setting; `each`: a setting with a prefactor for each value."""
    groups = None if each is None else sizes(runs, each)
    fit = exponent(sizes(runs, key), *times_and_bounds(times), groups=groups)
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def tau_mem_exponent(sweep: str, metric: str = "f_mem", f_mem: float = F_MEM) -> Estimate:
    """Slope of log tau_mem against log n; metric f_mem_1/2 or f_mem_1/4 for another k."""
    runs = sweep_results(sweep)
    return exponent_of(tau_mem(runs, f_mem, metric), runs)


def overfit_exponent(sweep: str, gap: float = LOSS_GAP) -> Estimate:
    """Slope of log tau_overfit against log n."""
    runs = sweep_results(sweep)
    return exponent_of(tau_overfit(runs, gap), runs)


def overfitting_lag(sweep: str, f_mem: float = F_MEM) -> Estimate:
    """tau_mem / tau_overfit over the runs where both were seen."""
    runs = sweep_results(sweep)
    return ratio(tau_mem(runs, f_mem), tau_overfit(runs), runs)


def fit_collapse(runs: Sequence[Result]) -> Collapse:
    """The a that best collapses f_mem(tau / n^a) over several levels of f_mem."""
    curves = [(c.index.to_numpy(), c.to_numpy()) for c in (r.curve("f_mem")["value"] for r in runs)]
    (samples,) = {r.config["samples"] for r in runs}
    return collapse_exponent(sizes(runs), curves, LEVELS, samples)


def collapse(sweep: str) -> Estimate:
    """`fit_collapse` of a sweep."""
    runs = sweep_results(sweep)
    fit = fit_collapse(runs)
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def in_common(runs: Sequence[Result], others: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """Of two sweeps, the runs whose n and seed both have, pair by pair."""
    other = {(r.config["n"], r.config["seed"]): r for r in others}
    chosen = [r for r in runs if (r.config["n"], r.config["seed"]) in other]
    return chosen, [other[r.config["n"], r.config["seed"]] for r in chosen]


def batch_size(runs: Sequence[Result]) -> int:
    """Images in a step of the runs of a sweep; a training set that is smaller is one batch, and its run has a 0."""
    return max(draws_a_step(r) // int(r.config.get("draws", 1)) for r in runs)


def draws_a_step(run: Result) -> int:
    """How many points, each with a time and a noise of its own, a training step averages over."""
    c = run.config
    return int(c.get("draws", 1) * min(c["batch"] or c["n"], c["n"]))


def delays(runs: Sequence[Result], law: str = "T + A n/m + B n") -> tuple[list[Estimate], float]:
    """The coefficients of a law for tau_mem, one of LAWS, over the runs that saw it, and Akaike's criterion of the law.

    m: draws of a point, a time and a noise in each step. See `power_laws.fit_sum`.
    """
    crossed = [(r, t.tau) for r, t in zip(runs, tau_mem(runs), strict=True) if t.status == "interpolated"]
    used, tau = tuple(r for r, _ in crossed), [t for _, t in crossed]
    n, m = np.array(sizes(used), float), np.array([draws_a_step(r) for r in used], float)
    fit = power_laws.fit_sum(np.stack(LAWS[law](n, m), axis=1), tau)
    return [Estimate(*coefficient, used) for coefficient in fit.coefficients], fit.aicc


def ratio(top: Sequence[Timescale], bottom: Sequence[Timescale], runs: Sequence[Result]) -> Estimate:
    """Geometric mean over runs of a ratio of times, with its interval; see `product`."""
    return product([(top, 1), (bottom, -1)], runs)


def ratio_exponent(top: Sequence[Timescale], bottom: Sequence[Timescale], runs: Sequence[Result]) -> Estimate:
    """Slope of the logarithm of a ratio of times against log n; the runs of `product`."""
    values, side, told = _products([(top, 1), (bottom, -1)])
    chosen = [r for r, one in zip(runs, told, strict=True) if one]
    fit = exponent(sizes(chosen), values, side)
    return Estimate(fit.value, fit.low, fit.high, tuple(chosen))


def product(factors: Sequence[tuple[Sequence[Timescale], int]], runs: Sequence[Result]) -> Estimate:
    """Geometric mean over runs of a product of times and of their inverses, with its interval.

    factors: times, one for each run, and 1, or -1 for their inverses. Where a time is a bound, so is the product, and
    it enters as one; where bounds point both ways it may tell nothing, and the run is left out.
    """
    values, side, told = _products(factors)
    value, low, high = geometric_mean(values, side)
    return Estimate(value, low, high, tuple(r for r, one in zip(runs, told, strict=True) if one))


def _products(factors: Sequence[tuple[Sequence[Timescale], int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The products that tell something, whether each is a bound (1: a lower, -1: an upper one), and of which runs."""
    count = len(factors[0][0])
    log_value, above, below = np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)
    for times, sign in factors:
        tau, bound = times_and_bounds(times)
        log_value += sign * np.log(tau)
        above |= sign * bound > 0
        below |= sign * bound < 0
    told = ~(above & below)
    return np.exp(log_value)[told], (above.astype(int) - below.astype(int))[told], told


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95% Student interval of independent values, two or more."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} run(s) saw what is averaged here: an interval needs two or more")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean, mean - float(half), mean + float(half)
