"""The store of results: written whole or not at all, verified when read.

results/<tier>/<experiment>/<id>/   config.json, curves.parquet, samples.npz, provenance.json   (committed)
checkpoints/<id>/                   what an unfinished run needs to go on                       (not committed)

provenance.json holds the checksums of the other files, and one of itself; the folder's name is that of the settings in
config.json. So a result cannot change, nor stand in for another, without being noticed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..diffusion.losses import loss_band
from ..files import digest, explain_write_errors, to_json, write_atomic
from ..metrics.memorization import wilson_interval
from ..places import results_dir
from .config import Config, identity
from .measurements import CURVES

CONTENT = ("config.json", "curves.parquet", "samples.npz")
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
        """Return one metric: a table indexed by step with columns value, low, high; KeyError names those there are.

        The interval of a memorised fraction is Wilson's, from the number of samples, whatever was stored: runs of
        earlier versions hold bootstrap intervals, which have no width where no sample is a copy. That of a loss is
        Student's, from the two standard errors that are stored.
        """
        rows = self.curves[self.curves.metric == metric]
        if rows.empty:
            known = ", ".join(sorted(self.curves.metric.unique()))
            raise KeyError(f"run {self.id} has no metric {metric!r}; it has {known}")
        table = rows.set_index("step")[["value", "low", "high"]].sort_index()
        if metric.startswith("f_mem") and "samples" in self.config:
            samples = self.config["samples"] / (2 if "class" in metric else 1)  # each class has half of them
            table["low"], table["high"] = wilson_interval(table["value"], samples)
        elif metric.startswith("loss_"):
            table["low"], table["high"] = loss_band(table["value"], table["low"], table["high"])
        return table

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """The few samples that were kept, as named arrays (see the experiment)."""
        data = verified(self.folder, self.provenance, "samples.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return dict(file)
        except Exception as error:  # whatever is in it, it is no archive of arrays
            raise _wrong_kind(self.folder, "samples.npz", "no arrays", error) from None


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
        files["provenance.json"] = sealed(
            {**provenance, "sha256": {name: digest(data) for name, data in files.items()}}
        )
        for name, data in files.items():
            write_atomic(fresh / name, data)
        with explain_write_errors(folder):
            put_in_place(folder, fresh, folder.parent / f".old-{config.id}")
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return folder


def put_in_place(folder: Path, fresh: Path, old: Path) -> None:
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


def sealed(provenance: dict[str, Any]) -> bytes:
    """Return the bytes of provenance.json: with a checksum of all else that it says."""
    content = {k: v for k, v in provenance.items() if k != "checksum"}
    return to_json(content | {"checksum": digest(to_json(content))})


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return the provenance of a stored run, verified by its own checksum.

    Raises
    ------
    ResultError
        Says what is wrong with it.
    """
    path = folder / "provenance.json"
    if not path.exists():
        raise ResultError(f"{run_name(folder)} is not in the store; make it with its line (see README.md)")
    try:
        data = path.read_bytes()
        provenance = json.loads(data)
        if "checksum" not in provenance:
            raise ValueError("it has no checksum of its own")
        if data != sealed(provenance):
            raise ValueError("its checksum does not match")
        known = provenance["command"], provenance["complete"], provenance["sha256"]
        if not all(isinstance(value, kind) for value, kind in zip(known, (str, bool, dict), strict=True)):
            raise ValueError("command, complete or sha256 is not of its kind")
    except OSError as error:
        raise ResultError(f"{run_name(folder)}/provenance.json cannot be read ({error.strerror or error})") from None
    except Exception as error:  # JSON of any depth and shape, not what it should be
        reason = f"it has no {error}" if isinstance(error, KeyError) else f"{error}" or type(error).__name__
        raise ResultError(
            f"{run_name(folder)}/provenance.json is damaged ({reason}); delete the folder, run again"
        ) from None
    return dict(provenance)


def read_settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a stored run and its provenance, verified; curves and samples are not read.

    The command among these is the one that makes the run today: defaults may have changed since it was stored.

    Raises
    ------
    ResultError
        Says which file is missing or damaged, and how to make it again.
    """
    provenance = read_provenance(folder)
    try:
        config = json.loads(verified(folder, provenance, "config.json"))
        _check_identity(folder, dict(config))
        provenance |= {"command": _command(dict(config)) or provenance["command"]}
    except ResultError:
        raise
    except Exception as error:
        raise _wrong_kind(folder, "config.json", "no settings", error) from None
    return config, provenance


def _check_identity(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ResultError where a folder holds another run than its name says."""
    experiment = settings.pop("experiment")
    where = (settings["tier"], experiment, folder.name)
    kind = Config.kinds.get(experiment)
    if kind is not None:
        where = (*where[:2], identity(experiment, {**kind.later_defaults(), **settings}, kind.later_defaults()))
    if where != folder.parts[-3:]:
        raise ResultError(
            f"{run_name(folder)} holds another run, {'/'.join(map(str, where))}: move it there, or delete the folder "
            "and make the run again"
        )


def _command(settings: dict[str, Any]) -> str | None:
    """The line that makes a run of these settings; None where this version does not know the experiment or refuses."""
    kind = Config.kinds.get(settings.pop("experiment"))
    try:
        return None if kind is None else kind(**settings).command
    except (TypeError, ValueError):
        return None


def read_result(folder: Path) -> Result:
    """Read and verify one result, but for its samples, which are verified when they are asked for.

    Raises
    ------
    ResultError
        Says which file is missing, damaged or not what it should be, and how to make it again.
    """
    config, provenance = read_settings(folder)
    data = verified(folder, provenance, "curves.parquet")
    try:
        curves = _curves(data).copy()
    except Exception as error:  # pyarrow's, of many kinds
        raise _wrong_kind(folder, "curves.parquet", "no table of curves", error) from None
    return Result(folder, config, curves, provenance)


@lru_cache(maxsize=512)
def _curves(data: bytes) -> pd.DataFrame:
    """The table in a file; kept by the file's content, since the claims read each run a dozen times."""
    curves = pd.read_parquet(io.BytesIO(data))
    if list(curves.columns) != CURVES:
        raise ValueError(f"its columns are {', '.join(map(str, curves.columns))}")
    return curves


def complete_result(config: Config) -> Result | None:
    """Return the stored run if it is whole and undamaged, else None: then it is to be made, or gone on with."""
    try:
        stored = read_result(config.result_dir)
        verified(stored.folder, stored.provenance, "samples.npz")  # the rest was, in reading
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


def stored_folders(experiment: str = "*", tier: str = "*") -> list[Path]:
    """Return the folders that are named as runs, of all experiments and tiers unless told; others are passed over."""
    folders = results_dir().glob(f"{tier}/{experiment}/*")
    return sorted(folder for folder in folders if RUN_ID.fullmatch(folder.name) and folder.is_dir())


def with_later_defaults(result: Result, kind: type[Config]) -> Result:
    """Return the result with the settings that were added since it was stored, at the values that change nothing."""
    return replace(result, config={**kind.later_defaults(), **result.config})


def verified(folder: Path, provenance: dict[str, Any], name: str) -> bytes:
    """Return the bytes of one file of a stored run; ResultError where they are not those of its provenance."""
    path, again = folder / name, f"delete the folder and make it again: {provenance['command']}"
    if not path.exists():
        raise ResultError(f"{run_name(folder)}/{name} is missing; {again}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{run_name(folder)}/{name} cannot be read ({error.strerror or error})") from None
    if digest(data) != provenance["sha256"].get(name):
        raise ResultError(f"{run_name(folder)}/{name} is damaged (its checksum does not match); {again}")
    return data


def _wrong_kind(folder: Path, name: str, what: str, error: Exception) -> ResultError:
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ResultError(f"{run_name(folder)}/{name} holds {what} ({reason}); delete the folder and make the run again")


def run_name(folder: Path) -> str:
    """Return a stored run as it is named in messages and in the manifest: tier/experiment/id."""
    return "/".join(folder.parts[-3:])
