"""The image experiment (Figs. 2, 3, 6, 7): a U-Net learns n images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any, ClassVar, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..data.images import DATASETS, Images, identify, image_counts, images, known, missing, size_rules
from ..diffusion.losses import DenoisingLoss, Weighting, loss_at, loss_interval, noise_prediction
from ..diffusion.samplers import sample
from ..diffusion.schedule import Prediction
from ..metrics.digit_features import DIMENSION as DIGIT_DIMENSION, digit_features, untrained_features
from ..metrics.frechet import Features, frechet_interval
from ..metrics.inception import DIMENSION as INCEPTION_DIMENSION, inception_features
from ..metrics.memorization import NeighbourIndex, near_duplicates, wilson
from ..nets.cpu import use_cpu_layers
from ..nets.unet import GROUPS, UNet, Variant
from ..randomness import derive_seed, seeded
from ..runs.config import Config, Metrics
from ..runs.execute import Job, execute
from ..runs.measurements import Arrays, require_finite
from ..runs.store import Result
from ..training.compiling import compile_static
from ..training.fixed_batch import FixedBatch
from ..training.loop import OptimizerSettings, log_milestones
from .process_rules import PATHS, process_rules

TIER = {
    "smoke": {"n": 16, "side": 16, "width": 8, "batch": 8, "samples": 40, "sampling_steps": 5, "milestones": 3,
              "loss_images": 32},
    "laptop": {"n": 128, "side": 16, "width": 16, "batch": 32, "samples": 200, "sampling_steps": 50, "milestones": 20,
               "loss_images": 256},
    "gpu": {"n": 1024, "side": 32, "width": 32, "batch": 512, "samples": 2500, "sampling_steps": 100, "milestones": 24,
            "loss_images": 1024},
    "paper": {"n": 1024, "side": 32, "width": 32, "batch": 512, "samples": 10_000, "sampling_steps": 100,
              "milestones": 40, "loss_images": 2048},
}  # fmt: skip
STEPS_PER_N = {"sgd": 400, "adam": 40}  # at W = 16
PAPER_STEPS = {"sgd": 2_000_000, "adam": 200_000}
LEARNING_RATE = {"sgd": 1e-2, "adam": 1e-4}  # the paper's
FEWEST = {  # samples, to be exceeded
    "digits": DIGIT_DIMENSION, "untrained": DIGIT_DIMENSION, "inception": INCEPTION_DIMENSION, "none": 1
}  # fmt: skip
# The metric's name: a Frechet distance is an FID with Inception only.
DISTANCE = {"digits": "fd", "untrained": "fd_untrained", "inception": "fid"}
FEATURES = {"digits": "digits", "celeba": "inception"}  # by default; a reader's own images have untrained ones
LAPTOP_RATE = {"sgd": 0.1, "adam": 1e-3}  # larger, so that a CPU gets there; of SGD at W = 16, see `laptop_rate`


def sample_batch_size(device: str) -> int:
    """Return how many samples are drawn at once: few on a CPU, for its cache; it changes their last digits only."""
    return 200 if device == "cpu" else 2500


def laptop_learning_rate(optimizer: str, width: int) -> float:
    """Return the learning rate of the laptop tier; SGD's falls as 1/W^2 above W = 16, as the largest stable one."""
    return LAPTOP_RATE[optimizer] * (min(1.0, (16 / width) ** 2) if optimizer == "sgd" else 1.0)


@dataclass(frozen=True)
class UNetConfig(Config):
    """One image run; every field is a parameter of book/runs/unet.ipynb.

    Parameters
    ----------
    dataset
        digits, celeba, or the name of your own (`data.own`).
    n
        Training images.
    side
        Of an image, in pixels.
    scale
        Of the numbers that the network sees; 1 in the paper: pixels in [0, 1] minus their mean.
    width
        W of the U-Net.
    optimizer
        sgd or adam.
    lr
        Learning rate (the paper's: 1e-2 and 1e-4).
    momentum
        Of SGD.
    batch
        Images in a step; 0 is the full batch.
    dropout
        Of the U-Net.
    steps
        Of the optimiser, in all.
    first
        Step of the first milestone.
    milestones
        How many times to measure, evenly in log tau.
    samples
        Drawn at a milestone by DDIM.
    sampling_steps
        Of DDIM.
    loss_images
        At most so many training and held-out images for the losses at t = 0.01.
    kept
        Samples stored.
    bf16
        Whether the network is trained in bfloat16; weights and measurements stay in float32. Changes the last digits.
    compiled
        Whether it is compiled by torch.compile. Changes the last digits.
    features
        Behind the Frechet distance: digits, inception (which makes it the FID), untrained (for your own images), or
        none.
    draws
        Times and noises for each image and step of a full batch: with more, the gradient of few images is as precise as
        that of many.
    graphs
        Whether steps and samples are recorded once and replayed, on a GPU as CUDA graphs; see `training.replay`. There,
        what is measured is computed in TF32; see `FixedBatch`.
    network
        paper or early; the ``variant`` of `UNet`.
    sampler
        ddim_paper or ddim; see `samplers.sample`.
    same_noise
        Whether the samples of every milestone start from the same noise, so that one can watch each of them change.
        The errors of their measurements are then alike, so such runs serve pictures and no exponent.
    prediction, path, weighting, weight_decay, ema, jitter
        As in a mixture run; see `gmm.GmmConfig`.
    """

    experiment: ClassVar[str] = "unet"
    dataset: str
    n: int
    side: int
    scale: float
    width: int
    optimizer: str
    lr: float
    momentum: float
    batch: int
    dropout: float
    steps: int
    first: int
    milestones: int
    samples: int
    sampling_steps: int
    loss_images: int
    kept: int
    bf16: bool
    compiled: bool
    features: str = "digits"
    draws: int = 1
    graphs: bool = False
    network: str = "early"
    sampler: str = "ddim"
    same_noise: bool = False
    prediction: str = "eps"
    path: str = "ddpm"
    weighting: str = "uniform"
    weight_decay: float = 0.0
    ema: float = 0.0
    jitter: float = 0.0

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        tier, optimizer = given["tier"], given.get("optimizer", "sgd")
        if optimizer not in LEARNING_RATE:
            raise ValueError(f"optimizer = {optimizer!r}: choose sgd or adam")
        numbers = {**TIER[tier], **given}
        n, width, small = numbers["n"], numbers["width"], tier in ("smoke", "laptop")
        by_tier = {"smoke": 6, "paper": PAPER_STEPS[optimizer]}
        return {
            "seed": 0, "dataset": "digits", "optimizer": optimizer, "momentum": 0.95, "dropout": 0.1,
            "scale": 4.0 if small else 1.0,
            "features": _default_features(given.get("dataset", "digits"), numbers["samples"]),
            "lr": laptop_learning_rate(optimizer, max(width, 1)) if small else LEARNING_RATE[optimizer],
            "steps": by_tier.get(tier, round(STEPS_PER_N[optimizer] * n * 16 / max(width, 1))),
            "first": 2 if tier == "smoke" else 100, "kept": 4 if tier == "smoke" else 24,
            "bf16": not small, "compiled": not small, "graphs": not small, "network": "paper",
            "sampler": "ddim_paper", **TIER[tier],
        }  # fmt: skip

    @classmethod
    def resolve(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return super().resolve(settings) | {"dataset": identify(settings["dataset"], settings["side"])}

    def check_data(self) -> None:
        counts, fewest = image_counts(self.dataset, self.side), FEWEST[self.features]
        if counts is not None and counts[1] <= fewest:
            raise ValueError(
                f"features = {self.features!r}: {counts[1]} images are held out, and its Frechet distance needs more "
                f"than {fewest}, so {4 * (fewest + 1)} different images at least; take features = 'untrained' or 'none'"
            )

    def missing_data(self) -> str:
        return missing(self.dataset, self.side)

    def __post_init__(self) -> None:
        self.require(
            dataset=(known(self.dataset), f"{', '.join(DATASETS)}, or the name of your own, in small letters"),
            features=(self.features in FEWEST, f"one of {', '.join(FEWEST)}"),
        )
        self.require(
            width=(self.width > 0 and self.width % GROUPS == 0, f"a multiple of {GROUPS}, such as 8, 16, 32, 48, 64"),
            **size_rules(self.dataset, self.side, self.n),
            scale=(0 < self.scale < inf, "positive"),
            optimizer=(self.optimizer in LEARNING_RATE, "sgd or adam"),
            lr=(0 < self.lr < inf, "positive"),
            momentum=(0 <= self.momentum < 1, "at least 0 and below 1"),
            batch=(self.batch >= 0, "0 for the full batch, or a number of images"),
            draws=(
                self.draws == 1 or (self.draws > 1 and self.batch in (0, self.n)),
                "1, or more with a full batch (batch = 0)",
            ),
            dropout=(0 <= self.dropout < 1, "at least 0 and below 1"),
            steps=(self.steps >= 1, "at least 1"),
            first=(1 <= self.first <= self.steps, f"1 to `steps`, which is {self.steps}"),
            milestones=(self.milestones >= 2, "at least 2"),
            samples=(
                self.samples > FEWEST[self.features],
                f"above {FEWEST[self.features]}, the dimension of features = {self.features!r}, for their distance",
            ),
            network=(self.network in get_args(Variant), f"one of {', '.join(get_args(Variant))}"),
            sampler=(self.sampler in ("ddim", "ddim_paper"), "ddim or ddim_paper"),
            sampling_steps=(
                1 + (self.sampler == "ddim_paper") <= self.sampling_steps <= 999,
                "1 to 999, and at least 2 with ddim_paper, which asks the network one time less",
            ),
            loss_images=(self.loss_images >= 1, "at least 1"),
            kept=(0 <= self.kept <= self.samples, f"0 to `samples`, which is {self.samples}"),
            **process_rules(self),
        )


def _default_features(dataset: str, samples: int) -> str:
    """Inception's where a tier draws enough samples for them."""
    features = FEATURES.get(dataset, "untrained")
    return features if samples > FEWEST[features] else "untrained"


def run(config: UNetConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make or resume one image run and return its stored result; see `runs.execute.execute`.

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


def job(config: UNetConfig, device: str = "cpu") -> Job:
    """Return what `execute` needs.

    Metrics at every milestone: f_mem (k = 1/3), f_mem_1/2, f_mem_1/4 with Wilson's intervals; fd, the Frechet distance
    to the held-out images (fid where the features are Inception's, fd_untrained where no network learned them), with
    its interval; loss_train, loss_test at
    t = 0.01 with the range +- 2 standard deviations of the mean over 5 noises. Facts: near-duplicates among the
    training images, the share of held-out images that count as copies, mean and standard deviation of the pool's
    pixels. Arrays, of the kept samples: the samples
    and their nearest training images as bytes, and the two distances of each.
    """
    config.check_data()
    schedule, data = PATHS[config.path](), images(config.dataset, config.side, config.scale)
    if config.features == "digits" and data.pool.shape[1] != 1:
        raise ValueError("features = 'digits': they see grey images, and these have colours; take 'untrained'")
    chosen = data.training_set(config.n, config.seed)
    train = data.centred(chosen)
    index, size = NeighbourIndex(train.to(device)), sample_batch_size(device)
    k_loss, prediction = schedule.timestep_at(0.01), cast(Prediction, config.prediction)
    replayed = config.graphs and not (device == "cpu" and config.compiled)  # there a recording is not compiled
    features = _features(config.features, data, device)
    reference = None if features is None else extract_features(features, data.test.float() / 255)

    @cache
    def predictor(net: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        fixed = config.compiled or config.graphs
        return FixedBatch(net, min(config.samples, size), replayed) if fixed else net

    @torch.no_grad()
    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        predict = predictor(net)
        seed = derive_seed(config.seed, "measure", tau)
        noise = derive_seed(config.seed, "noise") if config.same_noise else seed
        x = sample(
            predict, config.samples, tuple(train.shape[1:]), schedule, noise, config.sampler,
            steps=config.sampling_steps, batch_size=size, device=device, prediction=prediction,
        )  # fmt: skip
        near = index.two_nearest(require_finite(x, tau, config))
        metrics: Metrics = {
            name: wilson(near.memorized(k))
            for name, k in (("f_mem", 1 / 3), ("f_mem_1/2", 1 / 2), ("f_mem_1/4", 1 / 4))
        }
        if features is not None and reference is not None:
            metrics[DISTANCE[config.features]] = frechet_interval(extract_features(features, data.pixels(x)), reference)
        eps = noise_prediction(predict, schedule, prediction)
        for name, points in (("train", train), ("test", data.centred(data.test))):
            losses = loss_at(eps, points[: config.loss_images].to(device), k_loss, schedule, derive_seed(seed, name))
            metrics["loss_" + name] = loss_interval(losses)
        kept = slice(config.kept)
        arrays: Arrays = {
            "samples": (data.pixels(x[kept]) * 255).round().byte().numpy(),
            "nearest": chosen[near.index[kept, 0]].numpy(),
            "distances": near.distance[kept].astype(np.float32),
        }
        return metrics, arrays

    net = seeded(derive_seed(config.seed, "weights"), lambda: network(config, train.shape[1]))
    net.to(memory_format=torch.channels_last)  # convolutions follow their weights
    if device == "cpu":
        use_cpu_layers(net)
    pool, held_out = data.pool.double() / 255, index.two_nearest(data.centred(data.test)).memorized()
    facts: dict[str, Any] = {
        "near_duplicates": near_duplicates(train.to(device)), "held_out_f_mem": float(held_out.mean()),
        "pixel_mean": float(pool.mean()), "pixel_sd": float(pool.std()),
    }  # fmt: skip
    if config.compiled:  # for two shapes: that of training, and that of `FixedBatch`
        facts["compiled"] = compile_static(net, device)
    return Job(
        config, net=net, data=train.repeat(config.draws, 1, 1, 1), ema=config.ema,
        loss=DenoisingLoss(
            schedule, bf16=config.bf16, prediction=prediction, weighting=cast(Weighting, config.weighting),
            jitter=config.jitter,
        ),
        optimizer=OptimizerSettings(config.optimizer, config.lr, config.momentum, config.weight_decay),
        batch=(config.batch or config.n) * config.draws,
        milestones=log_milestones(config.first, config.steps, config.milestones), measure=measure,
        replayed=replayed,
        facts=facts | _landmarks(config, data, features, reference),
    )  # fmt: skip


def network(config: UNetConfig, channels: int = 1) -> UNet:
    """Return the network of a run, with the first weights that torch's random state gives.

    Parameters
    ----------
    config
        Of the run.
    channels
        Of its images.
    """
    return UNet(config.width, config.dropout, channels=channels, variant=cast(Variant, config.network))


def _features(name: str, data: Images, device: str) -> Features | None:
    if name == "inception":
        return inception_features(device=device)
    if name == "untrained":
        return untrained_features(data.test.float() / 255)
    if name == "digits":
        features = copy.deepcopy(digit_features()).to(device)
        return lambda images: features(images.to(device))
    return None


def _landmarks(
    config: UNetConfig, data: Images, features: Features | None, reference: np.ndarray | None
) -> dict[str, float]:
    """What a distance without a scale of its own is compared with: that of real images, and of `gaussian_images`.

    As many of either as a milestone samples, or as the pool holds.
    """
    if config.features != "untrained" or features is None or reference is None:
        return {}
    real = data.pool[: config.samples].float() / 255
    gaussian = data.gaussian_images(config.samples, config.seed)
    return {
        f"{DISTANCE['untrained']}_{name}": frechet_interval(extract_features(features, x), reference)[0]
        for name, x in (("real", real), ("gaussian", gaussian))
    }


def extract_features(features: Features, images: Tensor) -> np.ndarray:
    """Return the features of images in [0, 1], (m, D) float64, a few hundred images at a time."""
    return np.concatenate([features(part).double().cpu().numpy() for part in images.split(256)])
