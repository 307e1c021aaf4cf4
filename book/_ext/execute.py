"""Executes pages of the book, several at once, into the cache from which Jupyter Book then draws them.

Jupyter Book alone executes one page after the other, most of the time on one core. A page that fails here is not cached,
so Jupyter Book executes it again and tells what went wrong.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

AT_ONCE = 4  # at most: each has a kernel of its own, of up to a gigabyte


def execute(pages: list[Path], cache_folder: Path, timeout: int) -> list[Path]:
    """Empty the cache, execute the pages into it, each by one thread, and return those that failed.

    timeout: seconds that a cell may take.
    """
    shutil.rmtree(cache_folder, ignore_errors=True)
    cache, failed = get_cache(cache_folder), []
    notebooks = [nbformat.read(page, 4) for page in pages]

    def run(page: Path, notebook: nbformat.NotebookNode) -> Any:
        return single_nb_execution(notebook, cwd=str(page.parent.resolve()), timeout=timeout, allow_errors=False)

    threads = min(AT_ONCE, os.cpu_count() or 1)
    with patch.dict(os.environ, OMP_NUM_THREADS="1", DIFFMEM_FIGURES="svg"), ThreadPoolExecutor(threads) as pool:
        for page, notebook, result in zip(pages, notebooks, pool.map(run, pages, notebooks), strict=True):
            if result.err is None:
                bundle = CacheBundleIn(notebook, str(page.resolve()), data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            else:
                failed.append(page)
            print(f"{page.name}: {'failed' if result.err else f'executed in {result.time:.0f} s'}", flush=True)
    return failed
