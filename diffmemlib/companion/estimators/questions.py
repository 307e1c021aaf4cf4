"""Four questions of the literature, answered by networks that were trained on disjoint sets of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...diffusion.schedule import Schedule
from ...experiments.gmm import population
from ...experiments.gmm_measures import levels, probes
from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing
from ..sweeps.tables import at_tier, sweep_results
from . import Estimate
from .scaling import by_size, exponent_of, ratio, sizes, t_interval, tau_mem

SWEEP, CURES, KERNEL = "questions", "questions-cures", "questions-kernel"
T_LOSS = 0.01  # at which the paper reads its losses
SMALL = 0.05  # times of diffusion below this are called small
RISES = 2.0  # times its least value, to which a common error has to rise for that to count as a turn
GAP = 0.1  # of the losses, in units of the held-out one, from which on it is seen
PLAIN = "stopping in time"
CURED = {  # what a run of CURES changes, by its setting
    "weight_decay": "weight decay", "jitter": "noise on the data", "dropout": "dropout", "away": "guidance away",
}  # fmt: skip


def of_size(n: int, sweep: str = SWEEP) -> list[Result]:
    """The runs on n points, which differ in their seed, so in their points, weights and noises."""
    return [r for r in sweep_results(sweep) if r.config["n"] == n]


def times_of_diffusion(run: Result) -> dict[int, float]:
    """The steps k of the schedule at which a run was looked at, and their times t."""
    schedule = Schedule()
    return {k: float(schedule.t[k]) for k in levels(schedule, run.config["noise_levels"])}


def errors(runs: Sequence[Result]) -> pd.DataFrame:
    """How networks that saw other points differ from the exact noise prediction, and from each other; a row a time.

    At `gmm_measures.probes`, mean over points and coordinates. With f_i the prediction of network i of s, and e the
    exact one: variance, sum_i (f_i - mean f)^2/(s - 1), the part of the error that is each network's own; bias,
    (mean f - e)^2 - variance/s, the part that all share, whose expectation over networks this is; cosine, of the
    predictions of two networks, mean over pairs.

    Columns: step, k, t, variance, bias, cosine.
    """
    f = np.stack([r.samples["predicted"].astype(float) for r in runs])  # (networks, milestones, times, points, d)
    exact = probes(population(runs[0].config), Schedule(), runs[0].config["noise_levels"])[1].numpy()
    mean, count = f.mean(0), len(f)
    variance = ((f - mean) ** 2).sum(0).mean((-1, -2)) / (count - 1)
    bias = ((mean - exact) ** 2).mean((-1, -2)) - variance / count
    flat = f.reshape(*f.shape[:3], -1)
    unit = flat / np.linalg.norm(flat, axis=-1, keepdims=True)
    pairs = [(unit[i] * unit[j]).sum(-1) for i in range(count) for j in range(i)]
    steps, times = runs[0].curve("f_mem").index, times_of_diffusion(runs[0])
    rows = [
        (step, k, t, variance[i, j], bias[i, j], float(np.mean([p[i, j] for p in pairs])))
        for i, step in enumerate(steps)
        for j, (k, t) in enumerate(times.items())
    ]
    return pd.DataFrame(rows, columns=["step", "k", "t", "variance", "bias", "cosine"])


def lowest(values: pd.Series) -> tuple[float, float]:
    """Step and value of the minimum of a curve, by the parabola through it and its neighbours in log step."""
    x, y, i = np.log(values.index.to_numpy(float)), values.to_numpy(float), int(values.to_numpy().argmin())
    if not 0 < i < len(y) - 1:
        return float(np.exp(x[i])), float(y[i])
    a, b, c = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
    return (float(np.exp(-b / (2 * a))), float(c - b * b / (4 * a))) if a > 0 else (float(np.exp(x[i])), float(y[i]))


def mean_curve(runs: Sequence[Result], metric: str) -> pd.Series:
    """A metric against the step, mean over runs; the geometric mean of a divergence, which spans decades."""
    table = pd.concat([r.curve(metric)["value"] for r in runs], axis=1)
    return np.exp(np.log(table).mean(axis=1)) if metric.startswith("kl") else table.mean(axis=1)


def turning_points(sweep: str = SWEEP) -> pd.DataFrame:
    """When each thing is at its best, in steps, and tau_mem; a row for each n.

    The common error is taken at the time of diffusion at which it turns first. It is looked at from its first rise on:
    a network that has learned nothing predicts 0, which is nearly right where there is hardly any noise.

    Columns: n; t, that time; bias, the step of the least common error; loss_there, of the least held-out loss at that
    time; loss, of the least held-out loss at t = 0.01; kl, of the least score gap of the samples; kl_at_bias,
    kl_at_loss, the score gap at these steps in units of the least; tau_mem.
    """
    rows = []
    for n in sorted(set(sizes(sweep_results(sweep)))):
        runs = of_size(int(n), sweep)
        loss, _ = lowest(mean_curve(runs, "loss_test"))
        turns = []
        for (k, t), at in errors(runs).groupby(["k", "t"]):
            curve = at.set_index("step")["bias"]
            curve = curve[curve.index >= curve[curve.index <= loss].idxmax()]
            step, least = lowest(curve)
            if curve.iloc[-1] > RISES * max(least, 0.0) and step < curve.index[-1]:
                turns.append((step, t, k))
        bias, t, k = min(turns)
        there, _ = lowest(mean_curve(runs, f"loss_test_{k}"))
        gap = mean_curve(runs, "kl_fisher")
        kl, least = lowest(gap)
        at = [float(np.interp(np.log(s), np.log(gap.index), gap)) / least for s in (bias, loss)]
        rows.append((int(n), t, bias, there, loss, kl, *at, by_size(tau_mem(runs), runs)[n]))
    columns = ["n", "t", "bias", "loss_there", "loss", "kl", "kl_at_bias", "kl_at_loss", "tau_mem"]
    return pd.DataFrame(rows, columns=columns)


def gap_times(runs: Sequence[Result], k: int, gap: float = GAP) -> list[Timescale]:
    """When the held-out loss at step k of the schedule is above the training loss by a share of itself, and stays so.

    The last crossing, as of `scaling.tau_overfit`: the losses of a few points differ by chance before.
    """
    times = []
    for run in runs:
        test, train = (run.curve(f"loss_{name}_{k}")["value"] for name in ("test", "train"))
        apart = (test - train) / test
        below = np.flatnonzero((apart < gap).to_numpy())
        late = apart.iloc[below[-1] if len(below) else 0 :]
        times.append(first_crossing(late.index.to_numpy(), late.to_numpy(), gap))
    return times


def warnings_by_time(sweep: str = SWEEP, gap: float = GAP) -> pd.DataFrame:
    """When the gap is seen at each time of diffusion, as a share of tau_mem; a row for each of these times.

    Columns: t; of_tau_mem, an `Estimate` over all runs; exponent, of the time of the gap in n, an `Estimate`; seen, the
    runs in which it was; then for each n the geometric mean of that share.
    """
    runs = sweep_results(sweep)
    rows: list[dict[str, Any]] = []
    for k, t in times_of_diffusion(runs[0]).items():
        times = gap_times(runs, k, gap)
        row: dict[str, Any] = {"t": t, "seen": sum(one.status == "interpolated" for one in times)}
        if row["seen"] > 1:
            row |= {"of_tau_mem": ratio(times, tau_mem(runs), runs), "exponent": exponent_of(times, runs)}
            ours, copies = by_size(times, runs), by_size(tau_mem(runs), runs)
            row |= {f"n = {n:g}": ours[n] / copies[n] for n in ours}
        rows.append(row)
    return pd.DataFrame(rows)


@at_tier("laptop")  # whose runs the kernels are of
def kernel_times(sweep: str = KERNEL) -> pd.DataFrame:
    """tau_mem of the runs whose kernels are stored, beside what an eigenvalue of it would tell; a row a kernel.

    A part of the error that lies along an eigenvector with eigenvalue l, of the Gram matrix of n m points, fades in
    n m/(l rate) steps; momentum shortens this by 1 - momentum.

    Columns: n, width, seed, steps (of training before the kernel), k, t; eigenvalue, of rank n; predicted, the time
    that it tells, in steps; tau_mem, of the run itself.
    """
    measured = {
        (r.config["n"], r.config["width"], r.config["seed"]): time
        for name in ("mixture-n", "mixture-width-64")
        for r, time in zip(sweep_results(name), tau_mem(sweep_results(name)), strict=True)
    }
    rows = []
    for run in sweep_results(sweep):
        c = run.config
        time = measured[c["n"], c["width"], c["seed"]]
        if time.status != "interpolated":
            continue
        schedule = Schedule()
        for j, k in enumerate(levels(schedule, c["noise_levels"])):
            eigenvalue = float(run.samples["eigenvalues"][0, j, c["n"] - 1])
            predicted = c["n"] * c["draws"] * (1 - c["momentum"]) / (eigenvalue * c["lr"])
            rows.append((c["n"], c["width"], c["seed"], c["steps"], k, float(schedule.t[k]), eigenvalue, predicted,
                         time.tau))  # fmt: skip
    columns = ["n", "width", "seed", "steps", "k", "t", "eigenvalue", "predicted", "tau_mem"]
    return pd.DataFrame(rows, columns=columns)


def kernel_spread(table: pd.DataFrame) -> pd.DataFrame:
    """By what factor one constant times the predicted time misses tau_mem, at worst; a row for each kernel in use.

    Columns: steps, t; constant, the one for which the worst miss is least; factor, that miss, up or down.
    """
    rows = []
    for (steps, t), part in table.groupby(["steps", "t"]):
        ratios = part["tau_mem"] / part["predicted"]
        low, high = float(ratios.min()), float(ratios.max())
        rows.append((steps, t, (low * high) ** 0.5, (high / low) ** 0.5))
    return pd.DataFrame(rows, columns=["steps", "t", "constant", "factor"])


def kernel_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """How the times of `kernel_times` at one choice of kernel grow with n and with W: predicted beside measured.

    By least squares in the logarithms: over n at the width that has most of them, over W at the n that has most. A row
    for each; columns: setting ("n", "width"), predicted, measured.
    """
    rows = []
    for setting, fixed in (("n", "width"), ("width", "n")):
        part = table[table[fixed] == table.groupby(fixed)[setting].nunique().idxmax()]
        x = np.log(part[setting].astype(float))
        slopes = [float(np.polyfit(x, np.log(part[time]), 1)[0]) for time in ("predicted", "tau_mem")]
        rows.append((setting, *slopes))
    return pd.DataFrame(rows, columns=["setting", "predicted", "measured"])


def gap_rank(run: Result, above: int = 4, below: float = 0.75) -> list[int]:
    """After which eigenvalue the largest relative fall of the spectrum is, at each time of diffusion.

    above: ranks that are left out, since single directions such as the mean stand out of every spectrum. below: of the
    ranks, up to which it is looked for, since the last ones fall steeply.
    """
    found = []
    for values in run.samples["eigenvalues"][0].astype(float):
        last = int(below * len(values))
        ratios = values[above + 1 : last] / values[above : last - 1]
        found.append(above + 1 + int(ratios.argmin()))
    return found


def cures() -> pd.DataFrame:
    """Copies and quality: of the plain training at every milestone, and of each cure at the end of as long a one.

    Columns: cure, strength (the step, of stopping); f_mem, the mean over seeds, and kl, the geometric mean of the
    divergence by nearest neighbours, nats: an `Estimate` each; beside, kl in units of the least that the plain training
    has with no more copies.
    """
    ends = sweep_results(CURES)
    n, last = ends[0].config["n"], ends[0].config["steps"]
    plain = [r for r in of_size(n) if r.config["steps"] == last]
    rows: list[tuple[Any, ...]] = []
    for step in plain[0].curve("f_mem").index:
        rows.append((PLAIN, float(step), *(_mean(plain, metric, step) for metric in ("f_mem", "kl_nn"))))
    for setting, name in CURED.items():
        for strength in sorted({r.config[setting] for r in ends if r.config.get(setting)}):
            runs = [r for r in ends if r.config.get(setting) == strength]
            rows.append((name, strength, *(_mean(runs, metric, last) for metric in ("f_mem", "kl_nn"))))
    table = pd.DataFrame(rows, columns=["cure", "strength", "f_mem", "kl"])
    return table.assign(beside=_beside(table))


def _mean(runs: Sequence[Result], metric: str, step: float) -> Estimate:
    values = [float(r.curve(metric)["value"].loc[step]) for r in runs]
    if metric == "f_mem":
        share, low, high = t_interval(values)
        return Estimate(share, max(low, 0.0), min(high, 1.0), tuple(runs))
    value, low, high = np.exp(t_interval(np.log(values).tolist())).tolist()
    return Estimate(value, low, high, tuple(runs))


def _beside(table: pd.DataFrame) -> list[float]:
    """Each divergence over the least that the plain training has at a milestone with no more copies."""
    plain = table[table["cure"] == PLAIN]
    kl, copies = (np.array([e.value for e in plain[name]]) for name in ("kl", "f_mem"))
    least = [kl[copies <= e.value].min() for e in table["f_mem"]]
    return [float(e.value / value) for e, value in zip(table["kl"], least, strict=True)]


def best_within(table: pd.DataFrame, f_mem: float = 0.02) -> pd.DataFrame:
    """The smallest divergence of each cure among its strengths (or steps) that keep copies below a share; a row each.

    Columns: cure, strength, f_mem, kl; a cure that never does is left out.
    """
    allowed = table[[e.value < f_mem for e in table["f_mem"]]]
    chosen = [part.iloc[int(np.argmin([e.value for e in part["kl"]]))] for _, part in allowed.groupby("cure")]
    return pd.DataFrame(chosen).sort_values("kl", key=lambda column: [e.value for e in column], ignore_index=True)


def widest_gap(of_tau_mem: float = 0.5) -> Estimate:
    """The time of diffusion at which held-out minus training loss, as it is, is largest at a share of tau_mem.

    Geometric mean over runs, with Student's interval.
    """
    runs, widest = sweep_results(SWEEP), []
    for run, copies in zip(runs, tau_mem(runs), strict=True):
        gaps = {}
        for k, t in times_of_diffusion(run).items():
            test, train = (run.curve(f"loss_{name}_{k}")["value"] for name in ("test", "train"))
            gaps[t] = float(np.interp(np.log(of_tau_mem * copies.tau), np.log(test.index), test - train))
        widest.append(np.log(max(gaps, key=gaps.__getitem__)))
    value, low, high = np.exp(t_interval(widest)).tolist()
    return Estimate(value, low, high, tuple(runs))


def _first(gaps: pd.DataFrame) -> pd.Series:
    seen = gaps[gaps["seen"] > 1]
    return seen.iloc[int(np.argmin([e.value for e in seen["of_tau_mem"]]))]


def kernel_factor() -> Estimate:
    """By what factor the eigenvalue of rank n misses tau_mem at worst, for the best constant and the best kernel."""
    factor = float(kernel_spread(kernel_times())["factor"].min())
    return Estimate(factor, factor, factor, tuple(sweep_results(KERNEL)), "number")


def ridge_copies(strength: float = 0.3) -> Estimate:
    """The share of copies at the end of a long training with weight decay."""
    (row,) = cures().query("cure == 'weight decay' and strength == @strength").itertuples()
    copies: Estimate = row.f_mem
    return copies


def expectations() -> pd.DataFrame:
    """What was written down before the runs, in the words of config/laptop.toml, and whether it came; a row each.

    How it is judged was chosen afterwards, where those words leave it open.

    Columns: question, 1 to 4; expected; judged, how; came, whether it did.
    """
    turns, gaps, told = turning_points(), warnings_by_time(), kernel_times()
    falls, first_at_small, passes = list[bool](), list[bool](), list[bool]()
    for row in turns.itertuples():
        found = errors(of_size(int(row.n)))
        near = min(found["t"].unique(), key=lambda t: abs(np.log(t / T_LOSS)))
        at = found[found["t"] == near].set_index("step")
        last = at.loc[: row.loss].iloc[-1]
        falls.append(bool(last["cosine"] < at["cosine"].max()))
        passes.append(bool(last["variance"] > last["bias"]))
        ends = [(_first_below(one.set_index("step")["cosine"], 0.8), t) for t, one in found.groupby("t")]
        first_at_small.append(min(ends)[1] < SMALL)
    first, table = _first(gaps), cures()
    best = best_within(table)
    others = best[best["cure"] != PLAIN]
    d = sweep_results(SWEEP)[0].config["d"]
    ranks = {rank for run in sweep_results(KERNEL) for rank in gap_rank(run)}
    rows = [
        (1, "Networks trained on other points agree less and less well before the held-out loss at t = 0.01 turns",
         "their cosine near that t is below its maximum by then, at all n", all(falls)),
        (1, "their cosine falls first at small times",
         "the time of diffusion at which it is below 0.8 first is below 0.05, at all n", all(first_at_small)),
        (1, "the disagreement (variance) passes the common error (bias) before the minimum",
         "near t = 0.01, at all n", all(passes)),
        (2, "The gap between the losses shows first at an intermediate time, between 0.05 and 0.5",
         "a gap of 10%", SMALL <= first["t"] <= 0.5),
        (2, "and long before copies", "before half of τ_mem, with its interval", first["of_tau_mem"].high < 0.5),
        (3, "No single constant brings tau_mem of all n and W from the eigenvalue of rank n to within a factor of 1.5",
         "for any of the kernels", kernel_spread(told)["factor"].min() > 1.5),
        (3, "the spectrum of these networks has its gap at rank d + 1, not at n",
         "the steepest step of every spectrum is after rank d + 1, d + 2 or d + 3",
         all(0 <= rank - d - 1 <= 2 for rank in ranks)),
        (4, "At equal quality, none of weight decay, dropout, noise on the data and guidance away from the data "
            "has fewer copies than stopping in time",
         "none has a smaller divergence than the plain training had with no more copies",
         bool((table[table["cure"] != PLAIN]["beside"] >= 1).all())),
        (4, "weight decay comes nearest", "has the least divergence of those with less than 2% of copies",
         len(others) > 0 and others.iloc[0]["cure"] == "weight decay"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["question", "expected", "judged", "came"])


def _first_below(values: pd.Series, level: float) -> float:
    """First step, after the maximum, at which a curve is below a level; infinite where it never is."""
    late = values[values.index >= values.idxmax()]
    return float(late.index[(late < level).to_numpy().argmax()]) if (late < level).any() else np.inf
