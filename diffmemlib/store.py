"""The store of results: written whole or not at all, verified when read.

results/<tier>/<experiment>/<id>/   config.json, curves.parquet, samples.npz, provenance.json   (committed)
checkpoints/<id>/                   what an unfinished run needs to go on                       (not committed)
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .files import digest, to_json, write_atomic, writing
from .runs import Config, results_folder


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
