"""A data set of the reader's own: a folder or zip of images, known by a name and by what is in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..metrics.memorization import near_duplicates
from . import prepared
from .prepared import SourceError, check_options, open_source, prepared_path

NAME = re.compile(r"[a-z][a-z0-9_]*")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SOURCE = f"a folder or zip of images ({', '.join(SUFFIXES)})"
FEWEST = 140  # different images: the quarter that is held out must outnumber the 32 features of a Frechet distance
SPLIT_SEED = 20253  # files often lie in the order of their kinds: one fixed permutation before the split
EXACT = re.compile(rf"{NAME.pattern}@[0-9a-f]{{12}}")  # in a run's settings: the checksum's first digits


def prepare(source: Path, name: str, size: int = 32, progress: bool = True) -> Path:
    """Write the images of a source to where runs look for the data set of a name; the same call resumes.

    Parameters
    ----------
    source
        A folder or zip of images.
    name
        Of the data set.
    size
        Side of an image, in pixels.
    progress
        Whether to show it.

    Returns
    -------
    Path
        Of the array.

    Raises
    ------
    SourceError
        Says what is wrong with the name, the size, the source or an image; nothing is then written.
    """
    path = prepared_path(name, size)
    if not NAME.fullmatch(name) or name in ("digits", "celeba"):
        raise SourceError(f"--name {name}: small letters, digits and _, a letter first, and not digits or celeba")
    check_options(path, size)
    images = open_source(source, lambda file: file.lower().endswith(SUFFIXES) and file[0] != ".", SOURCE, sorted)
    if len(images.names) < FEWEST:
        raise SourceError(f"{source.name} holds {len(images.names)} images, and {FEWEST} are the fewest; give {SOURCE}")
    return prepared.prepare(images, path, size, progress)


def identify(name: str, side: int) -> str:
    """Return the name with the first digits of the data's checksum, "name@0123456789ab": what a run's settings hold.

    So other images under the same name are another run.

    Parameters
    ----------
    name
        Of the data set.
    side
        Of an image, in pixels.

    Raises
    ------
    FileNotFoundError
        Where they were not prepared.
    """
    manifest = prepared.manifest_of(prepared_path(name, side), _how(name, side))
    return f"{name}@{str(manifest['sha256'])[:12]}"


def load(dataset: str, side: int) -> tuple[Tensor, Tensor]:
    """Return the images of "name@0123456789ab": three quarters, and a quarter that is held out.

    An image equal to an earlier one is left out: a copy of either would be as near to the other, and not count.

    Parameters
    ----------
    dataset
        Name and checksum.
    side
        Of an image, in pixels.

    Returns
    -------
    tuple
        Two tensors of bytes, (m, 1, side, side).

    Raises
    ------
    SourceError
        Where the images are damaged, or not those that the checksum names.
    """
    name = dataset.partition("@")[0]
    if (current := identify(name, side)) != dataset:
        raise SourceError(
            f"{prepared_path(name, side).name} holds other images ({current}) than this run's ({dataset}); "
            f"prepare those again, or give dataset = {name!r} for a new run"
        )
    different = without_repeats(prepared.load(prepared_path(name, side), side, _how(name, side)))
    if len(different) < FEWEST:
        raise SourceError(f"{name} holds {len(different)} different images, and {FEWEST} are the fewest")
    order = torch.from_numpy(np.random.Generator(np.random.Philox(SPLIT_SEED)).permutation(len(different)))
    held_out = len(different) // 4
    return different[order[held_out:]], different[order[:held_out]]


def summary(name: str, side: int) -> str:
    """Return what was found in prepared images, in a few lines, and what to type next."""
    dataset = identify(name, side)
    pool, test = load(dataset, side)
    count = int(prepared.manifest_of(prepared_path(name, side), "")["count"])
    twins = near_duplicates(torch.cat([pool, test]))
    return (
        f"{count} images, {count - len(pool) - len(test)} equal to an earlier one and left out: {len(pool)} to take "
        f"training sets from, {len(test)} held out\n"
        f"{twins} have another one much nearer than usual; a copy of such an image does not count as one\n"
        f"in runs: -p dataset {name} -p side {side}, or exactly dataset = {dataset!r}"
    )


def without_repeats(images: Tensor) -> Tensor:
    """Return the images in their order, each only where it appears first."""
    _, first = np.unique(images.flatten(1).numpy(), axis=0, return_index=True)
    return images[np.sort(first)]


def _how(name: str, side: int) -> str:
    return f"python -m diffmemlib data images FOLDER --name {name} --size {side}, FOLDER being {SOURCE}"
