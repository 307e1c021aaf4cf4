"""What a campaign leaves behind: a folder of few and small files, whole at any moment, and checked when it is read.

log.json                 what was done, with the checksum of every other file
bench.json, profile.json timings, and where the time of a step goes
results-*.N              a zip of stored runs, in parts
states-*.N               a zip of what unfinished runs go on from, in parts
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from ..files import NumberedFiles, digest, run_lock, to_json, write_atomic
from ..places import checkpoints_root, results_dir
from ..runs.config import Config
from ..runs.execute import ROUNDED
from ..runs.store import ResultError, complete_result, put_in_place, read_result

MOST_FILES, MOST_BYTES = 8, 16 * 2**20  # in the folder, and of each
KEYS = {  # of the log, and of what kind each is
    "files": dict, "checks": dict, "groups": list, "sharing": dict, "failed": list, "made": list, "device": str,
    "torch": str, "sources": str,
}  # fmt: skip
TRIES = 5  # at the files of a run at work
FORMAT = "diffmemlib-campaign/1"
PART = re.compile(r"(results|states)-[0-9a-f]{8}\.(\d+)")
# As `write_atomic` names them until they are whole.
HALF_WRITTEN = re.compile(rf"\.(log\.json|bench\.json|profile\.json|{PART.pattern})\.[0-9a-f]{{12}}")
STATE = re.compile(r"([0-9a-f]{12})/(?:rounded|(checkpoints|milestones)/(\d{9})-[0-9a-f]{16}(\.safetensors|\.npz))")
RESULT = re.compile(r"[a-z]+/[a-z_]+/[0-9a-f]{12}/(?:config\.json|provenance\.json|curves\.parquet|samples\.npz)")


class FolderError(ValueError):
    """A folder of a campaign that is not what it should be."""


def write_folder(folder: Path, log: dict[str, Any], results: bytes, states: bytes) -> None:
    """Write results, states and the log that names them; what stood there before serves until all of it is written.

    Parameters
    ----------
    folder
        Where bench.json and profile.json may lie already.
    log
        To which ``files`` is added.
    results, states
        Of `pack_results` and `pack_states`; empty: none.

    Raises
    ------
    FolderError
        Where they do not fit into MOST_FILES files.
    """
    parts: dict[str, bytes] = {}
    for name, data in (("results", results), ("states", states)):
        mark = digest(data)[:8]
        for i, start in enumerate(range(0, len(data), MOST_BYTES)):
            parts[f"{name}-{mark}.{i}"] = data[start : start + MOST_BYTES]
    others = [folder / name for name in ("bench.json", "profile.json") if (folder / name).exists()]
    if len(parts) + len(others) + 1 > MOST_FILES:
        raise FolderError(f"{len(parts)} parts do not fit into {MOST_FILES} files of {MOST_BYTES / 2**20:.0f} MiB")
    for path in folder.iterdir() if folder.exists() else ():
        if HALF_WRITTEN.fullmatch(path.name):  # by a process that was killed
            path.unlink(missing_ok=True)
    _put(folder, {name: data for name, data in parts.items() if not (folder / name).exists()})
    checksums = {name: digest(data) for name, data in parts.items()} | {
        path.name: digest(path.read_bytes()) for path in others
    }
    write_atomic(folder / "log.json", to_json(log | {"format": FORMAT, "files": checksums}))
    for path in folder.iterdir():
        if PART.fullmatch(path.name) and path.name not in parts:
            path.unlink()


def _put(folder: Path, parts: dict[str, bytes]) -> None:
    """Write files, beside the folder first where that is possible: old ones stay in it until the log names the new."""
    for left in folder.parent.glob(f".{folder.name}-????????"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            for name, data in parts.items():
                write_atomic(Path(beside) / name, data)
            folder.mkdir(exist_ok=True)
            for name in parts:
                (Path(beside) / name).replace(folder / name)
    except OSError:  # beside it nothing may be written, or it is another disk
        for name, data in parts.items():
            write_atomic(folder / name, data)


def read_log(folder: Path) -> dict[str, Any]:
    """Return the log of a campaign; FolderError where the folder holds none."""
    path = folder / "log.json"
    try:
        log = json.loads(path.read_bytes())
        if log["format"] != FORMAT:
            raise ValueError(f"its format is {log['format']!r}")
        for key, kind in KEYS.items():
            if not isinstance(log[key], kind):
                raise ValueError(f"its {key!r} is of another kind")
        for key, wanted in (("checks", {"outcome", "said"}), ("groups", {"runs", "outcome", "seconds"})):
            entries = log[key].values() if isinstance(log[key], dict) else log[key]
            if not all(isinstance(entry, dict) and wanted <= set(entry) for entry in entries):
                raise ValueError(f"an entry of its {key!r} lacks {' or '.join(sorted(wanted))}")
    except Exception as error:  # missing, or JSON of any shape
        reason = getattr(error, "strerror", None) or (f"it has no {error}" if isinstance(error, KeyError) else error)
        raise FolderError(f"{path} is no log of a campaign ({reason}): name the folder that --out named") from None
    return dict(log)


def read_file(folder: Path, log: dict[str, Any], name: str) -> bytes | None:
    """Return bench.json or profile.json; None where the campaign left none, or where it is missing or damaged."""
    path = folder / name
    if name not in log["files"] or not path.is_file():
        return None
    data = path.read_bytes()
    return data if digest(data) == log["files"][name] else None


def read_parts(folder: Path, log: dict[str, Any], name: str) -> zipfile.ZipFile | None:
    """Return the zip of results or states, its parts verified; None where the campaign left none.

    Raises
    ------
    FolderError
        For a part that is missing or damaged, and parts that no campaign writes.
    """
    found = (match for part in log["files"] if (match := PART.fullmatch(part)) and match[1] == name)
    parts = sorted((int(match[2]), match[0]) for match in found)
    data = b""
    for _, part in parts:
        path = folder / part
        there = path.read_bytes() if path.is_file() else b""
        if digest(there) != log["files"][part]:
            what = "damaged (its checksum does not match)" if path.is_file() else "missing"
            raise FolderError(f"{path} is {what}: copy the folder again; nothing of its {name} was taken")
        data += there
    if not parts:
        return None
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise FolderError(f"the {name} in {folder} are no archive ({error}): nothing of them was taken") from None
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):  # so none unpacks to more
        raise FolderError(
            f"the {name} in {folder} are compressed, as no campaign writes them: nothing of them was taken"
        )
    return archive


def pack_results(configs: Iterable[Config], room: float = inf) -> tuple[bytes, list[str]]:
    """Return a zip of the runs among these that are stored whole, and a sentence for those that do not fit.

    Empty where there is none. The last of the order are left out where there is too little room.

    Parameters
    ----------
    configs
        Runs, in the order in which they matter.
    room
        Bytes.
    """
    whole = [
        {"/".join([*c.result_dir.parts[-3:], path.name]): path.read_bytes() for path in sorted(c.result_dir.iterdir())}
        for c in configs
        if complete_result(c)
    ]
    # Of an entry a zip that is not compressed holds the data, its name twice, and 76 bytes; and 22 bytes at its end.
    each = [sum(len(data) + 2 * len(name.encode()) + 76 for name, data in files.items()) for files in whole]
    kept = int(np.searchsorted(22 + np.cumsum(each), room, "right"))
    told = [] if kept == len(whole) else [f"{len(whole) - kept} stored runs were left out, because there was no room"]
    return _zip({name: data for files in whole[:kept] for name, data in files.items()}), told


def pack_states(configs: Iterable[Config], room: int) -> tuple[bytes, list[str]]:
    """Return a zip of what unfinished runs go on from, and a sentence for each that is not kept as it is.

    The last checkpoint of each, and its measurements. Where there is too little room for all, states are rounded to
    bfloat16, the last of the order first, and where that does not do, left out; such runs start afresh.

    Parameters
    ----------
    configs
        Runs, in the order in which they matter.
    room
        Bytes.
    """
    runs = [_state(config) for config in configs if not complete_result(config)]
    runs = [files for files in runs if files]
    told: list[str] = []
    for shrink, what in ((_rounded, "rounded to bfloat16"), (lambda _: {}, "left out, because there was no room")):
        for files in reversed(runs):
            if _fits(runs, room):
                break
            smaller, run = shrink(files), next(iter(files))[:12]
            if smaller != files:
                told.append(f"the state of run {run} was {what}")
                files.clear()
                files.update(smaller)
        runs = [files for files in runs if files]
    return _zip({name: data for files in runs for name, data in files.items()}), told


def _fits(runs: Iterable[dict[str, bytes]], room: int) -> bool:
    return len(_zip({name: data for files in runs for name, data in files.items()})) <= room


def _state(config: Config) -> dict[str, bytes]:
    """Names and bytes of the last checkpoint of a run, and of all of its measurements.

    Of a run at work, whose files go as others come, they are looked at again.
    """
    for _ in range(TRIES):
        with suppress(OSError, KeyError):
            return _files(config)
    return {}


def _files(config: Config) -> dict[str, bytes]:
    root = config.checkpoint_dir
    checkpoints = NumberedFiles(root / "checkpoints", ".safetensors", config.id)
    latest = checkpoints.latest()
    kept = [*NumberedFiles(root / "milestones", ".npz").paths().values()]
    if latest:
        kept.append(checkpoints.paths()[latest[0]])
    if (root / ROUNDED).exists():
        kept.append(root / ROUNDED)
    return {f"{config.id}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in kept}


def _rounded(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same with the large tensors of its checkpoint in bfloat16."""
    smaller = dict(files)
    for name, data in files.items():
        if name.endswith(".safetensors"):
            tensors = safetensors.torch.load(data)
            half = {k: v.bfloat16() if v.dtype == torch.float32 and v.ndim else v for k, v in tensors.items()}
            smaller[name] = safetensors.torch.save(half, metadata={"rounded": "bfloat16"})
            smaller[name[:12] + "/" + ROUNDED] = b""
    return smaller


def _zip(files: dict[str, bytes]) -> bytes:
    """The bytes of a zip, the same for the same files; empty for none."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue() if files else b""


def unpack_states(archive: zipfile.ZipFile) -> list[str]:
    """Put states where runs go on from, unless a run here is further, or is stored; return which were taken.

    Raises
    ------
    FolderError
        For an entry that no campaign writes; nothing is then taken.
    RunBusyError
        Where a process is at one of the runs.
    """
    runs: dict[str, list[str]] = {}
    for name in archive.namelist():
        found = STATE.fullmatch(name)
        if not found:
            raise FolderError(f"the states hold {name!r}, which no campaign writes: nothing of them was taken")
        runs.setdefault(found[1], []).append(name)
    taken = []
    for run, names in runs.items():
        root = checkpoints_root() / run
        if any(map(_whole, results_dir().glob(f"*/*/{run}"))):
            continue
        with run_lock(root):
            files = {kind: NumberedFiles(root / kind, suffix, run) for kind, suffix in (
                ("checkpoints", ".safetensors"), ("milestones", ".npz"))}  # fmt: skip
            steps = [int(m[3]) for name in names if (m := STATE.fullmatch(name)) and m[3]]
            here = [step for each in files.values() for step in each.paths()]
            if max(here, default=-1) >= max(steps, default=-1):
                continue
            for name in sorted(names, key=lambda name: "checkpoints/" in name):  # measurements first
                found, data = STATE.fullmatch(name), archive.read(name)
                if found and found[2]:
                    files[found[2]].write(int(found[3]), _widened(data) if found[2] == "checkpoints" else data)
                else:
                    write_atomic(root / ROUNDED, b"")
            taken.append(run)
    return taken


def _widened(data: bytes) -> bytes:
    """A checkpoint as it was, or its tensors in bfloat16 as float32 again."""
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # of safetensors, whatever is in the file
        raise FolderError(f"the states hold a checkpoint that is none ({error}): start without --resume") from None
    if not any(v.dtype == torch.bfloat16 for v in tensors.values()):
        return data
    return safetensors.torch.save({k: v.float() if v.dtype == torch.bfloat16 else v for k, v in tensors.items()})


def unpack_results(archive: zipfile.ZipFile) -> tuple[list[str], list[str]]:
    """Bring runs into the store, each verified first; return those that are new, and a sentence for each refused.

    A run that is stored whole stays as it is.

    Raises
    ------
    FolderError
        For an entry that no campaign writes; nothing is then taken.
    """
    for name in archive.namelist():
        if not RESULT.fullmatch(name):
            raise FolderError(f"the results hold {name!r}, which no campaign writes: nothing of them was taken")
    new, refused = [], []
    store = results_dir()
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".collected-") as temporary:
        archive.extractall(temporary)
        for folder in sorted(Path(temporary).glob("*/*/*")):
            name, place = "/".join(folder.parts[-3:]), store.joinpath(*folder.parts[-3:])
            try:
                read_result(folder).samples  # noqa: B018 - reading verifies
                if place.exists() and _whole(place):
                    continue
            except ResultError as error:
                refused.append(str(error))
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(place, folder, place.parent / f".old-{place.name}")
            new.append(name)
    return new, refused


def _whole(folder: Path) -> bool:
    try:
        result = read_result(folder)
        return bool(result.samples is not None and result.provenance["complete"])
    except ResultError:
        return False
