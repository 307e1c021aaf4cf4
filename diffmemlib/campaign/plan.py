"""Which runs a lease makes, in the order of the tables, whose writer knows what is wanted first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import torch

from ..companion.sweeps.tables import PilotMissingError, read_tables, sweep_configs
from ..experiments.gmm import GmmConfig
from ..experiments.unet import UNetConfig, network
from ..runs.config import Config
from ..runs.store import complete_result

NEXT = 4  # runs that may be under way at once
TOGETHER = 128  # mixture networks in one graph, at most


def plan(
    tier: str, without: Collection[str] = (), last: Collection[str] = (), experiments: Collection[str] = ("gmm", "unet")
) -> list[Config]:
    """Return the trainings of a tier's tables that are not stored, in the order in which to make them.

    That of the tables; a sweep that others take their steps from comes before the first of these. Sweeps whose steps
    are not known yet, and runs whose data are not at hand, are left for a later call.

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
    tables, order = read_tables(tier), list[str]()
    for name, sweep in tables.items():
        order += [of for row in sweep["runs"] if (of := _pilot(row))] + [name]
    chosen = [c for c in _trainings(order, tier) if c.id not in without and c.experiment in experiments]
    open_runs = [c for c in chosen if not complete_result(c) and not c.missing_data()]
    return sorted(open_runs, key=lambda c: c.id in last)


def _pilot(row: dict[str, Any]) -> str | None:
    steps = row.get("steps")
    return steps["of"] if isinstance(steps, dict) else None


def _trainings(sweeps: Iterable[str], tier: str) -> list[Config]:
    """Of sweeps whose steps are known, each once, in their order."""
    runs: dict[str, Config] = {}
    for name in sweeps:
        try:
            for c in sweep_configs(name, tier):
                if isinstance(c, GmmConfig | UNetConfig):
                    runs.setdefault(c.id, c)
        except PilotMissingError:
            continue
    return list(runs.values())


def together(runs: list[Config]) -> list[Config]:
    """Return the first run, and those of the others, mixture networks of one shape, that can be trained with it."""
    first = runs[0]
    if not isinstance(first, GmmConfig) or first.ema or first.dropout:
        return [first]
    alike = [c for c in runs if isinstance(c, GmmConfig) and replace(c, seed=first.seed) == first]
    return list(alike[:TOGETHER])


def states_that_fit(runs: list[Config], room: int) -> int:
    """Return of how many runs at a time the states fit into so many bytes, rounded to bfloat16; at least 1.

    Half of the room is left to results. Of each weight a state holds itself and what the optimiser keeps, one number or
    two. The largest of the next few runs tells.
    """
    sizes = [1]
    for c in runs[:NEXT]:
        if isinstance(c, UNetConfig):
            with torch.device("meta"):
                weights = sum(p.numel() for p in network(c).parameters())
            sizes.append(2 * weights * (3 if c.optimizer == "adam" else 2))
    return max(1, room // 2 // max(sizes))


def all_runs(tier: str) -> list[Config]:
    """Return all trainings of a tier whose steps are known, stored or not, in the order of the tables."""
    return _trainings(read_tables(tier), tier)
