"""Configurations: the settings of a run have an identity, and so a place for its result and its unfinished state."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

import torch

from ..places import checkout, checkpoints_root, results_dir

TIERS = ("smoke", "laptop", "gpu", "paper")
Metrics = dict[str, tuple[float, float, float]]  # name -> value, low, high
_types = cache(get_type_hints)


@dataclass(frozen=True)
class Config(ABC):
    """The settings of one run; subclasses add fields, an experiment's name and its tiers' defaults.

    Parameters
    ----------
    tier
        smoke, laptop, gpu or paper.
    seed
        Of everything random.
    """

    experiment: ClassVar[str]
    kinds: ClassVar[dict[str, type[Config]]] = {}  # of the experiments that were imported, by name
    tier: str
    seed: int

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name := cls.__dict__.get("experiment"):
            Config.kinds[name] = cls

    @classmethod
    @abstractmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the tier says for every parameter that was not given; may depend on those that were."""

    @classmethod
    def later_defaults(cls) -> dict[str, Any]:
        """Return settings that were added when results were stored already, each at the value that changes nothing.

        These are the dataclass fields with a default; at that value a setting is no part of the run's identity.
        """
        return {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}

    @classmethod
    def resolve(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return settings in which what a user typed stands for itself for ever.

        A batch of n or more is the full batch (0). Subclasses add to the name of a data set the checksum of its files.
        """
        if "batch" in settings and settings["batch"] >= settings["n"]:
            return settings | {"batch": 0}
        return settings

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Return the configuration of given parameters; None stands for the tier's default.

        Parameters
        ----------
        parameters
            tier, and any others by name; batch may be "full".

        Raises
        ------
        ValueError
            Names the parameter, what it got, and what it takes.
        """
        types = _types(cls)
        fields = [field.name for field in dataclasses.fields(cls)]
        for name in parameters:
            if name not in fields:
                close = difflib.get_close_matches(name, fields, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(fields)}"
                raise ValueError(f"unknown parameter {name!r} of the {cls.experiment} run; {hint}")
        given = {name: value for name, value in parameters.items() if value is not None}
        if given.get("batch") == "full":
            given["batch"] = 0
        if given.get("tier") not in TIERS:
            raise ValueError(f"tier = {given.get('tier')!r}: choose one of {', '.join(TIERS)}")
        for name, value in given.items():
            if types[name] is float and type(value) is int:
                given[name] = float(value)
            elif type(value) is not types[name]:
                wanted = types[name].__name__
                raise ValueError(
                    f"parameter {name} = {value!r} is of type {type(value).__name__}; it takes type {wanted}"
                )
        settings = {**cls.later_defaults(), **cls.defaults(given), **given}
        for name, limit in (("kept", "samples"), ("first", "steps")):  # a default gives way to what was asked for
            if name in settings and name not in given:
                settings[name] = min(settings[name], settings[limit])
        return cls(**cls.resolve(settings))

    @classmethod
    def from_text(cls, parameters: dict[str, str]) -> Self:
        """Return the configuration of parameters typed on a command line, each read as the type it takes.

        Raises
        ------
        ValueError
            As `from_parameters`.
        """
        types, values = _types(cls), dict[str, Any]()
        for name, text in parameters.items():
            value: Any = text
            if text.lower() == "none":
                value = None
            elif types.get(name) is bool and text.lower() in ("true", "false"):
                value = text.lower() == "true"
            elif types.get(name) in (int, float) and text != "full":
                try:
                    value = types[name](text)
                except ValueError:
                    pass  # for `from_parameters` to refuse
            values[name] = value
        return cls.from_parameters(values)

    @classmethod
    def from_notebook(cls, names: dict[str, Any], before: set[str]) -> tuple[Self, dict[str, Any]]:
        """Return the configuration, and the arguments device and budget of the run, from a notebook's parameters.

        Parameters
        ----------
        names
            globals() after the parameters cell; papermill has put its own values, and any misspelt name, there too.
        before
            The names that were there before that cell.

        Raises
        ------
        ValueError
            As `from_parameters`, and for a device or a budget that cannot be.
        """
        given = {name: value for name, value in names.items() if name not in before | {"before"} and name[0] != "_"}
        device, budget = given.pop("device"), given.pop("budget")
        check_device(device)
        if not (budget is None or (type(budget) in (int, float) and budget >= 0)):
            raise ValueError(f"budget = {budget!r}: a number of seconds, not negative, or None for no limit")
        return cls.from_parameters(given), {"device": device, "budget": budget}

    def check_data(self) -> None:  # noqa: B027 - most experiments make their data
        """Raise ValueError where the data that the settings name do not allow the run; no data are read."""

    def missing_data(self) -> str:
        """Return why the data that the settings name cannot be read here, "" if they can; no data are read."""
        return ""

    def require(self, **rules: tuple[bool, str]) -> None:
        """Raise ValueError for the first of name=(fine, "must be ...") that is not fine."""
        for name, (fine, rule) in rules.items():
            if not fine:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be {rule}")

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of experiment and settings."""
        return identity(self.experiment, self.resolve(dataclasses.asdict(self)), self.later_defaults())

    @property
    def parameters(self) -> dict[str, Any]:
        """Tier, seed, and what differs from the defaults that they and the parameters so far bring."""
        given: dict[str, Any] = {"tier": self.tier, "seed": self.seed}
        for name, value in dataclasses.asdict(self).items():
            if name in given:
                continue
            default = self.resolve({**self.later_defaults(), **self.defaults(given), **given})[name]
            if default != value:
                given[name] = value
        return given

    @property
    def command(self) -> str:
        """The line that makes this run: papermill's at the root of a checkout, else of the command line."""
        if checkout() is None:
            options = " ".join(f"-p {name}={value}" for name, value in self.parameters.items())
            return f"diffmem run {self.experiment} {options}"
        options = " ".join(f"-p {name} {value}" for name, value in self.parameters.items())
        copy = f"executed/{self.experiment}-{self.id}.ipynb"
        # What the run says of its progress goes to the terminal as it comes; papermill's own bar counts cells.
        return f"papermill --log-output --no-progress-bar book/runs/{self.experiment}.ipynb {copy} {options}"

    @property
    def result_dir(self) -> Path:
        """Where the result lies or will lie."""
        return results_dir() / self.tier / self.experiment / self.id

    @property
    def checkpoint_dir(self) -> Path:
        """Where checkpoints and measurements of the unfinished run lie."""
        return checkpoints_root() / self.id


def identity(experiment: str, settings: dict[str, Any], later_defaults: dict[str, Any]) -> str:
    """Return the identity of a run of these settings; those that were added later count where they change something."""
    counted = {k: v for k, v in settings.items() if k not in later_defaults or v != later_defaults[k]}
    text = json.dumps({"experiment": experiment, **counted}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_device_name(device: Any) -> str:
    """Return the kind of a device; ValueError for anything but cpu, cuda, cuda:0 and the like, and mps."""
    kind = device.split(":")[0] if isinstance(device, str) else None
    if kind not in ("cpu", "cuda", "mps") or (kind == "cpu" and device != "cpu"):
        raise ValueError(f"device = {device!r}: give cpu, cuda, cuda:0 and the like, or mps")
    return str(kind)


def check_device(device: Any) -> str:
    """Return the device, where torch has it.

    Raises
    ------
    ValueError
        For anything but cpu, cuda, cuda:0 and the like, and mps, and for a device that is not there.
    """
    kind = check_device_name(device)
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device = {device!r}: torch sees no CUDA device here; use cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device = {device!r}: torch sees no MPS device here; use cpu")
    return str(device)
