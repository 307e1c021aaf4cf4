"""Runs: a configuration has an identity, an identity has a place in the store, and a result says where it came from.

results/<tier>/<experiment>/<id>/   config.json, curves.parquet, samples.npz, provenance.json   (committed)
checkpoints/<id>/                   what an unfinished run needs to go on                       (not committed)
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
import pandas as pd
import torch

from . import __version__
from .files import digest, to_json, write_atomic, writing

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


class ResultError(RuntimeError):
    """A result that is missing or damaged."""


@dataclass(frozen=True)
class Result:
    """A stored run, verified when read.

    config: its settings as a dict. curves: long table with columns step, metric, value, low, high.
    provenance: how, where and when it was made.
    """

    folder: Path
    config: dict[str, Any] = dataclasses.field(repr=False)
    curves: pd.DataFrame = dataclasses.field(repr=False)
    provenance: dict[str, Any] = dataclasses.field(repr=False)

    @property
    def id(self) -> str:
        return self.folder.name

    def curve(self, metric: str) -> pd.DataFrame:
        """One metric: a table indexed by step with columns value, low, high."""
        rows = self.curves[self.curves.metric == metric]
        if rows.empty:
            known = ", ".join(sorted(self.curves.metric.unique()))
            raise KeyError(f"run {self.id} has no metric {metric!r}; it has {known}")
        return rows.set_index("step")[["value", "low", "high"]].sort_index()

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """The few samples that were kept, as named arrays (see the run notebook)."""
        with np.load(io.BytesIO(_verified(self.folder, self.provenance, "samples.npz"))) as file:
            return dict(file)


def write_result(
    config: Config, curves: pd.DataFrame, samples: dict[str, np.ndarray], provenance: dict[str, Any]
) -> Path:
    """Store a result under the run's identity: its folder appears whole or not at all, by renaming.

    A process that dies between the two renames of a replacement leaves no result, and the run's own checkpoint and
    measurements make it again in seconds.
    """
    folder = config.folder
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.parent / f".new-{config.id}"  # one process at a time writes it: `execute` holds the run
    shutil.rmtree(fresh, ignore_errors=True)  # of a process that was killed while writing
    try:
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **samples)
        files = {
            "config.json": to_json({"experiment": config.experiment, **dataclasses.asdict(config)}),
            "curves.parquet": curves.to_parquet(index=False),
            "samples.npz": packed.getvalue(),
        }
        files["provenance.json"] = to_json(
            {**provenance, "sha256": {name: digest(data) for name, data in files.items()}}
        )
        for name, data in files.items():
            write_atomic(fresh / name, data)
        old = folder.parent / f".old-{config.id}"
        shutil.rmtree(old, ignore_errors=True)
        with writing(folder):
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def read_result(folder: Path) -> Result:
    """Read and verify one result; ResultError says which file is missing or damaged, and how to make it again."""
    if not (folder / "provenance.json").exists():
        raise ResultError(f"{_name(folder)} is not in the store; make it with its papermill line (see README.md)")
    try:
        provenance = json.loads((folder / "provenance.json").read_bytes())
        provenance["sha256"], provenance["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"{_name(folder)}/provenance.json is damaged ({error}); delete the folder, run again"
        ) from None
    config = json.loads(_verified(folder, provenance, "config.json"))
    curves = pd.read_parquet(io.BytesIO(_verified(folder, provenance, "curves.parquet")))
    return Result(folder, config, curves, provenance)


def complete(config: Config) -> Result | None:
    """The stored run if it is whole and undamaged, else None: then it is to be made, or gone on with."""
    try:
        stored = read_result(config.folder)
        _verified(stored.folder, stored.provenance, "samples.npz")  # the rest was, in reading
    except ResultError:
        return None
    return stored if stored.provenance["complete"] else None


def find_results(experiment: str, tier: str, **settings: Any) -> list[Result]:
    """All stored runs of an experiment at a tier whose configuration has these settings, sorted by them.

    A setting may be a value or a collection of allowed values. ResultError where none is found.
    """
    allowed = {k: v if isinstance(v, list | tuple | set | range) else (v,) for k, v in settings.items()}
    folders = (results_folder() / tier / experiment).glob("[0-9a-f]*")
    found = [r for r in map(read_result, sorted(folders)) if all(r.config[k] in v for k, v in allowed.items())]
    if not found:
        options = " ".join(f"-p {k} {v[0] if isinstance(v, list | tuple) else v}" for k, v in settings.items())
        raise ResultError(
            f"no {experiment} result at tier {tier} with {settings or 'any settings'}; make one with: "
            f"papermill book/runs/{experiment}.ipynb executed/{experiment}.ipynb -p tier {tier} {options}"
        )
    return sorted(found, key=lambda r: (*(r.config[k] for k in ("n", "width") if k in r.config), r.config["seed"]))


def provenance(config: Config, device: str, seconds: float, data_sha256: str, **more: Any) -> dict[str, Any]:
    """Where a result came from: commit, versions, device, seed, data, time, command."""
    return {
        "command": config.command,
        **code(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scipy", "pandas")}
        | {"diffmemlib": __version__},
        "seed": config.seed,
        "data_sha256": data_sha256,
        "seconds": round(seconds, 1),
        "finished": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        **more,
    }


@cache
def code() -> dict[str, Any]:
    """The commit whose code this process runs, and whether it was changed: asked once, as a run begins."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--", "diffmemlib", "book/runs")),
    }


def _verified(folder: Path, provenance: dict[str, Any], name: str) -> bytes:
    path, again = folder / name, f"delete the folder and make it again: {provenance['command']}"
    if not path.exists():
        raise ResultError(f"{_name(folder)}/{name} is missing; {again}")
    data = path.read_bytes()
    if digest(data) != provenance["sha256"].get(name):
        raise ResultError(f"{_name(folder)}/{name} is damaged (its checksum does not match); {again}")
    return data


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-3:])


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
