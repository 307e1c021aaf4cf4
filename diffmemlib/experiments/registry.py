"""The experiments by name. To add one, write its module and its notebook in book/runs, and name it here."""

from __future__ import annotations

from collections.abc import Callable

from ..runs import Config
from . import gmm, unet
from .execute import Job
from .one_dimension import OneDimensionConfig
from .random_features import DescentConfig, FlowConfig
from .unet_curvature import CurvatureConfig

EXPERIMENTS: dict[str, type[Config]] = {
    kind.experiment: kind
    for kind in (gmm.GmmConfig, OneDimensionConfig, FlowConfig, DescentConfig, unet.UNetConfig, CurvatureConfig)
}

# Those that train one net for long: their steps can be timed, and several processes can share them.
JOBS: dict[str, Callable[..., Job]] = {"gmm": gmm.job, "unet": unet.job}
