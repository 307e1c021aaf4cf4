"""What this book needs from Sphinx beyond its configuration.

- plotly.min.js comes from the installed plotly package, so that it matches the figures and git holds no copy.
- sphinx-thebe is disconnected: Jupyter Book always loads it, and it writes the address of another host into each page.
- Pages are executed several at once, and anew each time; see `execute.py`.
- Under every figure stands the code that draws it; see `sources.py`.
- Figures are SVG, in colours for either theme, and laid out for a phone too; see `pictures.py`.
- A caption says which figure of the paper is redrawn; see `captions.py`.
- A symbol is a link to the notation where it first stands on a page; see `symbols.py`.
- Without scripts, formulas are shown as MathML; see `formulas.py`.
- Docstrings are shown as the plain text they are, since |x|^2 or w* mean something else in reStructuredText. Types that
  are not the library's own are plain text too: how an alias is called depends on the version of Python.
- The written pages are repaired where the theme leaves something that fails when opened from disk, or that a screen
  reader cannot use. Each repair may be applied twice: an incremental build leaves unchanged pages as they are.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

REPAIRS = [
    # Font preloads need CORS, which pages opened from disk do not have; the style sheet loads the fonts anyway.
    (re.compile(r'<link rel="preload" as="font"[^>]*>\s*'), ""),
    # The side bar's logo is outside every landmark.
    (re.compile(r'<div class="bd-sidebar-primary bd-sidebar">'),
     '<div class="bd-sidebar-primary bd-sidebar" role="navigation" aria-label="Book">'),
    # The bibliography is a list whose children have a role that no list may have.
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    # What folds the pages below a page in the side bar has a picture only.
    (re.compile(r'<summary>(?=<span class="toctree-toggle")'), '<summary aria-label="Pages below this one">'),
    # The corner of a pandas table heads nothing.
    (re.compile(r"<th></th>"), "<td></td>"),
]  # fmt: skip


def add_plotly(app: Sphinx, config: Config) -> None:
    """Have Sphinx copy plotly.min.js to ``_static/`` with the other static files."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ImportError("The book draws with plotly: install it in the environment that builds the book.")
    config.html_static_path.append(str(Path(spec.origin).parent / "package_data" / "plotly.min.js"))


def disconnect_thebe(app: Sphinx, config: Config) -> None:
    """Remove sphinx-thebe's listeners and its style sheet."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [one for one in app.registry.css_files if one[0] != "sphinx-thebe.css"]


def announce_tier(app: Sphinx, config: Config) -> None:
    """Say on every page that it is drawn at another tier than the one that its sentences were written for."""
    from diffmemlib.places import book_tier

    if book_tier() not in (None, "laptop"):
        config.html_theme_options["announcement"] = (
            f"Drawn from the runs of tier {book_tier()}, where its table has them. Figures, numbers and verdicts follow "
            "the runs; the sentences around them were written for the laptop tier and its digits."
        )


def execute_pages(app: Sphinx, env: Any, docnames: list[str]) -> None:
    """Execute the pages that are about to be read, where the configuration has them read from the cache."""
    pages = [path for path in (Path(env.doc2path(name)) for name in docnames) if path.suffix == ".ipynb"]
    settings = env.mystnb_config
    if pages and settings.execution_mode == "cache":
        from execute import execute

        execute(pages, Path(settings.execution_cache_path), settings.execution_timeout)


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape reStructuredText in a docstring, line by line; `name` in single backticks becomes code."""
    for number, line in enumerate(lines):
        parts = re.split(r"``?([^`]+)``?", line)  # text, code, text, code, ...
        parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", text) for text in parts[::2]]
        parts[1::2] = [f"``{code}``" for code in parts[1::2]]
        lines[number] = "".join(parts)


def plain_type(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """Show a type that cannot be linked to as text: other packages document theirs on other hosts."""
    return contnode if node.get("refdomain") == "py" else None


def repair_pages(app: Sphinx, exception: Exception | None) -> None:
    """Apply REPAIRS to every written page."""
    if exception is not None or app.builder.format != "html":
        return
    for file in Path(app.outdir).rglob("*.html"):
        before = after = file.read_text(encoding="utf-8")
        for pattern, replacement in REPAIRS:
            after = pattern.sub(replacement, after)
        if after != before:
            file.write_text(after, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    sys.path.insert(0, str(app.srcdir))  # autodoc documents the library of this checkout
    from captions import say_what_is_redrawn
    from formulas import show_formulas
    from pictures import add_figures
    from sources import show_sources
    from symbols import show_symbols

    app.connect("config-inited", add_plotly)
    app.connect("config-inited", disconnect_thebe)
    app.connect("config-inited", announce_tier)
    app.connect("env-before-read-docs", execute_pages)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # napoleon is at 500
    app.connect("missing-reference", plain_type)
    app.connect("doctree-read", say_what_is_redrawn)
    app.connect("html-page-context", show_sources)
    app.connect("html-page-context", show_symbols)
    app.connect("html-page-context", show_formulas)
    app.connect("build-finished", repair_pages)
    app.connect("build-finished", add_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
