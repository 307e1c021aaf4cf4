"""The store of results: written whole or not at all, verified when read.

results/<tier>/<experiment>/<id>/   config.json, curves.parquet, samples.npz, provenance.json   (committed)
checkpoints/<id>/                   what an unfinished run needs to go on                       (not committed)
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import digest, explain_write_errors, to_json, write_atomic
from ..places import results_dir
from .config import Config

RUN_ID = re.compile(r"[0-9a-f]{12}")


class ResultError(RuntimeError):
    """A result that is missing or damaged."""


@dataclass(frozen=True)
class Result:
    """A stored run, verified when read.

    Attributes
    ----------
    folder : Path
        Where it lies.
    config : dict
        Its settings.
    curves : DataFrame
        Long table with columns step, metric, value, low, high.
    provenance : dict
        How, where and when it was made.
    """

    folder: Path
    config: dict[str, Any] = dataclasses.field(repr=False)
    curves: pd.DataFrame = dataclasses.field(repr=False)
    provenance: dict[str, Any] = dataclasses.field(repr=False)

    @property
    def id(self) -> str:
        """The run's identity."""
        return self.folder.name

    def curve(self, metric: str) -> pd.DataFrame:
        """Return one metric: a table indexed by step with columns value, low, high; KeyError names those there are."""
        rows = self.curves[self.curves.metric == metric]
        if rows.empty:
            known = ", ".join(sorted(self.curves.metric.unique()))
            raise KeyError(f"run {self.id} has no metric {metric!r}; it has {known}")
        return rows.set_index("step")[["value", "low", "high"]].sort_index()

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """The few samples that were kept, as named arrays (see the experiment)."""
        with np.load(io.BytesIO(_verified(self.folder, self.provenance, "samples.npz"))) as file:
            return dict(file)


def write_result(
    config: Config, curves: pd.DataFrame, samples: dict[str, np.ndarray], provenance: dict[str, Any]
) -> Path:
    """Store a result under the run's identity: its folder appears whole or not at all, by renaming.

    A process that dies between the two renames of a replacement leaves no result; the run's own checkpoint and
    measurements, which remain until a complete result is stored, make it again in seconds.

    Parameters
    ----------
    config
        Of the run.
    curves
        Long table with columns step, metric, value, low, high.
    samples
        Named arrays.
    provenance
        Of `provenance.provenance`.

    Raises
    ------
    OSError
        Where it cannot be written; what was stored before remains.
    """
    folder = config.result_dir
    with explain_write_errors(folder):
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
        with explain_write_errors(folder):
            _replace(folder, fresh, folder.parent / f".old-{config.id}")
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def _replace(folder: Path, fresh: Path, old: Path) -> None:
    """Put `fresh` in the place of `folder`; what was there comes back where that fails."""
    shutil.rmtree(old, ignore_errors=True)
    replaced = folder.exists()
    if replaced:
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if replaced:
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_result(folder: Path) -> Result:
    """Read and verify one result.

    Raises
    ------
    ResultError
        Says which file is missing or damaged, and how to make it again.
    """
    if not (folder / "provenance.json").exists():
        raise ResultError(f"{_name(folder)} is not in the store; make it with its line (see README.md)")
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


def complete_result(config: Config) -> Result | None:
    """Return the stored run if it is whole and undamaged, else None: then it is to be made, or gone on with."""
    try:
        stored = read_result(config.result_dir)
        _verified(stored.folder, stored.provenance, "samples.npz")  # the rest was, in reading
    except ResultError:
        return None
    return stored if stored.provenance["complete"] else None


def find_results(kind: type[Config], tier: str, **settings: Any) -> list[Result]:
    """Return all stored runs of an experiment at a tier whose configuration has these settings, sorted by them.

    Parameters
    ----------
    kind
        Of the experiment, such as `GmmConfig`.
    tier
        smoke, laptop, gpu or paper.
    **settings
        Each a value, or a collection of allowed values. A setting that was added after a run was stored has, in that
        run, the value that changes nothing.

    Raises
    ------
    ResultError
        Where none is found, and where one is damaged.
    ValueError
        For a setting that the experiment does not have.
    """
    if unknown := set(settings) - {f.name for f in dataclasses.fields(kind)}:
        raise ValueError(f"{kind.experiment} has no setting {', '.join(sorted(unknown))}")
    allowed = {k: v if isinstance(v, list | tuple | set | range) else (v,) for k, v in settings.items()}
    results = [with_later_defaults(read_result(folder), kind) for folder in stored_folders(kind.experiment, tier)]
    results = [r for r in results if all(r.config[k] in v for k, v in allowed.items())]
    if not results:
        options = " ".join(f"-p {k}={v[0] if isinstance(v, list | tuple) else v}" for k, v in settings.items())
        raise ResultError(
            f"no {kind.experiment} result at tier {tier} with {settings or 'any settings'}; make one with: "
            f"diffmem run {kind.experiment} -p tier={tier} {options}".rstrip()
        )
    return sorted(results, key=lambda r: (*(r.config[k] for k in ("n", "width") if k in r.config), r.config["seed"]))


def stored_folders(experiment: str, tier: str) -> list[Path]:
    """Return the folders of the store that are named as runs; whatever else lies there is passed over."""
    folders = (results_dir() / tier / experiment).glob("*")
    return sorted(folder for folder in folders if RUN_ID.fullmatch(folder.name) and folder.is_dir())


def with_later_defaults(result: Result, kind: type[Config]) -> Result:
    """Return the result with the settings that were added since it was stored, at the values that change nothing."""
    return replace(result, config={**kind.later_defaults(), **result.config})


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
