"""What a folder or zip of images holds: which files are taken, and which are left out and why."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import digest

MOST_BYTES = 2**29  # of one file
MOST_UNPACKED = 2**36  # of all files that are taken from an archive
LISTED = 20  # names in a message
# Copies and thumbnails that systems and programs keep beside the files of their user.
SYSTEM = re.compile(r"\..*|@.*|#recycle|__macosx|\$recycle\.bin|system volume information|lost\+found", re.IGNORECASE)
LITTER = re.compile(r"\..*|desktop\.ini|thumbs\.db", re.IGNORECASE)
OTHER_ARCHIVES = {  # at the start of a file, or where tar has its mark
    (0, b"\x1f\x8b"): "a gzip or tar.gz",
    (0, b"7z\xbc\xaf"): "a 7z",
    (0, b"Rar!"): "a rar",
    (0, b"BZh"): "a bzip2",
    (0, b"\xfd7zXZ"): "an xz",
    (257, b"ustar"): "a tar",
}


class SourceError(ValueError):
    """The images cannot be taken from where they were said to be."""


@dataclass
class Inventory:
    """How many files a source holds: those that are taken by suffix, those left out by reason.

    Attributes
    ----------
    taken : Counter
        Suffix -> files.
    left_out : Counter
        Reason -> files.
    """

    taken: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def lines(self, skipped: Iterable[str] = ()) -> str:
        """Return the inventory as lines of text; skipped: files that turned out to be no images when they were read."""
        taken = self.taken - Counter(_suffix(name) for name in skipped)
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in taken.most_common())
        lines = [f"{files(taken.total())} taken: {kinds or 'none'}"]
        lines += [f"{files(count)} left out: {reason}" for reason, count in self.left_out.most_common()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the inventory as the manifest stores it."""
        return {"taken": dict(self.taken), "left_out": dict(self.left_out)}


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes
    ----------
    name : str
        To call it by.
    names : list of str
        Of all images, in order.
    read : callable
        Returns the bytes of an image, by its name; SourceError where it cannot.
    stamp : callable
        Returns, by its name, a text that changes when the file does, and costs no reading.
    inventory : Inventory
        Of all that the source holds.
    """

    name: str
    names: list[str]
    read: Callable[[str], bytes]
    stamp: Callable[[str], str]
    inventory: Inventory


def files(count: int) -> str:
    """Return a number of files as it is said."""
    return "1 file" if count == 1 else f"{count} files"


def quoted(name: str) -> str:
    """Return a file's name with line breaks, escape codes and undecodable bytes made visible, for messages."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def name_digest(names: list[str]) -> str:
    """Return a checksum of file names, whatever their encoding."""
    return digest("\n".join(names).encode("utf-8", "surrogateescape"))


def open_source(
    source: Path | str, wanted: Callable[[str], bool], what: str, order: Callable[[list[str]], list[str]]
) -> Source:
    """Return the images of a folder or zip; nothing is unpacked to disk, and no link is followed.

    Parameters
    ----------
    source
        The folder or zip.
    wanted
        Whether a file of this name, without its folders, is one of them.
    what
        The source to ask for in an error.
    order
        Orders the names; it may refuse them.

    Raises
    ------
    SourceError
        Where it is neither, or unsafe.
    """
    if not str(source):
        raise SourceError(f"the source is empty (a variable that is not set?); give {what}")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise SourceError(f"{quoted(str(source))} cannot be found ({error}); give {what}") from None
    try:
        if path.is_dir():
            return _folder(path, wanted, order)
        if path.is_file():
            return _archive(path, wanted, what, order)
    except OSError as error:
        raise SourceError(f"{quoted(path.name)} cannot be read ({error.strerror or error}); give {what}") from None
    raise SourceError(f"{quoted(str(source))} {'is no file' if path.exists() else 'does not exist'}; give {what}")


def _folder(source: Path, wanted: Callable[[str], bool], order: Callable[[list[str]], list[str]]) -> Source:
    inventory, statuses = Inventory(), dict[str, os.stat_result]()
    for relative, status in _walk(source, inventory):
        name = relative.rpartition("/")[2]
        if not stat.S_ISREG(status.st_mode):
            inventory.left_out["links, pipes and devices (copy what a link leads to if you want it)"] += 1
        elif _take(name, wanted, inventory):
            statuses[relative] = status

    def read(name: str) -> bytes:
        if statuses[name].st_size > MOST_BYTES:
            raise SourceError(f"{quoted(name)} has {statuses[name].st_size / 2**20:.0f} MiB; {_too_large()}")
        try:
            return (source / name).read_bytes()
        except OSError as error:
            raise SourceError(f"{quoted(name)} cannot be read ({error.strerror or error})") from None

    def stamp(name: str) -> str:
        return f"{statuses[name].st_size} {statuses[name].st_mtime_ns}"

    return Source(source.resolve().name, order(list(statuses)), read, stamp, inventory)


def _walk(source: Path, inventory: Inventory) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder, by its relative name, but for those in folders of systems, which are counted."""

    def closed(error: OSError) -> None:
        name = quoted(Path(error.filename).relative_to(source).as_posix())
        inventory.left_out[f"the folder {name}, which cannot be read ({error.strerror})"] += 1

    for place, folders, names in os.walk(source, onerror=closed):
        relative = Path(place).relative_to(source).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        links = [f for f in folders if os.path.islink(os.path.join(place, f))]  # os.walk does not follow them
        for folder in [f for f in folders if SYSTEM.fullmatch(f) and f not in links]:
            folders.remove(folder)
            inventory.left_out[f"in the hidden or system folder {quoted(folder)}"] += sum(
                len(inside) for _, _, inside in os.walk(Path(place, folder), onerror=closed)
            )
        for name in sorted(names) + links:
            yield prefix + name, os.lstat(os.path.join(place, name))


def _archive(source: Path, wanted: Callable[[str], bool], what: str, order: Callable[[list[str]], list[str]]) -> Source:
    with source.open("rb") as file:
        head = file.read(512)
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise SourceError(
            f"{quoted(source.name)} is a web page, not an archive: the download was refused; get {what} again"
        )
    try:
        archive = zipfile.ZipFile(source)
    except Exception:  # a damaged directory makes zipfile raise what it meets
        if head.startswith(b"PK"):
            raise SourceError(
                f"{quoted(source.name)} is not a whole zip archive (it may have been cut short): get it again"
            ) from None
        for (at, magic), kind in OTHER_ARCHIVES.items():
            if head.startswith(magic, at):
                raise SourceError(f"{quoted(source.name)} is {kind} archive: unpack it, and give {what}") from None
        raise SourceError(f"{quoted(source.name)} is no zip archive; give {what}") from None
    shown, inventory, entries = quoted(source.name), Inventory(), dict[str, zipfile.ZipInfo]()
    for entry in archive.infolist():
        parts = [part for part in re.split(r"[\\/]", entry.filename) if part not in ("", ".")]
        if re.match(r"[\\/]|[A-Za-z]:[\\/]", entry.filename) or ".." in parts:
            raise SourceError(
                f"{shown} holds the entry '{quoted(entry.filename)}', which leads out of the archive; do not trust it"
            )
        if entry.is_dir() or not parts or entry.filename.endswith("\\"):
            continue
        if system := next((part for part in parts[:-1] if SYSTEM.fullmatch(part)), None):
            inventory.left_out[f"in the hidden or system folder {quoted(system)}"] += 1
        elif stat.S_ISLNK(entry.external_attr >> 16):
            inventory.left_out["links"] += 1
        elif "/".join(parts) in entries:
            inventory.left_out["entries of a name that came before"] += 1
        elif _take(parts[-1], wanted, inventory):
            entries["/".join(parts)] = entry
    if (total := sum(entry.file_size for entry in entries.values())) > MOST_UNPACKED:
        raise SourceError(
            f"{shown} unpacks to {total / 2**30:.0f} GiB, and {MOST_UNPACKED / 2**30:.0f} are the most that are "
            "taken from an archive: unpack it, and give the folder"
        )

    def read(name: str) -> bytes:
        entry = entries[name]
        if entry.file_size > MOST_BYTES:
            raise SourceError(f"{quoted(name)} unpacks to {entry.file_size / 2**20:.0f} MiB; {_too_large()}")
        where = f"{quoted(name)} in {shown}"
        try:
            return archive.read(entry)
        except (RuntimeError, NotImplementedError) as error:  # zipfile's, for a password or a method that it lacks
            raise SourceError(
                f"{where} cannot be unpacked ({error}); give {what}, with no password and packed in a usual way"
            ) from None
        except MemoryError:
            raise SourceError(f"{where} needs more memory than there is") from None
        except Exception as error:  # damaged data make zipfile and its decompressors raise what they meet
            raise SourceError(f"{where} is damaged ({error}): get it again") from None

    return Source(source.name, order(list(entries)), read, lambda name: f"{entries[name].CRC}", inventory)


def _suffix(name: str) -> str:
    return quoted(os.path.splitext(name)[1].lower()) or "no suffix"


def _take(name: str, wanted: Callable[[str], bool], inventory: Inventory) -> bool:
    """Whether a file is an image; counted either way."""
    suffix = _suffix(name)
    if LITTER.fullmatch(name):
        inventory.left_out["hidden files, or those of the system"] += 1
    elif wanted(name):
        inventory.taken[suffix] += 1
        return True
    else:
        inventory.left_out[f"of another kind or name ({suffix})"] += 1
    return False


def _too_large() -> str:
    return f"{MOST_BYTES / 2**20:.0f} MiB are the most that one file may hold"
