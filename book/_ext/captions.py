"""A figure that redraws one of the paper's says so at the end of its caption."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

from diffmemlib.companion.paper_figures import redraws


def say_what_is_redrawn(app: Sphinx, doctree: nodes.document) -> None:
    """Add "Redraws the paper's Fig. 2" to the caption of each figure that does, by book/paper-figures.toml."""
    for figure in doctree.findall(nodes.figure):
        said = next(filter(None, map(redraws, figure["names"])), "")
        caption = next(iter(figure.findall(nodes.caption)), None)
        if said and caption is not None:
            caption += nodes.Text(f" Redraws the paper's {said}.")
