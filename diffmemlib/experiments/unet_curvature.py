"""How curved the loss of a U-Net is before training (with Fig. 3): what sets the speed of learning at each width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast, get_args

import torch

from ..data.images import DATASETS, identify, images, known, missing, size_rules
from ..diffusion.losses import DenoisingLoss
from ..diffusion.schedule import Schedule, forward_noise
from ..metrics.curvature import gauss_newton_trace, hessian_max_eigenvalue, rayleigh_quotient
from ..nets.cpu import use_cpu_layers
from ..nets.unet import GROUPS, UNet, Variant
from ..randomness import derive_seed, generator, seeded
from ..runs.config import Config
from ..runs.execute import compute_once
from ..runs.measurements import Arrays, Row
from ..runs.store import Result


@dataclass(frozen=True)
class CurvatureConfig(Config):
    """One run of book/runs/unet_curvature.ipynb: the loss of a U-Net with its first weights, without dropout.

    Parameters
    ----------
    dataset, side, scale, width
        As in an image run.
    images
        Of the training pool, each at one time with one noise.
    probes
        Random directions for the trace.
    network
        As in an image run.
    """

    experiment: ClassVar[str] = "unet_curvature"
    dataset: str
    side: int
    scale: float
    width: int
    images: int
    probes: int
    network: str = "early"

    @classmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        small = given["tier"] in ("smoke", "laptop")
        size = {"width": 8, "images": 4, "probes": 2} if given["tier"] == "smoke" else {
            "width": 16, "images": 32, "probes": 16
        }  # fmt: skip
        return {
            "seed": 0, "dataset": "digits", "side": 16 if small else 32, "scale": 4.0 if small else 1.0,
            "network": "paper", **size,
        }  # fmt: skip

    @classmethod
    def resolve(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return super().resolve(settings) | {"dataset": identify(settings["dataset"], settings["side"])}

    def missing_data(self) -> str:
        return missing(self.dataset, self.side)

    def __post_init__(self) -> None:
        self.require(
            dataset=(known(self.dataset), f"{', '.join(DATASETS)}, or your own with its checksum"),
            width=(self.width > 0 and self.width % GROUPS == 0, f"a multiple of {GROUPS}, such as 8, 16, 32, 48, 64"),
            **size_rules(self.dataset, self.side),
            scale=(0 < self.scale < float("inf"), "positive"),
            images=(self.images >= 1, "at least 1"),
            probes=(self.probes >= 2, "at least 2"),
            network=(self.network in get_args(Variant), f"one of {', '.join(get_args(Variant))}"),
        )


def run(
    config: CurvatureConfig, device: str = "cpu", budget: float | None = None, show_progress: bool = True
) -> Result:
    """Compute the curvatures, or read them where they are stored.

    Metrics at step 0: trace, of the Gauss-Newton matrix, with its 95% interval; brightness, the rate at which an error
    that is the same in every pixel of every image shrinks; largest, the largest eigenvalue of the Hessian. budget and
    show_progress are there for the common form of runs; the computation is one piece and takes minutes at most.
    """
    del budget, show_progress

    def compute() -> tuple[list[Row], Arrays, bytes]:
        data = images(config.dataset, config.side, config.scale)
        x0 = data.centred(data.training_set(config.images, config.seed)).to(device)
        variant = cast(Variant, config.network)
        net = seeded(derive_seed(config.seed, "weights"), lambda: UNet(config.width, 0.0, variant=variant)).to(device)
        if device == "cpu":
            use_cpu_layers(net)
        loss = DenoisingLoss(Schedule())
        noise = loss.draw_noise(x0, generator(config.seed, "noise", 0, device=device), None)
        timestep, eps = noise
        noised = forward_noise(x0, timestep, eps, loss.schedule)
        total, error = gauss_newton_trace(net, lambda: net(noised, timestep), config.probes, config.seed)
        uniform = rayleigh_quotient(net, lambda: net(noised, timestep), torch.ones(1, device=device))
        top = hessian_max_eigenvalue(net, lambda: loss.per_sample(net, x0, None, *noise).mean(), config.seed)
        rows = [
            (0.0, "trace", total, total - 1.96 * error, total + 1.96 * error),
            (0.0, "brightness", uniform, uniform, uniform),
            (0.0, "largest", top, top, top),
        ]
        return rows, {}, x0.cpu().numpy().tobytes()

    return compute_once(config, device, compute)
