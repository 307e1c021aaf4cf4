"""The data of a probe: what was found, what was done to it, and its split into a pool and held-out data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import own, prepared
from ..data.inventory import SourceError, quoted
from ..data.picture import MOST_PIXELS
from ..files import digest, explain_write_errors
from ..metrics.memorization import hide_copies
from ..places import typed_path
from .arrays import SIDE, from_array
from .tables import SUFFIXES, read_array

Kind = Literal["images", "vectors"]
OTHER_KINDS = {  # of files that people hand in, and what to do with them
    **dict.fromkeys(own.SUFFIXES, "one picture: give the folder that holds all of them"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet: save it as .csv"),
    **dict.fromkeys((".pt", ".pth", ".pkl", ".pickle", ".joblib"),
                    "a file of Python objects, which are not read, since they may run code: save the numbers as .npy"),
    **dict.fromkeys((".h5", ".hdf5", ".mat", ".json", ".txt", ".arrow", ".feather"),
                    "of a kind that is not read: save the numbers as .npy, .csv or .parquet"),
}  # fmt: skip
HIDDEN = 0.5  # share of points with a near-duplicate from which on data are refused
BLANK = 0.5  # and of pictures of one colour


@dataclass(frozen=True)
class Data:
    """Points as the networks see them, and how to turn samples back.

    Parameters
    ----------
    kind : str
        "images", (m, channels, side, side), or "vectors", (m, d).
    pool, held_out : Tensor
        float32, in the units of the networks: (x - centre)/spread.
    centre, spread : Tensor
        Of the numbers in the file (of images: in [0, 1]), broadcast over points.
    found : tuple of str
        What was found and what was done to it, as sentences.
    checksum : str
        Of all points.
    """

    kind: Kind
    pool: Tensor
    held_out: Tensor
    centre: Tensor
    spread: Tensor
    found: tuple[str, ...]
    checksum: str

    def __getstate__(self) -> dict[str, Any]:
        """As arrays: tensors would be handed to another process in shared memory, of which containers have little."""
        return {k: v.numpy() if isinstance(v, Tensor) else v for k, v in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in state.items()})

    @property
    def count(self) -> int:
        """Points in all."""
        return len(self.pool) + len(self.held_out)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point."""
        return tuple(self.pool.shape[1:])

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What black and white are in the units of the network; None of vectors."""
        if self.kind == "vectors":
            return None
        return float(-self.centre / self.spread), float((1 - self.centre) / self.spread)

    def in_file_units(self, x: Tensor) -> Tensor:
        """Return points in the units of the file; of images in [0, 1], what lies outside cut off."""
        back = x * self.spread + self.centre
        return back.clamp(0, 1) if self.kind == "images" else back


def read(
    source: str, out: Path, size: int | None = None, grey: bool = False, columns: tuple[str, ...] = (),
    skip_bad: bool = False, progress: bool = True,
) -> Data:  # fmt: skip
    """Return the data of a folder or zip of images, or of a file with an array or a table.

    Parameters
    ----------
    source
        As typed.
    out
        Folder of the probe, where prepared images are kept.
    size
        Side that images are brought to, a multiple of 4 (default SIDE).
    grey
        Whether colours are turned to grey.
    columns
        Of a table, or the name of an array in a file of several; see `tables.read_array`.
    skip_bad
        Whether to leave out pictures that cannot be taken.
    progress
        Whether to show it.

    Raises
    ------
    SourceError
        Where it cannot be taken, with what to do.
    """
    side = SIDE if size is None else size
    prepared.check_options(out / "data.npy", side)
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        array, told = read_array(path, columns)
        points, found = from_array(array, quoted(path.name), size, grey)
        found += told
    else:
        if path.is_file() and (kind := OTHER_KINDS.get(path.suffix.lower())):
            raise SourceError(f"{quoted(path.name)} is {kind}")
        if columns:
            raise SourceError(f"--column is for tables and arrays ({', '.join(SUFFIXES)}), not for {quoted(source)}")
        points, found = _from_images(source, out, side, grey, skip_bad, progress)
    return _split(points, found, quoted(path.name))


@contextmanager
def or_no_folder(lock: Path) -> Iterator[None]:
    """Within the block, in which a folder's lock is held, an error or Ctrl-C leaves no folder that is else empty.

    One stays that holds pictures which were read: with --skip-bad they need not be read again.

    Parameters
    ----------
    lock
        The file of the lock, in the folder.
    """
    try:
        yield
    except (ValueError, KeyboardInterrupt):  # of data, and of what is asked for
        if lock.parent.is_dir() and list(lock.parent.iterdir()) == [lock]:
            lock.unlink()
            lock.parent.rmdir()
        raise


def folder_for(out: Path, page: str) -> Path:
    """Return the folder that was typed as --out, once it is known that a page can be written there.

    Raises
    ------
    SourceError
        Where it is a file.
    OSError
        Where it cannot be made, or nothing can be written into it.
    """
    out = typed_path(out, "--out")
    if out.exists() and not out.is_dir():
        raise SourceError(f"--out {out.name} is a file: give a folder")
    with explain_write_errors(out / page):  # by another file: several tasks may be at one folder
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    return out


def _from_images(
    source: str, out: Path, size: int, grey: bool, skip_bad: bool, progress: bool
) -> tuple[NDArray[np.uint8], list[str]]:
    images = own.open_images(source, f"{own.SOURCE}, or a file {', '.join(SUFFIXES)}")
    file = prepared.prepare(
        images, out / "data.npy", size, progress, fewest=own.FEWEST, skip_bad=skip_bad, most_pixels=MOST_PIXELS,
        colour=False if grey else None,
    )  # fmt: skip
    manifest = prepared.manifest_of(file, "")
    array = prepared.load(file, size, "").numpy()
    done = f"The shorter side of each was brought to {size} pixels (--size) and the central square cut out."
    names = [one["name"] for one in manifest["skipped"]]
    found = [images.inventory.lines(names), _shapes(manifest["widths"], manifest["heights"]), done]
    if manifest["with_frames"]:
        found += [f"{manifest['with_frames']} have several frames or pages, of which the first was taken."]
    if tinted := manifest["coloured"]:
        of = f"{tinted} of {len(array)} {'has' if tinted == 1 else 'have'} colours"
        kept = "so all were given three channels (--grey turns them to grey)"
        found += [f"{of}, {'which --grey turned to grey' if grey else kept}."]
    if manifest["transparent"]:
        found += [f"{manifest['transparent']} have transparent parts, which were made white."]
    if manifest["enlarged"]:
        found += [f"{manifest['enlarged']} have sides of fewer than {size} pixels and were enlarged."]
    if manifest["skipped"]:
        found += [f"{len(manifest['skipped'])} files that cannot be taken were left out."]
    return array, found


def _shapes(widths: list[int], heights: list[int]) -> str:
    """What sides the pictures have, in a sentence."""
    wide, high = (f"{low} to {large}" if low < large else f"{low}" for low, large in (widths, heights))
    of_one = widths[0] == widths[1] and heights[0] == heights[1]
    return f"All are {wide} pixels wide and {high} high." if of_one else f"They are {wide} pixels wide and {high} high."


def _split(points: NDArray[Any], found: list[str], name: str) -> Data:
    count = len(points)
    flat = points.reshape(count, -1)
    _, first = np.unique(flat, axis=0, return_index=True)
    different = points[np.sort(first)]
    if len(different) < own.FEWEST:
        differing = f", {len(different)} of them different" if len(different) < count else ""
        raise SourceError(f"{name} holds {count} points{differing}, and {own.FEWEST} different ones are the fewest")
    images = points.dtype == np.uint8 and points.ndim == 4
    if images and (blank := int((np.ptp(different.reshape(*different.shape[:2], -1), axis=2) == 0).all(1).sum())):
        if blank > BLANK * len(different):
            raise SourceError(
                f"{blank} of {len(different)} pictures of {name} have one colour all over: there is nothing on them to "
                "learn. Give the pictures themselves, or leave these out"
            )
        found = [*found, f"{blank} have one colour all over; leave them out if they are not meant to be there."]
    # By numpy, whose sums do not depend on the number of threads, as torch's do.
    x = different / 255.0 if images else different.astype(np.float64)
    if images:
        centre, spread = x.mean(keepdims=True).ravel(), x.std(ddof=1, keepdims=True).ravel()
    else:
        constant = (x == x[0]).all(axis=0)
        if constant.any():
            several, count_of = constant.sum() > 1, int(constant.sum())
            left_out = f"{count_of} columns that never change were" if several else "1 column that never changes was"
            x, found = x[:, ~constant], [*found, f"{left_out} left out."]
        centre, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
        if not (spread > np.finfo(np.float32).tiny).all():
            raise SourceError(
                f"{name} holds columns that vary by less than {np.finfo(np.float32).tiny:.1g}: rescale them"
            )
        found = [*found, "Each column was brought to mean 0 and standard deviation 1, and distances are taken there."]
    if (repeats := count - len(different)) > 0:
        found = [*found, f"{repeats} of {count} points equal an earlier one and were left out."]
    units = torch.from_numpy(((x - centre) / spread).astype(np.float32))
    twins, hidden = hide_copies(units, sample=own.LOOKED_AT)
    order = torch.from_numpy(np.random.Generator(np.random.Philox(own.SPLIT_SEED)).permutation(len(units)))
    held_out = len(units) // 4
    if hidden and twins > HIDDEN * len(units):
        raise SourceError(
            f"{twins} of {len(units)} points of {name} have a near-duplicate, such as another version of the same "
            "picture: a copy of one cannot be told from the other, so nothing can be measured. Leave one of each"
        )
    about = "About " if len(units) > own.LOOKED_AT else ""
    found = [
        *found,
        f"{about}{twins} of {len(units)} have a near-duplicate: a copy of such a point cannot be told from "
        "something new." + (" So many hide copies: leave one of each." if hidden else ""),
        f"{len(units) - held_out} points are there to train on, and {held_out} are held out.",
    ]
    kind: Kind = "images" if images else "vectors"
    # The checksum is of what was read: what is computed from it may differ in its last digit on another machine.
    return Data(
        kind, units[order[held_out:]], units[order[:held_out]],
        torch.from_numpy(centre.astype(np.float32)), torch.from_numpy(spread.astype(np.float32)), tuple(found),
        digest(repr(different.shape).encode() + np.ascontiguousarray(different).tobytes()),
    )  # fmt: skip
