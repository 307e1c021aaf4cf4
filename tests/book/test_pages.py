"""The built book: every link leads somewhere, no page asks another host, each page works in a real browser.

The book is taken from `_build/html` and built first where that is missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

CI = os.environ.get("CI") == "true"
if not CI:  # a machine with the training core alone may lack these
    pytest.importorskip("bs4")
    pytest.importorskip("yaml")

import bs4  # noqa: E402
import yaml  # noqa: E402
from browser import LOOK, MODES, Facts, new_context, serve, visit  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [
    TOC["root"],
    *(
        page["file"]
        for part in TOC["parts"]
        for chapter in part["chapters"]
        for page in (chapter, *chapter.get("sections", []))
    ),
]
GENERATED = ["genindex.html", "py-modindex.html", "search.html?q=memorisation"]
PAGES = [f"{chapter}.html" for chapter in CHAPTERS] + GENERATED
LIBRARY = "book/api/timescales.html"


# Without a browser

LOADS = {"object": "data", "use": "href", "image": "href"}
LOADS |= dict.fromkeys("script img source iframe video audio embed input track".split(), "src")
LINK_LOADS = set("stylesheet icon shortcut preload prefetch modulepreload preconnect dns-prefetch".split())
ELSEWHERE = re.compile(r"^(https?:)?//", re.I)
IN_CSS = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?=(?:https?:)?//)[^"')\s]+""", re.I)
IN_JS = re.compile(
    r"""(?:\bimport\b[^;'"\n]{0,80}|\bfetch\(\s*|\b(?:src|href)\s*=\s*|\w+_URL\s*=\s*)["'](?:https?:)?//[^"']+"""
)


@cache
def parse(file: Path) -> bs4.BeautifulSoup:
    return bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(file: Path) -> set[str]:
    soup = parse(file)
    return {tag["id"] for tag in soup.find_all(id=True)} | {
        tag["name"] for tag in soup.find_all("a", attrs={"name": True})
    }


def html_files(html: Path) -> list[Path]:
    """Every page, also generated ones; `_static` holds templates of the theme, not pages."""
    return sorted(file for file in html.rglob("*.html") if "_static" not in file.parts)


def loaded(soup: bs4.BeautifulSoup) -> Iterator[str]:
    """Addresses that a browser loads by itself."""
    for tag, attribute in LOADS.items():
        yield from (found[attribute] for found in soup.find_all(tag, attrs={attribute: True}))
    for found in soup.find_all(srcset=True):
        yield from (part.split()[0] for part in found["srcset"].split(",") if part.strip())
    for found in soup.find_all("link", href=True):
        if LINK_LOADS & {rel.lower() for rel in found.get("rel", [])}:
            yield found["href"]


def test_pages_load_nothing_from_elsewhere(html: Path) -> None:
    bad = []
    for file in html_files(html):
        soup = parse(file)
        texts = [(IN_CSS, found["style"]) for found in soup.find_all(style=True)]
        texts += [(IN_CSS, found.get_text()) for found in soup.find_all("style")]
        texts += [(IN_JS, found.get_text()) for found in soup.find_all("script", src=False)]
        found = [address for address in loaded(soup) if ELSEWHERE.match(address)]
        found += [hit for pattern, text in texts for hit in pattern.findall(text)]
        bad += [f"{file.relative_to(html)}: {hit}" for hit in found]
    for file in sorted((html / "_static").rglob("*.css")):
        text = file.read_text(encoding="utf-8", errors="replace")
        bad += [f"{file.relative_to(html)}: {hit}" for hit in IN_CSS.findall(text)]
    none_of(bad)


def test_links_images_and_downloads_exist(html: Path) -> None:
    bad = []
    for file in html_files(html):
        soup = parse(file)
        links = [found["href"] for found in soup.find_all("a", href=True)]
        refreshes = soup.find_all("meta", attrs={"http-equiv": re.compile("refresh", re.I)})
        links += [found["content"].partition("url=")[2].strip("'\" ") for found in refreshes]
        for address in {*links, *loaded(soup)}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address == "#":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not target.is_file():
                bad.append(f"{file.relative_to(html)}: {address} (no such file)")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
                bad.append(f"{file.relative_to(html)}: {address} (no such anchor)")
    none_of(sorted(bad))


@pytest.mark.parametrize(("tier", "announced"), [("gpu", True), ("laptop", False)])
def test_another_tier_is_announced_on_every_page(tier: str, announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_TIER", tier)
    config = SimpleNamespace(html_theme_options={"announcement": ""})
    run_path(str(ROOT / "book" / "_ext" / "companion.py"))["announce_tier"](None, config)
    assert ("runs of tier gpu" in config.html_theme_options["announcement"]) == announced


# What a page computed and cannot mean: a full batch is stored as 0, a mean of nothing is nan, numpy names its types.
SENSELESS = re.compile(
    r"\bbatch(?:es)? of 0(?! ?\.\d)\b|\b(?:nan|NaN|None)\b|\b(?:np\.\w+|tensor)\("
    r"|(?<![\d.,])\b0 (?:images|points|steps|runs|samples|draws|hours|minutes)\b"
)


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("book/") and "/api" not in page])
def test_no_number_on_a_page_is_senseless(html: Path, page: str) -> None:
    article = bs4.BeautifulSoup(str(parse(html / page).find("article")), "html.parser")
    for code in article.find_all(["script", "style", "pre", "code"]):
        code.decompose()
    text = re.sub(r"\s+", " ", article.get_text(" "))
    none_of([text[max(0, hit.start() - 60) : hit.end() + 30] for hit in SENSELESS.finditer(text)])


def test_every_page_of_the_toc_is_built(html: Path) -> None:
    missing = [page for page in PAGES if not (html / page.partition("?")[0]).is_file()]
    none_of(missing)


# With a browser

# Of what is on paper: controls, boxes that hide a part of what they hold, and figures for the dark theme.
NOT_ON_PAPER = r"""() => {
  const shown = e => e.offsetParent !== null && getComputedStyle(e).visibility !== "hidden";
  const cut = e => getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 2;
  const bad = e => e.matches("button, input, img.for-dark") || (e.matches(".picture, .cell_output, .output") && cut(e));
  return [...document.querySelectorAll(".bd-article *")].filter(e => shown(e) && bad(e))
    .map(e => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} ${e.textContent.trim().slice(0, 40)}`);
}"""


@pytest.fixture(scope="session")
def look(html: Path, chromium: Any) -> Iterator[Callable[[str, str], Facts]]:
    """A function (page, mode) -> Facts that loads each pair once."""
    with serve(html) as server:
        bases = {"http": f"{server}/", "file": f"{html.as_uri()}/"}
        contexts = {mode: new_context(chromium, mode) for mode in MODES}

        @cache
        def facts(page: str, mode: str) -> Facts:
            whole = page == LIBRARY or not page.startswith("book/api/")
            return visit(contexts[mode], urljoin(bases[MODES[mode][0]], page), mode, whole)

        yield facts


def visited(page: str) -> list[str]:
    """How a page is opened; those of the library are written by one template, so one of them stands for all."""
    return ["light"] if page.startswith("book/api/") and page != LIBRARY else list(MODES)


@pytest.fixture(
    params=[pytest.param(f"{page}-{mode}", marks=pytest.mark.browser) for page in PAGES for mode in visited(page)]
)
def facts(request: pytest.FixtureRequest, look: Callable[[str, str], Facts]) -> Facts:
    page, _, mode = request.param.rpartition("-")
    return look(page, mode)


def none_of(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def test_console_is_clean(facts: Facts) -> None:
    none_of(facts.console)


def test_no_request_fails_or_leaves(facts: Facts) -> None:
    none_of([f"another host: {url}" for url in facts.foreign] + [f"failed: {line}" for line in facts.failed])


def test_images_show(facts: Facts) -> None:
    none_of(
        [f"broken: {src}" for src in facts.seen["broken_images"]] + [f"no alt: {src}" for src in facts.seen["no_alt"]]
    )


def test_page_fits_the_window(facts: Facts) -> None:
    width, window = facts.seen["width"], facts.seen["window"]
    assert width <= window, f"{width} px in a window of {window} px; sticking out: {facts.seen['wide']}"


def test_math_is_typeset(facts: Facts) -> None:
    none_of([f"not typeset: {text}" for text in facts.seen["untypeset"]] + facts.seen["math_errors"])


def test_formulas_begin_in_view(facts: Facts) -> None:
    none_of(facts.seen["cut_formulas"])


def test_controls_have_names(facts: Facts) -> None:
    """A label names the first control in it, and an output is one."""
    none_of(facts.seen["unnamed"])


def test_axe_finds_nothing_serious(facts: Facts) -> None:
    none_of([line for line in facts.axe if line.startswith(("serious", "critical"))])


def test_controls_change_what_is_shown(facts: Facts) -> None:
    none_of(facts.dead_controls)


@pytest.mark.browser
@pytest.mark.parametrize("page", [page for page in PAGES if "dark" in visited(page)])
def test_dark_mode_is_dark(page: str, look: Callable[[str, str], Facts]) -> None:
    assert (look(page, "light").seen["theme"], look(page, "dark").seen["theme"]) == ("light", "dark")


@pytest.mark.browser
def test_nothing_is_cut_off_on_paper(html: Path, chromium: Any) -> None:
    """Of A4, printed in the colours of the screen's dark theme too, on which figures would be black."""
    context = chromium.new_context(viewport={"width": 794, "height": 1123}, color_scheme="dark")
    bad, opened = [], context.new_page()
    opened.emulate_media(media="print")
    for page in (f"{chapter}.html" for chapter in CHAPTERS if "/api/" not in chapter):
        opened.goto((html / page).as_uri())
        seen = opened.evaluate(LOOK)
        bad += [f"{page}: {seen['width']} px, {seen['wide']}"] if seen["width"] > 794 else []
        bad += [f"{page}: {element} cannot be printed" for element in opened.evaluate(NOT_ON_PAPER)]
    context.close()
    none_of(bad)


@pytest.mark.browser
@pytest.mark.parametrize("page", ["book/index.html", "book/training-time.html", "book/api/probe.html"])
def test_search_and_this_page_are_in_view_in_the_side_bar(page: str, html: Path, chromium: Any) -> None:
    """Of a window of 900 px, where all chapters at once do not fit; the keyboard opens the other parts."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.goto((html / page).as_uri())
    for what in (".search-button-field", ".bd-docs-nav li.active:not(:has(li.active)) > a"):
        box = opened.locator(f".bd-sidebar-primary {what}").first.bounding_box()
        assert box and 0 <= box["y"] and box["y"] + box["height"] <= 900, f"{what}: {box}"
    closed = opened.locator("details.part:not([open])")
    if page != "book/index.html":
        count = closed.count()
        closed.first.locator("> summary").press("Enter")
        assert count == 4 and closed.count() == 3
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("early stopping", "monitor"), ("how long to train", "your-data"), ("memorisation", "mixture"),
        ("memorization", "mixture"), ("tau_mem", "mixture"), ("learning rate", "training-time"),
    ],
)  # fmt: skip
def test_the_search_finds_the_right_page_first(query: str, page: str, html: Path, chromium: Any) -> None:
    opened = chromium.new_page()
    opened.goto(f"{(html / 'search.html').as_uri()}?q={query.replace(' ', '+')}")
    first = opened.locator("#search-results ul.search li a").first
    first.wait_for(timeout=30_000)
    assert f"book/{page}.html" in first.get_attribute("href")
    opened.close()


@pytest.mark.browser
@pytest.mark.parametrize("query", ["memorisation", "tau_mem", "score", "learning rate"])
def test_excerpts_of_the_search_fit_a_phone_and_hold_no_tex(query: str, html: Path, chromium: Any) -> None:
    with serve(html) as server:  # from disk there are titles alone
        opened = new_context(chromium, "phone").new_page()
        opened.goto(f"{server}/search.html?q={query.replace(' ', '+')}")
        opened.get_by_text("Search finished").wait_for(timeout=30_000)
        opened.wait_for_load_state("networkidle")
        texts = opened.locator("#search-results .context").all_inner_texts()
        assert len(texts) > 5 and not [text for text in texts if "\\" in text]
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
        opened.context.close()
