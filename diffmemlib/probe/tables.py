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
LEVELS = 20  # different whole numbers in a column that may be labels, at most
FAR = 5.0  # times the range of all others at which a number that is repeated may stand for a gap


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
    return array, _stand_ins(array, [f"{i}" for i in range(1, array.shape[1] + 1)]) if array.ndim == 2 else []


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
    name = quoted(path.name)
    try:
        text = read_text(path)
    except ValueError as error:
        raise SourceError(str(error)) from None
    separators = ["\t"] if suffix == ".tsv" else [",", ";", "\t"]
    head = [line for line in text[:HEAD].splitlines() if not line.startswith("#")] or text[:HEAD].splitlines()
    # The separator that cuts the first line into most fields, if the next lines have as many.
    fields = {s: [len(row) for row in csv.reader(head[:20], delimiter=s) if row] or [0] for s in separators}
    separator = max(separators, key=lambda s: (fields[s][0] > 1, len(set(fields[s])) == 1, fields[s][0]))
    rows = [(i, row) for i, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1) if any(row)]
    rows, comments = _without_comments(rows)
    if comments:
        told += [f"Comment lines (#) at its beginning, which were left out: {comments}."]
    if len(rows) < 2:
        raise SourceError(f"{name} is empty: give a line of names, then a line for each point")
    columns = [cell.strip() for cell in rows[0][1]]
    columns[0] = columns[0].removeprefix("#").lstrip()  # as numpy writes a line of names
    if columns in ([str(i + first) for i in range(len(columns))] for first in (0, 1)) and len(columns) > 1:
        told += ["Its first line numbers the columns, and was taken for their names."]
        rows = rows[1:]
    elif all(_is_number(cell) for cell in columns):
        columns = [f"column {i}" for i in range(1, len(columns) + 1)]
        told += ["Its first line holds numbers and was taken for a point: put a line of names above if it is none."]
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


def _without_comments(rows: list[tuple[int, list[str]]]) -> tuple[list[tuple[int, list[str]]], int]:
    """The rows without comments above them, and how many those were.

    A first row with # is a comment, unless it has a name for each number of the next: then it is a line of names.
    """
    comments = 0
    while len(rows) > 1 and rows[0][1][0].lstrip().startswith("#"):
        (_, first), (_, second) = rows[:2]
        if len(first) == len(second) and all(map(_is_number, second)):
            break
        rows, comments = rows[1:], comments + 1
    return rows, comments


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
    table = _as_numbers(_spread(table[columns] if columns else table.drop(columns=counting), name))
    if text := [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]:
        numbers = [c for c in table.columns if c not in text]
        column = table[text[0]]
        told = _parsed(column).isna() & column.notna() & (column.astype(str) != "")
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
    names, x = list(table.columns), table.to_numpy(float)
    told += [f"Its columns are {_listed(names)}; --column NAME, given for each, chooses among them."]
    labels = [c for c in names if (table[c] % 1 == 0).all() and 1 < table[c].nunique() <= LEVELS]
    if 0 < len(labels) < len(names):
        told += [
            f"At most {LEVELS} different whole numbers are in {_listed(labels)}: if they are labels and no "
            "measurements, choose the other columns."
        ]
    return x, told + _stand_ins(x, names)


def _stand_ins(x: NDArray[Any], names: Sequence[str]) -> list[str]:
    """What columns hold a number that is repeated and far from all others, as -9999 for a gap, in a sentence."""
    found = []
    for sign, values in ((1, x), (-1, -x.astype(float))):
        lowest, highest = values.min(axis=0).astype(float), values.max(axis=0).astype(float)
        at_lowest = values == lowest
        others = np.where(at_lowest, highest, values).min(axis=0)
        far = (others - lowest > FAR * (highest - others)) & (highest > others)
        far &= (at_lowest.sum(axis=0) > 1) & (at_lowest.mean(axis=0) < 0.5)
        found += [f"{sign * lowest[i]:g} in column {quoted(names[i])}" for i in np.flatnonzero(far).tolist()]
    if not found:
        return []
    return [
        f"Far from all others and repeated: {_listed(found)}. If such numbers stand for gaps, leave their rows out."
    ]


def _parsed(column: pd.Series) -> pd.Series:
    """What a column says as numbers; NaN where it does not, and so all dates."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind in "mM":
        return pd.Series(np.nan, index=column.index)
    cells = column.astype(object).map(lambda cell: None if hasattr(cell, "isoformat") else cell)
    return pd.to_numeric(cells, errors="coerce")


def _as_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """A table in which columns of decimals, or of text that says numbers throughout, are numbers."""
    table = table.copy()
    for i in range(table.shape[1]):
        column = table.iloc[:, i]
        if not pd.api.types.is_numeric_dtype(column) and (numbers := _parsed(column)).notna().equals(column.notna()):
            table.isetitem(i, numbers)
    return table


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
