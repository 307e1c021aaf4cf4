"""Where a symbol first stands on a page it leads to its line in the notation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from runpy import run_path

import bs4

ROOT = Path(__file__).resolve().parents[2]
symbols = run_path(str(ROOT / "book" / "_ext" / "symbols.py"))
NOTATION = r"""
## Times

| symbol | meaning | where it is defined |
| --- | --- | --- |
| $\tau_\mathrm{mem}$ | when copies appear; in random features, $x$ | here |
| $x_0$, $x$ | a point, and another | here |
| $n$ | how many $x$ there are | here |
| $W$ | a width; on one page, a matrix | here |
| $T$ | the end; in random features, $x$ | here |
| $k$ | a step | here |
| $d_1$, $k$ | a distance, and a threshold | here |

## Random features

| symbol | meaning | where it is defined |
| --- | --- | --- |
| $q$ | a trace | here |
"""


def formula(tex: str) -> str:
    return rf'<span class="math notranslate nohighlight">\({tex}\)</span>'


def test_the_first_of_each_symbol_in_the_text_is_a_link() -> None:
    notation = symbols["read_notation"](NOTATION, "mixture")
    mem, x, n = (formula(tex) for tex in (r"\tau_\mathrm{mem}", "x", "n"))
    body = f"<h1>{mem}</h1><p>Of <a href='#'>{mem}</a> and {mem}, {mem}; {formula('x+n')}.</p><p>{n} {formula('k')}</p>"
    shown = symbols["link_symbols"](body, notation)
    link = f'<a class="symbol" href="notation.html#symbol-tau-mem" title="when copies appear">{mem}</a>'
    assert shown == body.replace(f"and {mem}", f"and {link}").replace(
        n, f'<a class="symbol" href="notation.html#symbol-n" title="What this stands for">{n}</a>'
    )
    start = '<p><a class="symbol" href="notation.html#symbol-x-0-x"'
    assert symbols["link_symbols"](f"<p>{x}</p>", notation).startswith(start)


def test_letters_of_two_lines_and_those_of_the_theory_elsewhere_lead_nowhere() -> None:
    assert set(symbols["read_notation"](NOTATION, "mixture")) == {
        r"\tau_\mathrm{mem}",
        "x_0",
        "x",
        "n",
        "W",
        "T",
        "d_1",
    }
    assert symbols["read_notation"](NOTATION, "score-error")["q"] == ("symbol-q", "a trace")


def test_a_symbol_of_two_meanings_says_none_of_them() -> None:
    elsewhere, theory = (symbols["read_notation"](NOTATION, page) for page in ("mixture", "score-error"))
    assert elsewhere["W"] == theory["W"] == ("symbol-W", "")
    assert (elsewhere["T"], theory["T"]) == (("symbol-T", "the end"), ("symbol-T", ""))


def test_in_the_built_book_every_symbol_leads_to_its_line(html: Path) -> None:
    notation = bs4.BeautifulSoup((html / "book" / "notation.html").read_text(encoding="utf-8"), "html.parser")
    ids = Counter(row["id"] for row in notation.select("tr[id]"))
    assert len(ids) > 30 and set(ids.values()) == {1}
    pages = 0
    for file in (html / "book").glob("*.html"):
        page = bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        links = page.select("a.symbol")
        seen = Counter((link["href"], link.select_one(".tex").get_text()) for link in links)
        assert set(seen.values()) <= {1} and all(href.partition("#")[2] in ids for href, _ in seen), file.name
        for link in links:
            line = notation.find(id=link["href"].partition("#")[2])
            assert link.select_one(".tex").get_text() in [tex.get_text() for tex in line.select("td:first-child .tex")]
        pages += bool(links)
    assert pages > 15
