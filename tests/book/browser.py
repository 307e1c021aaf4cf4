"""Opens pages of the built book in Chromium and records what a reader would meet. It asserts nothing."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# A colour on its way from one theme to another has a contrast of its own.
AT_REST = "*, ::before, ::after { transition: none !important; animation: none !important; }"
# Rules of axe by mode: contrast is the slow one, and all that a colour scheme changes.
ALL: dict[str, Any] = {}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
NOT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}

# name: (opened from, colour scheme, window width, window height, what axe runs)
MODES: dict[str, tuple[str, str, int, int, dict[str, Any] | None]] = {
    "light": ("http", "light", 1280, 900, ALL),
    "dark": ("http", "dark", 1280, 900, CONTRAST),
    "phone": ("http", "light", 390, 844, NOT_CONTRAST),
    "file": ("file", "light", 1280, 900, None),
}

FLAGS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# Facts that need the page's own view. `wide` lists culprits for the message; the judge is scrollWidth.
LOOK = r"""async () => {
  const stopped = [];  // typesetting ends early where TeX needs an extension that is not there
  await window.MathJax?.startup?.promise?.catch(error => stopped.push(`MathJax stopped: ${error}`));
  const images = [...document.images].filter(i => i.currentSrc || i.src);
  images.forEach(i => { i.loading = "eager"; });
  await Promise.all(images.map(i => i.decode().catch(() => null)));
  const scrolls = e => { for (e = e.parentElement; e && e !== document.body; e = e.parentElement)
    if (getComputedStyle(e).overflowX !== "visible") return true; return false; };
  const name = e => [e.tagName.toLowerCase(), ...e.classList].join(".") + (e.id ? "#" + e.id : "");
  const out = e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e);
  return {
    theme: document.documentElement.dataset.theme,
    broken_images: images.filter(i => !i.naturalWidth).map(i => i.src),
    no_alt: images.filter(i => !i.hasAttribute("alt")).map(i => i.src),
    width: document.documentElement.scrollWidth, window: innerWidth,
    wide: [...document.body.querySelectorAll("*")].filter(out).slice(0, 5).map(name),
    untypeset: [...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container"))
      .map(e => e.textContent.slice(0, 60)),
    math_errors: [...document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*='red']")]
      .map(e => e.getAttribute("data-mjx-error") || e.closest("mjx-container").outerHTML.slice(0, 200))
      .concat(stopped),
    cut_formulas: [...document.querySelectorAll("div.math mjx-container")].filter(e =>  // the beginning is not in view
      e.getBoundingClientRect().left < e.closest("div.math").getBoundingClientRect().left - 1).map(e => e.textContent),
    unnamed: [...document.querySelectorAll("input, select, button.play")].filter(e => e.type !== "hidden" &&
      !(e.ariaLabel || e.textContent || e.placeholder || e.labels?.length)).map(e => e.outerHTML.slice(0, 120)),
  };
}"""

# What is drawn: a plot's title and data, or any other element with its canvases.
SEEN = r"""e => e.classList.contains("js-plotly-plot")
  ? [...e.querySelectorAll(".g-gtitle, .gtitle, .cartesianlayer")].map(x => x.outerHTML).join()
  : e.outerHTML + [e, ...e.querySelectorAll("canvas")].map(c => c.toDataURL?.())"""

MOVE = """(e, end) => { e.value = e[end]; e.dispatchEvent(new Event("input", {bubbles: true})); }"""


@dataclass
class Facts:
    """One page in one mode."""

    seen: dict[str, Any] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    dead_controls: list[str] = field(default_factory=list)
    controls: int = 0
    axe: list[str] = field(default_factory=list)


def find_chromium() -> str | None:
    """The browser's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def flags() -> list[str]:
    """Chromium refuses its sandbox to root, which is who runs in most containers."""
    return FLAGS + (["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each."""

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """A server of `folder` on this machine; yields its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def settles_to_change(page: Any, element: Any, before: str) -> bool:
    """Whether what `element` shows differs from `before` within a second."""
    for _ in range(20):
        if element.evaluate(SEEN) != before:
            return True
        page.wait_for_timeout(50)
    return False


def move_controls(page: Any, facts: Facts) -> None:
    """Move scrubbers by their input event; note those that change nothing, and sliders of plotly, which keys miss."""
    for plot in page.query_selector_all(".js-plotly-plot"):
        if plot.evaluate("e => Boolean(e.layout.sliders?.length)"):
            facts.dead_controls.append(f"plotly slider of #{plot.get_attribute('id')}, which no key reaches")

    for scrubber in page.query_selector_all("input[type=range][data-scrubber]"):
        facts.controls += 1
        name = (scrubber.get_attribute("data-target") or "").removeprefix("#")
        target = page.query_selector(f"[id='{name}']") if name else None
        if target is None:
            facts.dead_controls.append(f"scrubber whose data-target {name!r} is on no element")
            continue
        before, changed = target.evaluate(SEEN), False
        for end in ("max", "min"):
            scrubber.evaluate(MOVE, end)
            changed = changed or settles_to_change(page, target, before)
        if not changed:
            facts.dead_controls.append(f"scrubber of #{name}")


def new_context(browser: Any, mode: str) -> Any:
    """A browser window of this mode; pages opened in it share its cache."""
    _, scheme, width, height, _ = MODES[mode]
    return browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})


def visit(context: Any, address: str, mode: str, whole: bool = True) -> Facts:
    """Load one page once and gather every fact about it, by axe if `whole`. `address` is its http or file URL."""
    facts, home, axe_options = Facts(), urlsplit(address), MODES[mode][-1]

    def on_request(request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and (url.scheme, url.netloc) != (home.scheme, home.netloc):
            facts.foreign.append(request.url)

    def on_response(response: Any) -> None:
        if response.status >= 400:
            facts.failed.append(f"{response.url}: {response.status}")

    def on_console(message: Any) -> None:
        if message.type in ("error", "warning"):
            facts.console.append(f"{message.type}: {message.text}")

    page = context.new_page()
    try:
        page.on("request", on_request)
        page.on("requestfailed", lambda request: facts.failed.append(f"{request.url}: {request.failure}"))
        page.on("response", on_response)
        page.on("console", on_console)
        page.on("pageerror", lambda error: facts.console.append(f"uncaught: {error}"))
        page.goto(address, wait_until="load", timeout=30_000)
        facts.seen = page.evaluate(LOOK)
        if mode != "dark":  # a colour scheme does not change what a control does
            move_controls(page, facts)
        if axe_options is not None and whole:
            # axe tests by loading things itself: what it causes is not the page's doing.
            recorded = facts.console[:], facts.foreign[:], facts.failed[:]
            page.add_style_tag(content=AT_REST)
            facts.axe = run_axe(page, axe_options)
            facts.console, facts.foreign, facts.failed = recorded
    finally:
        page.close()
    return facts


def run_axe(page: Any, options: dict[str, Any]) -> list[str]:
    """The violations that axe-core finds, as 'impact rule: element'."""
    from axe_playwright_python.sync_playwright import Axe

    response = Axe().run(page, options={"resultTypes": ["violations"], **options}).response
    return [
        f"{violation['impact']} {violation['id']}: {node['target']} {node['html'][:160]}"
        for violation in response["violations"]
        for node in violation["nodes"]
    ]
