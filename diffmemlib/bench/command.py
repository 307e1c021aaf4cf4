"""All timings of one device, told and written as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch

from ..files import first_line, to_json, write_atomic
from . import images, library
from .sharing import sharing, sharing_report
from .ways import OF_RUNS, WAYS

SECONDS = {"cpu": inf, "cuda": 60.0}  # after which nothing else is begun
SHARE = 0.6  # of them for the U-Net as runs train it


def ended(written: dict[str, Any]) -> bool:
    """Return whether a benchmark has timed all that it would, as far as it does not fail."""
    image = written.get("image", {})
    timed = {(one["n"], one["models"]) for one in written.get("together", [])}
    kind = "cpu" if image.get("device") == "cpu" else "cuda"
    tried = all(case[:2] in timed or _of_case(case) in written.get("failed", {}) for case in library.TOGETHER[kind])
    return "ways" in image and not image.get("not_reached") and not image.get("not_looked") and tried


def _of_case(case: tuple[int, ...]) -> str:
    return f"{case[1]} mixture nets, n = {case[0]}"


def bench(device: str, path: Path, seconds: float | None = None, tell: Callable[[str], object] = print) -> None:
    """Time the library against direct ways of doing the same.

    Parameters
    ----------
    device
        As torch calls it.
    path
        A JSON file, written anew after each timing. One that is there already, of a benchmark on this device that had
        no time for all, is gone on with.
    seconds
        When so many have passed, no other timing is begun; those of SECONDS unless given.
    tell
        Called with lines of text.
    """
    began, kind = time.monotonic(), device.split(":")[0]
    limit = SECONDS.get(kind, inf) if seconds is None else seconds
    written: dict[str, Any] = _unended(path, device) or {"image": {}, "together": [], "failed": {}}

    def save(image: dict[str, Any]) -> None:
        written["image"] = image
        write_atomic(path, to_json(written))

    def guarded(what: str, work: Callable[[], object]) -> None:
        """One timing that fails, of a device or for want of memory, costs no other."""
        if time.monotonic() - began > limit:
            tell(f"not reached in time: {what}")
            return
        written["failed"].pop(what, None)  # of an earlier call
        try:
            work()
        except Exception as error:
            written["failed"][what] = first_line(error)
            tell(f"failed: {what} ({first_line(error)})")
        save(written["image"])

    def share() -> None:
        def save_sharing(found: dict[str, Any]) -> None:
            written["sharing"] = found
            save(written["image"])

        sharing(device, save=save_sharing)

    def together(n: int, models: int, steps: int, repeats: int, in_turn: int) -> None:
        written["together"].append(library.together(n, models, steps, repeats, device, in_turn))

    # First the plainest way and that of runs, which a campaign has compiled before; then what else runs need to know.
    table = "cpu" if kind == "cpu" else "cuda"
    first = [next(iter(WAYS[table])), OF_RUNS[table]]
    image = images.measure(device, seconds=SHARE * limit, save=save, names=first, found=written["image"] or None)
    timed = {(one["n"], one["models"]) for one in written["together"]}
    for case in library.TOGETHER[table]:
        if case[:2] not in timed:
            guarded(_of_case(case), partial(together, *case))
    if kind == "cuda" and "sharing" not in written:
        guarded("processes that share the device", share)
    if kind == "cuda":
        left = limit - (time.monotonic() - began)
        guarded("the other ways to make a step", lambda: images.measure(device, seconds=left, save=save, found=image))
    tell(images.report(image))
    if "sharing" in written:
        tell("\n" + sharing_report(written["sharing"]))
    if written["together"]:
        where = f"on {image['device']}, {image['threads']} threads"
        tell("\n" + library.together_table(written["together"], where))
    if kind == "cpu":
        tell("\n" + library.table())
    tell(f"\nwrote {path.name}")


def _unended(path: Path, device: str) -> dict[str, Any] | None:
    """What a benchmark of this device and this version of torch wrote before its time was over."""
    try:
        written = json.loads(path.read_bytes())
        image = written["image"]
        here = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
        same = (image["device"], image["torch"]) == (here, torch.__version__)
        return written if same and not ended(written) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
