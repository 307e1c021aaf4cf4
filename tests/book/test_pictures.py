"""Figures have colours for a dark page, where pictures are untouched, and a form for phones: both can be read."""

from __future__ import annotations

import re
from pathlib import Path
from runpy import run_path
from typing import Any

import bs4
import matplotlib.pyplot as plt
import numpy as np
import pytest
from browser import new_context
from matplotlib.colors import to_hex

from diffmemlib.companion.figures.phone import split
from diffmemlib.companion.figures.style import MEMORY, QUALITY, shades

ROOT = Path(__file__).resolve().parents[2]
dark = run_path(str(ROOT / "book" / "_ext" / "pictures.py"))
TEXT_ON_A_PHONE = 358  # pixels that a page of 390 has for its text
PAGE, darkened, oklab = dark["PAGE"], dark["darkened"], dark["oklab"]


def contrast(one: str, other: str) -> float:
    """Ratio of luminances as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_colour_space_is_oklab_and_back():
    """Values of the definition's own table: white, and the primary red and green, at three digits."""
    np.testing.assert_allclose(oklab("#ffffff"), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(oklab("#ff0000"), [0.628, 0.225, 0.126], atol=5e-4)
    np.testing.assert_allclose(oklab("#00ff00"), [0.866, -0.234, 0.179], atol=5e-4)
    for colour in ("#ff0000", "#0072b2", "#123456", "#fedcba", "#000000"):
        assert dark["hexadecimal"](oklab(colour)) == colour


def test_black_and_white_change_places_and_greys_keep_their_order_reversed():
    assert (darkened("#ffffff"), darkened("#000000")) == (PAGE, dark["INK"])
    greys = [oklab(darkened(f"#{level:02x}{level:02x}{level:02x}"))[0] for level in range(0, 256, 15)]
    assert (np.diff(greys) < 0).all()
    for level in range(0, 0x77):  # readable on white at 4.5
        assert contrast(darkened(f"#{level:02x}{level:02x}{level:02x}"), PAGE) > 4.5


def test_colours_keep_their_hue_and_the_order_of_a_ramp_and_stand_out():
    used = [QUALITY, MEMORY, *shades([16, 32, 64, 128, 256, 512, 1024]).values(), *shades(range(9), of="W").values()]
    for colour in used:
        axes, axes_there = oklab(colour)[1:], oklab(darkened(colour))[1:]
        turned = np.angle(complex(*axes_there) / complex(*axes))
        assert abs(turned) < 0.06 and contrast(darkened(colour), PAGE) > 3, colour
    ramp = [to_hex(plt.colormaps["viridis"](x)) for x in np.linspace(0, 1, 20)]
    lightness = np.array([oklab(darkened(colour))[0] for colour in ramp])
    assert (np.diff(lightness) < 0).all() and np.ptp(lightness) > 0.2, "the ends of a ramp stay apart"


def test_only_colours_are_changed_and_text_becomes_light():
    svg = (
        '<svg width="9"><style>*{stroke-linejoin: round}</style><g id="text_1"><use xlink:href="#abcdef"/></g>'
        '<path style="fill: #ffffff; stroke: #0072B2" clip-path="url(#p000000)"/><image xlink:href="#ffffff"/></svg>'
    )
    expected = svg.replace("<svg ", f'<svg fill="{dark["INK"]}" ').replace("fill: #ffffff", f"fill: {PAGE}")
    assert dark["for_dark"](svg) == expected.replace("#0072B2", darkened("#0072b2"))


def test_every_figure_of_the_built_book_comes_in_both(html: Path):
    pictures = 0
    for file in (html / "book").glob("*.html"):
        page = bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        lights, darks = page.select("img.for-light"), page.select("img.for-dark")
        assert len(lights) == len(darks)
        assert not page.select("div.cell_output img[src*='_images'][src$='.png']"), f"{file.name} has another kind"
        for light, other in zip(lights, darks, strict=True):
            assert other["src"] == light["src"].replace(".svg", "-dark.svg") and other["alt"] == light["alt"]
            text = (file.parent / other["src"]).read_text(encoding="utf-8")
            assert text == dark["for_dark"]((file.parent / light["src"]).read_text(encoding="utf-8")), "of this build"
            assert len(text) < 500_000, f"{file.name}: draw {light['src']} as a picture, see `as_picture`"
            pictures += 1
    assert pictures > 50


def test_type_is_nine_pixels_at_least_on_a_phone(html: Path):
    """Letters are outlines, in a unit of a hundredth of their size, scaled to it."""
    pages, small = [path.read_text(encoding="utf-8") for path in (html / "book").glob("*.html")], []
    named = re.compile(r'srcset="\.\./(_images/[^"]+-phone\.svg)"')
    figures = sorted({html / path for page in pages for path in named.findall(page)})
    for path in figures:
        svg = path.read_text(encoding="utf-8")
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
        sizes = [100 * float(size) for size in re.findall(r"<g[^>]*scale\(([\d.]+) -", svg)]
        if sizes and min(sizes) * TEXT_ON_A_PHONE / width < 9:
            small.append(f"{path.name}: {min(sizes):.1f} of {width:.0f} points")
    assert len(figures) > 50 and not small, "\n".join(small)


def test_all_figures_are_shown_at_one_scale_with_type_that_can_be_read(html: Path, chromium: Any):
    """Their widths are shares of the text's, so that type of one size is of one size in all of them."""
    page, scales, small = chromium.new_page(viewport={"width": 1280, "height": 900}), {}, []
    for path in sorted((html / "book").glob("*.html")):
        if "for-light" not in path.read_text(encoding="utf-8"):
            continue
        page.goto(path.as_uri())
        for image in page.locator("img.for-light").all():
            source, width = image.get_attribute("src"), image.bounding_box()["width"]
            svg = (path.parent / source).read_text(encoding="utf-8")
            scale = width / float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
            scales[f"{path.stem} {source}"] = scale
            sizes = [100 * float(size) for size in re.findall(r"<g[^>]*scale\(([\d.]+) -", svg)]
            if sizes and min(sizes) * scale < 10:
                small.append(f"{path.stem} {source}: {min(sizes) * scale:.1f} pixels")
    page.close()
    middle = sorted(scales.values())[len(scales) // 2]
    apart = [
        f"{name}: {scale:.3f}, not {middle:.3f}" for name, scale in scales.items() if abs(scale / middle - 1) > 0.04
    ]
    assert len(scales) > 50 and not apart + small, "\n".join(apart + small)


def test_a_phone_shows_what_is_drawn_for_it_and_nothing_scrolls(html: Path, chromium: Any):
    page = new_context(chromium, "phone").new_page()
    page.goto((html / "book" / "mixture.html").as_uri())
    shown = page.locator("picture > img.for-light")
    assert shown.count() > 5
    for image in shown.all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("e => e.decode().then(() => e.currentSrc)").endswith("-phone.svg")
        assert image.bounding_box()["width"] <= TEXT_ON_A_PHONE
    page.set_viewport_size({"width": 1280, "height": 900})
    assert not shown.first.evaluate("e => e.decode().then(() => e.currentSrc)").endswith("-phone.svg")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reader_sees_the_figure_of_the_theme_and_paper_the_light_one(html: Path, chromium: Any, scheme: str):
    page = chromium.new_page(color_scheme=scheme)
    page.goto((html / "book" / "mixture.html").as_uri())
    pairs = [page.locator(f"img.for-{theme}").first for theme in ("light", "dark")]
    assert [image.is_visible() for image in pairs] == [scheme == "light", scheme == "dark"]
    page.emulate_media(media="print")
    assert [image.is_visible() for image in pairs] == [True, False]
    page.close()


@pytest.mark.parametrize("asked", ["svg", ""])
def test_a_notebook_shows_figures_as_it_is_asked(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("DIFFMEM_FIGURES", asked)
    code = "from diffmemlib.companion.figures.style import subplots\nfigure, axis = subplots()\nfigure"
    cells = [nbformat.v4.new_code_cell(code)]
    done = NotebookClient(nbformat.v4.new_notebook(cells=cells), kernel_name="python3").execute(cwd=str(tmp_path))
    shown = [output["data"] for output in done.cells[0].outputs if "data" in output]
    kinds = {kind for data in shown for kind in data}
    assert ("image/svg+xml" in kinds, "image/png" in kinds) == (asked == "svg", asked != "svg")
    drawn = [data["image/svg+xml"] for data in shown if "image/svg+xml" in data]
    widths = [re.search(r'width="(\d+)', svg)[1] for text in drawn for svg in split(text)]
    assert len(widths) == 2 * len(drawn) and all(
        float(w) > float(n) for w, n in zip(widths[::2], widths[1::2], strict=True)
    )
    assert len(set(drawn)) <= 1, "shown twice, and drawn once"
