"""The built book, and a browser to open it in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import find_chromium, flags

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book."""
    if not (HTML / "index.html").exists():
        jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
        command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-6000:]}"
    return HTML


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium; where there is none, tests are skipped, except where everything has to be tested."""
    path, reason = find_chromium(), "no chromium, chromium-browser or google-chrome on PATH"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path, reason = None, "playwright is not installed"
    if path is None:
        everything = os.environ.get("DIFFMEM_CI") or os.environ.get("CI") == "true"
        (pytest.fail if everything else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags())
        yield browser
        browser.close()
