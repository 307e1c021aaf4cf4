"""A data set of the reader's own: images from a folder, a zip or an IDX file, known by a name and by their content."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..metrics.memorization import near_duplicates
from . import prepared
from .idx import open_idx
from .inventory import Inventory, Source, SourceError, files, open_source, quoted
from .picture import MOST_PIXELS
from .prepared import check_options, prepared_path

NAME = re.compile(r"[a-z][a-z0-9_]*")
# Some are values to papermill, not texts.
RESERVED = ("digits", "celeba", "nan", "inf", "infinity", "none", "null", "true", "false")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SOURCE = f"a folder or zip of images ({', '.join(SUFFIXES)}), or an IDX file of them"
LOOKED_AT = 10_000  # images that are looked at for near-duplicates
FEWEST = 140  # different images: the quarter that is held out must outnumber the 32 features of a Frechet distance
SPLIT_SEED = 20253  # files often lie in the order of their kinds: one fixed permutation before the split
EXACT = re.compile(rf"{NAME.pattern}@[0-9a-f]{{12}}")  # in a run's settings: the checksum's first digits


def prepare(
    source: Path | str, name: str, size: int = 32, progress: bool = True, *, skip_bad: bool = False,
    most_pixels: int = MOST_PIXELS, colour: bool | None = None,
) -> Path:  # fmt: skip
    """Write the images of a source to where runs look for the data set of a name; the same call resumes.

    Parameters
    ----------
    source
        A folder or zip of images, or an IDX file.
    name
        Of the data set.
    size
        Side of an image, in pixels.
    progress
        Whether to show it.
    skip_bad
        Whether to leave out the files that cannot be taken, and to list them in the manifest.
    most_pixels
        That a picture may have.
    colour
        Whether to keep the colours; None: where any picture has some.

    Returns
    -------
    Path
        Of the array.

    Raises
    ------
    SourceError
        Says what is wrong with the name, the size, the source or its images; nothing is then written.
    """
    path = prepared_path(name, size)
    if not NAME.fullmatch(name) or name in RESERVED:
        raise SourceError(
            f"--name {name}: small letters, digits and _, a letter first, and none of {', '.join(RESERVED)}"
        )
    check_options(path, size)
    images = open_images(source)
    return prepared.prepare(
        images, path, size, progress, fewest=FEWEST, skip_bad=skip_bad, most_pixels=most_pixels, colour=colour
    )


def open_images(source: Path | str, what: str = SOURCE) -> Source:
    """Return the images of a source.

    Parameters
    ----------
    source
        A folder or zip, or an IDX file.
    what
        The source to ask for in an error.

    Raises
    ------
    SourceError
        Where it is none of them, or holds fewer than FEWEST images.
    """
    images = open_idx(source) or open_source(source, lambda file: file.lower().endswith(SUFFIXES), what, sorted)
    if len(images.names) < FEWEST:
        raise SourceError(
            f"{quoted(images.name)} holds {len(images.names)} images, and {FEWEST} are the fewest; give {what}.\n"
            + images.inventory.lines()
        )
    return images


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


def missing(dataset: str, side: int) -> str:
    """Return why the images of "name@0123456789ab" cannot be read here, "" if they can; no image is read."""
    name = dataset.partition("@")[0]
    try:
        current = identify(name, side)
    except (FileNotFoundError, SourceError) as error:
        return str(error)
    return "" if current == dataset else _others(name, side, current, dataset)


def _others(name: str, side: int, current: str, dataset: str) -> str:
    return f"{prepared_path(name, side).name} holds other images ({current}) than this run's ({dataset})"


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
        Two tensors of bytes, (m, channels, side, side).

    Raises
    ------
    SourceError
        Where the images are damaged, or not those that the checksum names.
    """
    name = dataset.partition("@")[0]
    if (current := identify(name, side)) != dataset:
        raise SourceError(
            f"{_others(name, side, current, dataset)}; prepare those again, or give dataset = {name!r} for a new run"
        )
    different = without_repeats(prepared.load(prepared_path(name, side), side, _how(name, side)))
    if len(different) < FEWEST:
        raise SourceError(f"{name} holds {len(different)} different images, and {FEWEST} are the fewest")
    order = torch.from_numpy(np.random.Generator(np.random.Philox(SPLIT_SEED)).permutation(len(different)))
    held_out = len(different) // 4
    return different[order[held_out:]], different[order[:held_out]]


def counts(dataset: str, side: int) -> tuple[int, int] | None:
    """Return how many images "name@0123456789ab" has in its pool and held out; None where they are not here.

    Nor is it known of images that an earlier version prepared.
    """
    name = dataset.partition("@")[0]
    try:
        manifest = prepared.manifest_of(prepared_path(name, side), "")
    except (FileNotFoundError, SourceError):
        return None
    if "different" not in manifest or not str(manifest["sha256"]).startswith(dataset.partition("@")[2]):
        return None
    held_out = int(manifest["different"]) // 4
    return int(manifest["different"]) - held_out, held_out


def summary(name: str, side: int) -> str:
    """Return what was found in prepared images, taken and left out, in a few lines, and what to type next."""
    dataset = identify(name, side)
    pool, test = load(dataset, side)
    manifest = prepared.manifest_of(prepared_path(name, side), "")
    count, twins = int(manifest["count"]), near_duplicates(torch.cat([pool, test]), sample=LOOKED_AT)
    about = "about " if len(pool) + len(test) > LOOKED_AT else ""
    lines = []
    if found := manifest.get("inventory"):  # not in those of an earlier version
        names = [one["name"] for one in manifest.get("skipped", ())]
        lines += [Inventory(Counter(found["taken"]), Counter(found["left_out"])).lines(names)]
    if skipped := manifest.get("skipped"):
        lines += [f"{files(len(skipped))} left out that cannot be taken:"]
        lines += [f"  {line}" for line in prepared.reasons({one["name"]: one["reason"] for one in skipped})]
    if frames := manifest.get("with_frames"):
        lines += [f"{files(frames)} with several frames or pages, of which the first was taken"]
    if clear := manifest.get("transparent"):
        lines += [f"{files(clear)} with transparent parts, which were made white"]
    if small := manifest.get("enlarged"):
        lines += [f"{files(small)} of fewer than {side} pixels a side, which were enlarged"]
    if (channels := manifest.get("channels")) and (tinted := manifest["coloured"]):
        what = "kept: three channels" if channels == 3 else "turned to grey"
        lines += [f"{files(tinted)} with colours, {what}"]
    lines += [
        f"{count} images, {count - len(pool) - len(test)} equal to an earlier one and left out: {len(pool)} to take "
        f"training sets from, {len(test)} held out",
        f"{about}{twins} have another one much nearer than usual (a near-duplicate); a copy of such an image does not "
        "count as one",
        f"in runs: -p dataset {name} -p side {side}, or exactly dataset = {dataset!r}",
    ]
    return "\n".join(lines)


def without_repeats(images: Tensor) -> Tensor:
    """Return the images in their order, each only where it appears first."""
    _, first = np.unique(images.flatten(1).numpy(), axis=0, return_index=True)
    return images[np.sort(first)]


def _how(name: str, side: int) -> str:
    return f"python -m diffmemlib data images FOLDER --name {name} --size {side}, FOLDER being {SOURCE}"
