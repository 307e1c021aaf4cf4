"""What stands folded under every figure: where it comes from, how to make it again, and its data."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from math import fsum

import pandas as pd
from IPython.display import HTML

from ...runs.store import Result
from ..paper_figures import redraws


def record(results: Sequence[Result], table: pd.DataFrame, name: str) -> HTML:
    """A folded block: tier, runs, device, seeds, time, the papermill lines, and the figure's table as CSV.

    results: the runs that the figure was drawn from. table: its numbers. name: of the CSV file, without suffix.
    """
    seconds = fsum(r.provenance["seconds"] for r in results)  # the same in every version of Python, unlike sum
    ended = sum(not r.provenance["complete"] for r in results)
    rows = {
        "Tier": ", ".join(sorted({r.config["tier"] for r in results})),
        "Runs": f"{len(results)}" + (f", {ended} of them stopped early" if ended else ""),
        "Device": ", ".join(sorted({_device(r) for r in results})),
        "Seeds": ", ".join(map(str, sorted({r.config["seed"] for r in results}))),
        "Time": f"{timedelta(seconds=round(seconds))} in all, training and measuring",
        "Code": ", ".join(sorted({(r.provenance["commit"] or "unknown")[:10] for r in results})),
    }
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items())
    lines = "".join(f"<li><code>{escape(r.provenance['command'])}</code></li>" for r in results)
    runs = (
        f"<p>Each run, by its papermill line (the name of the executed copy ends in the run's id):</p><ul>{lines}</ul>"
    )
    return _folded(f"<dl>{items}</dl>", table, name, runs)


def record_live(call: str, table: pd.DataFrame, name: str) -> HTML:
    """The same for a figure that is computed while the book is built: the function that does it, and the data."""
    return _folded(f"<p>Computed when the book was built, by <code>{escape(call)}</code>.</p>", table, name, "")


def record_stored(target: str, call: str, table: pd.DataFrame, name: str) -> HTML:
    """The same for a figure of something that was computed once and stored: the target of make, and what it calls."""
    made = f"<p>Computed by <code>{escape(target)}</code>, which calls <code>{escape(call)}</code>, and stored.</p>"
    return _folded(made, table, name, "")


def _folded(head: str, table: pd.DataFrame, name: str, tail: str) -> HTML:
    paper = redraws(f"fig-{name}")
    title = "How this figure was made" + (f"; it redraws the paper's {paper}" if paper else "")
    data = base64.b64encode(table.to_csv(index=False, float_format="%.5g").encode()).decode()
    return HTML(
        f'<details class="provenance"><summary>{title}</summary>{head}'
        f'<p><a download="{escape(name)}.csv" href="data:text/csv;base64,{data}">data (CSV)</a></p>{tail}</details>'
    )


def _device(result: Result) -> str:
    threads = result.provenance["threads"]
    return f"{result.provenance['device']}, {threads} thread{'s' if threads > 1 else ''}"
