"""The Gaussian-mixture experiment (Figs. 8, 9): a residual MLP learns two Gaussians from n points."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..data.gmm import GaussianMixture
from ..diffusion.losses import DenoisingLoss, loss_at, loss_interval
from ..diffusion.samplers import SAMPLERS, classifier_free_guidance, sample
from ..diffusion.schedule import Schedule
from ..metrics.kl import MonteCarloEstimate, kl_from_score, kl_score_gap
from ..metrics.memorization import near_duplicates, two_nearest, wilson
from ..metrics.neighbour_kl import kl_nearest_neighbour
from ..nets.mlp import ResidualMLP
from ..randomness import derive_seed, seeded
from ..runs.config import Config, Metrics
from ..runs.execute import Job, execute
from ..runs.measurements import Arrays, require_finite
from ..runs.store import Result
from ..training.loop import log_milestones

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

    Parameters
    ----------
    n
        Training points.
    width
        W of the MLP.
    optimizer
        sgd or adam.
    lr
        Learning rate (the paper's: 6e-3 and 6e-4).
    momentum
        Of SGD.
    batch
        Points in a step; 0 is the full batch.
    steps
        Of the optimiser, in all.
    first
        Step of the first milestone.
    milestones
        How many times to measure, evenly in log tau.
    d, mu
        Of the mixture.
    samples
        Drawn at a milestone.
    sampler
        euler_maruyama (the paper's) or ddim.
    kept
        Samples stored for the figures.
    sampling_steps
        Of the sampler; 0 for all T - 1 of Euler-Maruyama and 100 of DDIM.
    conditional
        Whether the network sees the class label; half of the samples are then drawn in each class.
    label_drop
        Probability with which training hides a label.
    guidance
        Strength of classifier-free guidance in sampling; 0: none.
    share, spread
        Weight and standard deviation of class 1.
    balanced
        Whether the training set holds exactly its share of class 1, as the paper's do, or by chance.
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
    sampling_steps: int = 0
    conditional: bool = False
    label_drop: float = 0.1
    guidance: float = 0.0
    share: float = 0.5
    spread: float = 1.0
    balanced: bool = False

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
            "sampler": "euler_maruyama", "balanced": True, **TIER[tier],
        }  # fmt: skip

    def __post_init__(self) -> None:
        self.require(
            n=(self.n >= 2, "at least 2"),
            width=(self.width >= 4 and self.width % 2 == 0, "even and at least 4"),
            optimizer=(self.optimizer in LEARNING_RATE, "sgd or adam"),
            lr=(0 < self.lr < inf, "positive"),
            momentum=(0 <= self.momentum < 1, "at least 0 and below 1"),
            batch=(self.batch >= 0, "0 for the full batch, or a number of points"),
            steps=(self.steps >= 1, "at least 1"),
            first=(1 <= self.first <= self.steps, f"1 to `steps`, which is {self.steps}"),
            milestones=(self.milestones >= 2, "at least 2"),
            d=(self.d >= 1, "at least 1"),
            mu=(-inf < self.mu < inf, "finite"),
            samples=(self.samples >= (200 if self.conditional else 100), "at least 100, for each class"),
            sampler=(self.sampler in SAMPLERS, f"one of {', '.join(SAMPLERS)}"),
            kept=(0 <= self.kept <= self.samples, f"0 to `samples`, which is {self.samples}"),
            sampling_steps=(self.sampling_steps == 0 or 2 <= self.sampling_steps <= 999, "0, or 2 to 999"),
            label_drop=(0 <= self.label_drop <= 1, "a probability"),
            guidance=(
                self.guidance == 0 or (self.conditional and self.label_drop > 0 and -inf < self.guidance < inf),
                "0 unless the net is conditional and label_drop above 0",
            ),
            share=(0 < self.share < 1, "between 0 and 1"),
            spread=(0 < self.spread < inf, "positive"),
        )


def population(c: dict[str, Any]) -> GaussianMixture:
    """Return the distribution of a run's data, from its settings."""
    c = {**GmmConfig.later_defaults(), **c}
    return GaussianMixture(c["d"], c["mu"], c["share"], c["spread"])


def training_set(c: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the n points of a run, (n, d) float32, and their classes; they are the first of any larger set."""
    x, label = population(c).labelled(c["n"], derive_seed(c["seed"], "train"), c.get("balanced", False))
    return x.float(), label


def run(config: GmmConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make or resume one mixture run and return its stored result; see `runs.execute.execute`.

    Parameters
    ----------
    config
        Of the run.
    device
        As torch calls it.
    budget
        Seconds; the run then saves its state and ends.
    show_progress
        Whether to show steps, rate and remaining time.
    """
    return execute(job(config, device), device, budget, show_progress)


def job(config: GmmConfig, device: str = "cpu") -> Job:
    """Return what `execute` needs.

    Metrics at every milestone: f_mem (k = 1/3), f_mem_1/2, f_mem_1/4, each with Wilson's interval; kl (the paper's
    estimator) and kl_fisher, each +- 1.96 standard errors, and kl_nn, by nearest neighbours; loss_train, loss_test at
    t = 0.01 with the range +- 2 standard deviations of the mean over 5 noises. A conditional run has f_mem and the
    divergences for each class too (f_mem_class_0 ...), these from the distribution of the class; with guidance only
    kl_nn, since a guided score is that of no distribution. Arrays: kept samples and their two nearest neighbours.
    """
    schedule, truth = Schedule(), population(vars(config))
    data, labels = training_set(vars(config))
    test, test_labels = truth.labelled(2048, derive_seed(config.seed, "test"))
    k_loss = schedule.timestep_at(0.01)
    sample_labels = torch.arange(config.samples) % 2 if config.conditional else None
    classes = {"": truth}
    if config.conditional:
        classes = {f"_class_{label}": truth.given(label) for label in (0, 1)}

    @torch.no_grad()
    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        seed = derive_seed(config.seed, "measure", tau)
        x = sample(
            net, config.samples, (config.d,), schedule, seed, config.sampler, config.sampling_steps or None,
            device=device, labels=sample_labels, guidance=config.guidance,
        )  # fmt: skip
        require_finite(x, tau, config)
        near = two_nearest(x, data)
        metrics: Metrics = {"f_mem": wilson(near.memorized())}
        metrics |= {f"f_mem_1/{j}": wilson(near.memorized(1 / j)) for j in (2, 4)}
        for label, (name, of_class) in enumerate(classes.items()):
            chosen = slice(None) if sample_labels is None else sample_labels == label
            predict = net if sample_labels is None else classifier_free_guidance(net, label)
            x_class = x[chosen].to(device)
            if config.conditional:
                metrics["f_mem" + name] = wilson(near.memorized()[chosen])
            if config.guidance == 0:
                metrics["kl" + name] = _interval(kl_from_score(predict, x_class, of_class.log_prob, schedule, seed))
                metrics["kl_fisher" + name] = _interval(kl_score_gap(predict, x_class, of_class.score, schedule, seed))
            metrics["kl_nn" + name] = _neighbours(x_class, of_class)
        for name, points, their_labels in (("train", data, labels), ("test", test.float(), test_labels)):
            predict = classifier_free_guidance(net, their_labels.to(device)) if config.conditional else net
            losses = loss_at(predict, points.to(device), k_loss, schedule, derive_seed(seed, name))
            metrics["loss_" + name] = loss_interval(losses)
        kept = slice(config.kept)
        arrays: Arrays = {
            "samples": x[kept].numpy().astype(np.float16),
            "neighbours": near.index[kept].astype(np.int32),
            "distances": near.distance[kept].astype(np.float32),
        }
        return metrics, arrays

    return Job(
        config,
        net=seeded(
            derive_seed(config.seed, "weights"),
            lambda: ResidualMLP(config.d, config.width, classes=2 if config.conditional else 0),
        ),
        data=data, labels=labels if config.conditional else None,
        loss=DenoisingLoss(schedule, config.label_drop),
        optimizer=(config.optimizer, config.lr, config.momentum),
        batch=config.batch or config.n,
        milestones=log_milestones(config.first, config.steps, config.milestones),
        measure=measure,
        facts={"near_duplicates": near_duplicates(data)},
    )  # fmt: skip


def _neighbours(x: Tensor, law: GaussianMixture) -> tuple[float, float, float]:
    """KL by nearest neighbours; infinite where samples coincide, as those of a network that has collapsed do."""
    if len(torch.unique(x, dim=0)) < len(x):
        return inf, inf, inf
    e = kl_nearest_neighbour(x, law)
    return e.value, e.low, e.high


def _interval(e: MonteCarloEstimate) -> tuple[float, float, float]:
    return e.value, e.value - 1.96 * e.error, e.value + 1.96 * e.error
