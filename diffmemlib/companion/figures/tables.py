"""Numbers of a page as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import HTML

GREEK = {"tau": "τ", "psi": "ψ", "Delta": "Δ", "eta": "η", "lambda": "λ"}


def estimates(caption: str, rows: Mapping[str, object]) -> HTML:
    """A row for each number: what it is, and it; an `Estimate` with its interval."""
    return _html(caption, ["", "estimate [95%]"], [[name, str(value)] for name, value in rows.items()], "")


def frame(caption: str, table: pd.DataFrame, sentences: Sequence[str] = ()) -> HTML:
    """A data frame, index first where it has a name, text and numbers as they print.

    Numbers stand on the right, under each other; what tells rows apart, and the columns of `sentences`, on the left.
    """
    named = [name for name in table.index.names if name is not None]
    rows = table.reset_index() if named else table
    columns = [str(name) for name in rows.columns]
    if len(named) > 1:  # say once what several rows share
        rows = rows.assign(**{named[0]: rows[named[0]].where(~rows[named[0]].duplicated(), "")})
    return _html(caption, columns, rows.astype(str).to_numpy().tolist(), "numbers", sentences)


def _html(caption: str, columns: list[str], rows: list[list[str]], kind: str, sentences: Sequence[str] = ()) -> HTML:
    left = [' class="sentence"' if name in sentences else "" for name in columns]
    head = "".join(f'<th scope="col"{of}>{typeset(name)}</th>' for name, of in zip(columns, left, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{of}>{typeset(cell)}</td>' for cell, of in zip(row, left, strict=True))}</tr>"
        for row in rows
    )
    return HTML(
        f'<table class="dataframe {kind}"><caption>{typeset(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def typeset(text: str) -> str:
    """Plain text as HTML, with tau_mem and the like as letters with an index."""
    text = re.sub(rf"\b({'|'.join(GREEK)})(?![a-z])", lambda m: GREEK[m[1]], escape(text))
    return re.sub(r"\b([τψΔfELd])_(\w+)", r"\1<sub>\2</sub>", text)
