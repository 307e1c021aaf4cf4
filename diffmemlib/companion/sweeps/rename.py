"""Stored results brought to today's form: the identity that their settings have, and a checksum of their provenance.

An identity changes when the library learns that two settings are one run, such as a batch of n and the full batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...experiments.registry import EXPERIMENTS
from ...files import digest, to_json, write_atomic
from ...runs.config import Config, identity
from ...runs.store import ResultError, sealed, stored_folders


def rename_results(tier: str) -> Iterator[tuple[str, str]]:
    """Move the results of a tier whose identity has changed; yields the identity before and now of each.

    Settings are rewritten in their resolved form, with the checksum of their file. Where the same run is stored under
    both identities, the one under today's stays, and ResultError names the other, for its owner to remove. A provenance
    that was stored without a checksum of its own gets one.
    """
    for name, experiment in EXPERIMENTS.items():
        for folder in stored_folders(name, tier):
            settings, provenance = (_stored(folder / name) for name in ("config.json", "provenance.json"))
            if "checksum" not in provenance:
                write_atomic(folder / "provenance.json", sealed(provenance))
            settings.pop("experiment")
            resolved = experiment.config.resolve({**experiment.config.later_defaults(), **settings})
            now = identity(name, resolved, experiment.config.later_defaults())
            if now != folder.name:
                _move(folder, now, experiment.config, resolved)
                yield folder.name, now


def _stored(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}); delete its folder, and make the run again") from None


def _move(folder: Path, now: str, kind: type[Config], settings: dict[str, Any]) -> None:
    target = folder.with_name(now)
    if target.exists():
        raise ResultError(f"{folder.name} and {now} are one run, and both are stored: remove {folder.name}")
    config = to_json({"experiment": kind.experiment, **settings})
    provenance = _stored(folder / "provenance.json")
    provenance["sha256"]["config.json"] = digest(config)
    provenance["command"] = kind(**settings).command
    write_atomic(folder / "config.json", config)
    write_atomic(folder / "provenance.json", sealed(provenance))
    folder.rename(target)
