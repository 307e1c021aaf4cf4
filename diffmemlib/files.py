"""Files that are never half written and never trusted blindly."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, SoftFileLock, Timeout

from .places import place_variable


def digest(data: bytes) -> str:
    """Return the SHA-256 of the bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def to_json(content: dict[str, Any]) -> bytes:
    """Return the bytes of a readable JSON file, its keys sorted; inf and nan, which JSON does not have, become null."""
    return (json.dumps(_finite(content), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def read_text(path: Path) -> str:
    """Return the text of a file written on any system: UTF-8 with or without a mark at its start, or UTF-16 with one.

    Raises
    ------
    ValueError
        Where it is none of them.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path.name}, line {line}: not UTF-8; save the file as UTF-8 text") from None


def new_file(path: Path) -> BinaryIO:
    """Open a file that is not there yet for writing, with the permissions that the umask gives."""
    return open(path, "xb")


def write_atomic(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, flush to disk, rename: a reader sees all or nothing.

    Parameters
    ----------
    path
        The file; its folder is made where there is none.
    data
        All of its bytes.

    Raises
    ------
    OSError
        See `explain_write_errors`. What stood at ``path`` before is untouched.
    """
    temporary: Path | None = None
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            unique = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
            with new_file(unique) as file:
                temporary = unique
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unique, path)
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)  # gone already where all went well


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Make an OSError in the block (a full disk, a read-only store) say where it was, and what to do."""
    try:
        yield
    except OSError as error:
        variable = place_variable(path)
        elsewhere = f", or let {variable} name a place that can be written," if variable else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, None)
        remedy = "make room" if full else "make the place writable, or name another"
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror or error}); what was written before is whole: {remedy}"
            f"{elsewhere} and run the same again",
        ) from error


def check_writable(path: Path) -> None:
    """Raise OSError where a file cannot be written, or is a folder; what it holds is left as it is."""
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        with open(path, "ab"):
            pass
        if not there:
            path.unlink()


class NumberedFiles:
    """A folder of files, one for each training step, each with its checksum in its own name.

    One rename therefore publishes content and checksum together. A file whose content does not match its name is
    passed over with a warning, and the one before it serves. So is one that was written for another owner.

    Parameters
    ----------
    folder
        Where the files lie; made when the first one is written.
    suffix
        Of the files, with its dot.
    owner
        Goes into the checksums, such as the identity of a run: files copied from another run are not taken for its
        own. Files of an earlier version, whose checksums have no owner, are read.
    """

    def __init__(self, folder: Path, suffix: str, owner: str = "") -> None:
        self.folder, self.suffix, self.owner = folder, suffix, owner
        self.pattern = re.compile(r"(\d{9})-([0-9a-f]{16})" + re.escape(suffix))

    def paths(self) -> dict[int, Path]:
        """Return step -> file, in increasing order of step; contents are not verified."""
        files = sorted(self.folder.glob(f"*{self.suffix}")) if self.folder.is_dir() else []
        return {int(match[1]): path for path in files if (match := self.pattern.fullmatch(path.name))}

    def write(self, step: int, data: bytes, keep: int | None = None) -> Path:
        """Store the bytes of a step in place of any there were; then keep only the last ``keep`` steps (None: all)."""
        if not 0 <= step < 10**9:
            raise ValueError(f"step {step}: files are numbered from 0 to 999 999 999")
        path = self.folder / f"{step:09d}-{self._checksum(data)}{self.suffix}"
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
        """Return the verified bytes of a step; None, with a warning, where they are missing or damaged."""
        path = self.paths().get(step)
        if path is None:
            return None
        data = path.read_bytes()
        if path.name[10:26] not in (self._checksum(data), digest(data)[:16]):
            warnings.warn(
                f"{path} is damaged, or of another run (its checksum does not match); it is passed over", stacklevel=2
            )
            return None
        return data

    def _checksum(self, data: bytes) -> str:
        return digest(self.owner.encode() + data)[:16]

    def latest(self) -> tuple[int, bytes] | None:
        """Return the last step whose file is whole, and its bytes; None where there is none."""
        for step in reversed(list(self.paths())):
            if (data := self.read(step)) is not None:
                return step, data
        return None


class RunBusyError(RuntimeError):
    """Another process is working on the same run."""


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold a lock for this process; the kernel frees it on any death.

    Parameters
    ----------
    path
        The lock, without a suffix. The file ``path.lock`` is made and left there, since removing it would let two
        processes hold locks on two files of one name.

    Raises
    ------
    RunBusyError
        Where another process holds it.
    OSError
        Where the file cannot be made, or its file system has no locks.
    """
    file = path.with_name(path.name + ".lock")
    with explain_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "a"):  # so that a place that cannot be written is told before it is tried as a lock
            pass
    lock = FileLock(file, thread_local=False)
    try:
        with warnings.catch_warnings():  # where the kernel has no locks it falls back, with one, to what a death leaves
            warnings.simplefilter("ignore")
            lock.acquire(timeout=0)
        if isinstance(lock, SoftFileLock):
            lock.release()
            raise NotImplementedError("not supported")
    except (Timeout, OSError, NotImplementedError) as error:
        if isinstance(error, Timeout) and not isinstance(lock, SoftFileLock):
            raise RunBusyError(f"another process is working on {path.name}: wait for it, or stop it") from None
        variable = place_variable(file)
        elsewhere = f"; let {variable} name a folder on another one" if variable else ""
        raise OSError(f"{file} cannot be locked ({error}): its file system has no locks{elsewhere}") from error
    try:
        yield
    finally:
        lock.release()
