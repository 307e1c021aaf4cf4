"""The (n, p) diagram as a figure, a page that opens without a network and JSON, and the call that makes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from .._version import __version__
from ..data.inventory import quoted
from ..files import RunBusyError, run_lock, to_json, write_atomic
from ..places import shown
from ..runs.provenance import device_name
from ..timescales.crossings import Boundary, value_at
from .answer import copies_from, good_from
from .data import Data, folder_for, or_no_folder, read
from .model import choose_model
from .phase import TIMES, Grid, Job, Row, models_of, together
from .plan import at_once
from .report import as_text, criteria, made_by, page
from .training import Run, copies_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = {"images": (8, 16, 32), "vectors": (32, 64, 128)}
SIZES = 4  # of n, unless given: the smallest and its doubles


def phase(
    source: str, out: Path, widths: Sequence[int] = (), sizes: Sequence[int] = (), minutes: float | None = None, *,
    steps: int = 20_000, size: int | None = None, grey: bool = False, columns: tuple[str, ...] = (),
    skip_bad: bool = False, device: str = "cpu", workers: int | None = None, tell: Callable[[str], object] = print,
) -> tuple[list[Row], bool]:  # fmt: skip
    """Make the (n, p) diagram of a data set (Fig. 3, right); writes phase.html and phase.json into a folder.

    Several processes may be at one folder: each takes trainings that no other is at.

    Parameters
    ----------
    source
        As of `command.probe`.
    out
        The folder. The same call goes on where it was interrupted, and one with more widths or sizes adds to it.
    widths
        W of the U-Net, or of the MLP; three unless given.
    sizes
        Numbers of points; the smallest of the probe and its doubles unless given.
    minutes
        After which it stops, to be called again; no limit unless given.
    steps
        That a training makes at most. It ends before where copies are plain, or at 8 tau_gen.
    size, grey, columns, skip_bad, device, workers, tell
        As of `command.probe`.

    Returns
    -------
    tuple
        What each width says, and whether trainings are left that no process is at, for want of time.

    Raises
    ------
    SourceError, ValueError, ChildProcessError
        As of `command.probe`, and for widths and sizes that do not fit.
    """
    if minutes is not None and not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}: give more than 0")
    out = folder_for(out, "phase.html")
    with _in_turn(out), or_no_folder(out / "phase.lock"):
        data = read(source, out, size, grey, columns, skip_bad)
        _check_same(out / "phase.json", data)
        grid = _grid(out, data, widths, sizes, steps, device)
    tell("\n".join(data.found))
    left, workers = len(grid.open()), workers or at_once(device)
    end = time.monotonic() + (60 * minutes if minutes is not None else float("inf"))
    if left:
        tell(f"{left} of {len(grid.jobs)} trainings are still to be made, up to {min(workers, left)} at once; "
             "interrupt it as you like, the same command goes on.")  # fmt: skip
        together(grid, min(workers, left), end - time.monotonic())
    name = quoted(Path(source).expanduser().resolve().name)
    with _in_turn(out):  # or a process that ends later could write what it knew earlier
        runs = grid.known()
        rows, remaining = grid.rows(runs), grid.open(runs)
        seconds = sum(run.seconds for run in runs.values())
        facts = {"seconds": seconds, "device": device_name(device), "version": __version__}
        told, file = sentences(rows), out / "phase.html"
        write_atomic(out / "phase.json", to_json({
            "source": name, "data": data.checksum, "count": data.count, "found": list(data.found), "sentences": told,
            "rows": [asdict(row) for row in rows],
            "runs": [_as_json(width, run) for (width, _), run in runs.items() if len(run.curves)], **facts,
        }))  # fmt: skip
        write_atomic(file, html(name, grid, rows, runs, facts).encode())
    for sentence in told:
        tell(sentence)
    again = bool(remaining) and time.monotonic() >= end
    if remaining:
        rest = "the same command goes on" if again else "other processes are at the rest, and the last one draws it all"
        tell(f"Trainings that are not made yet: {len(remaining)}; {rest}.")
    tell(f"The diagram: {shown(file)}")
    return rows, again


def _check_same(file: Path, data: Data) -> None:
    """Raise ValueError where a diagram of other data is stored; one without the data's checksum is written anew."""
    try:
        stored = json.loads(file.read_bytes())["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if stored != data.checksum:
        raise ValueError(
            f"--out {file.parent.name} holds a diagram of other data, or of these prepared otherwise (--size, --grey, "
            "--column): give a folder of its own to each, or remove that one"
        )


@contextmanager
def _in_turn(out: Path) -> Iterator[None]:
    """Hold the folder's lock, once no other process does."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(run_lock(out / "phase"))
                break
            except RunBusyError:
                time.sleep(1)
        yield


def _grid(out: Path, data: Data, widths: Sequence[int], sizes: Sequence[int], steps: int, device: str) -> Grid:
    model = choose_model(data.kind, device, len(data.pool))
    widths = sorted(set(widths or WIDTHS[data.kind]))
    sizes = sorted(set(sizes or [n for i in range(SIZES) if (n := model.smallest * 2**i) <= len(data.pool)]))
    if sizes[0] < 2 or sizes[-1] > len(data.pool):
        raise ValueError(
            f"--sizes {','.join(map(str, sizes))}: give numbers from 2 to {len(data.pool)}, the points there are to "
            "train on"
        )
    most = model.milestones()[-1]
    if not model.first <= steps <= most:
        raise ValueError(
            f"--steps {steps}: a training is first looked at after {model.first}, and makes {most:,} at most"
        )
    grid = Grid(out, data, models_of(model, widths), sizes, steps, device)
    for one in grid.models.values():
        one.network(data, 0, "cpu")  # refuses a width that cannot be
    return grid


def boundary_text(boundary: Boundary) -> str:
    """Return a boundary in words: the training points at which no copies are made."""
    return {
        "interpolated": f"{boundary.n:,.0f} or more",
        "on grid": f"{boundary.n:,.0f} or more",
        "above range": f"more than {boundary.n:,.0f}",
        "below range": f"{boundary.n:,.0f} or more, and perhaps fewer",
        "not monotone": f"not told (copies at {boundary.n:,.0f}, and none at a smaller size)",
        "censored": f"not told (the training on {boundary.n:,.0f} was not looked at around that time)",
    }[boundary.status]


def sentences(rows: Sequence[Row]) -> list[str]:
    """Return what each width says, in words."""
    told = []
    for row in rows:
        name = f"W = {row.width} ({row.parameters:,} parameters)"
        if row.diverged:
            told.append(f"{name}: {row.diverged} of {row.of} trainings diverged, and tell nothing.")
        if not row.trained:
            if not row.diverged:
                told.append(f"{name}: not trained yet.")
            continue
        if row.tau_gen is None:
            told.append(
                f"{name}: samples have not become good in any of the trainings that were looked at, {row.trained} of "
                f"{row.of}, so no boundary can be told."
            )
            continue
        parts = [
            f"until {'then' if c == 1 else f'{c} times that'}, {boundary_text(b)}" for c, b in row.boundaries.items()
        ]
        told.append(
            f"{name}: samples are good from step {_good_text(row)} on. Points with which no copies are made "
            + "; ".join(parts) + "."
        )  # fmt: skip
    return told


def _good_text(row: Row) -> str:
    if row.tau_gen is None:
        return "not seen"
    return f"{row.tau_gen.tau:,.0f}" + (" or earlier" if row.tau_gen.status == "at first point" else "")


def figure(grid: Grid, rows: Sequence[Row], runs: Mapping[Job, Run]) -> Figure:
    """Draw the plane of n and p: the smallest safe n at each c tau_gen, and f_mem of every training at 3 tau_gen.

    Parameters
    ----------
    grid
        What was asked for.
    rows
        What each width says.
    runs
        All that are known.
    """
    import matplotlib.pyplot as plt
    from matplotlib.transforms import ScaledTranslation

    from .figures import STYLE

    middle, colors = TIMES[1], plt.colormaps["viridis"](np.linspace(0.75, 0.1, len(TIMES)))
    with plt.rc_context(STYLE):
        drawn, axis = plt.subplots(figsize=(5.8, 4.8), layout="constrained")
        cells = []
        for row in rows:
            for n in grid.sizes:
                run, share = runs.get((row.width, n)), None
                if run is not None and len(run.curves) and row.tau_gen:
                    share = share_above(run, middle * row.tau_gen.tau)
                if share is None:
                    axis.plot(n, row.parameters, "x", color="#999999", ms=7)
                else:
                    cells.append((n, row.parameters, share))
        if cells:
            x, y, share = np.array(cells).T
            shown = axis.scatter(x, y, c=share, cmap="Oranges", vmin=0, vmax=0.5, s=150, edgecolor="#555555", lw=0.6)
            drawn.colorbar(shown, ax=axis, extend="max", label=rf"copies above chance at {middle} $\tau_{{gen}}$")
        for c, color in zip(TIMES, colors, strict=True):
            told = [(row.boundaries[c], row.parameters) for row in rows if row.boundaries]
            line = [(b.n, p) for b, p in told if b.status in ("interpolated", "on grid")]
            label = rf"no copies to the right, at ${'' if c == 1 else c}\tau_{{gen}}$"
            axis.plot(*(np.array(line).T if line else ([], [])), "o-", color=color, ms=6, lw=1.6, label=label)
            for b, p in told:  # several may point beyond the same size: each a little above the one before
                if b.status in ("above range", "below range"):
                    aside = ScaledTranslation(0, 0.11 * (TIMES.index(c) - 1), drawn.dpi_scale_trans)
                    marker = ">" if b.status == "above range" else "<"
                    axis.plot(
                        b.n, p, marker, color=color, ms=8, mec="#222222", zorder=4, transform=axis.transData + aside
                    )
        axis.plot([], [], "x", color="#999999", label="not told")
        axis.set(xscale="log", yscale="log", xlabel="training points n", ylabel="parameters p")
        axis.set_xticks(grid.sizes, [str(n) for n in grid.sizes])
        axis.set_yticks([row.parameters for row in rows], [f"{row.parameters:,}\n(W = {row.width})" for row in rows])
        axis.minorticks_off()
        axis.margins(0.15, 0.2)
        drawn.legend(loc="outside lower center", frameon=False, fontsize=9)
    return drawn


def html(name: str, grid: Grid, rows: Sequence[Row], runs: Mapping[Job, Run], facts: dict[str, Any]) -> str:
    """Return the text of the page."""
    from . import figures

    drawn = figures.svg(figure(grid, rows, runs))
    heads = "".join(f"<th>no copies until {'' if c == 1 else f'{c} '}&tau;<sub>gen</sub></th>" for c in TIMES)
    table = "".join(
        f"<tr><td>{row.width}</td><td>{row.parameters:,}</td>"
        f"<td>{_good_text(row)}"
        + "".join(f"</td><td>{escape(boundary_text(row.boundaries[c])) if row.boundaries else ''}" for c in TIMES)
        + "</td></tr>"
        for row in rows
    )
    times = "".join(
        f"<tr><td>{width}</td><td>{n}</td><td>{as_text(good_from(run))}</td><td>{as_text(copies_from(run))}</td></tr>"
        for (width, n), run in sorted(runs.items())
        if len(run.curves)
    )
    intro = (
        "A network of each width W, with p parameters, was trained on n points for each n. From the step &tau;<sub>gen"
        "</sub> on its samples are good. The line of a colour is the smallest n with which no copies are made until "
        "then, and until 3 and 8 times that; to its right you may train that long."
    )
    if missing := len(grid.open(runs)):
        intro += f" {missing} of {len(grid.jobs)} trainings have not been made, or not to their end, yet."
    return page(f"The (n, p) diagram of {name}", [
        f"<h1>How many points does a network of each size need? {escape(name)}</h1>", f"<p>{intro}</p>",
        f"<figure>{drawn}<figcaption>Arrows point to where the boundary lies when it is beyond the sizes tried. "
        f"Discs: share of copies above that of held-out data at {TIMES[1]} &tau;<sub>gen</sub>; where a training "
        "ended, since copies were plain, the share at its end.</figcaption></figure>",
        f'<div class="wide"><table><thead><tr><th>W</th><th>p</th><th>&tau;<sub>gen</sub> (steps)</th>{heads}</tr>'
        f"</thead><tbody>{table}</tbody></table></div>",
        "<h2>The trainings</h2>",
        '<div class="wide"><table><thead><tr><th>W</th><th>n</th><th>good from step</th><th>copies from step</th></tr>'
        f"</thead><tbody>{times}</tbody></table></div>"
        "<p>&gt;: later than this step, at which the training ended; &lt;: before this step, the first that was looked "
        "at.</p>",
        "<h2>What this rests on</h2>",
        *(f"<p>{escape(line)}</p>" for line in (
            "Each width and n was trained once, by Adam. A boundary lies between two sizes that were tried, where the "
            "time at which copies come is a power of n between them; it is known no better than that.",
            *criteria(grid.data.kind), *grid.data.found,
            f"{made_by(facts)} That is the time of all trainings added up.",
        )),
    ])  # fmt: skip


def share_above(run: Run, when: float) -> float | None:
    """Return the share of copies above that of held-out data at a time, made monotone as in `share_crossing`.

    Before the first look it is that of the first; after the last, where copies were plain, that of the last, else None.
    """
    curve = run.curve("f_mem")
    tau = curve["step"].to_numpy(float)
    if when > tau[-1] and not copies_plain(run):
        return None
    rise = optimize.isotonic_regression(curve["value"]).x - run.baseline
    return value_at(tau, np.maximum(rise, 0.0), min(max(when, tau[0]), tau[-1]))


def _as_json(width: int, run: Run) -> dict[str, Any]:
    good, copies = good_from(run), copies_from(run)
    return {
        "width": width, "n": run.n, "good_from": asdict(good), "copies_from": asdict(copies), "seconds": run.seconds,
        "level": run.level, "step": run.curve("f_mem")["step"].tolist(), "f_mem": run.curve("f_mem")["value"].tolist(),
    }  # fmt: skip
