"""Times and exponents of the image runs; the choices that define them stand at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import stats

from ...data.images import images
from ...experiments.unet import DISTANCE, extract_features
from ...metrics.digit_features import digit_features
from ...metrics.frechet import frechet_interval
from ...nets.unet import UNet
from ...runs.store import Result
from ...timescales import censored
from ...timescales.crossings import Timescale, first_crossing, phase_boundary, times_and_bounds
from ...timescales.power_laws import exponent
from ..sweeps.tables import F_MEM, sweep_results
from . import Estimate
from .scaling import crossings, exponent_of, in_common, ratio, ratio_exponent, sizes, tau_mem, tau_overfit

SWEEP = "images-n"  # the runs of every n: Adam, W = 16, batches of 32
CAPACITY = "images-width"  # the same at several W
CURVATURE = "images-curvature"  # of the loss before training, at several W
COPIES = 0.01  # above this, a training time is one of memorisation in the phase diagram: two samples of 200
GOOD = {  # tau_gen: the first time that the Frechet distance is below this
    "fd": 0.1,  # as low as half of the runs reach; what an independent judge makes of it is in `recognised`
    "fid": 40.0,  # a little above the paper's samples at its tau_gen, which have 35
}
UNTRAINED = DISTANCE["untrained"]  # has no scale of its own: good is what beats Gaussian images with the data's moments
EARLY = GOOD | {"fd": 0.5}  # tau_early: a distance that more networks reach, to compare how fast they learn
LOSS_ABOVE = 1.15  # a time of generation without samples: the held-out loss is so near what every run reaches


def quality(runs: Sequence[Result]) -> str:
    """The metric of quality that all the runs have, "fd" or "fid"; ValueError where they have none in common."""
    common = set(DISTANCE.values()).intersection(*(r.curves["metric"] for r in runs))
    if len(common) != 1:
        raise ValueError(
            f"runs {', '.join(r.id for r in runs)}: they have no Frechet distance of one kind in common; quality is "
            "drawn for runs with the same `features`, not none"
        )
    return common.pop()


def good(run: Result, metric: str) -> float:
    """The distance below which samples of this run count as good."""
    return float(run.provenance[f"{UNTRAINED}_gaussian"]) if metric == UNTRAINED else GOOD[metric]


def tau_gen(runs: Sequence[Result], level: float | None = None) -> list[Timescale]:
    """First time that the Frechet distance, as a running median of three milestones, falls to a level, or to `good`.

    Distances swing from milestone to milestone, with SGD most of all, so that a single one can be small by chance.
    """
    metric, times = quality(runs), []
    for r in runs:
        smooth = r.curve(metric)["value"].rolling(3, center=True, min_periods=2).median()
        times.append(
            first_crossing(
                smooth.index.to_numpy(), smooth.to_numpy(), good(r, metric) if level is None else level, rising=False
            )
        )
    return times


def tau_early(runs: Sequence[Result], level: float | None = None) -> list[Timescale]:
    """`tau_gen` at a level that is too high to call samples good, `EARLY`: narrow networks reach no lower one."""
    return tau_gen(runs, EARLY.get(quality(runs)) if level is None else level)


def tau_gen_by_level(runs: Sequence[Result], levels: Sequence[float]) -> pd.DataFrame:
    """The exponent in n of the time at which the Frechet distance, smoothed as above, falls to each level, as text.

    A level that fewer than two n reach with every run has none.
    """
    rows = []
    for level in levels:
        times = tau_gen(runs, level)
        short = [n for n, t in zip(sizes(runs), times, strict=True) if t.status != "interpolated"]
        fit = str(exponent_of(times, runs)) if len(set(sizes(runs)) - set(short)) > 1 else ""
        rows.append((level, f"{len(runs) - len(short)} of {len(runs)}", fit))
    return pd.DataFrame(rows, columns=["distance below", "runs that get there", "exponent in n"])


def tau_gen_exponent(sweep: str = SWEEP, level: float | None = None) -> Estimate:
    """Slope of log tau_gen against log n; level: of the Frechet distance, else `good`."""
    runs = sweep_results(sweep)
    return exponent_of(tau_gen(runs, level), runs)


TIMES: dict[str, Callable[..., list[Timescale]]] = {
    "tau_gen": tau_gen,
    "tau_mem": tau_mem,
    "tau_overfit": tau_overfit,
}
WIDTH_TIMES = TIMES | {"tau_gen": tau_early}  # of networks of several widths


def loss_level(runs: Sequence[Result], above: float = LOSS_ABOVE) -> float:
    """A held-out loss at t = 0.01 that every run reaches: 15% above the lowest one of the run where that is highest."""
    return above * max(float(r.curve("loss_test")["value"].min()) for r in runs)


def tau_loss(runs: Sequence[Result], above: float = LOSS_ABOVE) -> list[Timescale]:
    """First time that the held-out loss at t = 0.01 falls to `loss_level`."""
    return crossings(runs, "loss_test", loss_level(runs, above), rising=False)


def loss_exponent(sweep: str = SWEEP, above: float = LOSS_ABOVE) -> Estimate:
    """Slope of log tau_loss against log n."""
    runs = sweep_results(sweep)
    return exponent_of(tau_loss(runs, above), runs)


def width_exponent(time: str, sweep: str = CAPACITY, level: float | None = None) -> Estimate:
    """Slope of log tau against log W, one for all n, each n with its own prefactor.

    time: tau_loss or one of WIDTH_TIMES. level: where it is taken, as each of them has it; its own unless given.
    """
    runs = sweep_results(sweep)
    times = (WIDTH_TIMES | {"tau_loss": tau_loss})[time]
    return exponent_of(times(runs) if level is None else times(runs, level), runs, "width", each="n")


def curvatures(runs: Sequence[Result], metric: str) -> list[float]:
    """One metric of every run of the curvature before training."""
    return [float(r.curve(metric)["value"].iloc[0]) for r in runs]


def curvature_exponent(metric: str, sweep: str = CURVATURE) -> Estimate:
    """Slope of the log of a curvature before training against log W; metric: trace, largest or brightness."""
    runs = sweep_results(sweep)
    fit = exponent(sizes(runs, "width"), curvatures(runs, metric))
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def tau_early_of(runs: Sequence[Result]) -> Timescale:
    """Geometric mean of tau_early, which does not depend on n, over the runs of one width.

    A run that ended before counts as the bound that it is; where all did, the last one's is returned.
    """
    times = tau_early(runs)
    tau, bound = times_and_bounds(times)
    if bound.all():
        return times[-1]
    fitted = censored.fit(np.ones((len(tau), 1)), np.log(tau), bound, np.ones(1))
    return Timescale(float(np.exp(fitted.value)), "interpolated")


def copied_so_far(run: Result) -> pd.Series:
    """The largest f_mem up to each milestone: copies do not go away, though a sample of them may miss them."""
    return run.curve("f_mem")["value"].cummax()


def boundaries(runs: Sequence[Result], c: Sequence[float]) -> pd.DataFrame:
    """The smallest n without copies at c tau_early(W), for each width: columns width, c, tau, tau_seen, n, status."""
    rows = []
    for width in sorted(set(sizes(runs, "width"))):
        of_width = sorted((r for r in runs if r.config["width"] == width), key=lambda r: r.config["n"])
        curves = [(f.index.to_numpy(), f.to_numpy()) for f in map(copied_so_far, of_width)]
        tau = tau_early_of(of_width)
        for factor in c:
            boundary = phase_boundary(sizes(of_width), curves, tau, factor, COPIES)
            rows.append((width, factor, factor * tau.tau, tau.status == "interpolated", boundary.n, boundary.status))
    return pd.DataFrame(rows, columns=["width", "c", "tau", "tau_seen", "n", "status"])


def longer(sweep: str, time: str = "tau_mem", than: str = SWEEP, f_mem: float = F_MEM) -> Estimate:
    """A time of the runs of one sweep over that of another's, at the same n and seed; geometric mean.

    time: tau_early or one of TIMES. f_mem: at which tau_mem is taken.
    """
    runs, others = in_common(sweep_results(sweep), sweep_results(than))
    times = (TIMES | {"tau_early": tau_early, "tau_mem": partial(tau_mem, f_mem=f_mem)})[time]
    return ratio(times(runs), times(others), runs)


def longer_exponent(sweep: str, than: str = SWEEP) -> Estimate:
    """Slope against log n of the logarithm of tau_mem of one sweep over that of another, at the same n and seed."""
    runs, others = in_common(sweep_results(sweep), sweep_results(than))
    return ratio_exponent(tau_mem(runs), tau_mem(others), runs)


def brightness_correlation(runs: Sequence[Result]) -> float:
    """Spearman's rank correlation of what two things do from one milestone to the next.

    They are the distance, and how far the mean brightness of the kept samples is from that of the training images
    nearest to them. Changes, since both fall in the course of training.
    """
    metric, gaps, distances = quality(runs), [], []
    for r in runs:
        stored = r.samples
        means = [stored[name].mean((1, 2, 3, 4), dtype=float) for name in ("samples", "nearest")]
        gaps.append(np.diff(np.abs(means[0] - means[1])))
        distances.append(np.diff(np.log(r.curve(metric)["value"].loc[stored["step"]])))
    return float(stats.spearmanr(np.concatenate(gaps), np.concatenate(distances)).statistic)


def likeness(first: Result, second: Result) -> pd.DataFrame:
    """How alike are the samples that two networks make of the same noise: columns step, same, other.

    Mean correlation of their pixels, of samples from the same noise and, to compare, of those from different noise.
    Pictures of one brightness have none and are left out.
    """
    a, b = (r.samples["samples"].reshape(*r.samples["samples"].shape[:2], -1).astype(float) for r in (first, second))
    steps = first.samples["step"][: min(len(a), len(b))]
    rows = []
    for step, x, y in zip(steps, a, b, strict=False):
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix = np.corrcoef(x, y)[: len(x), len(x) :]
        apart = matrix[~np.eye(len(x), dtype=bool)]
        rows.append((int(step), float(np.nanmean(np.diag(matrix))), float(np.nanmean(apart))))
    return pd.DataFrame(rows, columns=["step", "same", "other"])


def swing(runs: Sequence[Result]) -> float:
    """Standard deviation of the distance's logarithm from one milestone to the next, as a factor."""
    changes = [np.diff(np.log(r.curve(quality(runs))["value"])) for r in runs]
    return float(np.exp(np.std(np.concatenate(changes))))


def floor(count: int, side: int) -> tuple[float, float, float]:
    """The Frechet distance of `count` real digits of the pool to the held-out ones: what no model is asked to beat."""
    data, features = images("digits", side), digit_features()
    real, held_out = (extract_features(features, x.float() / 255) for x in (data.pool[:count], data.test))
    return frechet_interval(real, held_out)


def parameters_of(width: int) -> int:
    """p, the number of parameters of the U-Net of this width for grey images."""
    with torch.device("meta"):  # counted, not drawn
        return sum(weights.numel() for weights in UNet(width).parameters())
