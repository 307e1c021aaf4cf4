"""All timings of one device, told and written as they come."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from ..files import to_json, write_atomic
from . import images, library
from .sharing import sharing, sharing_report

SECONDS = {"cpu": inf, "cuda": 60.0}  # after which nothing else is begun
SHARE = 0.6  # of them for the steps of the U-Net


def bench(device: str, path: Path, seconds: float | None = None, tell: Callable[[str], object] = print) -> None:
    """Time the library against direct ways of doing the same.

    Parameters
    ----------
    device
        As torch calls it.
    path
        A JSON file, written anew after each timing.
    seconds
        When so many have passed, no other timing is begun; those of SECONDS unless given.
    tell
        Called with lines of text.
    """
    began, kind = time.monotonic(), device.split(":")[0]
    limit = SECONDS.get(kind, inf) if seconds is None else seconds
    written: dict[str, Any] = {"image": {}, "together": []}

    def save(image: dict[str, Any]) -> None:
        written["image"] = image
        write_atomic(path, to_json(written))

    image = images.measure(device, seconds=SHARE * limit, save=save)
    tell(images.report(image))
    if kind == "cuda" and time.monotonic() - began < limit:

        def save_sharing(found: dict[str, Any]) -> None:
            written["sharing"] = found
            save(image)

        sharing(device, save=save_sharing)
        tell("\n" + sharing_report(written["sharing"]))
    for n, models, steps, repeats, in_turn in library.TOGETHER["cpu" if kind == "cpu" else "cuda"]:
        if time.monotonic() - began > limit:
            tell(f"not reached in time: {models} mixture nets, n = {n}")
            continue
        written["together"].append(library.together(n, models, steps, repeats, device, in_turn))
        save(image)
    if written["together"]:
        where = f"on {image['device']}, {image['threads']} threads"
        tell("\n" + library.together_table(written["together"], where))
    if kind == "cpu":
        tell("\n" + library.table())
    tell(f"\nwrote {path.name}")
