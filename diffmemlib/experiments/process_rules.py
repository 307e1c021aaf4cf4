"""Settings that trainings on vectors and on images share: prediction, path, weighting, and what is done to weights."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, get_args

from ..diffusion.losses import Weighting
from ..diffusion.schedule import Prediction, Schedule

if TYPE_CHECKING:
    from .gmm import GmmConfig
    from .unet import UNetConfig

PATHS = {"ddpm": Schedule, "linear": Schedule.flow}


def process_rules(c: GmmConfig | UNetConfig) -> dict[str, tuple[bool, str]]:
    """Return the rules for prediction, path, weighting, weight_decay, ema and jitter, for `Config.require`."""
    return {
        "prediction": (c.prediction in get_args(Prediction), f"one of {', '.join(get_args(Prediction))}"),
        "path": (
            c.path == "ddpm" or (c.path in PATHS and c.sampler == "ddim"),
            "ddpm, or linear with sampler = 'ddim'",
        ),
        "weighting": (c.weighting in get_args(Weighting), f"one of {', '.join(get_args(Weighting))}"),
        "weight_decay": (0 <= c.weight_decay < inf, "at least 0 and finite"),
        "ema": (0 <= c.ema < 1, "at least 0 and below 1"),
        "jitter": (0 <= c.jitter < inf, "at least 0 and finite"),
    }
