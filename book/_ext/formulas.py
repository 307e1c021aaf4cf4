r"""Without scripts, formulas are shown as MathML, which browsers draw themselves; MathJax draws them otherwise.

Sphinx writes a formula as TeX between \( and \) or \[ and \]. Each gets its MathML behind it, in a <noscript>, and the
TeX is hidden where there are no scripts.
"""

from __future__ import annotations

import html
import re
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

FORMULA = re.compile(
    r'(<(span|div) class="math notranslate nohighlight"[^>]*>.*?)(\\[(\[])(.*?)(\\[)\]])(\s*</\2>)', re.DOTALL
)
HIDDEN = (  # and columns of a derivation meet at the sign between them
    "<noscript><style>.math > .tex { display: none; } mtd { padding-inline: 0; } "
    "mtd:nth-child(2n+3) { padding-left: 2em; } "
    "mtd:nth-child(odd) { text-align: right; } mtd:nth-child(even) { text-align: left; }</style></noscript>"
)
# The converter knows no aligned, and Sphinx puts a split around each.
SPLIT = re.compile(r"\\begin\{split\}\s*(\\begin\{aligned\}.*\\end\{aligned\})\s*\\end\{split\}", re.DOTALL)
log = logging.getLogger(__name__)


def mathml(tex: str, display: bool) -> str:
    """Return TeX as MathML; ValueError where a part of it is not known."""
    known = re.sub(r"\{aligned\}", "{align*}", SPLIT.sub(r"\1", tex.strip()))
    try:
        converted: str = convert(known, display="block" if display else "inline")
        text = "".join(ElementTree.fromstring(converted).itertext())
    except Exception as error:  # whatever a converter raises
        raise ValueError(f"{tex.strip()!r} is no formula for it ({error})") from None
    if "\\" in text:  # what it does not know it leaves as it is
        raise ValueError(f"{tex.strip()!r} has TeX that it does not know, at {text[text.index(chr(92)) :][:30]!r}")
    return converted


def with_mathml(body: str, page: str = "") -> str:
    """Return the body of a page with MathML behind each formula; a formula that cannot be converted is warned of."""

    def twice(found: re.Match[str]) -> str:
        before, _, opened, tex, closed, after = found.groups()
        try:
            fallback = mathml(html.unescape(tex), opened == r"\[")
        except ValueError as error:
            log.warning("without scripts, a formula stays TeX: %s", error, location=page)
            return found[0]
        shown = f'<span class="tex">{opened}{tex}{closed}</span>'
        return f"{before}{shown}<noscript>{fallback}</noscript>{after}"

    return FORMULA.sub(twice, body)


def show_formulas(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Called by Sphinx before it writes a page."""
    if '<span class="tex">' not in context.get("body", "") and FORMULA.search(context.get("body", "")):
        context["body"] = with_mathml(context["body"], page)
        context["metatags"] = context.get("metatags", "") + HIDDEN
