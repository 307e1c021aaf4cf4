"""Each notebook of the book and its .py pair hold the same cells; pages keep clean, complete outputs."""

import json
import re
from pathlib import Path

import jupytext
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
MIB = 2**20
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
MACHINE_PATH = re.compile(r"(?<![\w.])(?:/(?:home|root|tmp|work|Users)/|[A-Z]:\\+Users\\)[^\s\"'<]*")


def files(suffix: str) -> list[Path]:
    """Files under book/, without what is built (checkpoints, executed) or of the theme (_ext, _static)."""
    found = sorted(BOOK.rglob(f"*{suffix}"))
    return [
        path
        for path in found
        if not any(part.startswith(("_", ".")) or part == "executed" for part in path.relative_to(BOOK).parts)
    ]


NOTEBOOKS = files(".ipynb")
PAGES = [path for path in NOTEBOOKS if path.parent == BOOK]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def inputs(notebook: NotebookNode) -> list[tuple[str, str, dict]]:
    """(cell type, source, kept metadata) of each cell: what the two files of a pair share."""
    kept = ("tags", "mystnb")
    return [(c.cell_type, c.source, {k: c.metadata[k] for k in kept if c.metadata.get(k)}) for c in notebook.cells]


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """(position in the notebook, cell) of each code cell that is not empty."""
    return [(i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code" and c.source.strip()]


def text_outputs(cell: NotebookNode) -> list[str]:
    """The outputs of a cell as text; images apart, since base64 may spell anything."""
    texts = []
    for output in cell.outputs:
        data = {k: v for k, v in output.get("data", {}).items() if not k.split(";")[0].endswith(("png", "jpeg"))}
        texts += [output.get("text", ""), json.dumps(data), json.dumps(output.get("metadata", {}))]
    return texts


def test_every_notebook_has_a_pair():
    notebooks = {path.with_suffix("") for path in NOTEBOOKS}
    scripts = {path.with_suffix("") for path in files(".py")}
    lone = [f"{name(p)}.ipynb has no .py" for p in sorted(notebooks - scripts)]
    lone += [f"{name(p)}.py has no .ipynb" for p in sorted(scripts - notebooks)]
    assert not lone, "; ".join(lone) + ". Run make pairs (modules that are no notebooks go to diffmemlib/)."


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_pair_agrees(path: Path):
    script = path.with_suffix(".py")
    if not script.exists():
        pytest.fail(f"{name(script)} is missing. Run make pairs.")
    assert re.search(r"^#\s+format_name: percent$", script.read_text(), re.M), (
        f"{name(script)} is not in percent format"
    )
    ours, theirs = inputs(jupytext.read(path)), inputs(jupytext.read(script))
    advice = f"in {name(path)} and {name(script)}. Run make pairs (the newer file wins)."
    for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        for what, x, y in zip(("type", "source", "metadata"), a, b, strict=True):
            assert x == y, f"cell {i} differs in {what} {advice}"
    assert len(ours) == len(theirs), f"{len(ours)} and {len(theirs)} cells {advice}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_is_small_and_timeless(path: Path):
    size = path.stat().st_size
    assert size < MIB, f"{name(path)} has {size / MIB:.1f} MiB: move data of figures to a file beside the page"
    notebook = jupytext.read(path)
    for i, metadata in [
        ("", notebook.metadata),
        *((f" cell {i}", c.metadata) for i, c in enumerate(notebook.cells)),
    ]:
        stamp = TIMESTAMP.search(json.dumps(metadata))
        assert not stamp, f"{name(path)}{i} keeps the time of a run: {stamp[0]}. Run make notebooks."


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_page_was_run_once_from_top_to_bottom(path: Path):
    cells = code_cells(jupytext.read(path))
    counts = [cell.execution_count for _, cell in cells]
    advice = f"Run make notebooks PAGES={name(path)}"
    for expected, (i, cell) in enumerate(cells, 1):
        assert cell.execution_count == expected, f"{name(path)} cell {i} has run count {counts[expected - 1]}. {advice}"
        errors = [output.ename for output in cell.outputs if output.output_type == "error"]
        assert not errors, f"{name(path)} cell {i} ended in {errors[0]}. Mend it, then: {advice}"
    assert any(cell.outputs for _, cell in cells), f"{name(path)} has no outputs. {advice}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_outputs_name_no_path_of_a_machine(path: Path):
    for i, cell in code_cells(jupytext.read(path)):
        for text in text_outputs(cell):
            found = MACHINE_PATH.search(text)
            assert not found, f"{name(path)} cell {i} shows {found[0]}: print a path relative to the repository"
