"""Runs: a configuration has an identity, and so a place for its result and for what is unfinished of it."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

import torch

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("smoke", "laptop", "gpu", "paper")
Metrics = dict[str, tuple[float, float, float]]  # name -> value, low, high


def results_folder() -> Path:
    """Where results lie: $DIFFMEM_RESULTS, or results/ beside the library."""
    return Path(os.environ.get("DIFFMEM_RESULTS", ROOT / "results"))


def checkpoints_folder() -> Path:
    """Where unfinished runs keep their state: $DIFFMEM_CHECKPOINTS, or checkpoints/ beside the library."""
    return Path(os.environ.get("DIFFMEM_CHECKPOINTS", ROOT / "checkpoints"))


def book_tier() -> str:
    """The tier that the pages are drawn at: $DIFFMEM_TIER, or laptop."""
    return os.environ.get("DIFFMEM_TIER", "laptop")


def config_folder() -> Path:
    """Where the tables of runs lie: $DIFFMEM_CONFIG, or config/ beside the library."""
    return Path(os.environ.get("DIFFMEM_CONFIG", ROOT / "config"))


@dataclass(frozen=True)
class Config(ABC):
    """The settings of one run; subclasses add fields, an experiment's name, its notebook and its tiers' defaults."""

    experiment: ClassVar[str]
    tier: str
    seed: int

    @classmethod
    @abstractmethod
    def defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What the tier says for every parameter that was not given; may depend on those that were."""

    @classmethod
    def added(cls) -> dict[str, Any]:
        """Settings that were added when results were stored already: name -> the value that changes nothing.

        These are the dataclass fields with a default; at that value a setting is no part of the run's identity.
        """
        return {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}

    @classmethod
    def exact(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings with what stands for something that can change, such as a file's name, told by what is in it."""
        return settings

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Check names and types of a notebook's parameters; None stands for the tier's default.

        ValueError names the parameter, what it got, and what it takes.
        """
        types = get_type_hints(cls)
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
        return cls(**cls.exact({**cls.added(), **cls.defaults(given), **given}))

    @classmethod
    def from_notebook(cls, names: dict[str, Any], before: set[str]) -> tuple[Self, dict[str, Any]]:
        """The configuration, and the arguments device and budget of the run, from a notebook's parameters.

        names: globals() after the parameters cell; papermill has put its own values, and any misspelt name, there
        too. before: the names that were there before that cell.
        """
        given = {name: value for name, value in names.items() if name not in before | {"before"} and name[0] != "_"}
        device, budget = given.pop("device"), given.pop("budget")
        checked_device(device)
        if not (budget is None or type(budget) in (int, float)):
            raise ValueError(f"budget = {budget!r}: a number of seconds, or None for no limit")
        return cls.from_parameters(given), {"device": device, "budget": budget}

    def require(self, **rules: tuple[bool, str]) -> None:
        """Refuse settings: ValueError for the first of name=(fine, "must be ...") that is not fine."""
        for name, (fine, rule) in rules.items():
            if not fine:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be {rule}")

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of experiment and settings."""
        added = self.added()
        settings = {k: v for k, v in dataclasses.asdict(self).items() if k not in added or v != added[k]}
        text = json.dumps({"experiment": self.experiment, **settings}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def command(self) -> str:
        """The papermill line that makes this run, from the root of the repository."""
        given: dict[str, Any] = {"tier": self.tier, "seed": self.seed}
        for name, value in dataclasses.asdict(self).items():  # keep what differs from the defaults so far
            if name not in given and {**self.added(), **self.defaults(given)}[name] != value:
                given[name] = value
        options = " ".join(f"-p {name} {value}" for name, value in given.items())
        return f"papermill book/runs/{self.experiment}.ipynb executed/{self.experiment}-{self.id}.ipynb {options}"

    @property
    def folder(self) -> Path:
        """Where the result lies or will lie."""
        return results_folder() / self.tier / self.experiment / self.id

    @property
    def work(self) -> Path:
        """Where checkpoints and measurements of the unfinished run lie."""
        return checkpoints_folder() / self.id


def checked_device(device: Any) -> str:
    """The device, where torch has it; ValueError else."""
    if not (isinstance(device, str) and device.split(":")[0] in ("cpu", "cuda")):
        raise ValueError(f"device = {device!r}: cpu, cuda or cuda:0 and the like")
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device = {device!r}: torch sees no CUDA device here; use cpu")
    return device
