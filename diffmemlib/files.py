"""Files that are never half written and never trusted blindly."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def to_json(content: dict[str, Any]) -> bytes:
    """As the bytes of a readable JSON file, in an order of its own."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def write_atomic(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, flush to disk, rename: a reader sees all or nothing.

    What stood at `path` before is untouched by an OSError; see `writing`.
    """
    temporary: str | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)  # gone already where all went well


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """OSError (a full disk, a read-only store) says where it was, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror or error}); what was written before is whole: make room, or "
            "let DIFFMEM_RESULTS and DIFFMEM_CHECKPOINTS name a place that can be written, and run the same again",
        ) from error


class NumberedFiles:
    """A folder of files, one a training step, each with its checksum in its own name.

    One rename therefore publishes content and checksum together. A file whose content does not match its name is
    passed over with a warning, and the one before it serves.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix
        self.pattern = re.compile(r"(\d{9})-([0-9a-f]{16})" + re.escape(suffix))

    def paths(self) -> dict[int, Path]:
        """Step -> file, in increasing order of step; contents not verified."""
        found = sorted(self.folder.glob(f"*{self.suffix}")) if self.folder.is_dir() else []
        return {int(match[1]): path for path in found if (match := self.pattern.fullmatch(path.name))}

    def write(self, step: int, data: bytes, keep: int | None = None) -> Path:
        """Store the bytes of a step in place of any there were; then keep only the last `keep` steps (None: all)."""
        path = self.folder / f"{step:09d}-{digest(data)[:16]}{self.suffix}"
        write_atomic(path, data)
        for other in self.folder.glob(f"{step:09d}-*{self.suffix}"):  # a damaged one, say
            if other != path:
                other.unlink(missing_ok=True)
        for old in list(self.paths().values())[: -keep if keep else 0]:
            old.unlink(missing_ok=True)
        return path

    def tidy(self) -> None:
        """Remove what a killed process left half written; for the process that holds the run."""
        for path in self.folder.glob(f".*{self.suffix}.*"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all steps."""
        for path in self.paths().values():
            path.unlink(missing_ok=True)

    def read(self, step: int) -> bytes | None:
        """The verified bytes of a step; None, with a warning, where they are missing or damaged."""
        path = self.paths().get(step)
        if path is None:
            return None
        data = path.read_bytes()
        if digest(data)[:16] != path.name[10:26]:
            warnings.warn(f"{path} is damaged (its checksum does not match); it is passed over", stacklevel=2)
            return None
        return data

    def latest(self) -> tuple[int, bytes] | None:
        """The last step whose file is whole, and its bytes; None where there is none."""
        for step in reversed(list(self.paths())):
            if (data := self.read(step)) is not None:
                return step, data
        return None


class RunBusyError(RuntimeError):
    """Another process is working on the same run."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the run's folder for this process; RunBusyError if another one does. The kernel frees it on any death.

    OSError where the folder cannot be made or written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")  # closed below
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(f"another process is working on {folder.name}: wait for it, or stop it") from None
        yield
