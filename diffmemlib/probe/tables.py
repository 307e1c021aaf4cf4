"""Arrays and tables of one's own, read from .npy, .npz, .safetensors, .csv and .parquet; nothing in them runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.inventory import SourceError, quoted
from ..files import read_text

SUFFIXES = (".npy", ".npz", ".safetensors", ".csv", ".tsv", ".parquet")
MOST_BYTES = 2**33  # of a file
MAGIC = {".npy": (b"\x93NUMPY",), ".npz": (b"PK\x03\x04", b"PK\x05\x06")}  # at the beginning of a file
IDENTITY = re.compile(r"(.*[_ ])?(id|index|idx|no|nr|number|row|key)", re.IGNORECASE)  # names of columns that count
HEAD = 2**16  # characters in which the separator is looked for


def read_array(path: Path, columns: Sequence[str] = ()) -> tuple[NDArray[Any], list[str]]:
    """Return the numbers of a file, and what was left out of it, as sentences.

    They are an array as it is stored, or the columns of a table, (rows, columns).

    Parameters
    ----------
    path
        The file.
    columns
        Of a table, those to take (default all); of a file that holds several arrays, the name of one.

    Raises
    ------
    SourceError
        Names the file, says what is wrong with it and what to do.
    """
    name, suffix = quoted(path.name), path.suffix.lower()
    if path.stat().st_size > MOST_BYTES:
        raise SourceError(f"{name} has {path.stat().st_size / 2**30:.0f} GiB; {MOST_BYTES / 2**30:.0f} are the most")
    try:
        if suffix in (".csv", ".tsv", ".parquet"):
            table, told = _table(path, suffix)
            numbers, left_out = _numbers(table, columns, name)
            return numbers, told + left_out
        arrays = _arrays(path, suffix)
    except SourceError:
        raise
    except Exception as error:  # whatever a reader raises, the file is not what its name says
        raise SourceError(f"{name} cannot be read as {suffix} ({error})") from None
    if len(columns) > 1:
        raise SourceError(f"{name}: give one --column, the name of an array, not {len(columns)}")
    if columns and list(arrays) == [""]:
        raise SourceError(f"{name} holds one array, without a name: leave --column out")
    if columns and columns[0] not in arrays:
        raise SourceError(f"{name} holds no array {quoted(columns[0])!r}; it has {_listed(list(arrays))}")
    if not columns and len(arrays) != 1:
        raise SourceError(f"{name} holds {len(arrays)} arrays ({_listed(list(arrays))}): choose one with --column NAME")
    array = arrays[columns[0] if columns else next(iter(arrays))]
    if array.size == 0:
        raise SourceError(f"{name} holds no points: its shape is {array.shape}")
    if array.dtype.kind == "c":
        raise SourceError(
            f"{name} holds complex numbers: give their real and imaginary parts, as two channels of a picture or as "
            "twice as many numbers of a vector"
        )
    if array.dtype.kind not in "fiub":
        raise SourceError(f"{name} holds {array.dtype} of shape {array.shape}: give numbers, a point a row")
    return array, []


def _arrays(path: Path, suffix: str) -> dict[str, NDArray[Any]]:
    if suffix == ".safetensors":
        import safetensors.torch

        tensors = safetensors.torch.load_file(path)
        return {name: (t.float() if t.is_floating_point() else t).numpy() for name, t in tensors.items()}
    with open(path, "rb") as file:
        if not file.read(6).startswith(MAGIC[suffix]):
            raise SourceError(f"{quoted(path.name)} is no {suffix} file, whatever its name says: write it by numpy")
        file.seek(0)
        try:
            loaded = np.load(file, allow_pickle=False)
            return {name: loaded[name] for name in loaded.files} if suffix == ".npz" else {"": loaded}
        except ValueError as error:
            if "pickle" not in str(error):
                raise
            raise SourceError(
                f"{quoted(path.name)} holds Python objects, which are not read, since they may run code: give numbers"
            ) from None


def _table(path: Path, suffix: str) -> tuple[pd.DataFrame, list[str]]:
    if suffix == ".parquet":
        return pd.read_parquet(path), []
    told: list[str] = []
    text, name = read_text(path), quoted(path.name)
    separators = ["\t"] if suffix == ".tsv" else [",", ";", "\t"]
    head = text[:HEAD].splitlines()
    # The separator that cuts the first line into most fields, if the next lines have as many.
    fields = {s: [len(row) for row in csv.reader(head[:20], delimiter=s) if row] or [0] for s in separators}
    separator = max(separators, key=lambda s: (fields[s][0] > 1, len(set(fields[s])) == 1, fields[s][0]))
    rows = [(i, row) for i, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1) if any(row)]
    if len(rows) < 2:
        raise SourceError(f"{name} is empty: give a line of names, then a line for each point")
    columns = [cell.strip() for cell in rows[0][1]]
    if all(_is_number(cell) for cell in columns):
        columns = [f"column {i}" for i in range(1, len(columns) + 1)]
        told = ["Its first line holds numbers and was taken for a point: put a line of names above if it is none."]
    else:
        rows = rows[1:]
    if odd := next(((i, row) for i, row in rows if len(row) != len(columns)), None):
        raise SourceError(f"{name}, line {odd[0]} has {len(odd[1])} fields, and the first has {len(columns)}")
    table = pd.DataFrame([[cell.strip() for cell in row] for _, row in rows], columns=columns)
    if (table == "").all().any():
        table = table.loc[:, ~(table == "").all()]
    truths = {"true": "1", "false": "0"}
    for i in range(table.shape[1]):
        cells = table.iloc[:, i].str.lower()
        if cells.isin((*truths, "")).all():
            table.isetitem(i, cells.replace(truths))
    numbers = table.apply(pd.to_numeric, errors="coerce")
    for i, column in enumerate(table.columns):
        cells = table.iloc[:, i]
        filled = ~cells.str.lower().isin(("", "na", "nan", "null", "none"))
        if numbers.iloc[:, i][filled].isna().any():
            if cells[filled].str.fullmatch(r"-?\d+,\d+").any():
                raise SourceError(
                    f"{name} has commas within numbers, in the column {quoted(column)}: write points, or nothing"
                )
            numbers.isetitem(i, cells.astype(object))
    return numbers, told


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(table: pd.DataFrame, columns: Sequence[str], name: str) -> tuple[NDArray[np.float64], list[str]]:
    table = table.rename(columns=str)
    first = table.columns[0] if len(table.columns) else ""
    if first in ("", "Unnamed: 0") and (table.iloc[:, 0] == np.arange(len(table))).all():  # the index of pandas
        table = table.iloc[:, 1:]
    if twice := table.columns[table.columns.duplicated()].tolist():
        raise SourceError(f"{name} has two columns of the name {_listed(twice[:1])}: give each a name of its own")
    columns = list(dict.fromkeys(columns))
    if missing := [c for c in columns if c not in table.columns]:
        raise SourceError(f"{name} has no column {_listed(missing)}; it has {_listed(list(table.columns))}")
    counting = [] if columns else [c for c in table.columns if _counts(table[c], c)]
    told = [f"The column {quoted(c)} only numbers the rows and was left out (--column takes it)." for c in counting]
    table = _spread(table[columns] if columns else table.drop(columns=counting), name)
    if text := [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]:
        numbers = [c for c in table.columns if c not in text]
        column = table[text[0]]
        told = pd.to_numeric(column, errors="coerce").isna() & column.notna() & (column.astype(str) != "")
        row = int(told.to_numpy().argmax())
        if len(table.columns) == 1 and re.search(r"[\s|]", str(column.iloc[row])):
            raise SourceError(f"{name} has no comma, semicolon or tab between its columns: write one of them")
        choose = (
            f"; or choose columns with numbers, each with --column NAME, such as {_listed(numbers)}" if numbers else ""
        )
        what = "such rows" if told.sum() < column.notna().sum() else "such columns"
        raise SourceError(
            f"{name} has columns without numbers: {_listed(text)}. The first of them holds "
            f"{quoted(str(column.iloc[row]))!r} in row {row + 1}: leave {what} out{choose}"
        )
    if (gaps := table.isna().any(axis=1)).any():
        worst = table.columns[table.isna().any()]
        which = "column" if len(worst) == 1 else "columns"
        raise SourceError(
            f"{name} has gaps in {int(gaps.sum())} of {len(table)} rows, in the {which} {_listed(list(worst))}, first "
            f"in row {int(gaps.to_numpy().argmax()) + 1}: leave those rows or columns out, or fill them"
        )
    if table.empty:
        raise SourceError(f"{name} has no column of measurements: give one or more")
    return table.to_numpy(float), told


def _spread(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table whose columns of lists, as embeddings are stored, have a column for each entry."""
    parts = []
    for column in table.columns:
        cells = table[column]
        lists = cells.map(lambda cell: isinstance(cell, list | tuple | np.ndarray))
        if not lists.any():
            parts.append(cells)
            continue
        if not lists.all():
            raise SourceError(
                f"{name} has gaps in {int((~lists).sum())} of {len(table)} rows, in the column {quoted(column)}, first "
                f"in row {int((~lists).to_numpy().argmax()) + 1}: leave those rows out, or fill them"
            )
        if any(np.ndim(cell) != 1 or (len(cell) and np.ndim(cell[0])) for cell in cells):
            raise SourceError(
                f"{name} has lists of lists in the column {quoted(column)}: give one list of numbers a point"
            )
        lengths = cells.map(len)
        if lengths.nunique() > 1:
            raise SourceError(
                f"{name} has lists of {lengths.min()} to {lengths.max()} entries in the column {quoted(column)}: give "
                "all points as many numbers"
            )
        entries = pd.DataFrame(np.stack(cells.to_numpy()), index=table.index)
        parts.append(entries.rename(columns=lambda i, column=column: f"{column}[{i}]"))
    return pd.concat(parts, axis=1) if parts else table


def _counts(column: pd.Series, name: str) -> bool:
    """Whether a column tells rows apart and measures nothing: 0, 1, 2 and so on, or any such whole numbers by name."""
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any() or (column % 1 != 0).any():
        return False
    steps = np.diff(column.to_numpy(float))
    return bool(len(steps) and (steps == 1).all()) or (IDENTITY.fullmatch(name) is not None and column.is_unique)


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(str(name)) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
