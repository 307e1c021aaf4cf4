"""One phase of a campaign in a process of its own, which may hang or die without taking the lease with it.

python -m diffmemlib.campaign.phase '{"name": "runs", "device": "cuda", "seconds": 300, ...}'
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import RunBusyError, first_line, to_json, write_atomic


def checks(device: str, seconds: float, out: Path, part: int, without: list[str]) -> None:
    """Make one part of the checks, but for those that passed before; ``out`` is written before and after each."""
    from .checks import PARTS, check_all

    names = [check.__name__ for check in PARTS[part] if check.__name__ not in without]
    check_all(device, seconds, lambda found: write_atomic(out, to_json(found)), names)


def warm_up(device: str, seconds: float, out: Path) -> None:
    """Compile what runs will use, so that they find it in torch's cache on disk: nothing else comes of it."""
    from ..bench.images import SIZES, compile_ahead

    compile_ahead(device, SIZES["cuda" if device.startswith("cuda") else "cpu"])
    write_atomic(out, to_json({}))


def bench(device: str, seconds: float, out: Path) -> None:
    """Time the library; ``out`` is written after each timing."""
    from ..bench.command import bench as measure

    measure(device, out, seconds)


def runs(
    device: str, seconds: float, out: Path, tier: str, without: list[str], last: list[str], experiments: list[str],
    replayed: bool = True,
) -> None:  # fmt: skip
    """Make runs of a tier in the order of `plan` until so many seconds have passed; each group is noted in ``out``.

    replayed: whether steps may be recorded and replayed; their numbers are the same, and they take longer, if not.

    An error of the device ends the process with status 1, since nothing can be done in it after that.
    """
    import torch

    from ..experiments.gmm import GmmConfig, job
    from ..experiments.registry import run
    from ..runs.execute import execute_ensemble
    from ..training import replay
    from ..training.loop import DivergedError
    from ..training.stopping import stop_when_asked
    from .plan import plan, together

    if not replayed:
        replay.forbid()
    notes: list[dict[str, Any]] = []
    done, end = set(without), time.monotonic() + seconds
    with stop_when_asked(seconds) as should_stop:
        while not should_stop() and (todo := plan(tier, done, last, experiments)):
            group, began = together(todo), time.monotonic()
            done |= {c.id for c in group}
            note: dict[str, Any] = {
                "runs": [c.id for c in group], "command": group[0].command, "outcome": "begun", "seconds": 0.0,
                "began": time.time(),
            }  # fmt: skip
            notes.append(note)
            write_atomic(out, to_json({"groups": notes}))
            left = max(end - time.monotonic(), 0.0)
            try:
                if isinstance(group[0], GmmConfig) and len(group) > 1:
                    made = execute_ensemble([job(c, device) for c in group if isinstance(c, GmmConfig)], device, left)
                else:
                    made = [run(group[0], device, left)]
                whole = [not isinstance(r, DivergedError) and r.provenance["complete"] for r in made]
                failed = [str(r) for r in made if isinstance(r, DivergedError)]
                note["outcome"] = failed[0] if failed else "complete" if all(whole) else "to be gone on with"
            except RunBusyError:  # another process of this campaign is at it
                notes.remove(note)
            except Exception as error:  # whatever it is, it is told, and the next run begins
                note["outcome"] = first_line(error)
                if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError):
                    write_atomic(out, to_json({"groups": notes}))
                    raise SystemExit(1) from error
            gc.collect()  # recordings and their memory refer to each other
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
            note["seconds"] = round(time.monotonic() - began, 1)
            write_atomic(out, to_json({"groups": notes}))


def sharing(device: str, seconds: float, out: Path) -> None:
    """Try how many processes should share the device; ``out`` is written after each count."""
    from ..bench.sharing import sharing as measure

    measure(device, save=lambda found: write_atomic(out, to_json(found)))


PHASES: dict[str, Callable[..., None]] = {
    "checks": checks, "warm up": warm_up, "bench": bench, "sharing": sharing, "runs": runs,
}  # fmt: skip


def end_with_parent() -> None:
    """End this process, as by SIGTERM, once the one that began it is gone: nobody would read what it does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    given = json.loads(sys.argv[1])
    PHASES[given.pop("name")](**given | {"out": Path(given["out"])})
