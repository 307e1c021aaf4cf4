"""CelebA from the file that its authors give out: a folder or zip of JPEGs becomes one array of grey bytes.

Nothing is downloaded, and no face comes with this repository.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path, PurePosixPath

from torch import Tensor

from . import prepared
from .inventory import SourceError, open_source, quoted
from .prepared import check_options, prepared_path

COUNT = 202_599  # images in CelebA
HELD_OUT = 10_000  # the last ones by index: the paper's FID reference, and its first 2048 the held-out loss
NAME = re.compile(r"(\d{6})\.(jpg|png)", re.IGNORECASE)
SOURCE = "the folder img_align_celeba, or the file img_align_celeba.zip, as CelebA's authors give it out"


def prepare(source: Path | str, out: Path, size: int = 32, count: int = COUNT, progress: bool = True) -> Path:
    """Write CelebA's images as one array of grey bytes with a manifest, as `prepared.prepare` does.

    Parameters
    ----------
    source
        The folder img_align_celeba, or its zip.
    out
        The file, .npy: bytes, (count, 1, size, size).
    size
        Side of an image, in pixels.
    count
        How many images the source must hold, with indices from 1 on.
    progress
        Whether to show it.

    Returns
    -------
    Path
        out.

    Raises
    ------
    SourceError
        Says what is wrong with the source; out then does not exist.
    """
    check_options(out, size)
    order = partial(_in_order, source=Path(source))
    images = open_source(source, lambda name: bool(NAME.fullmatch(name)), SOURCE, order)
    if len(images.names) != count:
        raise SourceError(
            f"{quoted(images.name)} holds {len(images.names)} images where {count} were expected; if it is a part that "
            f"you mean to use, say --count {len(images.names)}, else get {SOURCE} again"
        )
    return prepared.prepare(images, out, size, progress)


def _in_order(names: list[str], source: Path) -> list[str]:
    """Sorted by index, which must run from 1 without a gap."""
    name = quoted(source.resolve().name)
    if not names:
        raise SourceError(f"{name} holds no image named like 000001.jpg; give {SOURCE}")
    index = {int(PurePosixPath(name).stem): name for name in names}
    if len(index) < len(names):
        raise SourceError(f"{name} holds an image twice: {len(names)} files for {len(index)} indices")
    if min(index) < 1:
        raise SourceError(
            f"{name} holds an image {min(index):06d}, and CelebA's indices run from 000001; give {SOURCE}"
        )
    if missing := sorted(set(range(1, max(index) + 1)) - set(index)):
        listed = ", ".join(f"{i:06d}" for i in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise SourceError(f"{name} lacks image {listed} ({len(missing)} in all); get {SOURCE} again")
    return [index[i] for i in sorted(index)]


def counts(side: int) -> tuple[int, int] | None:
    """Return how many images there are to take training sets from, at most, and held out; None where not prepared."""
    try:
        count = int(prepared.manifest_of(prepared_path("celeba", side), "")["count"])
    except (FileNotFoundError, SourceError):
        return None
    held_out = min(HELD_OUT, count // 4)
    return count - held_out, held_out


def missing(side: int) -> str:
    """Return why the prepared images cannot be read here, "" if they can; no image is read."""
    try:
        prepared.manifest_of(prepared_path("celeba", side), _how(side))
    except (FileNotFoundError, SourceError) as error:
        return str(error)
    return ""


def _how(side: int) -> str:
    path = prepared_path("celeba", side)
    return f"python -m diffmemlib data celeba SOURCE --out {path} --size {side}, SOURCE being {SOURCE}"


def load(side: int) -> tuple[Tensor, Tensor]:
    """Return the prepared images: all but the last 10 000 by index, and these (a quarter, if there are few).

    An image that equals one of the latter is left out of the former.

    Parameters
    ----------
    side
        Of an image, in pixels.

    Returns
    -------
    tuple
        Two tensors of bytes, (m, 1, side, side).

    Raises
    ------
    FileNotFoundError
        Says how to make them.
    SourceError
        Where they are damaged, or of another size.
    """
    everything = prepared.load(prepared_path("celeba", side), side, _how(side))
    held_out = min(HELD_OUT, len(everything) // 4)
    pool, test = everything[:-held_out], everything[-held_out:]
    return prepared.without(pool, test), test
