"""A figure that redraws one of the paper's says so in its caption, on the built pages."""

from __future__ import annotations

from pathlib import Path

import bs4

from diffmemlib.companion import paper_figures


def test_captions_name_the_figures_of_the_paper(html: Path) -> None:
    pages = {figure.page for figure in paper_figures.load() if figure.figures}
    for page in pages:
        soup = bs4.BeautifulSoup((html / "book" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
        for figure in soup.find_all("figure", id=True):
            said = paper_figures.redraws(figure["id"])
            caption = figure.figcaption.get_text() if figure.figcaption else ""
            assert caption.count("Redraws the paper") == bool(said), figure["id"]
            assert f"Redraws the paper's {said}." in caption or not said, figure["id"]
