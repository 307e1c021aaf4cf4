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
from ..bench.command import ended
from ..bench.sharing import COUNTS
from ..companion.sweeps.tables import waiting
from ..files import check_writable, digest, to_json, write_atomic
from ..places import checkpoints_root
from ..runs.config import check_device
from ..runs.provenance import code, device_name
from ..runs.store import complete_result
from ..training.stopping import stop_when_asked
from .checks import CHECKS, NOT_REACHED, PARTS
from .folder import (
    MOST_BYTES,
    MOST_FILES,
    FolderError,
    pack_results,
    pack_states,
    read_file,
    read_log,
    read_parts,
    unpack_results,
    unpack_states,
    write_folder,
)
from .plan import all_runs, plan, states_that_fit
from .process import Process

LONGEST = {"checks": 45.0, "bench": 60.0, "sharing": 60.0}  # seconds at most
SHARES = {"checks": 0.15, "bench": 0.25, "sharing": 0.05}  # of the lease, at most
SHORTEST = 40.0  # seconds, below which it is not tried how many processes should share the device
ROOM = 60  # MiB of the folder, in all
# Checks whose failure forbids the runs of an experiment: they would store numbers of a way that is wrong.
NEEDED = {"gmm": {"together_and_alone"}, "unet": {"compiled_steps"}}
# Those whose failure forbids to record and replay steps, which are then made one call after another.
REPLAYED = {"replayed_steps", "compiled_steps_resumed"}
ALREADY = "not made again: the lease before had this device and this code"
GO_ON = "to be gone on with"
SAVING = 0.06  # of the lease, kept for the folder at its end; at least
FEWEST_SAVING = 5.0  # seconds
PATIENCE = 10.0  # seconds from SIGTERM to SIGKILL
EVERY = 60.0  # seconds between two savings while runs are made
HUNG = 180.0  # seconds at a run without anything written, after which it counts as one that does not go on
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
    room
        MiB of the folder, in all.
    before
        The folder of the lease before, unpacked already: checks that passed and the benchmark count where they are of
        this device and this code, and runs that failed there are made last.
    began
        When the lease began, by time.monotonic; now, unless given.
    """

    def __init__(
        self, device: str, minutes: float, out: Path, tier: str = "gpu", tell: Callable[[str], object] = print,
        room: int = ROOM, before: Path | None = None, began: float | None = None,
    ) -> None:  # fmt: skip
        self.device, self.out, self.tier, self.tell = device, out, tier, tell
        self.began, self.seconds = time.monotonic() if began is None else began, 60 * minutes
        self.room, self.before = room * 2**20, before
        self.saving = max(SAVING * self.seconds, FEWEST_SAVING)
        self.scratch = checkpoints_root() / "campaign"
        self.asked: Callable[[], bool] = lambda: False
        self.log: dict[str, Any] = {
            "device": device_name(device), "torch": version("torch"), "python": platform.python_version(),
            "version": __version__, **code(), "sources": _sources(), "tier": tier, "minutes": minutes,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "phases": [], "checks": {name: dict(NOT_REACHED) for name in CHECKS}, "sharing": {}, "groups": [],
            "failed": [], "told": [], "waiting": [],
        }  # fmt: skip
        self.stored_before: set[str] = set()  # runs that were stored before, and are in no folder of this campaign
        self.failed: set[str] = set()  # in this lease
        self.tried_again = False  # after a process died
        self.unended = False  # whether the benchmark of the lease before is gone on with

    @property
    def left(self) -> float:
        """Seconds left for phases."""
        return self.seconds - self.saving - (time.monotonic() - self.began)

    def run(self) -> dict[str, Any]:
        """Make the phases, save, and return the log."""
        check_writable(self.out / "log.json")
        measured = self._take_over()
        if not measured and not self.unended:  # what lies there is of another device, or of other code
            for name in ("bench.json", "profile.json"):
                (self.out / name).unlink(missing_ok=True)
        self.save()
        try:
            with stop_when_asked(None) as asked:
                self.asked = asked
                self._check()
                if measured:
                    self._note("bench", 0.0, ALREADY)
                else:
                    self.phase("bench", self._allowed("bench"))
                if not _tried_all(self.log["sharing"]) and SHARES["sharing"] * self.seconds >= SHORTEST:
                    self.phase("sharing", self._allowed("sharing"))
                while self.left > 1 and not asked() and self._runs():
                    pass
        finally:
            self.save()
        return self.log

    def _allowed(self, name: str) -> float:
        return min(LONGEST[name], SHARES[name] * self.seconds)

    def _take_over(self) -> bool:
        """Take from the lease before what holds for this one; return whether its benchmark does."""
        stored = {c.id for c in all_runs(self.tier) if complete_result(c)}
        if self.before is None:
            self.stored_before = stored
            return False
        log = read_log(self.before)
        self.stored_before = stored - set(log["made"])
        self.log["failed"] = list(log["failed"])
        if any(log[key] != self.log[key] for key in ("device", "torch", "sources")):
            return False
        passed = {name: c for name, c in log["checks"].items() if name in CHECKS and c["outcome"] == "passed"}
        self.log["checks"] |= passed
        self.log["sharing"] = log["sharing"] if _tried_all(log["sharing"]) else {}
        bench, profile = (read_file(self.before, log, name) for name in ("bench.json", "profile.json"))
        if bench is None:
            return False
        for name, data in (("bench.json", bench), ("profile.json", profile)):
            if data is not None and self.before != self.out:
                write_atomic(self.out / name, data)
        self.unended = not ended(json.loads(bench))
        return not self.unended

    def _check(self) -> None:
        """Make the checks that no lease before passed, and compile meanwhile what runs will use."""
        passed = [name for name, check in self.log["checks"].items() if check["outcome"] == "passed"]
        open_parts = [i for i, part in enumerate(PARTS) if {check.__name__ for check in part} - set(passed)]
        if not open_parts:
            self._note("checks", 0.0, ALREADY)
            return
        each: list[dict[str, Any]] = [{"part": i, "without": passed} for i in open_parts]
        if self.device.startswith("cuda"):
            each.append({"name": "warm up"})
        endings = self.phase("checks", self._allowed("checks"), each)
        for part, ending in zip(open_parts, endings, strict=False):  # none where it was not begun
            for check in (self.log["checks"][check.__name__] for check in PARTS[part]):
                if check["outcome"] == "begun" and ending.startswith("failed"):
                    check |= {"outcome": "failed", "said": f"the process that made it {ending}"}
                elif check["outcome"] == "begun":
                    check |= {"outcome": "not ended", "said": "its time was over before it had ended"}
        self.save()

    def phase(self, name: str, seconds: float, each: Sequence[dict[str, Any]] = ({},)) -> list[str]:
        """Make one phase in processes of its own, one for each set of arguments; return how each ended.

        They are asked to end when their time is over, and killed where they do not listen.
        """
        at_once = len(each)
        seconds = min(seconds, self.left)
        if seconds <= 0 or self.asked():
            self._note(name, 0.0, "not begun: no time was left")
            return []
        outs = [self.scratch / f"{name}-{i}.json" for i in range(at_once)]
        if name == "bench":
            outs = [self.out / "bench.json"]
        self.tell(f"{name}: {seconds:.0f} s at most{f', {at_once} processes' if at_once > 1 else ''}")
        began, processes = time.monotonic(), list[Process]()
        for out, arguments in zip(outs, each, strict=True):
            if not (name == "bench" and self.unended):  # which is gone on with
                out.unlink(missing_ok=True)  # of an earlier lease
            given = {"name": name, "device": self.device, "seconds": seconds, "out": str(out), **arguments}
            processes.append(Process("diffmemlib.campaign.phase", json.dumps(given)))

        def at_work() -> bool:
            return any(process.at_work for process in processes) and not self.asked()

        try:
            while at_work() and (left := began + seconds - time.monotonic()) > 0:
                end = time.monotonic() + min(EVERY, left)
                while at_work() and time.monotonic() < end:
                    time.sleep(0.05)
                if name == "runs" and at_work():
                    self._read(name, outs)
                    self.save()
        finally:
            for process in processes:
                process.ask()
            endings = [process.end(min(PATIENCE, 0.5 * self.saving)) for process in processes]
        self._read(name, outs)
        self._note(name, time.monotonic() - began, "; ".join(dict.fromkeys(endings)))
        self.save()
        return endings

    def _runs(self) -> bool:
        """Make runs until the time is over; whether to try again without runs at which a process died."""
        failed = {name for name, check in self.log["checks"].items() if check["outcome"] == "failed"}
        experiments = [name for name, needed in NEEDED.items() if not needed & failed]
        for name in set(NEEDED) - set(experiments):
            self.tell(f"no {name} runs are made: {', '.join(sorted(NEEDED[name] & failed))} failed")
        before = set(self.failed)
        given = {
            "tier": self.tier, "without": sorted(self.failed), "last": self.log["failed"], "experiments": experiments,
            "replayed": not REPLAYED & failed,
        }  # fmt: skip
        if not given["replayed"]:
            self.tell(f"steps are not replayed: {', '.join(sorted(REPLAYED & failed))} failed")
        at_once = int(self.log["sharing"].get("best", 1)) if self._worth_sharing() else 1
        following = plan(self.tier, self.failed, self.log["failed"], experiments)
        at_once = min(at_once, states_that_fit(following, self.room))
        endings = self.phase("runs", self.left, [given] * at_once)
        for group in self.log["groups"]:
            if group["outcome"] == "begun":
                died = endings[group["process"]].startswith("failed")
                group["outcome"] = "the process died at it" if died else self._as_left(group)
            if group["outcome"] not in ("complete", GO_ON):
                self.failed |= set(group["runs"])
        well = {run for group in self.log["groups"] for run in group["runs"]} - self.failed
        self.log["failed"] = sorted({*self.log["failed"], *self.failed} - well)
        self.log["waiting"] = waiting(self.tier)
        for sentence in self.log["waiting"]:
            self.tell(sentence)
        died = any(ending.startswith("failed") for ending in endings)
        once_more = self.failed > before or not self.tried_again  # it may have died between two runs
        self.tried_again |= died
        return died and once_more

    def _as_left(self, group: dict[str, Any]) -> str:
        """What is said of runs whose process was ended at them: such as wrote nothing for long do not go on."""
        runs = [c for c in all_runs(self.tier) if c.id in group["runs"]]
        if runs and all(map(complete_result, runs)):
            return "complete"
        folders = [c.checkpoint_dir for c in runs]
        written = [path.stat().st_mtime for folder in folders for path in folder.rglob("*") if path.is_file()]
        if max(written, default=0.0) >= group["began"] or time.time() - group["began"] < HUNG:
            return GO_ON
        return f"nothing was written in {time.time() - group['began']:.0f} s"

    def _worth_sharing(self) -> bool:
        """Whether more processes make enough more steps than one."""
        return bool(self.log["sharing"].get("gain", 0.0) > WORTH)

    def _read(self, name: str, outs: Sequence[Path]) -> None:
        """Take what the processes of a phase have written into the log."""
        for process, out in enumerate(outs):
            if not out.exists():
                continue
            found = json.loads(out.read_bytes())
            if name == "bench":
                self.log["sharing"] = found.get("sharing", {})
                if profile := found.get("image", {}).get("profile"):
                    write_atomic(self.out / "profile.json", to_json(profile))
            elif name == "checks":
                self.log["checks"] |= {check: said for check, said in found.items() if said["outcome"] != "not reached"}
            elif name == "sharing":
                self.log["sharing"] = found
            else:
                groups = [group | {"process": process} for group in found["groups"]]
                seen = {tuple(g["runs"]) for g in groups}
                self.log["groups"] = [g for g in self.log["groups"] if tuple(g["runs"]) not in seen] + groups

    def _note(self, name: str, seconds: float, outcome: str) -> None:
        self.log["phases"].append({"name": name, "seconds": round(seconds, 1), "outcome": outcome})
        self.tell(f"{name}: {outcome}, {seconds:.1f} s")

    def save(self) -> None:
        """Write the folder: log, results and states. What goes wrong is told, and tried again at the next time."""
        try:
            runs = [c for c in all_runs(self.tier) if c.id not in self.stored_before]
            self.log["made"] = [c.id for c in runs if complete_result(c)]
            others = 1 + sum((self.out / name).exists() for name in ("bench.json", "profile.json"))
            results, left_out = pack_results(runs, min((MOST_FILES - others) * MOST_BYTES, self.room))
            files = MOST_FILES - others - -(-len(results) // MOST_BYTES)
            states, told = pack_states(runs, min(files * MOST_BYTES, self.room - len(results)))
            self.log["told"] = left_out + told
            self.log["seconds"] = round(time.monotonic() - self.began, 1)
            write_folder(self.out, self.log, results, states)
        except (OSError, ValueError) as error:
            self.tell(f"the folder could not be written: {error}")


def _tried_all(found: dict[str, Any]) -> bool:
    """Whether a measurement of sharing has come to its end."""
    return set(map(str, COUNTS)) <= set(found.get("steps_per_second", {}))


def _sources() -> str:
    """A checksum of the code of this library, which has no commit where there is no git."""
    return digest(b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py"))))


def campaign(
    device: str, minutes: float, out: Path, tier: str = "gpu", resume: Path | None = None,
    tell: Callable[[str], object] = print, room: int = ROOM, began: float | None = None,
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
    room, began
        As of `Campaign`.

    Raises
    ------
    FolderError
        For a folder to resume that is none, or whose results are damaged.
    ValueError
        For a device that is not there, and minutes that are none.
    """
    check_device(device)
    if not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}: give the minutes of the lease, above 0")
    if resume is not None:
        log, taken = read_log(resume), list[str]()
        results = read_parts(resume, log, "results")
        new, refused = unpack_results(results) if results else ([], [])
        try:
            states = read_parts(resume, log, "states")
            taken = unpack_states(states) if states else []
        except FolderError as error:
            tell(f"{error}; its runs start afresh")
        tell(f"taken from {resume.name}: {len(new)} runs, and the states of {len(taken)} unfinished ones")
        if refused:
            tell("refused: " + "; ".join(refused))
    return Campaign(device, minutes, out, tier, tell, room, resume, began).run()


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
        whole = read_file(folder, log, "bench.json") is not None
        file = folder / "bench.json"
        tell(f"the benchmark of {log['device']} is in {file}" if whole else f"{file} is missing or damaged")
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
