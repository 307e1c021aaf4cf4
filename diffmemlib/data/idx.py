"""Images in the IDX format of MNIST and its kin, such as train-images-idx3-ubyte.gz of Fashion-MNIST."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections import Counter
from math import prod
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..files import digest
from .inventory import MOST_UNPACKED, Inventory, Source, SourceError, quoted

TYPES = (8, 9, 11, 12, 13, 14)  # of the numbers: the third byte of the header
UNSIGNED_BYTES = TYPES[0]


def open_idx(source: Path | str) -> Source | None:
    """Return the images of an IDX file, plain or packed by gzip, each as a picture of its own; None for other files.

    Parameters
    ----------
    source
        The file.

    Raises
    ------
    SourceError
        For an IDX file of something else than images of bytes, and one that is damaged.
    """
    path = Path(source).expanduser()
    name = quoted(path.name)
    if not path.is_file() or not _begins_as_idx(path):
        return None
    try:
        with _opened(path) as content:
            *_, kind, dimensions = content.read(4)
            shape = struct.unpack(f">{dimensions}I", content.read(4 * dimensions))
            if kind != UNSIGNED_BYTES or dimensions not in (3, 4) or (dimensions == 4 and shape[3] != 3):
                raise SourceError(
                    f"{name} is an IDX file of shape {shape}, and no images of bytes; give one such as "
                    "train-images-idx3-ubyte.gz"
                )
            size = prod(shape)
            if size > MOST_UNPACKED:
                raise SourceError(f"{name} says that it holds {size / 2**30:.0f} GiB: it is damaged, or too large")
            data = content.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise SourceError(f"{name} is damaged ({error}); get it again") from None
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data)}"
        raise SourceError(f"{name} says that it holds {size} bytes and holds {found}: get it again")
    images = np.frombuffer(data, np.uint8).reshape(shape)
    names = [f"{i:06d}.png" for i in range(shape[0])]

    def read(image: str) -> bytes:
        from PIL import Image

        packed_image = io.BytesIO()
        Image.fromarray(images[int(image[:-4])]).save(packed_image, "PNG", compress_level=0)
        return packed_image.getvalue()

    stamp = digest(data)[:16]
    return Source(path.name, names, read, lambda _: stamp, Inventory(Counter({"images of an IDX file": len(names)})))


def _opened(path: Path) -> BinaryIO:
    """The content of a file, unpacked where it is a gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path) if packed else path.open("rb"))


def _begins_as_idx(path: Path) -> bool:
    """Whether the first four bytes are those of an IDX file: two zeros, one of its types, dimensions."""
    try:
        with _opened(path) as content:
            head = content.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in TYPES
