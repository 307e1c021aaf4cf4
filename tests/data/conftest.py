"""A place of its own for the prepared data of every test that asks for one."""

from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path / "data"))
    return tmp_path
