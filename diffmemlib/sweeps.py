"""Tables of runs: config/<tier>.toml says which runs make a figure, so that no other run can slip into it."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .experiments.execute import Job, execute_together
from .experiments.gmm import GmmConfig, job
from .experiments.one_dimension import OneDimensionConfig
from .experiments.random_features import DescentConfig, FlowConfig
from .experiments.unet import UNetConfig
from .runs import ROOT, Config, Result, ResultError, read_result
from .training import DivergedError

EXPERIMENTS: dict[str, type[Config]] = {
    c.experiment: c for c in (GmmConfig, OneDimensionConfig, FlowConfig, DescentConfig, UNetConfig)
}


def configurations(name: str, tier: str = "laptop", folder: Path = ROOT / "config") -> list[Config]:
    """The configurations of one sweep, in the order of the table, the values of a list from first to last.

    ValueError names the table, the sweep and what is wrong with its row.
    """
    path = folder / f"{tier}.toml"
    tables = tomllib.loads(path.read_text())
    if name not in tables:
        raise ValueError(f"{path.name} has no sweep {name!r}; it has {', '.join(tables)}")
    kind = EXPERIMENTS.get(tables[name].get("experiment"))
    if kind is None:
        raise ValueError(f"{path.name}, {name}: experiment must be one of {', '.join(EXPERIMENTS)}")
    found: list[Config] = []
    for row in tables[name].get("runs", []):
        for values in itertools.product(*(v if isinstance(v, list) else [v] for v in row.values())):
            parameters: dict[str, Any] = {"tier": tier, **dict(zip(row, values, strict=True))}
            try:
                found.append(kind.from_parameters(parameters))
            except ValueError as error:
                raise ValueError(f"{path.name}, {name}, {row}: {error}") from None
    if len({c.id for c in found}) != len(found) or not found:
        raise ValueError(f"{path.name}, {name}: needs at least one run, and none twice")
    return found


def results(name: str, tier: str = "laptop") -> list[Result]:
    """The stored results of one sweep; ResultError lists the papermill lines of all that are missing."""
    configs = configurations(name, tier)
    missing = [c.command for c in configs if not (c.folder / "provenance.json").exists()]
    if missing:
        lines = "\n  ".join(missing)
        raise ResultError(
            f"{len(missing)} of the {len(configs)} runs of {name} are not stored; make them with\n  {lines}"
        )
    return [replace(read_result(c.folder), config=asdict(c)) for c in configs]  # with settings that were added since


def make(
    name: str, tier: str = "laptop", together: int = 8, device: str = "cpu", budget: float | None = None
) -> Iterator[str]:
    """Make the runs of a mixture sweep that are not stored, those of one shape trained together; yields a line each.

    together: at most so many at once. budget: seconds for each group. ValueError where the sweep is of another
    experiment, whose runs are made one by one with the papermill lines of `results`.
    """
    groups: dict[Any, list[Job]] = {}
    for c in configurations(name, tier):
        if not isinstance(c, GmmConfig):
            raise ValueError(
                f"{name} is a sweep of {c.experiment}: make its runs with papermill, {c.command} and so on"
            )
        if not (c.folder / "provenance.json").exists() or not read_result(c.folder).provenance["complete"]:
            made = job(c, device)
            groups.setdefault(made.shape, []).append(made)
    for jobs in groups.values():
        for part in (jobs[i : i + together] for i in range(0, len(jobs), together)):
            for done, result in zip(part, execute_together(part, device, budget), strict=True):
                said = result if isinstance(result, DivergedError) else f"{result.provenance['seconds']:.0f} s"
                yield f"{done.config.id}: {said}"
