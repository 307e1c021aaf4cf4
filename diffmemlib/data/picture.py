"""One image file, which may come from anybody, becomes a small square: nothing in it runs or fills the machine."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .inventory import SourceError, quoted

if TYPE_CHECKING:
    from PIL.Image import Image as Picture, Transpose

MOST_PIXELS = 64_000_000  # of one picture
CHUNK = 1024  # pictures that are looked at together
TINT = 16  # difference of the channels, in bytes, that JPEG alone does not make of a grey picture
LONGEST = 8  # times the shorter side, up to which a picture is resized as a whole
ENOUGH = 8  # a large picture is first averaged over whole blocks, to no less than this many times its final size
# A decoder is chosen by how the file begins. Pillow alone would try every format it knows, PostScript too, which it
# hands to another program.
FORMATS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
BITS_PER_SAMPLE, ORIENTATION = 258, 274  # tags of TIFF and EXIF


def shrink(
    data: bytes, name: str, size: int, most_pixels: int = MOST_PIXELS, colours: bool = False
) -> np.ndarray:  # fmt: skip
    """Return one image file as bytes: grey, (1, size, size), or grey, red, green, blue; what is transparent is white.

    To [0, 1], shorter side to ``size`` (bilinear, with antialias), central square, grey beside the colours, rounded to
    bytes. A picture of 16 times that size or more is first averaged over whole blocks of pixels, which spares memory.

    Parameters
    ----------
    data
        The bytes of the file.
    name
        Of the file, for messages.
    size
        Side of the result, in pixels.
    most_pixels
        That a picture may have.
    colours
        Whether the three colours follow the grey, (4, size, size).

    Raises
    ------
    SourceError
        Names the file and says why it cannot be taken.
    """
    from torchvision.transforms import functional as T

    with _decoder(name, most_pixels):
        picture = _small(data, size, most_pixels)
        x = T.resize(T.to_tensor(picture), [size], interpolation=T.InterpolationMode.BILINEAR, antialias=True)
        square: Tensor = T.center_crop(x, [size, size])
        grey: Tensor = T.rgb_to_grayscale(square)
        whole = torch.cat([grey, square]) if colours else grey
        return (whole * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def coloured(pictures: np.ndarray) -> int:
    """Return how many pictures, (m, 4, size, size) of `shrink`, are more than shades of grey."""
    found = 0
    for start in range(0, len(pictures), CHUNK):
        part = pictures[start : start + CHUNK, 1:]
        found += int((part.max(1) - part.min(1) > TINT).any((1, 2)).sum())
    return found


class Lost(NamedTuple):
    """What a file holds that `shrink` does not keep: `loses`.

    Parameters
    ----------
    frames, clear
        Whether it has further frames or pages, and transparent parts.
    small
        Whether a side has fewer pixels than the size.
    width, height
        Of the picture, pixels.
    """

    frames: bool = False
    clear: bool = False
    small: bool = False
    width: int = 0
    height: int = 0


def loses(data: bytes, size: int, most_pixels: int = MOST_PIXELS) -> Lost:
    """Return what a file holds that `shrink` does not keep; nothing of one that cannot be read."""
    from PIL import Image

    try:
        with _decoder("", most_pixels), Image.open(io.BytesIO(data), formats=[_format(data)]) as picture:
            frames = picture.format != "MPO" and bool(getattr(picture, "is_animated", False))  # MPO: camera's preview
            clear = picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255
            return Lost(frames, bool(clear), min(picture.size) < size, *picture.size)
    except SourceError:
        return Lost()


def _small(data: bytes, size: int, most_pixels: int) -> Picture:
    """The picture upright and in colour, opaque, and not much larger than is needed."""
    from PIL import Image

    picture: Picture = Image.open(io.BytesIO(data), formats=[_format(data)])
    if picture.width * picture.height > most_pixels:
        raise Image.DecompressionBombError
    if _bits(picture, data) > 8 or picture.mode[0] in "IF":
        raise ValueError("it has more than 8 bits a channel: convert it to 8, by the range that you want to keep")
    short, long = sorted(picture.size)
    if long > LONGEST * short:  # a strip, which would be enlarged as a whole: its middle holds the central square
        left, top = ((side - min(side, LONGEST // 2 * short)) // 2 for side in picture.size)
        picture = picture.crop((left, top, picture.width - left, picture.height - top))
    whole = picture.size
    drafted = picture.draft(None, (ENOUGH * size, ENOUGH * size))  # JPEG can be decoded at a fraction of its size
    picture.load()
    turn = _turn(picture)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.new("RGB", rgba.size, "white")
        picture.paste(rgba, mask=rgba.getchannel("A"))
    picture = picture.convert("RGB")
    if min(whole) >= 2 * ENOUGH * size:
        width, height = (int(size * side / min(whole)) for side in whole)  # as torchvision has it
        box = drafted[1] if drafted else None  # the part of the last pixels that lies within the picture
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=ENOUGH)
    return picture if turn is None else picture.transpose(turn)


def _format(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for magic, kind in FORMATS.items():
        if data.startswith(magic):
            return kind
    raise ValueError("its content is no PNG, JPEG, WebP, BMP, GIF or TIFF")


def _bits(picture: Picture, data: bytes) -> int:
    """Bits a channel as the file says them: Pillow cuts 16 of a colour picture to 8 without a word."""
    if picture.format == "PNG":
        return data[24]
    if picture.format == "TIFF":
        return max(getattr(picture, "tag_v2").get(BITS_PER_SAMPLE, (1,)))  # noqa: B009
    return 8


def _turn(picture: Picture) -> Transpose | None:
    """How to turn a picture upright; None where that is not needed, or what the camera wrote cannot be read."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    try:
        return turns.get(picture.getexif()[ORIENTATION])
    except Exception:  # what programs write there breaks its readers in many ways, and the pixels are good
        return None


@contextmanager
def _decoder(name: str, most_pixels: int) -> Iterator[None]:
    """Turn whatever a decoder may raise into a sentence that names the file; keep its warnings off the terminal."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = most_pixels  # Pillow itself refuses twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError:
        raise SourceError(
            f"{quoted(name)} cannot be read as an image (it has more than {most_pixels / 1e6:g} million pixels, the "
            "most that a picture may have; --most-pixels allows more)"
        ) from None
    except MemoryError:
        raise SourceError(f"{quoted(name)} needs more memory than there is; make it smaller") from None
    except Exception as error:
        raise SourceError(f"{quoted(name)} cannot be read as an image ({_reason(error)})") from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _reason(error: Exception) -> str:
    """The error's first line without addresses in memory, or its kind where it says nothing."""
    text = re.sub(r" at 0x[0-9a-f]+", "", (str(error).splitlines() or [""])[0])
    return quoted(text) if text else type(error).__name__
