"""The Gaussian-mixture experiment (Figs. 8, 9): a residual MLP learns two Gaussians from n points."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, cast, get_args

from torch import Tensor

from ..data.gmm import GaussianMixture
from ..diffusion.losses import DenoisingLoss, FrozenNoiseLoss, Loss, Weighting, freeze_noise
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedule import Prediction
from ..metrics.memorization import near_duplicates
from ..nets.mlp import ResidualMLP
from ..randomness import derive_seed, seeded
from ..runs.config import Config
from ..runs.execute import Job, execute
from ..runs.store import Result
from ..training.loop import OptimizerSettings, log_milestones
from .gmm_measures import measurement
from .process_rules import PATHS, process_rules

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
    prediction
        What the network predicts: eps (the paper's), x0, v, or flow, eps - x0; see `diffusion.schedule.x0_and_eps`.
    path
        From data to noise: ddpm (the paper's), or linear, the one of flow matching.
    weighting
        How often training draws each time of diffusion: uniform (the paper's), low_noise or high_noise; see
        `diffusion.losses.DenoisingLoss`.
    weight_decay
        See `training.loop.make_optimizer`.
    ema
        Decay of the averaged weights, which are then what is sampled and measured; 0: none.
    jitter
        Standard deviation of the noise that augments the data, drawn anew at every step.
    noises
        Noises of a point, drawn before training; 0: fresh ones at every step (the paper's). A step sees as many points
        as with fresh noise.
    blocks
        Residual blocks of the MLP.
    dropout
        Of values inside a residual block; 0: none (the paper's).
    loss_space
        The quantity whose squared error is trained on, as in ``prediction``; empty: the one that is predicted.
    away
        Strength with which samples are moved away from training points; see `diffusion.guidance.away_from`.
    noise_levels
        At how many times of diffusion the losses and the noises predicted at fixed points are kept as well; see
        `gmm_measures.levels`.
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
    prediction: str = "eps"
    path: str = "ddpm"
    weighting: str = "uniform"
    weight_decay: float = 0.0
    ema: float = 0.0
    jitter: float = 0.0
    noises: int = 0
    blocks: int = 3
    dropout: float = 0.0
    loss_space: str = ""
    away: float = 0.0
    noise_levels: int = 0

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
            **process_rules(self),
            noises=(
                self.noises == 0 or (self.noises > 0 and not self.conditional and self.jitter == 0),
                "0, or more without labels and without jitter",
            ),
            blocks=(self.blocks >= 1, "at least 1"),
            dropout=(0 <= self.dropout < 1, "at least 0 and below 1"),
            loss_space=(
                self.loss_space == "" or self.loss_space in get_args(Prediction),
                f"empty, or one of {', '.join(get_args(Prediction))}",
            ),
            away=(
                0 <= self.away < inf and not (self.away and self.conditional),
                "at least 0 and finite, and 0 where the net is conditional",
            ),
            noise_levels=(
                self.noise_levels == 0 or (self.noise_levels > 1 and not self.conditional and self.path == "ddpm"),
                "0, or at least 2 on the path ddpm without labels",
            ),
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
    divergences for each class too (f_mem_class_0 ...), these from the distribution of the class. Where the network's
    score is not that of the paper's process, with guidance and on the linear path, the one divergence is kl_nn. Arrays:
    kept samples and their two nearest neighbours. With noise_levels, loss_train_k and loss_test_k at each of these
    steps k of the schedule, and the array ``predicted``, the noises that the network predicts at `gmm_measures.probes`.
    """
    schedule, replayed = PATHS[config.path](), device.startswith("cuda")
    data, labels = training_set(vars(config))
    prediction, weighting = cast(Prediction, config.prediction), cast(Weighting, config.weighting)
    space = cast(Prediction, config.loss_space) if config.loss_space else None
    fresh = DenoisingLoss(schedule, config.label_drop, False, prediction, weighting, config.jitter, space)
    train = freeze_noise(data, config.noises, fresh, config.seed) if config.noises else data
    loss: Loss = FrozenNoiseLoss(fresh) if config.noises else fresh
    return Job(
        config,
        net=seeded(
            derive_seed(config.seed, "weights"),
            lambda: ResidualMLP(
                config.d, config.width, config.blocks, classes=2 if config.conditional else 0, dropout=config.dropout
            ),
        ),
        data=train, labels=labels if config.conditional else None, loss=loss, ema=config.ema,
        replayed=replayed,
        optimizer=OptimizerSettings(config.optimizer, config.lr, config.momentum, config.weight_decay),
        batch=config.batch or config.n,
        milestones=log_milestones(config.first, config.steps, config.milestones),
        measure=measurement(config, population(vars(config)), schedule, data, labels, device, replayed),
        facts={"near_duplicates": near_duplicates(data)},
    )  # fmt: skip
