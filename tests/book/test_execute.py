"""Pages are executed into an emptied cache; one that fails stays out of it, for Jupyter Book to tell."""

from pathlib import Path
from runpy import run_path

import nbformat
from jupyter_cache import get_cache

EXECUTE = run_path(str(Path(__file__).resolve().parents[2] / "book" / "_ext" / "execute.py"))["execute"]


def page(folder: Path, name: str, source: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / name)
    return folder / name


def test_pages_that_succeed_are_cached_and_the_cache_forgets_what_was_there(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    good = page(
        tmp_path, "good.ipynb", "import os; print(os.environ['OMP_NUM_THREADS'], os.path.basename(os.getcwd()))"
    )
    bad = page(tmp_path, "bad.ipynb", "1 / 0")
    assert EXECUTE([good, bad], cache, 60) == [bad]
    records = get_cache(cache).list_cache_records()
    assert [Path(record.uri).name for record in records] == ["good.ipynb"]
    executed = get_cache(cache).get_cache_bundle(records[0].pk).nb
    assert executed.cells[0].outputs[0]["text"].split() == ["1", tmp_path.name]

    other = page(tmp_path, "other.ipynb", "print(2)")
    assert EXECUTE([other], cache, 60) == []
    assert [Path(record.uri).name for record in get_cache(cache).list_cache_records()] == ["other.ipynb"]
