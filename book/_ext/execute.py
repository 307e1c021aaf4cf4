"""Executes the pages of the book, several at once, into the cache from which Jupyter Book then draws them.

Jupyter Book executes one page after the other, most of the time on one core. A page that fails here is executed again by
Jupyter Book, which tells what went wrong.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

AT_ONCE = 4  # at most: each has a kernel of its own, of up to a gigabyte
TIMEOUT = 300  # seconds a cell, as in _config.yml


def execute(pages: list[Path], cache_folder: Path) -> int:
    """Execute `pages` into the cache and return how many failed."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of each kernel: pages share the cores
    cache, failed = get_cache(cache_folder), 0
    notebooks = [nbformat.read(page, 4) for page in pages]

    def run(page: Path, notebook: nbformat.NotebookNode) -> object:
        return single_nb_execution(notebook, cwd=str(page.parent.resolve()), timeout=TIMEOUT, allow_errors=False)

    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        for page, notebook, result in zip(pages, notebooks, pool.map(run, pages, notebooks), strict=True):
            failed += result.err is not None
            if result.err is None:
                bundle = CacheBundleIn(notebook, str(page.resolve()), data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            print(f"{page}: {'failed' if result.err else f'executed in {result.time:.0f} s'}", flush=True)
    return failed


if __name__ == "__main__":
    execute([Path(page) for page in sys.argv[2:]], Path(sys.argv[1]))
