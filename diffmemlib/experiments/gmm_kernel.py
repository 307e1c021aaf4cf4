"""The tangent kernel of a mixture network at its training points: is the time of copies written in it beforehand?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..diffusion.schedule import Schedule, forward_noise
from ..metrics.tangent_kernel import tangent_spectrum
from ..randomness import generator
from ..runs.config import Config
from ..runs.execute import compute_once
from ..runs.measurements import Arrays, Row
from ..runs.store import Result
from ..training.loop import make_optimizer, train
from .gmm import GmmConfig, job
from .gmm_measures import levels


@dataclass(frozen=True)
class KernelConfig(Config):
    """One run of book/runs/gmm_kernel.ipynb: the kernel of the network of a mixture run, at one moment of it.

    Parameters
    ----------
    n, width, optimizer, lr, momentum, batch, balanced
        As in a mixture run.
    steps
        Of its training, made before the kernel is computed; 0: the first weights.
    draws
        Noises of a point.
    noise_levels
        At how many times of diffusion; see `gmm_measures.levels`.
    """

    experiment: ClassVar[str] = "gmm_kernel"
    n: int
    width: int
    optimizer: str
    lr: float
    momentum: float
    batch: int
    balanced: bool
    steps: int
    draws: int
    noise_levels: int

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        run = GmmConfig.defaults({key: value for key, value in given.items() if key != "steps"})
        shared = ("n", "width", "optimizer", "lr", "momentum", "batch", "balanced", "seed")
        counts = {"draws": 2, "noise_levels": 2} if given["tier"] == "smoke" else {"draws": 4, "noise_levels": 8}
        return {key: run[key] for key in shared} | {"steps": 0} | counts

    def __post_init__(self) -> None:
        self.training()  # which refuses what is wrong with the rest
        self.require(
            steps=(self.steps >= 0, "at least 0"),
            draws=(self.draws >= 1, "at least 1"),
            noise_levels=(self.noise_levels >= 2, "at least 2"),
        )

    def training(self) -> GmmConfig:
        """Return the mixture run whose network it is; its length does not matter for its course."""
        shared = ("tier", "seed", "n", "width", "optimizer", "lr", "momentum", "batch", "balanced")
        return GmmConfig.from_parameters({key: getattr(self, key) for key in shared})


def run(config: KernelConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Train as far as is asked, compute the eigenvalues of the kernel, and store them.

    Arrays: ``eigenvalues``, (noise_levels, n draws), of the Gram matrix of one output at the training points, each with
    ``draws`` noises, the largest first. Metrics: ``rank_n_k``, the eigenvalue number n at each step k of the schedule.
    budget and show_progress are there for the common form of runs; the computation is one piece and takes minutes.
    """
    del budget, show_progress

    def compute() -> tuple[list[Row], Arrays, bytes]:
        made, schedule = job(config.training(), device), Schedule()
        net, data = made.net.to(device), made.data.to(device)
        if config.steps:
            optimizer = make_optimizer(net, *made.optimizer)
            for _ in train(net, data, optimizer, made.loss, seed=config.seed, milestones=[config.steps],
                           batch=made.batch):  # fmt: skip
                pass
        net.eval()
        x0, rows, spectra = data.repeat(config.draws, 1), [], []
        for k in levels(schedule, config.noise_levels):
            g = generator(config.seed, "kernel", k, device=device)
            eps = torch.randn(x0.shape, generator=g, device=device)
            steps = torch.full((len(x0),), k, device=device)
            spectrum = tangent_spectrum(net, forward_noise(x0, steps, eps, schedule), steps)
            edge = float(spectrum[config.n - 1])
            rows.append((float(config.steps), f"rank_n_{k}", edge, edge, edge))
            spectra.append(spectrum)
        arrays = {"eigenvalues": np.stack(spectra)[None].astype(np.float32)}
        return rows, arrays, data.cpu().numpy().tobytes()

    return compute_once(config, device, compute)
