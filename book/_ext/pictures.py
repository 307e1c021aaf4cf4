"""Figures for the dark theme and for phones: each SVG is written again in colours that stand out on a dark page, and
as it is drawn for a narrow window, which it carries (`diffmemlib.companion.figures.phone`).

Greys change places, so that black lines become light and the white page dark. A colour keeps its hue and becomes as
light as it was dark, within bounds; so the order of a ramp is kept. Pictures inside a figure stay as they are.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
from sphinx.application import Sphinx

from diffmemlib.companion.figures.phone import split

PAGE = "#121212"  # of the theme, when it is dark
INK = "#e6e9ee"  # what black becomes
GREY = 0.02  # chroma, below which a colour is a grey
BEND = 1.5  # of the scale of greys, so that one that can be read on white can be read on the dark page
LIGHT, SLOPE = 0.92, 0.45  # lightness that a black colour would get, and how much less a white one gets
COLOUR = re.compile(r"((?:fill|stroke|stop-color):\s*)(#[0-9a-fA-F]{6})\b")
WIDEST = 690.0  # points, of a figure as broad as the text; narrower ones are shown at the same scale
NARROW = "(max-width: 40rem)"  # windows in which figures are shown as for a phone; in companion.css too
SVG = re.compile(r'<img\b(?P<before>[^>]*?)\bsrc="(?P<path>[^"]+)\.svg"(?P<after>[^>]*?)/?>')
# From linear RGB to the responses of the eye's cones, and from their cube roots to lightness and two axes of colour:
# OKLab, by B. Ottosson (2020).
CONES = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                  [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
AXES = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                 [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def oklab(colour: str) -> np.ndarray:
    """Return lightness and the two axes of colour of "#rrggbb"."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return AXES @ np.cbrt(CONES @ linear)


def hexadecimal(lab: np.ndarray) -> str:
    """Return the "#rrggbb" nearest to a lightness and two axes of colour, with less colour where a screen has not it."""
    for chroma in np.linspace(1, 0, 21):
        linear = np.linalg.solve(CONES, np.linalg.solve(AXES, lab * [1, chroma, chroma]) ** 3)
        if (linear > -1e-4).all() and (linear < 1 + 1e-4).all():
            break
    linear = linear.clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)


@cache
def darkened(colour: str) -> str:
    """Return the colour that stands for another on a dark page."""
    lightness, *axes = oklab(colour)
    if np.hypot(*axes) < GREY:
        page, ink = oklab(PAGE), oklab(INK)
        return hexadecimal(ink + max(lightness, 0.0) ** BEND * (page - ink))
    return hexadecimal(np.array([LIGHT - SLOPE * lightness, *axes]))


def for_dark(svg: str) -> str:
    """Return an SVG in colours for a dark page; what has no colour, such as text, is black and becomes light."""
    return COLOUR.sub(
        lambda found: found[1] + darkened(found[2].lower()), svg.replace("<svg ", f'<svg fill="{INK}" ', 1)
    )


def share_of_text(svg: str) -> int:
    """Return how much of the width of the text a figure takes, in per cent."""
    found = re.search(r'viewBox="\S+ \S+ ([\d.]+)', svg)
    return min(100, round(100 * float(found[1]) / WIDEST)) if found else 100


def write_figures(light: Path) -> tuple[bool, int]:
    """Write the figures that go with one: `-dark`, and where it carries one for phones, `-phone` and `-phone-dark`.

    Return whether there is one for phones, which may be from an earlier build, and its `share_of_text`.
    """
    svg, phone = split(light.read_text(encoding="utf-8"))
    light.write_text(svg, encoding="utf-8")
    narrow = light.with_name(f"{light.stem}-phone.svg")
    if phone is not None:
        narrow.write_text(phone, encoding="utf-8")
    kept = [light, narrow] if narrow.exists() else [light]
    for path in kept:  # a dark one of an earlier build may have other colours
        dark = for_dark(path.read_text(encoding="utf-8"))
        path.with_name(f"{path.stem}-dark.svg").write_text(dark, encoding="utf-8")
    return len(kept) == 2, share_of_text(svg)


def add_figures(app: Sphinx, exception: Exception | None) -> None:
    """Called by Sphinx at the end: write the other figures, and name them beside the first in every page."""
    if exception is not None or app.builder.format != "html":
        return
    written: dict[Path, tuple[bool, int]] = {}
    for file in Path(app.outdir).rglob("*.html"):
        before = file.read_text(encoding="utf-8")

        def named(found: re.Match[str], folder: Path = file.parent) -> str:
            light = (folder / f"{found['path']}.svg").resolve()
            if 'class="for-' in found[0] or "_static" in found["path"] or not light.exists():
                return found[0]
            if light not in written:
                written[light] = write_figures(light)
            phone, share = written[light]
            rest = re.sub(r'\bclass="[^"]*"', "", found["before"]), re.sub(r'\bclass="[^"]*"', "", found["after"])
            images = (("for-light", ""), ("for-dark dark-light", "-dark"))
            shown = ""
            for c, end in images:
                image = f'<img class="{c}" style="--share: {share}%"{rest[0]}src="{found["path"]}{end}.svg"{rest[1]}>'
                narrow = f'<source media="{NARROW}" srcset="{found["path"]}-phone{end}.svg">'
                shown += f"<picture>{narrow}{image}</picture>" if phone else image
            return shown

        after = SVG.sub(named, before)
        if after != before:
            file.write_text(after, encoding="utf-8")
