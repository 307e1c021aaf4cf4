"""The Gaussian-mixture experiment (Figs. 8, 9): a residual MLP learns two Gaussians from n points."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..data.gmm import GaussianMixture
from ..diffusion import Schedule
from ..kl import Estimate, kl_from_score, kl_nearest_neighbour, relative_fisher
from ..memorization import memorized_fraction, near_duplicates
from ..nets.mlp import ResidualMLP
from ..randomness import stream
from ..runs import Config, Metrics, Result
from ..samplers import SAMPLERS, draw
from ..training import log_milestones, loss_at
from .execute import Arrays, execute, seeded

# steps: SGD per unit of n * 128/W, Adam likewise; None means a fixed number, the paper's.
TIER = {
    "smoke": {"n": 32, "width": 16, "samples": 200, "milestones": 5, "kept": 50},
    "laptop": {"n": 256, "width": 128, "samples": 1000, "milestones": 24, "kept": 200},
    "gpu": {"n": 1024, "width": 128, "samples": 10_000, "milestones": 40, "kept": 200},
    "paper": {"n": 1024, "width": 128, "samples": 10_000, "milestones": 40, "kept": 200},
}
STEPS_PER_N = {"sgd": 400, "adam": 80}  # at W = 128: beyond tau_mem, which is near 200 n and 40 n
PAPER_STEPS = {"sgd": 4_000_000, "adam": 400_000}
LEARNING_RATE = {"sgd": 6e-3, "adam": 6e-4}


@dataclass(frozen=True)
class GmmConfig(Config):
    """One mixture run; every field is a parameter of book/runs/gmm.ipynb.

    n: training points. width: W of the MLP. optimizer: sgd or adam. lr: learning rate (6e-3, 6e-4). momentum: of
    SGD (0.95). batch: points a step; 0 is the full batch. steps: SGD or Adam steps in all. milestones: how many
    times to measure, evenly in log tau from step `first`. d, mu: of the mixture. samples: drawn at a milestone.
    sampler: euler_maruyama (the paper's, all T steps) or ddim. kept: samples stored for the figures.
    """

    experiment: ClassVar[str] = "gmm"
    n: int
    width: int
    optimizer: str
    lr: float
    momentum: float
    batch: int
    steps: int
    first: int
    milestones: int
    d: int
    mu: float
    samples: int
    sampler: str
    kept: int

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        tier, optimizer = given["tier"], given.get("optimizer", "sgd")
        if optimizer not in LEARNING_RATE:
            raise ValueError(f"optimizer = {optimizer!r}: choose sgd or adam")
        numbers = {**TIER[tier], **given}
        n, width = numbers["n"], numbers["width"]
        by_tier = {"smoke": 100, "paper": PAPER_STEPS[optimizer]}
        steps = by_tier.get(tier, round(STEPS_PER_N[optimizer] * n * 128 / max(width, 1)))
        return {
            "seed": 0, "optimizer": optimizer, "lr": LEARNING_RATE[optimizer], "momentum": 0.95, "batch": 0,
            "steps": steps, "first": 10 if tier == "smoke" else 100, "d": 8, "mu": 1.0,
            "sampler": "euler_maruyama", **TIER[tier],
        }  # fmt: skip

    def __post_init__(self) -> None:
        self.require(
            n=(self.n >= 2, "at least 2"),
            width=(self.width >= 4 and self.width % 2 == 0, "even and at least 4"),
            optimizer=(self.optimizer in LEARNING_RATE, "sgd or adam"),
            lr=(0 < self.lr < inf, "positive"),
            momentum=(0 <= self.momentum < 1, "at least 0 and below 1"),
            batch=(self.batch >= 0, "0 for the full batch, or a number of points"),
            first=(self.first >= 1, "at least 1"),
            steps=(self.steps >= self.first, "at least `first`"),
            milestones=(self.milestones >= 2, "at least 2"),
            d=(self.d >= 1, "at least 1"),
            mu=(-inf < self.mu < inf, "finite"),
            samples=(self.samples >= 100, "at least 100"),
            sampler=(self.sampler in SAMPLERS, f"one of {', '.join(SAMPLERS)}"),
            kept=(0 <= self.kept <= self.samples, "at most `samples`"),
        )


def training_set(config: GmmConfig | dict[str, Any]) -> Tensor:
    """The n training points of a run, (n, d) float32: a function of its seed, the first of any larger set."""
    c = config if isinstance(config, dict) else vars(config)
    return GaussianMixture(c["d"], c["mu"]).sample(c["n"], stream(c["seed"], "train")).float()


def run(config: GmmConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make or resume one mixture run and return its stored result; see `execute`.

    Metrics at every milestone: f_mem (k = 1/3) with its bootstrap interval, f_mem_1/2, f_mem_1/4; kl (the paper's
    estimator), kl_fisher and kl_knn, each +- 1.96 standard errors; loss_train, loss_test at t = 0.01 with the range
    +- 2 standard deviations of the mean over 5 noises. Arrays: kept samples and their two nearest neighbours.
    """
    schedule, law, data = Schedule(), GaussianMixture(config.d, config.mu), training_set(config)
    test = law.sample(2048, stream(config.seed, "test")).float().to(device)
    reference = law.sample(config.samples, stream(config.seed, "reference"))
    k_loss = schedule.step_of(0.01)

    @torch.no_grad()
    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        seed = stream(config.seed, "measure", tau)
        x = draw(net, config.samples, (config.d,), schedule, seed, config.sampler, device=device)
        f = memorized_fraction(x, data, seed=seed)
        near = f.neighbours
        on_device = x.to(device)
        metrics = {
            "f_mem": (f.value, f.low, f.high),
            **{f"f_mem_1/{j}": (float(near.memorized(1 / j).mean()),) * 3 for j in (2, 4)},
            "kl": _interval(kl_from_score(net, on_device, law.log_prob, schedule, seed)),
            "kl_fisher": _interval(relative_fisher(net, on_device, law.score, schedule, seed)),
            "kl_knn": _interval(kl_nearest_neighbour(x, reference)),
            "loss_train": _spread(loss_at(net, data.to(device), k_loss, schedule, stream(seed, "train"))),
            "loss_test": _spread(loss_at(net, test, k_loss, schedule, stream(seed, "test"))),
        }
        kept = slice(config.kept)
        arrays: Arrays = {
            "samples": x[kept].numpy().astype(np.float16),
            "neighbours": near.index[kept].astype(np.int32),
            "distances": near.distance[kept].astype(np.float32),
        }
        return metrics, arrays

    return execute(
        config,
        net=seeded(stream(config.seed, "weights"), lambda: ResidualMLP(config.d, config.width)),
        data=data, schedule=schedule,
        optimizer=(config.optimizer, config.lr, config.momentum),
        batch=config.batch or config.n,
        milestones=log_milestones(config.first, config.steps, config.milestones),
        measure=measure,
        facts={"near_duplicates": near_duplicates(data)},
        device=device, budget=budget, show_progress=show_progress,
    )  # fmt: skip


def _interval(e: Estimate) -> tuple[float, float, float]:
    return e.value, e.value - 1.96 * e.error, e.value + 1.96 * e.error


def _spread(losses: list[float]) -> tuple[float, float, float]:
    mean, error = float(np.mean(losses)), float(np.std(losses, ddof=1)) / len(losses) ** 0.5
    return mean, mean - 2 * error, mean + 2 * error
