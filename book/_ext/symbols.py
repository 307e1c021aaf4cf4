"""A symbol is a link to its line in the notation where it first stands in the text of a page."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

NOTATION = "book/notation"
THEORY = "Random features"  # the part of the notation whose letters mean something else on other pages
THEORY_PAGES = ("features-dynamics", "features-spectrum", "features-adam", "score-error", "frozen-noise", "live-theory")
ROW = re.compile(r"^\| (\$[^|]+?\$) \| ([^|]+?) \|", re.MULTILINE)
TEXT = re.compile(r"<p>(?:(?!</?p>).)*</p>", re.DOTALL)
LINKS = re.compile(r"(<a\b.*?</a>)", re.DOTALL)
FORMULA = re.compile(r'<span class="math notranslate nohighlight">\\\((.*?)\\\)</span>', re.DOTALL)
TABLE_ROW = re.compile(r"<tr\b([^>]*>)(<td>.*?</td>)", re.DOTALL)


def anchor(symbols: list[str]) -> str:
    """Return the name of the line of some symbols."""
    letters = " ".join(symbols).replace(r"\mathrm", "")
    return "symbol-" + re.sub(r"[^A-Za-z0-9]+", "-", letters).strip("-")


def read_notation(source: str, page: str) -> dict[str, tuple[str, str]]:
    """Return the anchor of symbols, and the meaning of those that have one, from the source of the notation page.

    Left out are those of two lines, of which the reader has to choose, and on other pages those of the theory.

    Parameters
    ----------
    source
        Of the notation page.
    page
        Whose symbols they are, without its folder.
    """
    parts = re.split(r"^## ", source, flags=re.MULTILINE)
    chosen = [part for part in parts if page in THEORY_PAGES or not part.startswith(THEORY)]
    rows = [(re.findall(r"\$([^$]+)\$", symbols), meaning) for symbols, meaning in ROW.findall("".join(chosen))]
    lines = Counter(tex for symbols, _ in rows for tex in symbols)
    said = {anchor(symbols): _meaning(meaning, page) for symbols, meaning in rows}
    return {
        tex: (name, "" if len(symbols) > 1 else said[name])
        for symbols, _ in rows for name in [anchor(symbols)] for tex in symbols if lines[tex] == 1
    }  # fmt: skip


def _meaning(meaning: str, page: str) -> str:
    """The one meaning that a symbol has on a page; empty where the reader has to choose among several."""
    first, _, others = meaning.partition("; ")
    here = not others or (others.startswith("in random features") and page not in THEORY_PAGES)
    return first if here and "$" not in first else ""


def link_symbols(body: str, notation: dict[str, tuple[str, str]]) -> str:
    """Return the body of a page with each symbol, where it first stands alone in a paragraph, as a link."""
    open_symbols = dict(notation)

    def link(found: re.Match[str]) -> str:
        tex = html.unescape(found[1]).strip()
        if tex not in open_symbols:
            return found[0]
        name, meaning = open_symbols.pop(tex)
        title = html.escape(meaning or "What this stands for")
        return f'<a class="symbol" href="notation.html#{name}" title="{title}">{found[0]}</a>'

    def in_text(paragraph: re.Match[str]) -> str:
        parts = LINKS.split(paragraph[0])  # text, link, text, link, ...
        parts[::2] = [FORMULA.sub(link, text) for text in parts[::2]]
        return "".join(parts)

    return TEXT.sub(in_text, body)


def name_rows(body: str) -> str:
    """Return the body of the notation page with an anchor at each row of its tables."""

    def named(row: re.Match[str]) -> str:
        symbols = [html.unescape(tex).strip() for tex in FORMULA.findall(row[2])]
        return f'<tr id="{anchor(symbols)}"{row[1]}{row[2]}' if symbols else row[0]

    return TABLE_ROW.sub(named, body)


def show_symbols(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Called by Sphinx before it writes a page."""
    body = context.get("body", "")
    if app.builder.name == "singlehtml":  # one page, which has no other to lead to
        return
    if page == NOTATION and 'id="symbol-' not in body:
        context["body"] = name_rows(body)
    elif Path(page).parent == Path(NOTATION).parent and 'class="symbol"' not in body:
        source = (Path(app.srcdir) / f"{NOTATION}.md").read_text(encoding="utf-8")
        context["body"] = link_symbols(body, read_notation(source, Path(page).name))
