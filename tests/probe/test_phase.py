"""The (n, p) diagram: boundaries of runs that are known, and the command, alone, interrupted and several at once."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from known import made
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.files import run_lock
from diffmemlib.probe import diagram, model as probe_model, phase
from diffmemlib.probe.data import Data
from diffmemlib.probe.model import Model
from diffmemlib.probe.phase import TIMES, Grid
from diffmemlib.probe.training import run_folder

TINY = Model("vectors", 64, 64, 3e-3, 8, 100, "ddim", 10, 0.0, 20, 6)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probe_model.MODELS, ("vectors", "cpu"), TINY)


def grid_of(data: Data, sizes=(32, 64, 128, 256), widths=(16, 64)) -> Grid:
    return Grid(Path("nowhere"), data, phase.models_of(TINY, widths), sizes, 10**7, "cpu")


def test_the_boundary_is_where_copies_come_at_that_time(data):
    """Copies come at 30 n, samples are good from 900 (W = 16) and 2000 (W = 64) on: n = c tau_gen/30."""
    grid = grid_of(data)
    runs = {(w, n): made(n, gen=gen) for w, gen in ((16, 900.0), (64, 2000.0)) for n in grid.sizes}
    narrow, wide = grid.rows(runs)
    assert (narrow.width, wide.width) == (16, 64) and wide.parameters > 4 * narrow.parameters
    assert narrow.tau_gen.tau == pytest.approx(900, rel=0.03) and wide.tau_gen.tau == pytest.approx(2000, rel=0.03)
    for row, c, tau in ((narrow, 3, 2700), (narrow, 8, 7200), (wide, 1, 2000), (wide, 3, 6000)):
        assert row.boundaries[c].status == "interpolated"
        assert row.boundaries[c].n == pytest.approx(tau / 30, rel=0.05)
    assert narrow.boundaries[1].status == "below range" and narrow.boundaries[1].n == 32
    assert wide.boundaries[8].status == "above range" and wide.boundaries[8].n == 256


@pytest.mark.parametrize("stop", [1.05, 1.2, 2.0])
def test_when_a_training_ended_does_not_move_the_boundary(data, stop: float):
    grid = grid_of(data, widths=(16,))
    runs = {(16, n): made(n, gen=900.0, end=stop * 30 * n) for n in (32, 64, 128)} | {(16, 256): made(256, gen=900.0)}
    (row,) = grid.rows(runs)
    assert row.boundaries[8].n == pytest.approx(240, rel=0.05)


def test_where_samples_are_never_good_there_is_no_boundary(data):
    grid = grid_of(data, widths=(16,))
    (row,) = grid.rows({(16, n): made(n, gen=1e12) for n in grid.sizes})
    assert row.tau_gen is None and row.boundaries == {}
    assert "have not become good in any of the trainings that were looked at, 4 of 4" in diagram.sentences([row])[0]


def test_what_was_not_trained_or_diverged_is_told_as_such(data):
    grid = grid_of(data, widths=(16,))
    (row,) = grid.rows({})
    assert diagram.sentences([row]) == [f"W = 16 ({row.parameters:,} parameters): not trained yet."]
    lost = changed(made(64, gen=900.0, end=5.0), ended="diverged")
    assert lost.curves.empty
    (row,) = grid.rows({(16, 64): lost, (16, 128): made(128, gen=900.0)})
    assert "1 of 4 trainings diverged" in diagram.sentences([row])[0] and row.trained == 1
    assert grid.enough(16, {}, lost), "it is not tried again for ever"
    assert (16, 64) not in grid.open({(16, 64): lost})


def test_samples_that_are_good_at_the_first_look_are_said_to_be_so_and_n_is_an_upper_bound(data):
    grid = grid_of(data, widths=(16,))
    (row,) = grid.rows({(16, n): made(n, gen=1.0) for n in grid.sizes})
    assert row.tau_gen.status == "at first point"
    assert "good from step 10 or earlier on" in diagram.sentences([row])[0]
    assert row.boundaries[8].status == "below range"


def test_discs_show_the_share_above_that_of_held_out_data():
    run = made(64)  # baseline 0.01; 0.03 + 0.2 log(tau/1920)
    assert diagram.share_above(run, 1920 * np.e) == pytest.approx(0.22, abs=0.01)
    assert diagram.share_above(run, 1.0) == 0.0
    ended = made(64, end=3000)
    assert diagram.share_above(ended, 1e5) == pytest.approx(0.02 + 0.2 * np.log(3000 / 1920), abs=0.02)
    assert diagram.share_above(changed(ended, ended="time"), 1e5) is None


def changed(run, **fields):
    """The run with other fields."""
    return type(run)(**vars(run) | fields)


def test_a_training_goes_on_until_eight_times_the_latest_time_at_which_samples_of_its_width_are_good(data):
    grid = grid_of(data)
    short = changed(made(256, gen=500.0, end=4400.0), ended="time")
    assert grid.enough(16, {}, short), "past 8 times its own"
    late = changed(made(128, gen=700.0, end=4400.0), ended="time")
    assert not grid.enough(16, {(16, 128): late}, short)
    assert grid.enough(16, {(64, 128): late}, short), "of another width"
    assert grid.enough(16, {}, made(256, gen=1e9)), "copies are plain"
    assert not grid.enough(16, {}, changed(made(256, gen=1e9, end=1e6), ended="time")), "samples are not good yet"
    grid.steps = 10**5
    assert grid.enough(16, {}, changed(made(256, gen=1e9, end=1e6), ended="time")), "it has made all steps that it may"


def test_the_command_writes_a_diagram_and_the_same_once_more_trains_nothing(tmp_path, vectors, tiny, monkeypatch):
    arguments = (str(vectors), tmp_path / "phase", (32, 16), (8, 16))
    rows, again = diagram.phase(*arguments, steps=400, workers=1, tell=lambda text: None)
    assert not again and [row.width for row in rows] == [16, 32]
    told = json.loads((tmp_path / "phase" / "phase.json").read_bytes())
    assert {(r["width"], r["n"]) for r in told["runs"]} == {(16, 8), (16, 16), (32, 8), (32, 16)}
    page = (tmp_path / "phase" / "phase.html").read_text()
    assert page.count("<svg") == 1 and "W = 32" in " ".join(told["sentences"])
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page.replace("xlink:href=", "x="))
    monkeypatch.setattr(phase, "train_one", lambda *a, **k: pytest.fail("nothing is left to train"))
    assert diagram.phase(*arguments, steps=400, workers=1, tell=lambda text: None) == (rows, False)


def test_minutes_that_are_too_few_end_with_status_75_and_the_same_command_goes_on(tmp_path, vectors, tiny):
    line = ["phase", str(vectors), "--out", str(tmp_path / "phase"), "--widths", "16,32", "--sizes", "8,16",
            "--steps", "400"]  # fmt: skip
    first = CliRunner().invoke(app, [*line, "--minutes", "0.0001"])
    assert first.exit_code == 75 and "Trainings that are not made yet: 4; the same command goes on" in first.output, (
        first.output
    )
    second = CliRunner().invoke(app, line)
    assert second.exit_code == 0 and "W = 32" in second.output, second.output


SCRIPT = """
import sys
from pathlib import Path
from diffmemlib.files import run_lock
from diffmemlib.probe import diagram, model
model.MODELS["vectors", "cpu"] = model.Model("vectors", 64, 64, 3e-3, 8, 100, "ddim", 10, 0.0, 20, 6)
if __name__ == "__main__":
    diagram.phase(sys.argv[1], Path(sys.argv[2]), (16, 32), (8, 16), steps=300, workers=int(sys.argv[3]))
"""


def as_processes(line: list[str]) -> None:
    """One process that trains by itself, beside one with two workers."""
    tasks = [subprocess.Popen([*line, workers], stderr=subprocess.PIPE, stdout=subprocess.PIPE) for workers in "12"]
    for task in tasks:
        _, error = task.communicate(timeout=900)
        assert task.returncode == 0, error.decode()


def as_a_slurm_array(line: list[str]) -> None:
    """The page's line; the first task is killed at its first milestone, and the same line submitted again."""
    shared, command = Path(line[-1]), shlex.join([*line, "1"])
    submit = ["sbatch", "--parsable", "--array=1-2", f"--output={shared.parent}/task-%a.txt", "--mem=500", "--wrap"]
    job = subprocess.run([*submit, command], check=True, capture_output=True, text=True).stdout.strip()
    while not any(shared.glob("runs/*/milestones/*.npz")):
        time.sleep(0.05)
    subprocess.run(["scancel", "--full", "--signal=KILL", f"{job}_1"], check=True)
    ended = subprocess.run([*submit[:1], "--wait", *submit[1:], command], capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, [path.read_text() for path in shared.parent.glob("task-*.txt")]


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [as_processes, as_a_slurm_array])
def test_processes_at_one_folder_share_the_trainings_and_make_each_once(tmp_path, vectors, data, tiny, tasks, request):
    """The numbers are those of one process alone."""
    if tasks is as_a_slurm_array:
        request.getfixturevalue("cluster")
    (tmp_path / "script.py").write_text(SCRIPT)
    tasks([sys.executable, str(tmp_path / "script.py"), str(vectors), str(tmp_path / "shared")])
    _, again = diagram.phase(
        str(vectors), tmp_path / "alone", (16, 32), (8, 16), steps=300, workers=1, tell=lambda text: None
    )
    assert not again
    for width, n in ((16, 8), (32, 16)):
        model = phase.models_of(TINY, (width,))[width]
        steps = [
            sorted(file.name[:9] for file in (run_folder(tmp_path / out, model, data, n, 0) / "milestones").iterdir())
            for out in ("shared", "alone")
        ]
        assert steps[0] == steps[1], "each milestone is measured, and once"
    shared, alone = (json.loads((tmp_path / out / "phase.json").read_bytes()) for out in ("shared", "alone"))
    for one, other in zip(shared["runs"], alone["runs"], strict=True):
        assert one["f_mem"] == other["f_mem"] and one["good_from"] == other["good_from"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--widths", "a"], "--widths a: give whole numbers with commas between"),
        (["--widths", "7"], "width = 7"),
        (["--sizes", "16,5000"], "--sizes 16,5000: give numbers from 2 to 150"),
        (["--sizes", "1,8"], "--sizes 1,8: give numbers from 2"),
        (["--steps", "5"], "--steps 5: a training is first looked at after 20"),
        (["--steps", "100000000"], "--steps 100000000: a training is first looked at after 20, and makes"),
        (["--minutes", "-1"], "--minutes -1: give more than 0"),
        (["--out", "vectors.npy"], "--out vectors.npy is a file: give a folder"),
        (["--out", "vectors.npy/out"], "vectors.npy/out/phase.html could not be written (Not a directory); what"),
    ],
)
def test_arguments_that_cannot_be_end_in_one_sentence(vectors, arguments, sentence, tiny, monkeypatch):
    monkeypatch.chdir(vectors.parent)
    done = CliRunner().invoke(app, ["phase", vectors.name, *arguments])
    assert done.exit_code == 1, done.output
    assert done.output.splitlines()[-1].startswith("Error: ") and sentence in done.output, done.output
    assert not (vectors.parent / "phase").exists(), "nothing is left of a command that could not begin"


def test_a_folder_with_a_diagram_of_other_data_is_left_as_it_is(tmp_path, vectors, tiny):
    arguments = (tmp_path / "phase", (16,), (8,))
    diagram.phase(str(vectors), *arguments, steps=100, workers=1, tell=lambda text: None)
    before = (tmp_path / "phase" / "phase.json").read_bytes()
    np.save(tmp_path / "others.npy", np.load(vectors)[:150])
    with pytest.raises(ValueError, match="--out phase holds a diagram of other data"):
        diagram.phase(str(tmp_path / "others.npy"), *arguments, steps=100, workers=1, tell=lambda text: None)
    assert (tmp_path / "phase" / "phase.json").read_bytes() == before


def test_boundaries_in_words():
    from diffmemlib.timescales.crossings import Boundary

    words = {
        "interpolated": "58 or more", "on grid": "58 or more", "above range": "more than 58",
        "below range": "58 or more, and perhaps fewer",
        "not monotone": "not told (copies at 58, and none at a smaller size)",
        "censored": "not told (the training on 58 was not looked at around that time)",
    }  # fmt: skip
    assert {status: diagram.boundary_text(Boundary(58.2, status)) for status in words} == words
    assert TIMES == (1, 3, 8)


def test_a_process_that_finds_all_trainings_taken_says_so_and_is_not_called_again(tmp_path, vectors, data, tiny):
    said: list[str] = []
    model = phase.models_of(TINY, (16,))[16]
    with run_lock(run_folder(tmp_path / "phase", model, data, 8, 0)):
        _, again = diagram.phase(str(vectors), tmp_path / "phase", (16,), (8,), steps=400, workers=1, tell=said.append)
    assert not again and any("other processes are at the rest" in line for line in said)


def killed(grid, seconds, parent):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_kernel_kills_is_told(data, monkeypatch):
    monkeypatch.setattr(phase, "work", killed)
    with pytest.raises(ChildProcessError, match=r"signal 9 \(mostly too little memory\); what was trained"):
        phase.together(grid_of(data), 2, 60.0)
