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
from .experiments.registry import EXPERIMENTS
from .runs import Config, book_tier, config_folder
from .stopping import stop_when_asked
from .store import Result, ResultError, complete, read_result
from .training import DivergedError


def tables(tier: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The sweeps of a tier: name -> experiment, figures (of the paper, as text) and runs.

    ValueError names the file, the line and what is wrong there.
    """
    folder = folder or config_folder()
    path = folder / f"{tier}.toml"
    if not path.exists():
        raise ValueError(f"tier = {tier!r}: there are {', '.join(sorted(p.stem for p in folder.glob('*.toml')))}")
    try:
        found = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name}: {error}") from None  # which names line and column
    for name, table in found.items():
        where = f"{path.name}, line {_line(path, name)}, {name}"
        if not isinstance(table, dict) or set(table) != {"experiment", "figures", "runs"}:
            raise ValueError(f"{where}: a sweep has experiment, figures and runs, and nothing else")
        if table["experiment"] not in list(EXPERIMENTS):  # as a list: it may be anything
            raise ValueError(f"{where}: experiment must be one of {', '.join(EXPERIMENTS)}")
        figures, runs = table["figures"], table["runs"]
        if not isinstance(figures, list) or not all(isinstance(figure, str) for figure in figures):
            raise ValueError(f'{where}: figures is a list of texts, such as ["9"]')
        if not isinstance(runs, list) or not all(isinstance(row, dict) for row in runs):
            raise ValueError(f"{where}: runs is a list of parameters in braces, such as [{{ n = 64 }}]")
    return found


def _line(path: Path, name: str, row: int | None = None) -> int:
    """The line of a sweep's header, or of its row, counted by the braces that open below the header."""
    lines = path.read_text().splitlines()
    header = next((i for i, line in enumerate(lines) if line.strip() == f"[{name}]"), 0)
    seen = -1
    for i in range(header, len(lines)):
        seen += lines[i].split("#")[0].count("{")
        if row is not None and seen >= row:
            return i + 1
    return header + 1


def configurations(name: str, tier: str = "laptop", folder: Path | None = None) -> list[Config]:
    """The configurations of one sweep, in the order of the table, the values of a list from first to last.

    ValueError names the table, the sweep and what is wrong with its row.
    """
    path, all_tables = (folder or config_folder()) / f"{tier}.toml", tables(tier, folder)
    if name not in all_tables:
        raise ValueError(f"{path.name} has no sweep {name!r}; it has {', '.join(all_tables)}")
    kind = EXPERIMENTS[all_tables[name]["experiment"]]
    found: list[Config] = []
    for i, row in enumerate(all_tables[name]["runs"]):
        for values in itertools.product(*(v if isinstance(v, list) else [v] for v in row.values())):
            parameters: dict[str, Any] = {"tier": tier, **dict(zip(row, values, strict=True))}
            try:
                found.append(kind.from_parameters(parameters))
            except ValueError as error:
                raise ValueError(f"{path.name}, line {_line(path, name, i)}, {name}: {error}") from None
    if len({c.id for c in found}) != len(found) or not found:
        raise ValueError(f"{path.name}, line {_line(path, name)}, {name}: needs at least one run, and none twice")
    return found


def results(name: str, tier: str | None = None) -> list[Result]:
    """The stored results of one sweep; ResultError lists the papermill lines of all that are missing.

    tier: that of the book unless given, or laptop where the book's tier has no such sweep.
    """
    if tier is None:
        tier = book_tier() if name in tables(book_tier()) else "laptop"
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
) -> Iterator[tuple[str, Result | DivergedError]]:
    """Make the runs of a mixture sweep that are not stored, those of one shape trained together.

    Yields the identity of each with its result, or with the error of one that diverged. SIGTERM ends the group at work,
    its state saved, and with it the sweep.

    together: at most so many at once. budget: seconds for each group. ValueError where the sweep is of another
    experiment, whose runs are made one by one with the papermill lines of `results`.
    """
    groups: dict[Any, list[Job]] = {}
    for c in configurations(name, tier):
        if not isinstance(c, GmmConfig):
            raise ValueError(
                f"{name} is a sweep of {c.experiment}: make its runs with papermill, {c.command} and so on"
            )
        if not complete(c):
            made = job(c, device)
            groups.setdefault(made.shape, []).append(made)
    with stop_when_asked(None) as asked:
        for part in (jobs[i : i + together] for jobs in groups.values() for i in range(0, len(jobs), together)):
            if asked():
                return
            for done, result in zip(part, execute_together(part, device, budget), strict=True):
                yield done.config.id, result
