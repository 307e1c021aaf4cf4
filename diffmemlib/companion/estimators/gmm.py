"""Times and exponents of the mixture runs; the choices that define them stand at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch.distributions import MultivariateNormal

from ...experiments.gmm import population
from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing, times_and_bounds
from ...timescales.power_laws import exponent
from ..sweeps.tables import is_stored, sweep_results
from . import Estimate
from .scaling import crossings, exponent_of, ratio, sizes, t_interval, tau_mem, tau_overfit

BALANCED = "mixture-balanced"  # as in the paper's code: equal classes; and other points for every n
LARGER = "mixture-large"  # the sweep on more points than those of Fig. 9 left here
KL_GOOD = 3.0  # tau_gen: the first time that the score gap is below 3 nats; n = 64 never gets below 1.5
KL_GOOD_WIDTH = 1.2  # the same for the dependence on W, at n = 256, where the gap falls further
WIDTH_LEVELS = (1e5, 3e4, 1e4, 3e3, 1e3, 300.0, 100.0, 30.0, 10.0, 5.0)  # nats, from the beginning of training on
KL_RISE = 2.0  # the second rise of KL: 2 nats above its smallest value


def sweep_n() -> list[Result]:
    """The runs of Fig. 9 left: SGD, full batch, W = 128, every n and seed."""
    return sweep_results("mixture-n")


def sweep_width(n: int, widths: Sequence[int] = (32, 64, 128, 256)) -> list[Result]:
    """The runs of Fig. 9 right: SGD, full batch, n = 64 or 256, every W of these and every seed."""
    return [r for r in sweep_results(f"mixture-width-{n}") if r.config["width"] in widths]


def neighbour_metric(runs: Sequence[Result]) -> str:
    """The metric of the divergence by nearest neighbours that all the runs have.

    kl_nn is calibrated against the law itself; kl_knn, of runs made before there was that, compares with draws of it
    and is biased: at d = 8 by 0.24 nats for 1000 samples, one class of which is too narrow by a factor of 0.7.
    """
    return "kl_nn" if all((r.curves["metric"].str.startswith("kl_nn")).any() for r in runs) else "kl_knn"


def tau_gen(runs: Sequence[Result], kl: float = KL_GOOD, lasting: bool = False) -> list[Timescale]:
    """First time that the score gap falls to 3 nats; with `lasting`, the last time before its smallest value."""
    return crossings(runs, "kl_fisher", kl, rising=False, lasting=lasting)


def tau_kl_rise(runs: Sequence[Result], rise: float = KL_RISE) -> list[Timescale]:
    """First time after its smallest value that the score gap is 2 nats above it."""
    times = []
    for run in runs:
        curve = run.curve("kl_fisher")["value"]
        later = curve.loc[curve.idxmin() :]
        times.append(first_crossing(later.index.to_numpy(), later.to_numpy(), later.iloc[0] + rise))
    return times


def largest_n(runs: Sequence[Result]) -> list[Result]:
    """The runs with the largest n of which two runs or more, and no run less than all, reached tau_mem."""
    reached: dict[int, list[bool]] = {}
    for run, time in zip(runs, tau_mem(runs), strict=True):
        reached.setdefault(run.config["n"], []).append(time.status == "interpolated")
    n = max(n for n, flags in reached.items() if all(flags) and len(flags) > 1)
    return [r for r in runs if r.config["n"] == n]


def tau_gen_exponent(kl: float = KL_GOOD, sweep: str = "mixture-n") -> Estimate:
    """Slope of log tau_gen against log n."""
    runs = sweep_results(sweep)
    return exponent_of(tau_gen(runs, kl), runs)


def by_classes() -> pd.DataFrame:
    """Exponents in n of three times, with classes that are drawn and with equal ones, over the n that both have."""
    equal = sweep_results(BALANCED)
    drawn = [r for r in sweep_n() if r.config["n"] in sizes(equal)]
    times: dict[str, Callable[[Sequence[Result]], list[Timescale]]] = {
        "tau_mem": tau_mem, "tau_overfit": tau_overfit, "tau_gen": tau_gen,
    }  # fmt: skip
    sets = {"classes drawn": drawn, "equal classes": equal}
    return pd.DataFrame(
        {label: {name: exponent_of(time(runs), runs) for name, time in times.items()} for label, runs in sets.items()}
    )


def tau_gen_width_exponent(
    n: int = 256, kl: float = KL_GOOD_WIDTH, widths: Sequence[int] = (32, 64, 128, 256)
) -> Estimate:
    """Slope of log tau_gen against log W at one n, for a threshold of the score gap."""
    runs = sweep_width(n, widths)
    return exponent_of(tau_gen(runs, kl), runs, "width")


def width_by_level(sweep: str, levels: Sequence[float] = WIDTH_LEVELS, lasting: bool = True) -> pd.DataFrame:
    """Exponent in W of the time at which the score gap falls below each level; a row for each that two widths reach.

    Columns: level; exponent, an `Estimate`. lasting: as of `tau_gen`. The gap of wide networks dips within ten steps
    and comes back, so that some levels are crossed twice by them and once by narrow ones.
    """
    runs, rows = sweep_results(sweep), []
    for level in levels:
        times = tau_gen(runs, level, lasting)
        seen = {r.config["width"] for r, time in zip(runs, times, strict=True) if time.status == "interpolated"}
        if len(seen) > 1:
            rows.append((level, exponent_of(times, runs, "width")))
    return pd.DataFrame(rows, columns=["level", "exponent"])


def tau_mem_width_exponent() -> Estimate:
    """Slope of log tau_mem against log W, at n = 64."""
    runs = sweep_width(64)
    return exponent_of(tau_mem(runs), runs, "width")


def kl_rise_exponent(rise: float = KL_RISE) -> Estimate:
    """Slope against log n of the time of the second rise of KL."""
    runs = sweep_n()
    return exponent_of(tau_kl_rise(runs, rise), runs)


def to_the_minimum() -> list[Result]:
    """The runs of `sweep_n`, and where stored those on more points, which go to the smallest KL and not to copies."""
    runs = sweep_n()
    return runs + (sweep_results(LARGER) if is_stored(LARGER, runs[0].config["tier"]) else [])


def smallest_kl() -> Estimate:
    """Smallest KL over training time, by the score gap, for the largest n; nats.

    The geometric mean over seeds, each of which has its own training set and samples. Its interval is Student's, with
    the scatter of log KL between seeds that all n share.
    """
    table = smallest_by_n(to_the_minimum())
    log_kl, n = np.log(table["kl"]), table["n"]
    apart = log_kl - log_kl.groupby(n).transform("mean")
    free = len(table) - n.nunique()
    if not free:
        raise ValueError("one run for each n shows no scatter between seeds: an interval needs two for one of them")
    there = log_kl[n == n.max()]
    half = stats.t.ppf(0.975, free) * float((apart**2).sum() / free) ** 0.5 / len(there) ** 0.5
    value, low, high = (float(np.exp(there.mean() + end)) for end in (0, -half, half))
    return Estimate(value, low, high, tuple(r for r in to_the_minimum() if r.config["n"] == n.max()))


def kl_at_smallest(metric: str) -> Estimate:
    """Another estimate of KL at the milestone of the smallest score gap, for the largest n that was run to the copies.

    Mean over seeds with Student's interval; nats.
    """
    runs = largest_n(sweep_n())
    best = [r.curve(metric)["value"].loc[r.curve("kl_fisher")["value"].idxmin()] for r in runs]
    return Estimate(*t_interval(best), tuple(runs))


def smallest_by_n(runs: Sequence[Result]) -> pd.DataFrame:
    """Smallest score gap of every run, and the step where it is: columns n, seed, step, kl, low, high."""
    rows = []
    for run in runs:
        curve = run.curve("kl_fisher")
        step = curve["value"].idxmin()
        rows.append((run.config["n"], run.config["seed"], step, *curve.loc[step, ["value", "low", "high"]]))
    table = pd.DataFrame(rows, columns=["n", "seed", "step", "kl", "low", "high"])
    return table.sort_values(["n", "seed"], ignore_index=True)


def smallest_kl_exponent() -> Estimate:
    """Slope of the logarithm of the smallest score gap against log n."""
    runs = to_the_minimum()
    table = smallest_by_n(runs)
    fit = exponent(table["n"], table["kl"])
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def landmarks(run: Result, draws: int = 200_000) -> dict[str, float]:
    """Divergences of three simple laws from the law of a run's data, in nats, by Monte Carlo (to 0.01).

    normal: the standard normal law. mode: one of the two Gaussians alone. gaussian: one Gaussian with the mean and the
    covariance of the data.
    """
    law = population(run.config)
    d, centre = law.d, torch.full((law.d,), law.mu, dtype=torch.float64)
    eye = torch.eye(d, dtype=torch.float64)
    laws = {
        "normal": MultivariateNormal(0 * centre, eye),
        "mode": MultivariateNormal(centre, eye),
        "gaussian": MultivariateNormal(0 * centre, eye + torch.outer(centre, centre)),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = {name: simple.sample((draws,)) for name, simple in laws.items()}
    return {name: float((laws[name].log_prob(x) - law.log_prob(x)).mean()) for name, x in drawn.items()}


def overview(runs: Sequence[Result]) -> pd.DataFrame:
    """What was run, a row for each n: runs, steps for each point, how many stopped early, near-duplicates."""
    rows = {}
    for n, group in by_n(runs).items():
        steps = sorted({r.config["steps"] / n for r in group})
        rows[n] = {
            "runs": len(group),
            "steps for each point": " and ".join(f"{s:,.0f}" for s in steps),
            "stopped early": sum(not r.provenance["complete"] for r in group),
            "near-duplicates in the training sets": sum(r.provenance["near_duplicates"] for r in group),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("n")


def run_by_run(runs: Sequence[Result]) -> pd.DataFrame:
    """tau_mem/n and the last f_mem of every run, as text, a row for each n."""
    rows = {}
    for n, group in by_n(runs).items():
        times = [f"{t.tau / n:,.0f}" if t.status == "interpolated" else "not reached" for t in tau_mem(group)]
        ends = [f"{r.curve('f_mem')['value'].iloc[-1]:.2f}" for r in group]
        rows[n] = {"tau_mem/n": ", ".join(times), "f_mem at the end": ", ".join(ends)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("n")


def by_n(runs: Sequence[Result]) -> dict[int, list[Result]]:
    """The runs of each n, from the smallest on."""
    return {n: [r for r in runs if r.config["n"] == n] for n in sorted({r.config["n"] for r in runs})}


def exponents_by_level(runs: Sequence[Result], gaussian: float) -> pd.DataFrame:
    """Exponents in n of tau_mem and of tau_gen for several levels of f_mem, of the score gap, and of the KL by nearest
    neighbours; gaussian: the last of these, in nats."""
    times_by_name = {f"tau_mem, f_mem = {f:g}": tau_mem(runs, f) for f in (0.02, 0.05, 0.1)}
    times_by_name |= {f"tau_gen, score gap of {kl:g} nats": tau_gen(runs, kl) for kl in (2.0, 3.0, 5.0, 10.0)}
    for kl in (1.0, gaussian):
        times_by_name[f"nearest neighbours below {kl:.2f} nats"] = crossings(
            runs, neighbour_metric(runs), kl, rising=False
        )
    rows = {}
    for name, times in times_by_name.items():
        try:
            fit = exponent(sizes(runs), *times_and_bounds(times))
        except ValueError:  # fewer than two sizes reach this level
            rows[name] = {"exponent [95%]": "not seen", "runs that ended before": len(runs)}
        else:
            shown = str(Estimate(fit.value, fit.low, fit.high, ()))
            rows[name] = {"exponent [95%]": shown, "runs that ended before": fit.bounds + fit.left_out}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("time")


def window(kl: float = KL_GOOD) -> Estimate:
    """tau_mem / tau_gen at the largest n."""
    runs = largest_n(sweep_n())
    return ratio(tau_mem(runs), tau_gen(runs, kl), runs)
