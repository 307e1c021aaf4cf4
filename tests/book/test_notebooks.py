"""`make test` gives the pages to nbval; here: that it gets all of them, and that a changed number fails."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

import diffmemlib

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


def test_every_module_is_on_a_page_of_its_package():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "diffmemlib").rglob("*.py")
        if not path.name.startswith("_")
    } | {"diffmemlib.companion.estimators"}  # the one package that holds something itself
    shown = set()
    for page in (BOOK / "api").glob("*.md"):
        on_page = re.findall(r"automodule:: diffmemlib\.(\S+)", page.read_text())
        assert page.stem == "ground" or {name.split(".")[0] for name in on_page} == {page.stem}
        shown |= {f"diffmemlib.{name}" for name in on_page}
    assert shown == modules, f"in book/api/ or in diffmemlib/, not in both: {sorted(shown ^ modules)}"


def test_the_table_of_public_names_is_the_librarys():
    table = re.findall(r"^\| `(\w+)` \| \[`([\w.]+)`\]\(api/(\w+)\) \|", (BOOK / "api.md").read_text(), re.M)
    assert {(name, module) for name, module, _ in table} == set(diffmemlib._MODULE.items())
    assert all((BOOK / "api" / f"{page}.md").exists() for *_, page in table)


def other_pythons() -> list[str]:
    """Those on the path, of other versions than this one, that have what builds the book."""
    needed = "import jupyter_book, sphinx_proof, sphinxcontrib.bibtex, torch, scipy, pandas, pyarrow, plotly, filelock"
    others = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13) if minor != sys.version_info.minor]
    return [
        python
        for python in others
        if python and subprocess.run([python, "-c", needed], capture_output=True).returncode == 0
    ]


@pytest.mark.slow
def test_the_pages_of_the_library_build_in_other_versions_of_python_without_a_warning(tmp_path: Path):
    """How an annotation is shown depends on the version, and none may be a reference that is not found."""
    if not other_pythons():
        pytest.skip("no other version of Python here has what builds the book; make book builds it in this one")
    for name in ("_config.yml", "book/_ext", "book/_static", "book/api", "book/api.md", "book/references.bib"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    pages = "".join(f"  - file: book/api/{page.stem}\n" for page in sorted((BOOK / "api").glob("*.md")))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/api\nchapters:\n{pages}")
    main = "from jupyter_book.cli.main import main; main()"
    for python in other_pythons():
        build = subprocess.run(
            [python, "-c", main, "build", tmp_path, "--all", "-W", "-n", "--keep-going"],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert build.returncode == 0, f"{python}: {build.stdout[-3000:]}{build.stderr[-3000:]}"
        assert "Schedule.cosine" in (tmp_path / "_build/html/book/api/diffusion.html").read_text()


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
