"""Which runs a lease makes, in the order in which figures are complete soonest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

from ..companion.sweeps.tables import PilotMissingError, read_tables, sweep_configs
from ..experiments.gmm import GmmConfig
from ..experiments.unet import UNetConfig
from ..runs.config import Config
from ..runs.store import complete_result

TOGETHER = 128  # mixture networks in one graph, at most


def plan(
    tier: str, without: Collection[str] = (), last: Collection[str] = (), experiments: Collection[str] = ("gmm", "unet")
) -> list[Config]:
    """Return the trainings of a tier's tables that are not stored, in the order in which to make them.

    First the sweeps that others take their steps from, then those that draw a figure, the cheapest first; within one
    the order of its table. Sweeps whose steps are not known yet are left for a later call.

    Parameters
    ----------
    tier
        Of the tables.
    without
        Identities of runs to leave out.
    last
        Identities of runs to make after all others, such as those that failed before.
    experiments
        Of which trainings are made.
    """
    tables, ranked = read_tables(tier), []
    pilots = {of for sweep in tables.values() for row in sweep["runs"] if (of := _pilot(row))}
    for place, (name, sweep) in enumerate(tables.items()):
        try:
            configs = sweep_configs(name, tier)
        except PilotMissingError:
            continue
        missing = [c for c in configs if isinstance(c, GmmConfig | UNetConfig) and not complete_result(c)]
        work = sum(cost(c) for c in missing)
        ranked.append(((name not in pilots, not sweep["figures"], work, place), missing))
    runs = {c.id: c for _, missing in sorted(ranked, key=lambda each: each[0]) for c in missing}
    chosen = [c for c in runs.values() if c.id not in without and c.experiment in experiments]
    return sorted(chosen, key=lambda c: c.id in last)


def _pilot(row: dict[str, Any]) -> str | None:
    steps = row.get("steps")
    return steps["of"] if isinstance(steps, dict) else None


def cost(config: Config) -> float:
    """Return the work of a training in units of its own experiment, good for an order and no more."""
    s = asdict(config)
    pixels = s.get("side", 1) ** 2
    return float(s["steps"] * min(s["batch"] or s["n"], s["n"]) * s.get("draws", 1) * s["width"] ** 2 * pixels)


def together(runs: list[Config]) -> list[Config]:
    """Return the first run, and those of the others, mixture networks of one shape, that can be trained with it."""
    first = runs[0]
    if not isinstance(first, GmmConfig) or first.ema:
        return [first]
    alike = [c for c in runs if isinstance(c, GmmConfig) and replace(c, seed=first.seed) == first]
    return list(alike[:TOGETHER])


def all_runs(tier: str) -> list[Config]:
    """Return all trainings of a tier whose steps are known, stored or not, in the order of the tables."""
    runs: dict[str, Config] = {}
    for name in read_tables(tier):
        try:
            runs |= {c.id: c for c in sweep_configs(name, tier) if isinstance(c, GmmConfig | UNetConfig)}
        except PilotMissingError:
            continue
    return list(runs.values())
