"""The record of an execution stands in for a kernel, so that nbval compares what the build has drawn."""

import re
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXECUTE = run_path(str(ROOT / "book" / "_ext" / "execute.py"))["execute"]
# The first counts the executions, in a file beside the page.
CELLS = (
    "import sys, pathlib; _ = pathlib.Path('count').open('a').write('x')",
    "print('tau_mem / n =', 3)\nprint('slow', file=sys.stderr)",
    "from IPython.display import SVG, display\ndisplay(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))\n1 + 1",
)


def write(page: Path, outputs: dict[int, list[nbformat.NotebookNode]], cells: tuple[str, ...] = CELLS) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = [
        nbformat.v4.new_code_cell(source, execution_count=number + 1, outputs=outputs.get(number, []))
        for number, source in enumerate(cells)
    ]
    made.insert(1, nbformat.v4.new_markdown_cell("Text between the cells"))
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), page)


def kept(ratio: int, result: int) -> dict[int, list[nbformat.NotebookNode]]:
    """What a page keeps of these cells; the figure is a PNG there, which nbval does not look at."""
    stream, display = "stream", "display_data"
    return {
        1: [
            nbformat.v4.new_output(stream, name="stdout", text=f"tau_mem / n = {ratio}\n"),
            nbformat.v4.new_output(stream, name="stderr", text="slow\n"),
        ],
        2: [
            nbformat.v4.new_output(
                display, data={"image/png": "iVBORw0KGgo=", "text/plain": "<IPython.core.display.SVG object>"}
            ),
            nbformat.v4.new_output("execute_result", execution_count=3, data={"text/plain": f"{result}"}),
        ],
    }


def compared(page: Path, cache: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.book.replay", "-rf"]
    command += ["--executed", str(cache), "--nbval", "--nbval-current-env", "--rootdir", str(page.parent), str(page)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return run.stdout + run.stderr


@pytest.fixture
def page(tmp_path: Path) -> Path:
    write(tmp_path / "page.ipynb", kept(3, 2))
    assert EXECUTE([tmp_path / "page.ipynb"], tmp_path / "cache", 60) == []
    return tmp_path / "page.ipynb"


def test_what_the_build_executed_is_compared_and_not_executed_again(page: Path) -> None:
    said = compared(page, page.parent / "cache")
    assert re.search(r"=+ 3 passed in ", said), said
    assert (page.parent / "count").read_text() == "x"


@pytest.mark.parametrize(("ratio", "result", "cell"), [(4, 2, 1), (3, 5, 2)])
def test_an_output_that_differs_from_the_one_kept_fails(page: Path, ratio: int, result: int, cell: int) -> None:
    write(page, kept(ratio, result))
    said = compared(page, page.parent / "cache")
    assert re.search(r"=+ 1 failed, 2 passed in ", said), said
    assert f"page.ipynb::Cell {cell}" in said and "Cell outputs differ" in said


def test_a_page_that_was_edited_or_never_executed_is_told(page: Path) -> None:
    write(page, kept(3, 2), (*CELLS[:2], CELLS[2].replace("1 + 1", "2")))
    said = compared(page, page.parent / "cache")
    assert re.search(r"=+ 1 failed, 2 passed in ", said) and "run make book" in said, said
    write(page.with_name("other.ipynb"), kept(3, 2))
    said = compared(page.with_name("other.ipynb"), page.parent / "cache")
    assert re.search(r"=+ 3 failed in ", said) and "other.ipynb as it stands now: run make book" in said, said
