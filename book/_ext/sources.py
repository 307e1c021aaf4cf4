"""Shows under every figure the code that draws it: its call on the page, and the function's source, folded.

A page's cells that draw are not shown. Each figure's record comes after the cell that draws it, so the function is the
last one of `diffmemlib.companion.figures` that is called before its name is recorded.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx

FIGURES = "diffmemlib.companion.figures"
RECORDS = ("record", "record_live", "record_stored")  # the last argument is the name of the figure
NOT_DRAWING = ("record", "tables", "tiers", "interactive")  # modules of FIGURES that the pages call for something else
BLOCK = re.compile(r'(<details class="provenance">(?:(?!</details>).)*download="([^"]+)\.csv".*?)</details>', re.DOTALL)


def imported(trees: Sequence[ast.Module]) -> dict[str, Any]:
    """Return what a page imports from this library, by the names that it has there."""
    names: dict[str, Any] = {}
    for node in (node for tree in trees for node in tree.body if isinstance(node, ast.ImportFrom)):
        if node.module and node.module.startswith("diffmemlib"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of a cell in the order in which they end, as they are made; not those within a lambda."""
    found, left = [], list(ast.iter_child_nodes(tree))
    while left:
        node = left.pop()
        if not isinstance(node, ast.Lambda):
            left += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            found.append(node)
    yield from sorted(found, key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0))


def called(call: ast.Call, names: dict[str, Any]) -> Callable[..., Any] | None:
    """Return the function that a call is of, where it is one of this library's."""
    function = call.func
    if isinstance(function, ast.Name):
        return names.get(function.id)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return getattr(names.get(function.value.id), function.attr, None)
    return None


def drawn_by(cells: Sequence[str]) -> dict[str, tuple[str, Callable[..., Any]]]:
    """Return for each figure of a page its call, as text, and the function that draws it.

    cells: the source of the code cells, in order.
    """
    trees = [ast.parse(cell) for cell in cells]
    names, last, found = imported(trees), None, {}
    for cell, tree in zip(cells, trees, strict=True):
        for call in calls(tree):
            function = called(call, names)
            module = getattr(function, "__module__", "")
            if module.startswith(FIGURES + ".") and module.rpartition(".")[2] not in NOT_DRAWING:
                last = str(ast.get_source_segment(cell, call)), function
            elif getattr(function, "__name__", "") in RECORDS and last is not None:
                name = call.args[-1]
                assert isinstance(name, ast.Constant), f"a figure's name is a text: {ast.unparse(call)}"
                found[str(name.value)], last = last, None
    return found


def show_sources(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the sources into the body of a page that is about to be written."""
    path = Path(app.srcdir) / f"{pagename}.ipynb"
    if "body" not in context or not path.exists():
        return
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    drawn = drawn_by(cells)

    def with_source(block: re.Match[str]) -> str:
        if block[2] not in drawn:
            return block[0]
        call, function = drawn[block[2]]
        highlight = app.builder.highlighter.highlight_block  # type: ignore[attr-defined]
        where = f"{function.__module__}.{function.__qualname__}"
        return (
            f'{block[1]}<details class="source"><summary>Code: <code>{where}</code></summary>'
            f"<p>Called on this page as</p>{highlight(call, 'python')}"
            f"<p>which is</p>{highlight(inspect.getsource(function), 'python')}</details></details>"
        )

    context["body"] = BLOCK.sub(with_source, context["body"])
