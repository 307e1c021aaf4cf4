"""Two times in one dimension (Fig. 1, left): a network's score beside the population's and the training set's."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..data.gmm import GaussianMixture
from ..diffusion.losses import DenoisingLoss
from ..diffusion.samplers import sample
from ..diffusion.schedule import Schedule
from ..metrics.empirical import empirical_score
from ..nets.mlp import ResidualMLP
from ..randomness import derive_seed, generator, seeded
from ..runs.config import Config, Metrics
from ..runs.execute import Job, execute
from ..runs.measurements import Arrays
from ..runs.store import Result
from ..training.loop import OptimizerSettings, log_milestones

GRID = np.linspace(-5, 5, 401)  # where scores are stored
FRESH = 4096  # points at which scores are compared
BINS = np.linspace(-5, 5, 101)  # of the histogram of generated samples


@dataclass(frozen=True)
class OneDimensionConfig(Config):
    """One run of book/runs/one_dimension.ipynb: full-batch training on n points of N(-mu, 1)/2 + N(mu, 1)/2.

    Parameters
    ----------
    n
        Training points.
    width
        W of the MLP.
    optimizer, lr, momentum, steps
        Of the training.
    first, milestones
        Step of the first milestone, and how many there are, evenly in log tau.
    mu
        Of the mixture.
    t
        Ornstein-Uhlenbeck time at which scores are compared.
    draws
        Noises for each point and step; with a handful of points, one each (the paper's loss) would drown the training
        in gradient noise.
    samples
        Generated at a milestone.
    """

    experiment: ClassVar[str] = "one_dimension"
    n: int
    width: int
    optimizer: str
    lr: float
    momentum: float
    steps: int
    first: int
    milestones: int
    mu: float
    t: float
    draws: int
    samples: int

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        smoke = given["tier"] == "smoke"
        size = {"width": 16, "steps": 100, "milestones": 5, "draws": 4, "samples": 200} if smoke else {
            "width": 64, "steps": 20_000, "milestones": 33, "draws": 64, "samples": 5000
        }  # fmt: skip
        return {
            "seed": 0, "n": 16, "optimizer": "adam", "lr": 5e-4, "momentum": 0.95, "first": 10, "mu": 2.0, "t": 0.01,
            **size,
        }  # fmt: skip

    def __post_init__(self) -> None:
        self.require(
            n=(2 <= self.n <= FRESH, f"2 to {FRESH}"),
            width=(self.width >= 4 and self.width % 2 == 0, "even and at least 4"),
            optimizer=(self.optimizer in ("sgd", "adam"), "sgd or adam"),
            lr=(0 < self.lr < inf, "positive"),
            momentum=(0 <= self.momentum < 1, "at least 0 and below 1"),
            steps=(self.steps >= 1, "at least 1"),
            first=(1 <= self.first <= self.steps, f"1 to `steps`, which is {self.steps}"),
            milestones=(self.milestones >= 2, "at least 2"),
            mu=(-inf < self.mu < inf, "finite"),
            t=(0 < self.t <= float(Schedule().t[-1]), "positive and within the schedule"),
            draws=(self.draws >= 1, "at least 1"),
            samples=(self.samples >= 1, "at least 1"),
        )


def training_set(n: int, mu: float, seed: int) -> Tensor:
    """Return the n training points, (n, 1) float32."""
    return GaussianMixture(1, mu).sample(n, derive_seed(seed, "train")).float()


def run(
    config: OneDimensionConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> Result:
    """Make or resume the run and return its stored result.

    Metrics at every milestone: gap_population and gap_empirical, the mean of Delta_t |s - s'|^2 over fresh points
    of P_t and over the noised training set, s' the exact score of each (in units of the noise, 1 being as bad as
    no prediction). Arrays: the learned score on GRID; density, the histogram over BINS of DDIM samples.
    """
    schedule, truth = Schedule(), GaussianMixture(1, config.mu)
    data = training_set(config.n, config.mu, config.seed)
    k = schedule.timestep_at(config.t)
    t, sigma, signal = float(schedule.t[k]), float(schedule.noise[k]), float(schedule.signal[k])
    fresh = truth.sample(FRESH, derive_seed(config.seed, "fresh"))
    population = signal * fresh + sigma * torch.randn(FRESH, 1, generator=generator(config.seed, "population")).double()
    noised = signal * data.double().repeat(FRESH // config.n, 1)
    empirical = noised + sigma * torch.randn(noised.shape, generator=generator(config.seed, "empirical")).double()
    exact = {
        "gap_population": (population, truth.score(population, t)),
        "gap_empirical": (empirical, empirical_score(empirical, t, data)),
    }

    @torch.no_grad()
    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        def score(x: Tensor) -> Tensor:
            steps = torch.full((len(x),), k, device=device)
            return -net(x.float().to(device), steps).double().cpu() / sigma

        metrics: Metrics = {}
        for name, (x, s) in exact.items():
            gap = sigma**2 * (score(x) - s).square().sum(1)
            mean, error = float(gap.mean()), float(gap.std()) / len(gap) ** 0.5
            metrics[name] = (mean, mean - 1.96 * error, mean + 1.96 * error)
        x = sample(net, config.samples, (1,), schedule, derive_seed(config.seed, "measure", tau), device=device)
        counts = np.histogram(x.numpy(), BINS)[0]
        on_grid = score(torch.from_numpy(GRID)[:, None])[:, 0].numpy().astype(np.float32)
        return metrics, {"score": on_grid, "density": counts / (config.samples * np.diff(BINS))}

    job = Job(
        config,
        net=seeded(derive_seed(config.seed, "weights"), lambda: ResidualMLP(1, config.width)),
        data=data.repeat(config.draws, 1), loss=DenoisingLoss(schedule),
        optimizer=OptimizerSettings(config.optimizer, config.lr, config.momentum),
        batch=config.n * config.draws,
        milestones=log_milestones(config.first, config.steps, config.milestones),
        measure=measure,
    )  # fmt: skip
    return execute(job, device, budget, show_progress)
