"""The command `campaign`: checks, benchmark and runs within the minutes of a lease, each in a process that may die."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .._version import __version__
from ..files import check_writable
from ..places import checkpoints_root
from ..runs.config import check_device
from ..runs.provenance import code, device_name
from ..training.stopping import stop_when_asked
from .folder import (
    MOST_BYTES,
    MOST_FILES,
    FolderError,
    pack_results,
    pack_states,
    read_log,
    read_parts,
    unpack_results,
    unpack_states,
    write_folder,
)
from .plan import all_runs
from .process import Process

CHECKS, BENCH = 45.0, 60.0  # seconds at most
SHARES = {"checks": 0.15, "bench": 0.25}  # of the lease, at most
SAVING = 0.06  # of the lease, kept for the folder at its end; at least
FEWEST_SAVING = 5.0  # seconds
PATIENCE = 10.0  # seconds from SIGTERM to SIGKILL
EVERY = 60.0  # seconds between two savings while runs are made
WORTH = 1.15  # times the steps of one process, from which on several share the device


class Campaign:
    """One lease.

    Parameters
    ----------
    device
        As torch calls it.
    minutes
        Of the lease; it ends within them.
    out
        Its folder.
    tier
        Of the tables.
    tell
        Called with lines of text.
    """

    def __init__(
        self, device: str, minutes: float, out: Path, tier: str = "gpu", tell: Callable[[str], object] = print
    ) -> None:
        self.device, self.out, self.tier, self.tell = device, out, tier, tell
        self.began, self.seconds = time.monotonic(), 60 * minutes
        self.saving = max(SAVING * self.seconds, FEWEST_SAVING)
        self.scratch = checkpoints_root() / "campaign"
        self.failed: set[str] = set()
        self.asked: Callable[[], bool] = lambda: False
        self.log: dict[str, Any] = {
            "device": device_name(device), "torch": version("torch"), "python": platform.python_version(),
            "version": __version__, **code(), "tier": tier, "minutes": minutes,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "phases": [], "checks": {}, "groups": [], "told": [],
        }  # fmt: skip

    @property
    def left(self) -> float:
        """Seconds left for phases."""
        return self.seconds - self.saving - (time.monotonic() - self.began)

    def run(self) -> dict[str, Any]:
        """Make the phases, save, and return the log."""
        check_writable(self.out / "log.json")
        self.save()
        with stop_when_asked(None) as asked:
            self.asked = asked
            if self._proven():
                self._note("checks, bench", 0.0, "not made again: this folder has them for this device and version")
            else:
                self.phase("checks", min(CHECKS, SHARES["checks"] * self.seconds))
                self.phase("bench", min(BENCH, SHARES["bench"] * self.seconds))
            while self.left > 1 and not asked() and self._runs():
                pass
            self.save()
        return self.log

    def _proven(self) -> bool:
        """Whether the folder holds checks that all passed, and a benchmark, of this device and this code."""
        try:
            log = read_log(self.out)
        except FolderError:
            return False
        same = all(log.get(key) == self.log[key] for key in ("device", "torch", "version", "commit"))
        passed = [check["outcome"] == "passed" for check in log.get("checks", {}).values()]
        if same and passed and all(passed) and "bench.json" in log["files"]:
            self.log["checks"] = log["checks"]
            return True
        return False

    def phase(self, name: str, seconds: float, at_once: int = 1, **more: Any) -> list[str]:
        """Make one phase in processes of its own; return how each ended.

        They are asked to end when their time is over, and killed where they do not listen.
        """
        seconds = min(seconds, self.left)
        if seconds <= 0 or self.asked():
            self._note(name, 0.0, "not begun: no time was left")
            return []
        outs = [self.scratch / f"{name}-{i}.json" for i in range(at_once)]
        if name == "bench":
            outs = [self.out / "bench.json"]
        self.tell(f"{name}: {seconds:.0f} s at most{f', {at_once} processes' if at_once > 1 else ''}")
        began, processes = time.monotonic(), list[Process]()
        for out in outs:
            out.unlink(missing_ok=True)  # of an earlier lease
            given = {"name": name, "device": self.device, "seconds": seconds, "out": str(out), **more}
            processes.append(Process("diffmemlib.campaign.phase", json.dumps(given)))

        def at_work() -> bool:
            return any(process.at_work for process in processes) and not self.asked()

        while at_work() and (left := began + seconds - time.monotonic()) > 0:
            end = time.monotonic() + min(EVERY, left)
            while at_work() and time.monotonic() < end:
                time.sleep(0.05)
            if name == "runs" and at_work():
                self._read(name, outs)
                self.save()
        for process in processes:
            process.ask()
        endings = [process.end(min(PATIENCE, 0.5 * self.saving)) for process in processes]
        self._read(name, outs)
        self._note(name, time.monotonic() - began, "; ".join(dict.fromkeys(endings)))
        return endings

    def _runs(self) -> bool:
        """Make runs until the time is over; whether to try again without runs at which a process died."""
        before = len(self.log["groups"])
        endings = self.phase("runs", self.left, self._at_once(), tier=self.tier, without=sorted(self.failed))
        died = any(ending.startswith("failed") for ending in endings)
        begun = [group for group in self.log["groups"] if group["outcome"] == "begun"]
        for group in begun:
            group["outcome"] = "the process died at it" if died else "to be gone on with"
            if died:
                self.failed |= set(group["runs"])
        return died and bool(begun) and len(self.log["groups"]) > before

    def _at_once(self) -> int:
        """How many processes share the device: as many as the benchmark found to make more steps, else one."""
        try:
            found = json.loads((self.out / "bench.json").read_bytes())["sharing"]
            return int(found["best"]) if found["gain"] > WORTH else 1
        except (OSError, KeyError, ValueError):
            return 1

    def _read(self, name: str, outs: Sequence[Path]) -> None:
        """Take what the processes of a phase have written into the log."""
        for out in outs:
            if name == "bench" or not out.exists():
                continue
            found = json.loads(out.read_bytes())
            if name == "checks":
                self.log["checks"] = found
            else:
                seen = {tuple(g["runs"]) for g in found["groups"]}
                self.log["groups"] = [g for g in self.log["groups"] if tuple(g["runs"]) not in seen] + found["groups"]

    def _note(self, name: str, seconds: float, outcome: str) -> None:
        self.log["phases"].append({"name": name, "seconds": round(seconds, 1), "outcome": outcome})
        self.tell(f"{name}: {outcome}, {seconds:.1f} s")

    def save(self) -> None:
        """Write the folder: log, results and states."""
        configs = all_runs(self.tier)
        results = pack_results(configs)
        others = 1 + sum((self.out / name).exists() for name in ("bench.json", "profile.json"))
        room = (MOST_FILES - others - -(-len(results) // MOST_BYTES)) * MOST_BYTES
        states, told = pack_states(configs, room)
        self.log["told"] = told
        self.log["seconds"] = round(time.monotonic() - self.began, 1)
        write_folder(self.out, self.log, results, states)


def campaign(
    device: str, minutes: float, out: Path, tier: str = "gpu", resume: Path | None = None,
    tell: Callable[[str], object] = print,
) -> dict[str, Any]:  # fmt: skip
    """Make the most of a lease; return its log.

    Parameters
    ----------
    device
        As torch calls it.
    minutes
        Within which it ends.
    out
        A folder for a few small files; see `folder`.
    tier
        Of the tables of runs.
    resume
        The folder of an earlier campaign, whose results and states are taken first.
    tell
        Called with lines of text.

    Raises
    ------
    FolderError
        For a folder to resume that is damaged.
    ValueError
        For a device that is not there, and minutes that are none.
    """
    check_device(device)
    if not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}: give the minutes of the lease, above 0")
    if resume is not None:
        log = read_log(resume)
        states, results = (read_parts(resume, log, name) for name in ("states", "results"))
        taken = unpack_states(states) if states else []
        new, refused = unpack_results(results) if results else ([], [])
        tell(f"taken from {resume.name}: {len(new)} runs, and the states of {len(taken)} unfinished ones")
        if refused:
            tell("refused: " + "; ".join(refused))
    return Campaign(device, minutes, out, tier, tell).run()


def collect(folder: Path, tell: Callable[[str], object] = print) -> None:
    """Check what a campaign left, and bring its results into the store.

    Parameters
    ----------
    folder
        Of the campaign.
    tell
        Called with lines of text.

    Raises
    ------
    FolderError
        For results that are damaged; the store is as it was.
    """
    log = read_log(folder)
    archive = read_parts(folder, log, "results")
    new, refused = unpack_results(archive) if archive else ([], [])
    for name in new:
        tell(f"stored {name}")
    for sentence in refused:
        tell(f"refused {sentence}")
    if "bench.json" in log["files"]:
        tell(f"the benchmark of {log['device']} is in {folder / 'bench.json'}")
    failed = [f"{name} ({c['outcome']}: {c['said']})" for name, c in log["checks"].items() if c["outcome"] != "passed"]
    if failed or not log["checks"]:
        tell(f"checks that did not pass: {', '.join(failed) or 'none was made'}")
    else:
        tell("all checks passed")
    for group in log["groups"]:
        tell(f"{', '.join(group['runs'])}: {group['outcome']} ({group['seconds']:.0f} s)")
    try:
        states = read_parts(folder, log, "states")
        tell(f"unfinished: {len({n[:12] for n in states.namelist()}) if states else 0} runs; go on with --resume")
    except FolderError as error:
        tell(f"{error}; results were taken all the same")
