"""A plugin of pytest: nbval compares what the build of the book has executed, instead of executing each page again.

    pytest -p tests.book.replay --executed _build/.jupyter_cache --nbval book/NAME.ipynb

nbval asks a kernel for the messages of each cell; here a record answers in the kernel's place.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_cache import get_cache
from nbval.plugin import IPyNbCell, IPyNbFile


class Record:
    """A kernel, as nbval sees it, that gives the outputs kept by an earlier execution."""

    def __init__(self, page: Path, executed: nbformat.NotebookNode | None) -> None:
        self.page = page
        self.cells = iter([] if executed is None else [cell for cell in executed.cells if cell.cell_type == "code"])
        self.messages: list[dict[str, Any]] = []

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        pass

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        pass

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        cell = next(self.cells, None)
        assert cell is not None and cell.source == source, (
            f"The build has not executed {self.page} as it stands now: run make book, or leave out --executed."
        )
        idle = {"msg_type": "status", "content": {"execution_state": "idle"}}
        self.messages = [self.message(output) for output in cell.outputs] + [idle]
        return "record"

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        return self.messages.pop(0) | {"parent_header": {"msg_id": "record"}}

    @staticmethod
    def message(output: nbformat.NotebookNode) -> dict[str, Any]:
        content = {name: value for name, value in output.items() if name != "output_type"}
        if "data" in content:  # the build draws SVG and a page keeps PNG: nbval compares neither
            content["data"] = {kind: value for kind, value in content["data"].items() if kind != "image/svg+xml"}
        return {"msg_type": output.output_type, "content": content}


def give_record(file: IPyNbFile, folder: Path) -> None:
    """Set up a page, as nbval does it, with the record of its execution for a kernel."""
    page, cache = Path(file.path), get_cache(folder)
    records = [record for record in cache.list_cache_records() if Path(record.uri) == page]
    file.kernel = Record(page, cache.get_cache_bundle(records[0].pk).nb if records else None)
    file.setup_sanitize_files()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--executed", type=Path, metavar="FOLDER", help="a cache of executed pages for nbval to compare")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folder = config.getoption("executed")
    if folder is not None:
        for file in {item.parent for item in items if isinstance(item, IPyNbCell)}:
            file.setup = partial(give_record, file, folder.resolve())
