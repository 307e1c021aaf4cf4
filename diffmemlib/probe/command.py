"""The probe as one call: read, train for the minutes given, answer, report; the same call goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._version import __version__
from ..data.inventory import quoted
from ..files import RunBusyError, digest, run_lock, to_json, write_atomic
from ..places import shown
from ..runs.provenance import device_name
from . import report
from .answer import Answer, answer
from .data import folder_for, or_no_folder, read
from .model import choose_model
from .pilot import find_pilot, read_pilot
from .plan import Plan, at_once, too_slow

SHORTEST = 1.0  # minutes
LEAST = 15.0  # seconds, with fewer of which left nothing is begun
EVERY = 5.0  # seconds between two records of the time used


def probe(
    source: str, out: Path, minutes: float = 20.0, *, size: int | None = None, grey: bool = False,
    columns: tuple[str, ...] = (), skip_bad: bool = False, device: str = "cpu", workers: int | None = None,
    tell: Callable[[str], object] = print, model_steps_per_second: float = 0.0, pilot: str = "",
) -> Answer:  # fmt: skip
    """Tell how long one may train on the data of a source; writes report.html and report.json into a folder.

    Parameters
    ----------
    source
        A folder or zip of images, or a file with an array or a table; see `data.read`.
    out
        The folder of the report. What was trained is kept in it, so that the same call goes on where it was
        interrupted, and one with more minutes adds to it.
    minutes
        Of training, in all calls together.
    size, grey, columns, skip_bad
        Of `data.read`.
    device
        As torch calls it.
    workers
        Trainings at once; a core each on a CPU, one on a GPU, unless given.
    tell
        What is said along the way is handed to it.
    model_steps_per_second
        Of a machine of yours, for an answer in its minutes; 0 for none.
    pilot
        A stored run, by its digits: its rate is taken for that of your machine, if it is trained as the probe is; see
        `pilot.read_pilot`.

    Returns
    -------
    Answer
        Also in the report.

    Raises
    ------
    SourceError
        Where the data cannot be taken.
    ValueError
        For minutes out of range, for a folder that holds a probe of other data, and for a pilot that is not stored, or
        given beside a rate.
    RunBusyError
        Where another process is at the same folder.
    ChildProcessError
        Where a training failed; what it printed says why.
    """
    if not SHORTEST <= minutes < 1e6:
        raise ValueError(f"--minutes {minutes:g}: give {SHORTEST:g} or more, and less than a million")
    if not 0 <= model_steps_per_second < 1e9:
        raise ValueError(f"--model-steps-per-second {model_steps_per_second:g}: give a positive number")
    if pilot and model_steps_per_second:
        raise ValueError("--pilot and --model-steps-per-second both tell a rate: give one of them")
    if pilot:
        find_pilot(pilot)  # before the data are read, which may take minutes
    out = folder_for(out, "report.html")
    name = quoted(Path(source).expanduser().resolve().name)
    with _alone(out), or_no_folder(out / "probe.lock"):
        data = read(source, out, size, grey, columns, skip_bad)
        tell("\n".join(data.found))
        model = choose_model(data.kind, device, len(data.pool))
        known = read_pilot(pilot, model, data) if pilot else None
        state = out / "probe.json"
        key = digest(to_json({"data": data.checksum, "model": asdict(model), "device": device.split(":")[0]}))
        spent = _spent(state, key)
        plan = Plan(out, model, data, device, workers or at_once(device))
        left = 60 * minutes - spent
        if 0 < spent and left < LEAST:
            tell(f"The {minutes:g} minutes are used: nothing more is trained, and a larger --minutes goes on.")
        elif left > 0:
            if not plan.known() and (warning := too_slow(model, data, device, left, plan.workers)):
                tell(warning)
            tell(f"Training for {left / 60:.1f} minutes, {plan.workers} at once; interrupt it as you like, the same "
                 "command goes on.")  # fmt: skip
            used = written = 0.0

            def record(seconds: float) -> None:
                nonlocal used, written
                used = seconds
                if used - written > EVERY:
                    written = used
                    write_atomic(state, to_json({"key": key, "seconds": spent + used}))

            try:
                plan.carry_out(left, record)
            finally:  # an interruption too has used them
                write_atomic(state, to_json({"key": key, "seconds": spent + used}))
            spent, left = spent + used, left - used
        runs = plan.known()
        found = answer(runs, data.count)
        facts: dict[str, Any] = {
            "seconds": spent, "workers": plan.workers, "device": device_name(device), "version": __version__,
            "following": plan.following(left),
        }  # fmt: skip
        if model_steps_per_second:
            facts["model_steps_per_second"] = model_steps_per_second
        if known:
            facts["pilot"] = asdict(known)
        page, told = report.write(out, name, data, model, runs, found, facts)
        for sentence in told:
            tell(sentence)
        tell(f"The report: {shown(page)}")
    return found


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder's lock."""
    try:
        with run_lock(out / "probe"):
            yield
    except RunBusyError:
        raise RunBusyError(f"another probe is working in the folder {out.name}: wait for it, or stop it") from None


def _spent(state: Path, key: str) -> float:
    """Seconds of earlier calls; 0 where nothing is told of any. ValueError where they were on other data."""
    try:
        told = json.loads(state.read_bytes())
        seconds, same = float(told["seconds"]), told["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    if not same:
        raise ValueError(
            f"--out {state.parent.name} holds a probe of other data, or one made otherwise (--size, --grey, --column, "
            "--device): give a folder of its own to each, or remove that one"
        )
    return seconds
