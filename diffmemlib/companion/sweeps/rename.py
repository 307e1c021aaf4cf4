"""Stored results brought to the identity that their settings have today.

An identity changes when the library learns that two settings are one run, such as a batch of n and the full batch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...experiments.registry import EXPERIMENTS
from ...files import digest, to_json, write_atomic
from ...runs.config import TIERS, Config, identity
from ...runs.store import CONTENT, ResultError, read_provenance, run_name, sealed, stored_folders, verified


def rename_results(tier: str) -> Iterator[tuple[str, str]]:
    """Move the results of a tier whose identity has changed; yields the identity before and now of each.

    Settings are rewritten in their resolved form, with the checksum of their file. Nothing is moved that is damaged, or
    whose settings are not those that its name stands for. Where the same run is stored under both identities, the one
    under today's stays, and ResultError names the other, for its owner to remove.
    """
    if tier not in TIERS:
        raise ValueError(f"tier = {tier!r}: choose one of {', '.join(TIERS)}")
    for name, experiment in EXPERIMENTS.items():
        later = experiment.config.later_defaults()
        for folder in stored_folders(name, tier):
            provenance = read_provenance(folder)
            contents = [verified(folder, provenance, file) for file in CONTENT]
            try:
                settings = dict(json.loads(contents[0]))
                settings.pop("experiment")
                resolved = experiment.config.resolve({**later, **settings})
                before, now = (identity(name, each, later) for each in ({**later, **settings}, resolved))
                experiment.config(**resolved)
            except Exception as error:  # whatever is in it, it holds no settings of this experiment
                raise ResultError(f"{run_name(folder)}/config.json holds no settings of {name} ({error})") from None
            if folder.name not in (before, now):
                raise ResultError(f"{run_name(folder)} holds the settings of another run, {now}: it is not moved")
            if now != folder.name:
                _move(folder, now, experiment.config, resolved, provenance)
                yield folder.name, now


def _move(folder: Path, now: str, kind: type[Config], settings: dict[str, Any], provenance: dict[str, Any]) -> None:
    target = folder.with_name(now)
    if target.exists():
        raise ResultError(f"{folder.name} and {now} are one run, and both are stored: remove {folder.name}")
    config = to_json({"experiment": kind.experiment, **settings})
    provenance["sha256"]["config.json"] = digest(config)
    provenance["command"] = kind(**settings).command
    fresh = folder.with_name(f".new-{now}")  # whole before it is seen
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(folder, fresh)
    write_atomic(fresh / "config.json", config)
    write_atomic(fresh / "provenance.json", sealed(provenance))
    fresh.rename(target)
    shutil.rmtree(folder)
