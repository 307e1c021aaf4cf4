"""Random features on Gaussian data: exact gradient flow (Figs. 4, 5, 11, 12) and descent by SGD or Adam (Fig. 15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import expm1, inf, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..nets.random_features import RandomFeatures
from ..randomness import derive_seed
from ..rfnn.gradient_flow import GradientFlow
from ..runs.config import Config, Metrics
from ..runs.execute import Job, compute_once, execute
from ..runs.measurements import Arrays, Row
from ..runs.store import Result
from ..training.loop import OptimizerSettings, log_milestones

TIMES = np.geomspace(0.1, 1e7, 161)  # tau at which the flow is stored, twenty a decade


@dataclass(frozen=True)
class FeaturesConfig(Config):
    """One draw of features and data.

    Parameters
    ----------
    d
        Dimension.
    psi_p, psi_n
        Features and points in units of d.
    t
        Ornstein-Uhlenbeck time.
    low, high
        Variances of the first and of the second half of the coordinates of the data.
    """

    d: int
    psi_p: float
    psi_n: float
    t: float
    low: float
    high: float

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        size = {"d": 10, "psi_p": 8.0} if given["tier"] == "smoke" else {"d": 100, "psi_p": 64.0}
        return {"seed": 0, "psi_n": 8.0, "t": 0.1, "low": 1.0, "high": 1.0, **size}

    def __post_init__(self) -> None:
        self.require(
            d=(self.d >= 2 and self.d % 2 == 0, "even and at least 2"),
            psi_p=(1 <= self.psi_p * self.d < inf, "at least 1/d"),
            psi_n=(1 <= self.psi_n * self.d < inf, "at least 1/d"),
            t=(0 < self.t < inf, "positive"),
            low=(0 < self.low < inf, "positive"),
            high=(0 < self.high < inf, "positive"),
        )


@dataclass(frozen=True)
class FlowConfig(FeaturesConfig):
    """One run of book/runs/rfnn_flow.ipynb: the exact dynamics of one draw of features and data.

    Parameters
    ----------
    noises
        Noises drawn once for each point, m; 0 for the average over all noise.
    ridge
        gamma, the weight decay in units of the eigenvalues of U.
    """

    experiment: ClassVar[str] = "rfnn_flow"
    noises: int = 0
    ridge: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            noises=(self.noises >= 0, "a number of noises, or 0 for the average over all"),
            ridge=(0 <= self.ridge < inf, "at least 0"),
        )


@dataclass(frozen=True)
class DescentConfig(FeaturesConfig):
    """One run of book/runs/rfnn_descent.ipynb: the same model trained step by step with fresh noise; full batch.

    Parameters
    ----------
    optimizer
        sgd (without momentum) or adam.
    lr
        Its learning rate eta; tau = eta/d^2 a step of SGD.
    draws
        Noises for each point and step.
    steps, first, milestones
        As in every training run.
    """

    experiment: ClassVar[str] = "rfnn_descent"
    optimizer: str
    lr: float
    draws: int
    steps: int
    first: int
    milestones: int

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        flow = FeaturesConfig.defaults(given)
        optimizer = given.get("optimizer", "adam")
        smoke = given["tier"] == "smoke"
        small = {"d": 10, "psi_p": 8.0} if smoke else {"d": 32, "psi_p": 64.0}
        size = {**flow, **small, **given}
        return {
            **flow, **small, "optimizer": optimizer, "lr": 1e-2 if optimizer == "adam" else float(size["d"] ** 2),
            "draws": 1, "steps": 50 if smoke else round(500 * size["psi_n"]), "first": 10,
            "milestones": 5 if smoke else 40,
        }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            optimizer=(self.optimizer in ("sgd", "adam"), "sgd or adam"),
            lr=(0 < self.lr < inf, "positive"),
            draws=(self.draws >= 1, "at least 1"),
            steps=(self.steps >= 1, "at least 1"),
            first=(1 <= self.first <= self.steps, f"1 to `steps`, which is {self.steps}"),
            milestones=(self.milestones >= 2, "at least 2"),
        )


def problem(config: FeaturesConfig) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return features W (p, d), points X (n, d) and the data's variances (d,): functions of the seed.

    A smaller model or training set of the same d and seed is the start of a larger one.
    """
    variances = np.repeat([config.low, config.high], config.d // 2)

    def normal(rows: float, purpose: str) -> NDArray[np.float64]:
        return np.random.Generator(np.random.Philox(derive_seed(config.seed, purpose))).standard_normal(
            (round(rows * config.d), config.d)
        )

    return normal(config.psi_p, "features"), normal(config.psi_n, "train") * np.sqrt(variances), variances


def frozen_noises(config: FlowConfig) -> NDArray[np.float64]:
    """Return the noises of every point, (n, m, d), a function of the seed; fewer are the start of more."""
    n = round(config.psi_n * config.d)
    rng = np.random.Generator(np.random.Philox(derive_seed(config.seed, "noises")))
    return rng.standard_normal((config.noises, n, config.d)).swapaxes(0, 1)


def run_flow(
    config: FlowConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> Result:
    """Compute the exact dynamics, or read them where they are stored.

    Metrics train, test and score_error at `step` = tau in TIMES, exact, so low = value = high. Arrays: the eigenvalues
    of U. budget and show_progress are there for the common form of runs; the computation is one piece and takes minutes
    at most.
    """
    del budget, show_progress

    def compute() -> tuple[list[Row], Arrays, bytes]:
        W, X, variances = problem(config)
        noises = frozen_noises(config) if config.noises else None
        flow = GradientFlow(W, X, config.t, variances, device=device, noises=noises, ridge=config.ridge)
        losses = flow.losses(TIMES)
        values = {"train": losses.train, "test": losses.test, "score_error": losses.score_error}
        rows = [(tau, name, v, v, v) for name, curve in values.items() for tau, v in zip(TIMES, curve, strict=True)]
        return rows, {"eigenvalues": flow.eigenvalues.astype(np.float32)}, X.tobytes()

    return compute_once(config, device, compute)


@dataclass(frozen=True)
class ScoreLossAtTime:
    """The loss of a random-features net at one diffusion time: mean of |sqrt(Delta) s_A(x_t) + xi|^2/d (Eq. 8)."""

    t: float

    def draw_noise(self, x0: Tensor, g: torch.Generator, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return xi, one for each point; there are no labels."""
        return (torch.randn(x0.shape, generator=g, device=x0.device, dtype=x0.dtype),)

    def per_sample(self, net: Callable[..., Tensor], x0: Tensor, labels: Tensor | None, *noise: Tensor) -> Tensor:
        (xi,), delta = noise, -expm1(-2 * self.t)
        return (sqrt(delta) * net(sqrt(1 - delta) * x0 + sqrt(delta) * xi) + xi).square().mean(-1)


def run_descent(
    config: DescentConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> Result:
    """Train, or resume, and return the stored result; see `execute`.

    Metrics at every milestone: train, test and score_error of the A reached, averaged exactly over noise and
    population, so low = value = high.
    """
    W, X, variances = problem(config)
    flow = GradientFlow(W, X, config.t, variances, device=device)

    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        assert isinstance(net, RandomFeatures)
        values = flow.losses_of(net.B.double())
        return {name: (v, v, v) for name, v in zip(("train", "test", "score_error"), values, strict=True)}, {}

    job = Job(
        config,
        net=RandomFeatures(torch.from_numpy(W).float()),
        data=torch.from_numpy(X).float().repeat(config.draws, 1),
        loss=ScoreLossAtTime(config.t),
        optimizer=OptimizerSettings(config.optimizer, config.lr, 0.0),
        batch=len(X) * config.draws,
        milestones=log_milestones(config.first, config.steps, config.milestones),
        measure=measure,
    )  # fmt: skip
    return execute(job, device, budget, show_progress)
