"""Under every figure of the built book stands the function that draws it."""

from __future__ import annotations

import ast
import builtins
import inspect
from pathlib import Path
from runpy import run_path

import bs4
import nbformat
import pytest

from diffmemlib.companion.figures import curves, images

ROOT = Path(__file__).resolve().parents[2]
drawn_by = run_path(str(ROOT / "book" / "_ext" / "sources.py"))["drawn_by"]
DRAWING = sorted(path.stem for path in (ROOT / "book").glob("*.ipynb"))


def test_a_figure_is_drawn_by_the_last_drawing_function_before_its_record() -> None:
    cells = [
        "from diffmemlib.companion.figures import images as draw\n"
        "from diffmemlib.companion.figures.curves import times\n"
        "from diffmemlib.companion.figures.record import record, record_live\n"
        "from diffmemlib.companion.figures.tables import frame\n"
        "import numpy as np",
        "f, table = draw.grid(run, [1,\n  2])\nframe('x', np.array(table))",
        "beside('x', lambda lower: draw.losses(lower))\nrecord([run], table, 'one')",
        "record_live('call', table, 'a table')",
        "f, table = times(draw.losses(a)[1], b); draw.nothing()",
        "record_live('call', table, 'two')",
    ]
    assert drawn_by(cells) == {
        "one": ("draw.grid(run, [1,\n  2])", images.grid), "two": ("times(draw.losses(a)[1], b)", curves.times),
    }  # fmt: skip


def bound(code: str) -> set[str]:
    """Names that a piece of code imports, or gives a value outside of a lambda."""
    nodes = list(ast.walk(ast.parse(code)))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {
        a.asname or a.name for node in nodes if isinstance(node, ast.ImportFrom | ast.Import) for a in node.names
    }


@pytest.mark.parametrize("page", DRAWING)
def test_each_record_holds_the_source(page: str, html: Path) -> None:
    cells = [c.source for c in nbformat.read(ROOT / "book" / f"{page}.ipynb", 4).cells if c.cell_type == "code"]
    drawn = drawn_by(cells)
    known = set(dir(builtins)).union(*(bound(cell) for cell in cells))
    for call, _ in drawn.values():
        names = {node.id for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Name)}
        assert names <= known | bound(call), f"{call}: the page has no {names - known}"
    article = bs4.BeautifulSoup((html / "book" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    shown = {}
    for block in article.select("details.provenance"):
        name = block.find("a", download=True)["download"].removesuffix(".csv")
        if source := block.find("details", class_="source"):
            shown[name] = [part.get_text().rstrip("\n") for part in source.find_all("pre")]
    assert shown == {name: [call, inspect.getsource(function).rstrip("\n")] for name, (call, function) in drawn.items()}
