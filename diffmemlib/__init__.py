"""Training-time scales of diffusion models: when samples become good, and when they become copies.

Companion library of Bonnaire, Urfin, Biroli, Mezard, "Why Diffusion Models Don't Memorize" (NeurIPS 2025).
Notation is the paper's: n training points, W the width of a network, tau the number of training steps,
t the Ornstein-Uhlenbeck time of the forward process, Delta_t = 1 - exp(-2 t).

The names below are what to import. They are loaded when first asked for, so that ``import diffmemlib`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .diffusion.guidance import (
        away_from as away_from,
        classifier_free_guidance as classifier_free_guidance,
    )
    from .diffusion.losses import DenoisingLoss as DenoisingLoss
    from .diffusion.samplers import (
        ddim as ddim,
        euler_maruyama as euler_maruyama,
        sample as sample,
    )
    from .diffusion.schedule import Schedule as Schedule, delta as delta, forward_noise as forward_noise
    from .files import NumberedFiles as NumberedFiles, RunBusyError as RunBusyError
    from .metrics.copying import (
        authenticity as authenticity,
        c_t as c_t,
        copying_measures as copying_measures,
        precision_recall as precision_recall,
    )
    from .metrics.empirical import empirical_score as empirical_score
    from .metrics.frechet import (
        Moments as Moments,
        frechet_distance as frechet_distance,
        frechet_interval as frechet_interval,
    )
    from .metrics.kl import kl_from_score as kl_from_score, kl_score_gap as kl_score_gap
    from .metrics.memorization import (
        MemorizedFraction as MemorizedFraction,
        NeighbourIndex as NeighbourIndex,
        Neighbours as Neighbours,
        memorized_fraction as memorized_fraction,
        near_duplicates as near_duplicates,
        two_nearest as two_nearest,
    )
    from .metrics.neighbour_kl import (
        NeighbourEstimate as NeighbourEstimate,
        kl_nearest_neighbour as kl_nearest_neighbour,
    )
    from .metrics.proximity import nearer_to_training as nearer_to_training
    from .monitor.monitor import Look as Look, MemorizationMonitor as MemorizationMonitor
    from .nets.adapters import DiffusersUNet as DiffusersUNet
    from .nets.mlp import ResidualMLP as ResidualMLP
    from .nets.unet import UNet as UNet
    from .rfnn.coefficients import covariance_atoms as covariance_atoms
    from .rfnn.gradient_flow import GradientFlow as GradientFlow
    from .rfnn.learning_curves import learning_curves as learning_curves
    from .rfnn.spectrum import spectral_density as spectral_density, spectrum as spectrum
    from .timescales.crossings import (
        Boundary as Boundary,
        Timescale as Timescale,
        first_crossing as first_crossing,
        phase_boundary as phase_boundary,
        share_crossing as share_crossing,
        times_and_bounds as times_and_bounds,
    )
    from .timescales.power_laws import (
        collapse_exponent as collapse_exponent,
        exponent as exponent,
        geometric_mean as geometric_mean,
    )
    from .timescales.prediction import predict as predict
    from .training.loop import (
        DivergedError as DivergedError,
        log_milestones as log_milestones,
        make_optimizer as make_optimizer,
        train as train,
    )

_HOME = {
    "diffusion.guidance": ("away_from", "classifier_free_guidance"),
    "diffusion.losses": ("DenoisingLoss",),
    "diffusion.samplers": ("ddim", "euler_maruyama", "sample"),
    "diffusion.schedule": ("Schedule", "delta", "forward_noise"),
    "files": ("NumberedFiles", "RunBusyError"),
    "metrics.copying": ("authenticity", "c_t", "copying_measures", "precision_recall"),
    "metrics.empirical": ("empirical_score",),
    "metrics.frechet": ("Moments", "frechet_distance", "frechet_interval"),
    "metrics.kl": ("kl_from_score", "kl_score_gap"),
    "metrics.memorization": (
        "MemorizedFraction",
        "NeighbourIndex",
        "Neighbours",
        "memorized_fraction",
        "near_duplicates",
        "two_nearest",
    ),
    "metrics.neighbour_kl": ("NeighbourEstimate", "kl_nearest_neighbour"),
    "metrics.proximity": ("nearer_to_training",),
    "monitor.monitor": ("Look", "MemorizationMonitor"),
    "nets.adapters": ("DiffusersUNet",),
    "nets.mlp": ("ResidualMLP",),
    "nets.unet": ("UNet",),
    "rfnn.coefficients": ("covariance_atoms",),
    "rfnn.gradient_flow": ("GradientFlow",),
    "rfnn.learning_curves": ("learning_curves",),
    "rfnn.spectrum": ("spectral_density", "spectrum"),
    "timescales.crossings": (
        "Boundary",
        "Timescale",
        "first_crossing",
        "phase_boundary",
        "share_crossing",
        "times_and_bounds",
    ),
    "timescales.power_laws": ("collapse_exponent", "exponent", "geometric_mean"),
    "timescales.prediction": ("predict",),
    "training.loop": ("DivergedError", "log_milestones", "make_optimizer", "train"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
