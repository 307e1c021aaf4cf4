"""Without scripts a reader sees formulas, and no TeX: what the MathML says is judged by MathJax."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any
from xml.etree import ElementTree

import bs4
import pytest
from browser import serve

ROOT = Path(__file__).resolve().parents[2]
formulas = run_path(str(ROOT / "book" / "_ext" / "formulas.py"))
# Signs that look alike, and those that only tell a reader that two things are multiplied or that one is a function.
ALIKE = str.maketrans({"⋅": "·", "∼": "~", "\u2061": None, "\u2062": None, "\u2063": None, "\u200b": None})


@pytest.fixture(scope="module")
def base(html: Path) -> Iterator[str]:
    with serve(html) as server:
        yield server


def signs(mathml: str) -> str:
    """What stands in a formula, in its order."""
    text = "".join(ElementTree.fromstring(mathml.replace("&nbsp;", " ")).itertext())
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text).translate(ALIKE))


def test_every_formula_says_in_mathml_what_mathjax_makes_of_it(html: Path, chromium: Any, base: str) -> None:
    found: dict[tuple[str, bool], str] = {}
    for file in (html / "book").glob("*.html"):
        page = bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        for formula in page.select(".math.notranslate"):
            tex = formula.select_one(".tex").get_text()
            found[tex[2:-2].strip(), tex.startswith(r"\[")] = str(formula.select_one("noscript math"))
    assert len(found) > 300
    page = chromium.new_page()
    page.goto(f"{base}/book/score-error.html")
    page.wait_for_function("!!(window.MathJax && MathJax.tex2mml)")
    convert = "formulas => formulas.map(([tex, display]) => MathJax.tex2mml(tex, {display}))"
    theirs = page.evaluate(convert, [list(key) for key in found])
    page.close()
    pairs = {tex: (signs(ours), signs(judge)) for ((tex, _), ours), judge in zip(found.items(), theirs, strict=True)}
    other = {tex: pair for tex, pair in pairs.items() if pair[0] != pair[1]}
    assert not other, list(other.items())[:3]


def test_without_scripts_no_tex_is_seen_and_with_them_no_mathml(chromium: Any, base: str) -> None:
    for scripts in (False, True):
        context = chromium.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto(f"{base}/book/frozen-noise.html")
        if scripts:
            page.wait_for_function("!!document.querySelector('mjx-container')")
        formula = page.locator(".math.notranslate").first
        box = formula.locator("math").first.bounding_box() if not scripts else None
        assert scripts or (box and box["width"] > 5 and not formula.locator(".tex").first.is_visible())
        assert not scripts or formula.locator("noscript math").count() == 0
        if not scripts:
            width = page.locator(".math.notranslate math[display=block]").first.bounding_box()["width"]
            assert width > 100, "a derivation has its place"
        context.close()


@pytest.mark.parametrize("tex", [r"\unknown x", r"\left( x", r"a & \begin{aligned}b &= c\end{aligned}\nosuch"])
def test_tex_that_the_converter_does_not_know_is_warned_of(tex: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple] = []
    monkeypatch.setattr(formulas["log"], "warning", lambda *said, **where: told.append((said, where)))
    body = f'<p><span class="math notranslate nohighlight">\\({tex}\\)</span></p>'
    with pytest.raises(ValueError, match=r"is no formula for it|has TeX that it does not know"):
        formulas["mathml"](tex, False)
    assert formulas["with_mathml"](body, "book/page") == body
    ((said, where),) = told
    assert "without scripts, a formula stays TeX" in said[0] and where == {"location": "book/page"}


def test_a_number_of_an_equation_stays() -> None:
    body = '<div class="math notranslate nohighlight" id="e">\n<span class="eqno">(1)</span>\\[a < b\\]</div>'
    shown = formulas["with_mathml"](body.replace("a < b", "a &lt; b"))
    assert '<span class="eqno">(1)</span><span class="tex">\\[a &lt; b\\]</span><noscript><math' in shown
    assert shown.endswith("</math></noscript></div>") and 'display="block"' in shown
