"""The experiments by name, and the one function that makes a run of any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..runs.config import Config
from ..runs.execute import Job
from ..runs.store import Result
from . import gmm, gmm_kernel, one_dimension, random_features, unet, unet_curvature


@dataclass(frozen=True)
class Experiment:
    """An experiment: its settings, how a run of it is made, and what is trained, where that is one network.

    Attributes
    ----------
    config : type
        Of its settings.
    run : callable
        (config, device, budget, show_progress) -> result.
    job : callable or None
        (config, device) -> what is trained; such runs can be timed, and shared by several processes.
    """

    config: type[Config]
    run: Callable[..., Result]
    job: Callable[..., Job] | None = None


# To add one, write its module and its notebook in book/runs, and name it here.
EXPERIMENTS: dict[str, Experiment] = {
    experiment.config.experiment: experiment
    for experiment in (
        Experiment(gmm.GmmConfig, gmm.run, gmm.job),
        Experiment(gmm_kernel.KernelConfig, gmm_kernel.run),
        Experiment(one_dimension.OneDimensionConfig, one_dimension.run),
        Experiment(random_features.FlowConfig, random_features.run_flow),
        Experiment(random_features.DescentConfig, random_features.run_descent),
        Experiment(unet.UNetConfig, unet.run, unet.job),
        Experiment(unet_curvature.CurvatureConfig, unet_curvature.run),
    )
}


def run(config: Config, device: str = "cpu", budget: float | None = None, show_progress: bool = True) -> Result:
    """Make a run, or go on with it, or read it where it is complete: what notebooks, scripts and workflows call.

    Parameters
    ----------
    config
        Of any experiment, such as ``GmmConfig.from_parameters({"tier": "smoke", "n": 32})``.
    device
        cpu, cuda, cuda:1 and the like, or mps.
    budget
        Seconds; when they have passed, or SIGTERM comes, the run saves its state and ends.
    show_progress
        Whether to show steps, rate and remaining time.

    Returns
    -------
    Result
        With ``provenance["complete"]`` False where the budget ended it.
    """
    return EXPERIMENTS[config.experiment].run(config, device, budget, show_progress)
