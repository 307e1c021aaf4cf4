"""A campaign on the CPU at smoke sizes: stopped, gone on with on another machine, collected; and what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.campaign import command
from diffmemlib.campaign.command import Campaign, collect
from diffmemlib.campaign.folder import read_log, read_parts
from diffmemlib.campaign.plan import all_runs, plan
from diffmemlib.experiments.registry import run
from diffmemlib.runs.store import complete_result

ROOT = Path(__file__).resolve().parents[2]
TABLE = """
[long]
experiment = "gmm"
figures = ["9"]
runs = [{ n = 16, width = 8, steps = 4000000, first = 1000000, milestones = 3 }]

[images]
experiment = "unet"
figures = ["2"]
runs = [{ graphs = true }]

[together]
experiment = "gmm"
figures = ["9"]
runs = [{ n = 16, width = 8, steps = 20, first = 10, seed = [0, 1, 2], sampler = "ddim", sampling_steps = 10 }]
"""


SHORT = "[images]" + TABLE.split("[images]")[1]  # without the long run


def machine(tmp_path: Path, name: str, table: str = TABLE) -> dict[str, str]:
    """Places of a machine, as an environment."""
    places = {f"DIFFMEM_{p.upper()}": str(tmp_path / name / p) for p in ("results", "checkpoints", "config")}
    (tmp_path / name / "config").mkdir(parents=True)
    (tmp_path / name / "config" / "smoke.toml").write_text(table)
    return places


def start(places: dict[str, str], share: float, *options: str) -> subprocess.Popen:
    """The command, with a share of its time for the checks, and as much for the benchmark."""
    code = (
        "from diffmemlib.__main__ import app; from diffmemlib.campaign import command;"
        f"command.SHARES = {{'checks': {share}, 'bench': {share}, 'sharing': 0}}; app()"
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

    first = started(one, "begun", 0.1, "--minutes", "2", "--out", str(out))
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
    table = TABLE.split("[together]")[1].replace("steps = 20,", "steps = [20, 40],")
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


def test_checks_that_passed_before_are_not_made_again(tmp_path, monkeypatch, quick):
    """In another folder or the same one; on another device, or by other code, they are."""
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    monkeypatch.setattr(Campaign, "_runs", lambda self: False)
    first, second = tmp_path / "first", tmp_path / "second"
    campaign = Campaign("cpu", 1.0, first, "smoke", lambda line: None)
    campaign.log |= {"checks": {"networks": {"outcome": "passed", "said": "", "seconds": 1.0}}, "failed": ["a" * 12]}
    first.mkdir()
    (first / "bench.json").write_text('{"image": 1}')
    campaign.save()

    def phases(out: Path, **other: str) -> list[str]:
        again = Campaign("cpu", 1.0, out, "smoke", lambda line: None, before=first)
        again.log |= other
        return [p["name"] for p in again.run()["phases"]]

    assert phases(second, device="another GPU") == phases(second, sources="changed") == ["checks", "bench"]
    assert phases(second) == ["checks, bench"] == phases(first)
    assert (second / "bench.json").read_text() == '{"image": 1}'
    log = read_log(second)
    assert log["checks"] == campaign.log["checks"] and log["failed"] == ["a" * 12]


@pytest.mark.parametrize(("failed", "made"), [("together_and_alone", "unet"), ("compiled_steps", "gmm")])
def test_a_way_that_failed_its_check_makes_no_runs(tmp_path, monkeypatch, quick, failed: str, made: str):
    for variable, place in machine(tmp_path, "one", TABLE).items():
        monkeypatch.setenv(variable, place)
    told: list[str] = []
    campaign = Campaign("cpu", 1.0, tmp_path / "out", "smoke", told.append)
    campaign.log["checks"] = {failed: {"outcome": "failed", "said": "", "seconds": 0.0}}
    asked = {}
    monkeypatch.setattr(campaign, "phase", lambda name, seconds, count=1, **more: asked.update(more) or ["done"])
    assert campaign._runs() is False
    assert asked["experiments"] == [made] and any(f"{failed} failed" in line for line in told)


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
    table = "[together]" + TABLE.split("[together]")[1]
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


HIDDEN = """
import sys
NOT = {"papermill", "jupyter", "IPython", "matplotlib", "plotly", "pytorch_fid", "torchvision", "nbclient", "nbformat",
       "jupytext", "ipykernel", "PIL", "sklearn", "diffusers", "snakemake", "yaml", "psutil", "pytest"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in NOT else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def test_a_bare_node_is_enough(tmp_path):
    """Without notebooks, figures, the book's packages and git: images of digits, mixture, folder, collection."""
    places = machine(tmp_path, "one", SHORT)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HIDDEN)
    (tmp_path / "bin").mkdir()
    environment = os.environ | places | {"PYTHONPATH": str(tmp_path / "site"), "PATH": str(tmp_path / "bin")}
    out = str(tmp_path / "out")
    code = (
        "from diffmemlib.campaign import command; from pathlib import Path; import sys;"
        "command.SHARES = {'checks': 0.0, 'bench': 0.0, 'sharing': 0.0};"
        "command.campaign('cpu', 3.0, Path(sys.argv[1]), 'smoke'); command.collect(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, out], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    log = json.loads((tmp_path / "out" / "log.json").read_text())
    assert sorted(g["outcome"] for g in log["groups"]) == ["complete", "complete"], done.stdout + done.stderr
    assert log["commit"] is None, "there is no git there"
