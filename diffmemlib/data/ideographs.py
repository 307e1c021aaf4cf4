"""Pictures of Chinese characters, of a font that the reader has: a new character is told from a copy at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .inventory import SourceError, quoted

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFont import FreeTypeFont

FIRST, LAST = 0x4E00, 0x9FA5  # the unified ideographs of Unicode 1.1
SIDE = 96  # of a picture, in pixels
FILLED = 11 / 12  # of it, by the square that a character is drawn in
SEED = 20254
COUNT = 4000
FEWEST_SHADES = 20.0  # standard deviation of the pixels, below which nothing was drawn


def draw_ideographs(font: Path, folder: Path, count: int = COUNT) -> int:
    """Write pictures of different ideographs as PNG files, white on black, and return how many.

    Parameters
    ----------
    font
        A TrueType or OpenType file, such as HanaMinA.ttf of the free font Hanazono.
    folder
        Where; made where it is missing.
    count
        How many, drawn at random from those that the font has.

    Raises
    ------
    SourceError
        Where the file is no font, or has fewer of them.
    """
    from PIL import ImageFont

    try:
        shapes = ImageFont.truetype(font, round(FILLED * SIDE), layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise SourceError(f"{quoted(font.name)} cannot be read as a font ({error}); give a .ttf or .otf") from None
    folder.mkdir(parents=True, exist_ok=True)
    missing = _drawn(shapes, "\uffff")  # what the font shows for a character that it lacks
    written = 0
    for code in np.random.Generator(np.random.Philox(SEED)).permutation(np.arange(FIRST, LAST + 1)):
        picture = _drawn(shapes, chr(code))
        pixels = np.asarray(picture)
        if pixels.std() < FEWEST_SHADES or (pixels == np.asarray(missing)).all():
            continue
        picture.save(folder / f"U+{code:04X}.png")
        written += 1
        if written == count:
            return written
    raise SourceError(f"{quoted(font.name)} has {written} ideographs, and {count} are asked for")


def _drawn(shapes: FreeTypeFont, character: str) -> Picture:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(picture).text((SIDE / 2, SIDE / 2), character, fill=255, font=shapes, anchor="mm")
    return picture
