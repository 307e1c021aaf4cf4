"""`make test` gives the pages to nbval; here: that it gets all of them, and that a changed number fails."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
PAGES = sorted(BOOK.glob("*.ipynb"))


def nbval_options() -> list[str]:
    """The options that the Makefile gives to nbval, the sanitising file at its absolute path."""
    line = re.search(r"^NBVAL := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert line, "the Makefile has no line NBVAL := ..."
    return [str(ROOT / word) if word.startswith("tests/") else word for word in shlex.split(line[1])]


def entries(toc: dict | list) -> list[str]:
    """Every root and file that a table of contents names, at any depth."""
    if isinstance(toc, list):
        return [name for item in toc for name in entries(item)]
    own = [toc[key] for key in ("root", "file") if key in toc]
    return own + [name for value in toc.values() if isinstance(value, list) for name in entries(value)]


def test_every_page_of_the_book_is_compared():
    """The Makefile hands over book/*.ipynb: a page elsewhere would be built, but never compared."""
    toc = entries(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    pages = {p.relative_to(ROOT).with_suffix("").as_posix() for p in PAGES}
    in_toc = {name.removesuffix(".ipynb") for name in toc if (ROOT / name).with_suffix(".ipynb").exists()}
    assert in_toc == pages, f"in _toc.yml or in book/, not in both: {sorted(in_toc ^ pages)}"
    if not pages:
        pytest.skip("no page is a notebook yet")


def test_every_module_is_on_the_page_of_the_library():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "diffmemlib").rglob("*.py")
        if not path.name.startswith("__")
    } | {"diffmemlib.companion.estimators"}  # the one package that holds something itself
    shown = set(re.findall(r"automodule:: (\S+)", (BOOK / "api.md").read_text()))
    assert shown == modules, f"in book/api.md or in diffmemlib/, not in both: {sorted(shown ^ modules)}"


@pytest.mark.parametrize(("computed", "kept", "outcome"), [(1, 1, "1 passed"), (2, 1, "1 failed")])
def test_nbval_compares_numbers_exactly(tmp_path: Path, computed: int, kept: int, outcome: str):
    output = nbformat.v4.new_output("stream", name="stdout", text=f"tau_mem / n = {kept}\n")
    cell = nbformat.v4.new_code_cell(f"print('tau_mem / n =', {computed})", execution_count=1, outputs=[output])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "page.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *nbval_options(), "page.ipynb"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert re.search(rf"=+ {outcome} in ", run.stdout), run.stdout + run.stderr
