"""Whether each stored result is whole, and whether those of the repository are the ones that were committed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..files import digest, to_json, write_atomic
from ..places import checkout, results_dir
from .store import ResultError, read_result, run_name, stored_folders

RUN_NAME = re.compile(r"\w+/\w+/[0-9a-f]{12}")
MANIFEST = "manifest.json"  # in the folder of results: run -> checksum of its provenance, which has those of its files


@dataclass
class Verification:
    """What was found in the store.

    Attributes
    ----------
    whole : int
        Results without a fault.
    damaged : dict
        Run -> what is wrong with it.
    changed, missing : list of str
        Runs of the manifest that are stored with other content, or not at all.
    own : int
        Whole results that the manifest does not have.
    """

    whole: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    own: int = 0

    @property
    def as_committed(self) -> bool:
        """Whether every result of the manifest is there, and is the one it names."""
        return not (self.damaged or self.changed or self.missing)

    def lines(self) -> str:
        """Return the outcome as lines of text."""
        own = f", {self.own} of them your own" if self.own else ""
        lines = [f"{self.whole} stored results are whole{own}"]
        lines += [f"damaged: {sentence}" for sentence in self.damaged.values()]
        lines += [f"not the committed one (made again, or edited): {run}" for run in self.changed]
        lines += [f"missing, of those that were committed: {run}" for run in self.missing]
        return "\n".join(lines)


def verify() -> Verification:
    """Read every stored result, samples too, and compare it with the manifest where there is one."""
    if not results_dir().is_dir():
        raise ResultError(f"{results_dir()}, where results are looked for, is no folder: there is nothing to verify")
    committed, found, sums = manifest(), Verification(), stored_checksums()
    for folder in stored_folders():
        name = run_name(folder)
        try:
            read_result(folder).samples  # noqa: B018 - reading verifies
        except ResultError as error:
            found.damaged[name] = str(error)
            continue
        found.whole += 1
        found.own += name not in committed
    found.changed = [
        name for name, value in committed.items() if sums.get(name, value) != value and name not in found.damaged
    ]
    found.missing = [name for name in committed if name not in sums]
    return found


def manifest() -> dict[str, str]:
    """Return the manifest of the store; empty where there is none.

    Raises
    ------
    ResultError
        Where it cannot be read.
    """
    path = results_dir() / MANIFEST
    own = checkout()
    if not path.exists():
        if own and path.parent == own / "results":
            raise ResultError(f"{_shown(path)} is missing: restore it, as with: git checkout {_shown(path)}")
        return {}
    try:
        content = json.loads(path.read_bytes())
        if strange := [name for name in content if not RUN_NAME.fullmatch(name)]:
            raise ValueError(f"{strange[0]!r} names no run")
        return {str(name): str(value) for name, value in content.items()}
    except Exception as error:
        raise ResultError(
            f"{_shown(path)} is damaged ({error}); restore it, as with: git checkout {_shown(path)}"
        ) from None


def _shown(path: Path) -> Path:
    """As it is named at the root of the checkout."""
    root = checkout()
    return path.relative_to(root) if root and path.is_relative_to(root) else path


def write_manifest() -> Path:
    """Write the manifest of all that is stored now, and return its path."""
    path = results_dir() / MANIFEST
    write_atomic(path, to_json(stored_checksums()))
    return path


def stored_checksums() -> dict[str, str]:
    """Return, for every stored run, the checksum of its provenance; "" where that cannot be read."""
    sums = {}
    for folder in stored_folders():
        try:
            sums[run_name(folder)] = digest((folder / "provenance.json").read_bytes())
        except OSError:
            sums[run_name(folder)] = ""
    return sums
