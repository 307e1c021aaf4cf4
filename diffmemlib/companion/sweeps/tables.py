"""Tables of runs: config/<tier>.toml says which runs make a figure, so that no other run can slip into it."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...experiments.gmm import GmmConfig, job
from ...experiments.registry import EXPERIMENTS
from ...files import read_text
from ...places import book_tier, config_dir, results_dir
from ...runs.config import Config
from ...runs.execute import Job, execute, execute_ensemble
from ...runs.store import Result, ResultError, complete_result, read_result
from ...timescales.crossings import share_crossing
from ...training.loop import DivergedError
from ...training.stopping import stop_when_asked

HIGHER = ("paper", "gpu")  # tiers that a figure is drawn at before laptop, where all of its runs are stored
COMPARED = (
    ("images-adam", "images-sgd", "images-full", "images-full-draws"),
    ("mixture-adam", "conditional", "conditional-sgd"),
)
SHOWN = 8  # lines of missing runs in an error, at most
F_MEM = 0.02  # tau_mem: the first time that two samples in a hundred are copies


class PilotMissingError(ValueError):
    """The steps of a sweep come from a pilot, a sweep of one run, that is not stored yet, or had no time of copies."""

    def __init__(self, message: str, pilot: str) -> None:
        super().__init__(message)
        self.pilot = pilot


_tier: ContextVar[str | None] = ContextVar("tier", default=None)  # that `at_tier` asks for
_read: ContextVar[dict[str, str] | None] = ContextVar("read", default=None)  # sweeps read within `sweeps_read`


def read_tables(tier: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the sweeps of a tier: name -> experiment, figures (of the paper, as text) and runs.

    [defaults.<experiment>] at the top of the file holds what all runs of an experiment have unless their row says
    otherwise. ValueError names the file, the line and what is wrong there.
    """
    folder = folder or config_dir()
    path = folder / f"{tier}.toml"
    if not folder.is_dir():
        raise ValueError(f"{folder}, where the tables of runs are looked for, is no folder")
    if not path.exists():
        tiers = ", ".join(sorted(p.stem for p in folder.glob("*.toml"))) or "no tables there"
        raise ValueError(f"tier = {tier!r}: {folder} has no {path.name}; it has {tiers}")
    return deepcopy(_checked(path, read_text(path)))


@lru_cache(maxsize=8)
def _checked(path: Path, text: str) -> dict[str, dict[str, Any]]:
    """The sweeps of a table; kept by its text, since a page reads the table for every sweep."""
    try:
        sweeps = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own names line and column
        raise ValueError(f"{path.name}: {error}") from None
    defaults = sweeps.pop("defaults", {})
    if not isinstance(defaults, dict) or not all(
        name in list(EXPERIMENTS) and isinstance(row, dict) for name, row in defaults.items()
    ):
        raise ValueError(f"{path.name}: [defaults.NAME] holds parameters, NAME one of {', '.join(EXPERIMENTS)}")
    if not sweeps:
        raise ValueError(f"{path.name} holds no sweep: give one a name in brackets, experiment, figures and runs")
    for name, sweep in sweeps.items():
        where = f"{path.name}, line {_line(text, name)}, {name}"
        if not isinstance(sweep, dict) or set(sweep) != {"experiment", "figures", "runs"}:
            raise ValueError(f"{where}: a sweep has experiment, figures and runs, and nothing else")
        if sweep["experiment"] not in list(EXPERIMENTS):  # as a list: it may be anything
            raise ValueError(f"{where}: experiment must be one of {', '.join(EXPERIMENTS)}")
        figures, runs = sweep["figures"], sweep["runs"]
        if not isinstance(figures, list) or not all(isinstance(figure, str) for figure in figures):
            raise ValueError(f'{where}: figures is a list of texts, such as ["9"]')
        if not isinstance(runs, list) or not all(isinstance(row, dict) for row in runs):
            raise ValueError(f"{where}: runs is a list of parameters in braces, such as [{{ n = 64 }}]")
        for i, row in enumerate(runs):
            if fault := _fault(row):
                raise ValueError(f"{path.name}, line {_line(text, name, i)}, {name}: {fault}")
        sweep["runs"] = [{**defaults.get(sweep["experiment"], {}), **row} for row in runs]
    return sweeps


def _steps(row: dict[str, Any], sweeps: dict[str, dict[str, Any]], tier: str, folder: Path, name: str) -> int:
    """Steps of a row that has them from a pilot: so many times its tau_mem, in proportion to n, to two digits.

    The pilot is a sweep of one run of the same tier; its tau_mem is where f_mem passes 0.02.
    """
    times, of = row["steps"]["times"], row["steps"]["of"]
    if of not in sweeps or any(isinstance(r.get("steps"), dict) for r in sweeps[of]["runs"]):
        raise ValueError(f"{tier}.toml, {name}: steps of {of!r}, which is no sweep of this table with steps of its own")
    pilots = sweep_configs(of, tier, folder)
    if len(pilots) != 1 or "n" not in row:
        raise ValueError(f"{tier}.toml, {name}: steps of {of}: a pilot is one run, and what takes its steps has n")
    stored = complete_result(pilots[0])
    if stored is None:
        raise PilotMissingError(
            f"{tier}.toml, {name}: its steps come from the run of {of}, which is not stored; make it first: "
            f"{pilots[0].command}",
            of,
        )
    curve = stored.curve("f_mem")["value"]
    found = share_crossing(curve.index.to_numpy(), curve.to_numpy(), stored.config["samples"], F_MEM)
    if found.status != "interpolated":
        raise PilotMissingError(
            f"{tier}.toml, {name}: {of} has no time of copies ({found.status}): give it other steps", of
        )
    return int(float(f"{times * found.tau * row['n'] / stored.config['n']:.2g}"))


def _fault(row: dict[str, Any]) -> str | None:
    """What is wrong with a row, whatever the experiment."""
    steps = row.get("steps")
    if isinstance(steps, dict) and not (
        set(steps) == {"times", "of"} and type(steps["times"]) in (int, float) and isinstance(steps["of"], str)
    ):
        return 'steps are a number, or { times = 4, of = "NAME" }, NAME a sweep of one run, the pilot'
    if "tier" in row:
        return "a row has the tier of its file, and no other"
    empty = [name for name, value in row.items() if value == []]
    return f"{empty[0]} is an empty list, of which no run comes" if empty else None


def _line(text: str, name: str, row: int | None = None) -> int:
    """The line of a sweep's header, or of its row, counted by the braces that open below the header."""
    lines = text.splitlines()
    headers = (f"[{name}]", f'["{name}"]', f"['{name}']")
    header = next((i for i, line in enumerate(lines) if line.split("#")[0].strip() in headers), 0)
    row_here = -1
    for i in range(header, len(lines)):
        row_here += lines[i].split("#")[0].count("{")
        if row is not None and row_here >= row:
            return i + 1
    return header + 1


def sweep_configs(name: str, tier: str = "laptop", folder: Path | None = None) -> list[Config]:
    """Return the runs of one sweep, in the order of its table; a list stands for one run for each of its values.

    ValueError names the file, the line and what is wrong there.
    """
    folder = folder or config_dir()
    sweeps, path = read_tables(tier, folder), folder / f"{tier}.toml"
    if name not in sweeps:
        raise ValueError(f"{path.name} has no sweep {name!r}; it has {', '.join(sweeps)}")
    kind = EXPERIMENTS[sweeps[name]["experiment"]].config
    configs: list[Config] = []
    for i, row in enumerate(sweeps[name]["runs"]):
        for values in itertools.product(*(v if isinstance(v, list) else [v] for v in row.values())):
            parameters: dict[str, Any] = {"tier": tier, **dict(zip(row, values, strict=True))}
            if isinstance(parameters.get("steps"), dict):
                parameters["steps"] = _steps(parameters, sweeps, tier, folder, name)
            try:
                configs.append(kind.from_parameters(parameters))
                configs[-1].check_data()
            except (ValueError, OverflowError) as error:
                line = _line(read_text(path), name, i)
                raise ValueError(f"{path.name}, line {line}, {name}: {error}") from None
    twice = [c for i, c in enumerate(configs) if c.id in {other.id for other in configs[:i]}]
    if twice or not configs:
        which = f" ({twice[0].parameters} comes twice)" if twice else ""
        raise ValueError(
            f"{path.name}, line {_line(read_text(path), name)}, {name}: needs at least one run, and none twice{which}"
        )
    return configs


def sweep_results(name: str, tier: str | None = None) -> list[Result]:
    """Return the stored results of one sweep; ResultError lists lines that make what is missing, the first few of them.

    tier: that of `tier_of` unless given.
    """
    tier = tier_of(name) if tier is None else tier
    if (seen := _read.get()) is not None:
        seen[name] = tier
    configs = sweep_configs(name, tier)
    missing = [c.command for c in configs if not (c.result_dir / "provenance.json").exists()]
    if missing:
        lines, more = "\n  ".join(missing[:SHOWN]), len(missing) - SHOWN
        rest = f"\n  and {more} more, which make reproduce TIER={tier} makes too" if more > 0 else ""
        raise ResultError(
            f"{len(missing)} of the {len(configs)} runs of {name} are not stored; make them with\n  {lines}{rest}"
        )
    return [replace(read_result(c.result_dir), config=asdict(c)) for c in configs]  # with settings added since


def tier_of(name: str) -> str:
    """Return the tier that a sweep is drawn at: the highest at which all of its runs are stored, else laptop.

    Sweeps that pages compare with each other (COMPARED) are drawn at one tier, or sizes would be taken for what is
    compared. Within `at_tier`, and where $DIFFMEM_TIER is set, that one, or laptop where its table has no such sweep.
    """
    named = _tier.get() or book_tier()
    if named is not None:
        return named if name in read_tables(named) else "laptop"
    together = next((names for names in COMPARED if name in names), (name,))
    return next((tier for tier in HIGHER if all(is_stored(one, tier) for one in together)), "laptop")


def is_stored(name: str, tier: str) -> bool:
    """Return whether a tier's table has a sweep, and all of its runs are stored whole."""
    if not (results_dir() / tier).is_dir() or name not in read_tables(tier):
        return False
    try:
        return all(complete_result(c) for c in sweep_configs(name, tier))
    except PilotMissingError:
        return False


@contextmanager
def at_tier(tier: str) -> Iterator[None]:
    """Let sweeps be read at a tier within the block, where its table has them."""
    token = _tier.set(tier)
    try:
        yield
    finally:
        _tier.reset(token)


@contextmanager
def sweeps_read() -> Iterator[dict[str, str]]:
    """Yield a dict that is filled with the sweeps that are read within the block, each with its tier."""
    seen: dict[str, str] = {}
    token = _read.set(seen)
    try:
        yield seen
    finally:
        _read.reset(token)


def run_sweep(
    name: str, tier: str = "laptop", together: int = 8, device: str = "cpu", budget: float | None = None
) -> Iterator[tuple[str, Result | DivergedError]]:
    """Make the runs of a mixture sweep that are not stored, those of one shape trained together.

    Yields the identity of each with its result, or with the error of one that diverged. SIGTERM ends the group at work,
    its state saved, and with it the sweep.

    together: at most so many at once. budget: seconds for each group. ValueError where the sweep is of another
    experiment, whose runs are made one by one.
    """
    groups: dict[Any, list[Job]] = {}
    for c in sweep_configs(name, tier):
        if not isinstance(c, GmmConfig):
            raise ValueError(f"{name} is a sweep of {c.experiment}: make its runs one by one, {c.command} and so on")
        if not complete_result(c):
            one = job(c, device)
            alone = () if one.stackable else (c.id,)
            groups.setdefault((*one.shape, *alone), []).append(one)
    with stop_when_asked(None) as asked_to_stop:
        for part in (jobs[i : i + together] for jobs in groups.values() for i in range(0, len(jobs), together)):
            if asked_to_stop():
                return
            for done, result in zip(part, _together(part, device, budget), strict=True):
                yield done.config.id, result


def _together(jobs: Sequence[Job], device: str, budget: float | None) -> list[Result | DivergedError]:
    """Results of runs of one shape; one that cannot be stacked is made alone."""
    if jobs[0].stackable:
        return execute_ensemble(jobs, device, budget)
    try:
        return [execute(jobs[0], device, budget)]
    except DivergedError as error:
        return [error]


def table_runs(tier: str, figure: str | None = None, missing: bool = True) -> list[Config]:
    """Return the runs of a tier's tables, or of those that draw one figure, each once.

    missing: only those that are not stored and whose data are at hand; `waiting` tells of the others. In place of a
    sweep whose steps a pilot has yet to find stands the pilot.

    ValueError names the figures that there are.
    """
    sweeps = read_tables(tier)
    chosen = [name for name, sweep in sweeps.items() if figure is None or figure in sweep["figures"]]
    if not chosen:
        known = sorted({f for sweep in sweeps.values() for f in sweep["figures"]}, key=lambda f: (len(f), f))
        raise ValueError(f"no sweep of tier {tier} draws figure {figure!r}; there are {', '.join(known)}")
    runs: dict[str, Config] = {}
    for name in chosen:
        try:
            runs |= {c.id: c for c in sweep_configs(name, tier)}
        except PilotMissingError as error:
            runs |= {c.id: c for c in sweep_configs(error.pilot, tier)}
    return [c for c in runs.values() if not (missing and (complete_result(c) or c.missing_data()))]


def waiting(tier: str, figure: str | None = None) -> list[str]:
    """Return a sentence for each sweep, of a figure or of all, whose steps or data are not at hand."""
    sentences = []
    for name, sweep in read_tables(tier).items():
        if figure is None or figure in sweep["figures"]:
            try:
                configs = [c for c in sweep_configs(name, tier) if not complete_result(c)]
            except PilotMissingError as error:
                sentences.append(f"{name} waits for {error.pilot}, which finds its steps ({error})")
                continue
            if reasons := dict.fromkeys(filter(None, (c.missing_data() for c in configs))):
                sentences.append(f"{name} waits for its data ({'; '.join(reasons)})")
    return sentences
