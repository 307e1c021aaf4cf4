"""Small pictures of letters, as files: the stand-in for a reader's own images on the page about them."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

import numpy as np

FONTS = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold")  # they come with matplotlib
EACH = 12  # pictures of each letter in each font
SIDE = 64  # of a picture, in pixels
SEED = 20252
COUNT = len(FONTS) * len(ascii_uppercase) * EACH


def draw_letters(folder: Path) -> int:
    """Write COUNT PNG files, white on black, each turned, moved and scaled at random, and return how many.

    Up to 15 degrees, a tenth of the side and a fifth in size, so that no two pictures are alike.

    Parameters
    ----------
    folder
        Where; made where it is missing.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    folder.mkdir(parents=True, exist_ok=True)
    g = np.random.Generator(np.random.Philox(SEED))
    for name in FONTS:
        for letter in ascii_uppercase:
            for i in range(EACH):
                angle, right, down, size = g.uniform((-15, -0.1, -0.1, 0.6), (15, 0.1, 0.1, 0.8))
                font = ImageFont.truetype(
                    fonts / f"{name}.ttf", round(size * SIDE), layout_engine=ImageFont.Layout.BASIC
                )
                picture = Image.new("L", (SIDE, SIDE))
                at = ((0.5 + right) * SIDE, (0.5 + down) * SIDE)
                ImageDraw.Draw(picture).text(at, letter, fill=255, font=font, anchor="mm")
                turned = picture.rotate(angle, Image.Resampling.BICUBIC, center=at)
                turned.save(folder / f"{letter}-{name}-{i:02d}.png")
    return COUNT
