"""A stored run as the pilot of a training: how fast it was, and whether the steps of a probe are steps of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiments.registry import EXPERIMENTS
from ..runs.store import read_result, stored_folders, with_later_defaults
from .data import Data, Kind
from .model import Model

EXPERIMENT: dict[Kind, str] = {"images": "unet", "vectors": "gmm"}
# What decides how many steps a training takes to its copies, and is the same in every probe.
OF_BOTH: dict[str, Any] = {
    "optimizer": "adam", "prediction": "eps", "path": "ddpm", "weighting": "uniform", "weight_decay": 0.0, "ema": 0.0,
    "jitter": 0.0, "dropout": 0.0,
}  # fmt: skip
OF_PROBES: dict[Kind, dict[str, Any]] = {
    "images": OF_BOTH | {"network": "paper", "draws": 1},
    "vectors": OF_BOTH | {"blocks": 3, "conditional": False, "noises": 0, "loss_space": ""},
}


@dataclass(frozen=True)
class Pilot:
    """A stored run whose rate turns steps into minutes.

    Parameters
    ----------
    name : str
        Twelve digits.
    steps_per_second : float
        Of the run, with its measurements.
    device : str
        That it was made on.
    differs : tuple of str
        In what it is trained otherwise than the probe, such as "width 32 instead of 16"; empty where its steps are
        those of the probe.
    """

    name: str
    steps_per_second: float
    device: str
    differs: tuple[str, ...]


def find_pilot(name: str) -> Path:
    """Return the folder of a stored run by its twelve digits, or as many of the first as only one run has.

    Raises
    ------
    ValueError
        Where no stored run has this name, or several have.
    """
    matching = [folder for folder in stored_folders() if name and folder.name.startswith(name)]
    if len(matching) != 1:
        many = f"{len(matching)} stored runs begin so: give more of its digits" if matching else "no stored run is it"
        raise ValueError(f"--pilot {name}: {many}; a pilot is named by the twelve digits of its folder in results")
    return matching[0]


def read_pilot(name: str, model: Model, data: Data) -> Pilot:
    """Read a stored run, and compare its training with that of a probe.

    Parameters
    ----------
    name
        As of `find_pilot`.
    model, data
        Of the probe.

    Raises
    ------
    ValueError
        As of `find_pilot`, and where the run trained no network on such data.
    ResultError
        Where it is damaged.
    """
    folder = find_pilot(name)
    result = read_result(folder)
    experiment, wanted = result.config["experiment"], EXPERIMENT[model.kind]
    if experiment != wanted:
        raise ValueError(f"--pilot {name}: it is a run of {experiment}, and {model.kind} are trained as in {wanted}")
    settings = with_later_defaults(result, EXPERIMENTS[experiment].config).config
    settings["batch"] = settings["batch"] or settings["n"]  # 0 for all points
    own = {"width": model.width, "lr": model.lr, "batch": model.batch, **OF_PROBES[model.kind]}
    own |= {"side": data.shape[-1]} if model.kind == "images" else {"d": data.shape[0]}
    differs = [f"{key} {settings[key]} instead of {value}" for key, value in own.items() if settings[key] != value]
    told = result.provenance
    rate = told["last_milestone"] / told["seconds"] if told["seconds"] > 0 else 0.0
    return Pilot(folder.name, rate, str(told["device"]), tuple(differs))
