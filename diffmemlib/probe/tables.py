"""Arrays and tables of one's own, read from .npy, .npz, .safetensors, .csv and .parquet; nothing in them runs."""

from __future__ import annotations

import io
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


def read_array(path: Path, columns: Sequence[str] = ()) -> NDArray[Any]:
    """Return the numbers of a file: an array as it is stored, of a table its columns, (rows, columns).

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
            return _numbers(_table(path, suffix), columns, name)
        arrays = _arrays(path, suffix)
    except SourceError:
        raise
    except Exception as error:  # whatever a reader raises, the file is not what its name says
        raise SourceError(f"{name} cannot be read as {suffix} ({error})") from None
    if len(columns) > 1:
        raise SourceError(f"{name}: give one --column, the name of an array, not {len(columns)}")
    if columns and columns[0] not in arrays:
        raise SourceError(f"{name} holds no array {quoted(columns[0])!r}; it has {_listed(list(arrays))}")
    if not columns and len(arrays) != 1:
        raise SourceError(f"{name} holds {len(arrays)} arrays ({_listed(list(arrays))}): choose one with --column NAME")
    array = arrays[columns[0] if columns else next(iter(arrays))]
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise SourceError(f"{name} holds {array.dtype} of shape {array.shape}: give numbers, a point a row")
    return array


def _arrays(path: Path, suffix: str) -> dict[str, NDArray[Any]]:
    if suffix == ".safetensors":
        import safetensors.torch

        tensors = safetensors.torch.load_file(path)
        return {name: (t.float() if t.is_floating_point() else t).numpy() for name, t in tensors.items()}
    with open(path, "rb") as file:
        loaded = np.load(file, allow_pickle=False)
        return {name: loaded[name] for name in loaded.files} if suffix == ".npz" else {"": loaded}


def _table(path: Path, suffix: str) -> pd.DataFrame:
    if suffix == ".parquet":
        return pd.read_parquet(path)
    text = read_text(path)
    first = text.lstrip().split("\n", 1)[0]
    if not first:
        raise SourceError(f"{quoted(path.name)} is empty: give a line of names, then a line for each point")
    separator = "\t" if suffix == ".tsv" else next((s for s in (",", ";", "\t") if s in first), ",")
    named = not all(_is_number(cell) for cell in first.split(separator))
    return pd.read_csv(io.StringIO(text), sep=separator, header=0 if named else None, skipinitialspace=True)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return True


def _numbers(table: pd.DataFrame, columns: Sequence[str], name: str) -> NDArray[np.float64]:
    table = table.rename(columns=str)
    if missing := [c for c in columns if c not in table.columns]:
        raise SourceError(f"{name} has no column {_listed(missing)}; it has {_listed(list(table.columns))}")
    table = table[list(columns)] if columns else table
    if text := [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]:
        numbers = [c for c in table.columns if c not in text]
        raise SourceError(
            f"{name} has columns without numbers: {_listed(text)}. Choose those to take, each with --column NAME"
            + (f", such as {_listed(numbers)}" if numbers else "")
        )
    if (gaps := table.isna().any(axis=1)).any():
        worst = table.columns[table.isna().any()]
        raise SourceError(
            f"{name} has gaps in {int(gaps.sum())} of {len(table)} rows, in the columns {_listed(list(worst))}: leave "
            "those rows or columns out, or fill them"
        )
    return table.to_numpy(float)


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(str(name)) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
