"""Figures of the one-dimensional page (Fig. 1, left)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from scipy import stats

from ...data.gmm import GaussianMixture
from ...diffusion.schedule import Schedule
from ...experiments.one_dimension import BINS, GRID, training_set
from ...metrics.empirical import empirical_score
from ...runs.store import Result
from .interactive import rounded, scrubber
from .names import name_lines
from .style import LEARNED, POPULATION, TRAINING, band, subplots

SCORES = (-9, 9)  # the axis of scores
CENTRES = (BINS[1:] + BINS[:-1]) / 2


def exact(result: Result) -> dict[str, np.ndarray]:
    """On GRID: score of the population and of the training set at the run's t, density of P_0; training points."""
    c, schedule = result.config, Schedule()
    t = float(schedule.t[schedule.timestep_at(c["t"])])
    law, x = GaussianMixture(1, c["mu"]), torch.from_numpy(GRID)[:, None]
    data = training_set(c["n"], c["mu"], c["seed"])
    return {
        "population": law.score(x, t)[:, 0].numpy(),
        "training set": empirical_score(x, t, data)[:, 0].numpy(),
        "density": law.log_prob(x).exp().numpy(),
        "points": data[:, 0].numpy(),
    }


def of_nothing(result: Result) -> dict[str, float]:
    """Error of a network that predicts no noise at all, Delta_t E|s'|^2, to the score of each law, by quadrature."""
    c, schedule = result.config, Schedule()
    k = schedule.timestep_at(c["t"])
    t, signal, noise = float(schedule.t[k]), float(schedule.signal[k]), float(schedule.noise[k])
    law, data = GaussianMixture(1, c["mu"]), training_set(c["n"], c["mu"], c["seed"]).double()
    x = torch.linspace(-9, 9, 9001, dtype=torch.float64)[:, None]
    kernel = torch.exp(-((x - signal * data.T) ** 2) / (2 * noise**2)).mean(1) / (noise * (2 * torch.pi) ** 0.5)
    laws = {
        "gap_population": (law.log_prob(x, t).exp(), law.score(x, t)),
        "gap_empirical": (kernel, empirical_score(x, t, data)),
    }
    return {name: float(noise**2 * torch.trapezoid(p * s[:, 0] ** 2, x[:, 0])) for name, (p, s) in laws.items()}


def in_bins(result: Result) -> np.ndarray:
    """The population's probability of each bin of the histogram."""
    mu = result.config["mu"]
    return np.asarray(np.diff((stats.norm.cdf(BINS, -mu) + stats.norm.cdf(BINS, mu)) / 2))


def total_variation(result: Result) -> pd.Series:
    """Distance in total variation between the histogram of a milestone and the population, by step.

    It is the share of samples that would have to be moved; what lies outside of the bins counts as moved.
    """
    exact_share, shares = in_bins(result), result.samples["density"] * np.diff(BINS)
    distance = (np.abs(shares - exact_share).sum(1) + np.abs(shares.sum(1) - exact_share.sum())) / 2
    return pd.Series(distance, index=result.samples["step"])


def variation_by_chance(result: Result) -> float:
    """The mean of that distance for as many samples of the population itself, each bin's count nearly normal."""
    share = in_bins(result)
    return float(np.sqrt(2 * share * (1 - share) / (np.pi * result.config["samples"])).sum() / 2)


def three_scores(result: Result, steps: Sequence[int], names: Sequence[str]) -> tuple[plt.Figure, pd.DataFrame]:
    """Learned score between the two exact ones (top) and what the model generates (bottom) at chosen milestones."""
    known, stored = exact(result), result.samples
    milestones = list(stored["step"])
    figure, axes = subplots(2, len(steps), figsize=(9.5, 5), sharex=True, sharey="row")
    rows = []
    for (top, bottom), step, name in zip(axes.T, steps, names, strict=True):
        score = stored["score"][milestones.index(step)]
        generated = stored["density"][milestones.index(step)]
        top.plot(GRID, known["training set"], color=TRAINING, lw=1.2, label="score of the training set")
        top.plot(GRID, known["population"], color=POPULATION, lw=2.5, alpha=0.7, label="score of the population")
        top.plot(GRID, score, color=LEARNED, label="learned score")
        top.set(title=f"{name}: step {step:,}", ylim=SCORES)
        bottom.stairs(generated, BINS, fill=True, color="0.6", label="generated")
        bottom.plot(GRID, known["density"], color=POPULATION, lw=2.5, alpha=0.7, label="population")
        bottom.plot(known["points"], 0 * known["points"], "|", color=TRAINING, ms=12, label="training points")
        bottom.set(xlabel="$x$", ylim=(-0.02, 1))
        rows.append(pd.DataFrame({"step": step, "x": GRID, "learned": score, "population": known["population"]}))
    axes[0, 0].set_ylabel("score at $t$ = {t}".format(**result.config))
    axes[1, 0].set_ylabel("density")
    (lines, words), (others, more) = (axis.get_legend_handles_labels() for axis in axes[:, 0])
    figure.legend(lines + others[::2], words + more[::2], loc="outside lower center", ncols=3)
    return figure, pd.concat(rows)


def two_gaps(result: Result) -> tuple[plt.Figure, pd.DataFrame]:
    """Squared error of the learned score against the population's and the training set's score, over time."""
    figure, axis = subplots(figsize=(6.5, 3.6))
    axis.set(xscale="log", yscale="log", xlabel=r"training time $\tau$ (steps)", ylabel="error")
    tables, nothing = [], of_nothing(result)
    for metric, color, label in (
        ("gap_population", POPULATION, "to the population's score"),
        ("gap_empirical", TRAINING, "to the training set's score"),
    ):
        table = result.curve(metric).reset_index().assign(metric=metric)
        band(axis, table, "step", color, label)
        axis.axhline(nothing[metric], color=color, ls=":", lw=1.4)
        tables.append(table.assign(of_nothing=nothing[metric]))
    name_lines(axis)
    return figure, pd.concat(tables)


def time_scrubber(result: Result, start: int) -> go.Figure:
    """Slider over training time: learned score and generated density beside the exact ones, from step `start`."""
    known, stored = exact(result), result.samples
    steps = stored["step"].tolist()
    gap = result.curve("gap_population")["value"]
    x, centres = rounded(GRID), rounded(CENTRES)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)

    def frame(i: int) -> list[dict[str, Any]]:
        return [{"x": x, "y": rounded(stored["score"][i], 2)}, {"x": centres, "y": rounded(stored["density"][i])}]

    index = steps.index(start)
    score, density = frame(index)
    figure.add_scatter(**score, name="learned score", line={"color": LEARNED}, row=1, col=1)
    figure.add_scatter(
        **density, name="generated", line={"color": "#888888", "shape": "hvh"}, fill="tozeroy", row=2, col=1
    )
    blue, orange = {"color": POPULATION, "width": 2}, {"color": TRAINING, "width": 1.5}
    figure.add_scatter(x=x, y=rounded(known["training set"], 2), name="training set", line=orange, row=1, col=1)
    figure.add_scatter(x=x, y=rounded(known["population"], 2), name="population", line=blue, row=1, col=1)
    figure.add_scatter(x=x, y=rounded(known["density"]), showlegend=False, line=blue, row=2, col=1)
    figure.add_scatter(
        x=rounded(known["points"]), y=[0] * len(known["points"]), mode="markers", showlegend=False,
        marker={"color": TRAINING, "symbol": "line-ns-open", "size": 12}, row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title="score", range=SCORES, row=1, col=1)
    figure.update_yaxes(title="density", range=[-0.03, 1.0], row=2, col=1)
    figure.update_xaxes(title="x", range=[-5, 5], row=2, col=1)
    titles = [f"step {s:,}: error to the population {gap.loc[s]:.3f}" for s in steps]
    return scrubber(figure, steps, [0, 1], [frame(i) for i in range(len(steps))], index, titles)
