"""The command from a source to its report: in seconds, interrupted, killed, with a full disk, on images and vectors."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html import escape

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.files import RunBusyError, run_lock
from diffmemlib.probe import command, model as probe_model, plan, training
from diffmemlib.probe.answer import answer
from diffmemlib.probe.data import read
from diffmemlib.probe.model import MODELS, Model
from diffmemlib.probe.training import Run, read_run, run_folder, train_one

TINY = {
    "vectors": Model("vectors", 64, 64, 3e-3, 8, 100, "ddim", 10, 0.0, 20, 6),
    "images": Model("images", 8, 8, 1e-2, 16, 40, "ddim", 3, 1.0, 4, 3),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, model in TINY.items():
        monkeypatch.setitem(probe_model.MODELS, (kind, "cpu"), model)


def same(a: Run, b: Run) -> None:
    pd.testing.assert_frame_equal(a.curves, b.curves)
    for name, values in a.arrays.items():
        np.testing.assert_array_equal(values, b.arrays[name])


def test_a_training_whose_last_measurement_is_lost_makes_it_again(tmp_path, data):
    one = train_one(tmp_path, TINY["vectors"], data, 8, 0, 60)
    folder = run_folder(tmp_path, TINY["vectors"], data, 8, 0)
    max((folder / "milestones").glob("*.npz")).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged"):
        again = train_one(tmp_path, TINY["vectors"], data, 8, 0, 60)
    same(one, again)
    assert again.ended == "copies"


def test_a_folder_with_a_probe_of_other_data_or_of_another_model_is_left_as_it_is(tmp_path, vectors, tiny, monkeypatch):
    """As on another device, or by another version."""
    monkeypatch.setattr(command, "SHORTEST", 0.0)
    quiet = {"workers": 1, "tell": lambda text: None}
    command.probe(str(vectors), tmp_path / "out", 0.05, **quiet)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    np.save(tmp_path / "others.npy", np.load(vectors)[:150])
    with pytest.raises(ValueError, match="--out out holds a probe of other data, or one made otherwise"):
        command.probe(str(tmp_path / "others.npy"), tmp_path / "out", 0.05, **quiet)
    other = Model(**{**vars(TINY["vectors"]), "width": 32})
    monkeypatch.setitem(probe_model.MODELS, ("vectors", "cpu"), other)
    with pytest.raises(ValueError, match="give a folder of its own to each, or remove that one"):
        command.probe(str(vectors), tmp_path / "out", 0.05, **quiet)
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_minutes_that_end_within_a_look_end_it_and_the_next_call_makes_it(tmp_path, data, tiny):
    """A look at wide vectors can take longer than the minutes given."""
    looks = itertools.count()

    def in_the_second_step_of_sampling() -> bool:
        return next(looks) == 25  # 20 steps of training come before the first milestone

    one = train_one(tmp_path / "one", TINY["vectors"], data, 8, 0, 60)
    cut = train_one(tmp_path / "two", TINY["vectors"], data, 8, 0, 60, should_stop=in_the_second_step_of_sampling)
    assert cut.ended == "time" and len(cut.curves) == 0
    same(one, train_one(tmp_path / "two", TINY["vectors"], data, 8, 0, 60))


class Steps:
    """Asked at every step; says stop at one of them."""

    def __init__(self, stop: int) -> None:
        self.left = stop

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_a_training_stopped_anywhere_goes_on_to_the_same_numbers(tmp_path, data, monkeypatch):
    monkeypatch.setattr(training, "PLAIN", 2.0)  # it ends by time
    whole = train_one(tmp_path / "a", TINY["vectors"], data, 8, 0, 60, should_stop=Steps(300))
    for stop in (7, 20, 33, 150, 90):  # 300 in all
        parts = train_one(tmp_path / "b", TINY["vectors"], data, 8, 0, 60, should_stop=Steps(stop))
    same(whole, parts)
    assert parts.ended == "time" and parts.seconds > 0


def test_a_training_ends_where_copies_are_plain_and_is_then_read(tmp_path, data):
    one = train_one(tmp_path, TINY["vectors"], data, 8, 0, 60)
    assert one.ended == "copies"
    f_mem = one.curve("f_mem")["value"].to_numpy()
    assert f_mem[-1] >= one.level + training.PLAIN > f_mem[:-1].max()
    began = time.monotonic()
    same(one, train_one(tmp_path, TINY["vectors"], data, 8, 0, 60))
    assert time.monotonic() - began < 5


def test_runs_of_other_seeds_and_sizes_learn_other_points(data):
    points = {(n, s): set(training.chosen(data, n, s).tolist()) for n in (16, 32) for s in (0, 1)}
    assert not points[16, 0] <= points[32, 0], "or their errors would go together"
    assert points[16, 0] != points[16, 1]


def test_one_that_diverges_is_told_as_such(tmp_path, data):
    wild = Model(**{**vars(TINY["vectors"]), "lr": 1e30})
    run = train_one(tmp_path, wild, data, 8, 0, 60)
    assert run.ended == "diverged" and run.curves.empty
    assert answer([run], 100).status == "nothing"


def test_the_command_on_vectors_writes_a_report_and_the_same_as_json(tmp_path, vectors, tiny, monkeypatch):
    out = tmp_path / "report"
    monkeypatch.setattr(command, "SHORTEST", 0.0)
    found = command.probe(str(vectors), out, 0.25, workers=1, tell=lambda text: None)
    told = json.loads((out / "report.json").read_bytes())
    assert told["answer"]["status"] == found.status
    assert told["answer"]["n"] == 200
    assert len(told["runs"]) >= 4 and {r["n"] for r in told["runs"]} >= {8, 16}
    assert 0 < told["seconds"] <= 0.25 * 60 + 20
    page = (out / "report.html").read_text()
    assert told["sentences"][0] in page.replace("&#x27;", "'").replace("&gt;", ">")
    assert all(escape(sentence) in page for sentence in told["rests_on"]) and "LoRA" in page
    assert [(row["n"], row["seed"]) for row in told["times"]] == sorted((run["n"], run["seed"]) for run in told["runs"])
    check_page(page)
    # The same call once more trains nothing, and says the same.
    again = command.probe(str(vectors), out, 0.25, workers=1, tell=lambda text: None)
    assert again == found
    # Other data in the same folder are other runs.
    np.save(vectors, GaussianMixture(8, 1.0).sample(200, 1).numpy())
    assert not plan.Plan(out, TINY["vectors"], read(str(vectors), out, progress=False), "cpu", 1).known()


def check_page(page: str) -> None:
    """Nothing is asked of a network, frames are there, and no name of a file can end an element."""
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page.replace("xlink:href=", "x="))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|<rdf:RDF.*?</rdf:RDF>', "", page, flags=re.S)
    frames = json.loads(re.findall(r'id="frames">(.*?)</script>', page, re.S)[0])
    assert len(frames) > 3 and all(source.startswith("data:image/png;base64,") for _, source, _ in frames)
    assert page.count("<svg") == 5


def test_the_command_on_coloured_pictures_with_a_hostile_name(tmp_path, tiny, monkeypatch):
    from PIL import Image

    folder = tmp_path / "<script>alert(1)<"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(150):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    monkeypatch.setattr(command, "SHORTEST", 0.0)
    out = tmp_path / "report"
    said: list[str] = []
    command.probe(str(folder), out, 0.15, size=8, workers=1, tell=said.append)
    page = (out / "report.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;" in page
    check_page(page)
    told = json.loads((out / "report.json").read_bytes())
    assert told["model"]["kind"] == "images" and told["model"]["batch"] == 8 and told["runs"]
    assert any("150 of 150 have colours, so all were given three channels" in line for line in told["found"])


SCRIPT = """
import sys
from pathlib import Path
from diffmemlib.probe import command, model
model.MODELS["vectors", "cpu"] = model.Model("vectors", 64, 64, 3e-3, 8, 100, "ddim", 10, 0.0, 20, 6)
if __name__ == "__main__":
    command.SHORTEST = 0.0
    command.probe(sys.argv[1], Path(sys.argv[2]), 0.3, workers=2)
"""


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_at_once_though_its_trainings_are_still_ending(tmp_path, vectors):
    (tmp_path / "script.py").write_text(SCRIPT)
    line = [sys.executable, str(tmp_path / "script.py"), str(vectors), str(tmp_path / "report")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(line, start_new_session=True, **quiet)
    milestones = tmp_path / "report" / "runs"
    end = time.monotonic() + 60
    while time.monotonic() < end and len(list(milestones.glob("*/milestones/*.npz"))) < 4:
        time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)  # itself alone: its workers see that it is gone
    first.wait()
    seen = {p.name for p in milestones.glob("*/milestones/*.npz")}
    assert len(seen) >= 4
    done = subprocess.run(line, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert seen <= {p.name for p in milestones.glob("*/milestones/*.npz")}, "nothing was made again"
    assert (tmp_path / "report" / "report.html").exists()
    assert f"The report: {tmp_path / 'report' / 'report.html'}\n" in done.stdout


def test_minutes_that_are_used_are_told_and_train_nothing(tmp_path, vectors, tiny, monkeypatch):
    monkeypatch.setattr(command, "SHORTEST", 0.0)
    said: list[str] = []
    quiet = {"workers": 1, "tell": said.append}
    command.probe(str(vectors), tmp_path / "out", 0.1, **quiet)
    assert not any("are used" in line for line in said)
    monkeypatch.setattr(plan.Plan, "carry_out", lambda *_: pytest.fail("nothing is to be trained"))
    said.clear()
    command.probe(str(vectors), tmp_path / "out", 0.2, **quiet)
    assert "The 0.2 minutes are used: nothing more is trained, and a larger --minutes goes on." in said


def test_steps_that_take_too_long_are_told_before_anything_is_trained(data, monkeypatch):
    clock = itertools.count(0, 5)
    monkeypatch.setattr(plan.time, "monotonic", lambda: float(next(clock)))
    said = plan.too_slow(TINY["vectors"], data, "cpu", 600.0, 2)
    assert said == (
        "Trainings of the smallest size need about 1,000 steps of 5 s, and 11 times samples, in 50 s each: 92 minutes. "
        "Give --minutes 185 or more."
    )
    assert plan.too_slow(TINY["vectors"], data, "cpu", 6000.0, 2) == ""


def test_how_a_training_was_ended_is_told():
    assert plan.how_it_ended(1) == "ended with status 1 (why stands above)"
    assert plan.how_it_ended(-9) == "was ended by signal 9 (mostly too little memory)"


@pytest.mark.slow
def test_ctrl_c_ends_in_a_sentence_and_the_same_command_goes_on(tmp_path, vectors):
    """A terminal sends it to all processes of the command: none of them may print a traceback."""
    start, _ = SCRIPT.split("    command.SHORTEST")
    call = '    from diffmemlib.__main__ import app\n    app(["probe", sys.argv[1], "--out", sys.argv[2]])\n'
    # As in a terminal, also where these tests run in the background of a shell, which lets SIGINT be ignored.
    start = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + start
    (tmp_path / "script.py").write_text(start + call)
    # More than a pipe holds: handing them to a new process takes until it has imported torch.
    np.save(vectors, GaussianMixture(8, 1.0).sample(3000, 0).numpy())
    line = [sys.executable, str(tmp_path / "script.py"), str(vectors), str(tmp_path / "report")]
    first = subprocess.Popen(line, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    milestones = tmp_path / "report" / "runs"
    end = time.monotonic() + 150
    while time.monotonic() < end and len(list(milestones.glob("*/milestones/*.npz"))) < 2:
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130 and "Traceback" not in said
    assert said.splitlines()[-1] == (
        "Interrupted. Run the same command again to go on; what was trained or read is kept."
    )
    assert len(list(milestones.glob("*/milestones/*.npz"))) >= 2


def test_a_full_disk_ends_in_a_sentence_and_loses_nothing(tmp_path, vectors, tiny, monkeypatch):
    from diffmemlib import files

    real, count = files.os.replace, 0

    def full(*arguments):
        nonlocal count
        count += 1
        if count > 12:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device.*what was written before is whole"):
        command.probe(str(vectors), tmp_path / "report", 1.0, workers=1, tell=lambda text: None)
    monkeypatch.setattr(files.os, "replace", real)
    data = read(str(vectors), tmp_path / "report", progress=False)
    run = read_run(run_folder(tmp_path / "report", TINY["vectors"], data, 8, 0), TINY["vectors"], 8, 0)
    assert run is not None and len(run.curves) > 0


def test_two_commands_at_one_folder_do_not_meet(tmp_path, vectors, tiny):
    with (
        run_lock(tmp_path / "report" / "probe"),
        pytest.raises(RunBusyError, match="another probe is working in the folder report"),
    ):
        command.probe(str(vectors), tmp_path / "report", 1.0, workers=1, tell=lambda text: None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.npy", "--minutes", "0.5"], "--minutes 0.5: give 1 or more"),
        (["x.npy", "--minutes", "nan"], "--minutes nan"),
        (["x.npy", "--model-steps-per-second", "-1"], "--model-steps-per-second -1"),
        (["x.npy", "--out", "x.npy"], "--out x.npy is a file: give a folder"),
        (["x.npy", "--out", "x.npy/out"], "x.npy/out/report.html could not be written (Not a directory); what was"),
        (["x.npy", "--device", "cuda"], "cuda"),
        (["nothing.npy"], "nothing.npy does not exist"),
        (["x.npy", "--size", "8"], "--size is for pictures"),
        (["x.npy", "--column", "a"], "holds one array, without a name: leave --column out"),
    ],
)
def test_arguments_that_cannot_be_end_in_one_sentence(tmp_path, vectors, arguments, sentence, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.move(vectors, tmp_path / "x.npy")
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    done = CliRunner().invoke(app, ["probe", *arguments])
    assert done.exit_code == 1 and done.output.startswith("Error: ") and sentence in done.output, done.output
    assert os.listdir(tmp_path) == ["x.npy"], "nothing is left of a command that could not begin"


def test_the_directions_of_the_scatter_are_the_same_for_every_frame(data):
    from diffmemlib.probe.figures import _principal

    one, two = _principal(data.pool), _principal(data.pool)
    np.testing.assert_array_equal(one, two)
    spread = (data.pool.double().numpy() @ one).var(0)
    assert spread[0] >= spread[1] > 0 and (one[np.abs(one).argmax(0), [0, 1]] > 0).all()


def test_the_directions_of_points_with_very_many_numbers_take_no_matrix_of_all_of_them():
    """A matrix of 20,000 x 20,000 would take 3 GB and half an hour."""
    from diffmemlib.probe.figures import _principal

    g = torch.Generator().manual_seed(0)
    wide = torch.randn(60, 20_000, generator=g) * torch.linspace(2, 1, 20_000)
    first, second = _principal(wide).T
    _, _, exact = torch.pca_lowrank(wide.double(), q=60)
    assert abs(float(exact[:, 0].numpy() @ first)) == pytest.approx(1, abs=1e-6)
    assert abs(float(exact[:, 1].numpy() @ second)) == pytest.approx(1, abs=1e-6)
    assert _principal(wide[:, :1]).shape == (1, 1) and _principal(wide[:, :2]).shape == (2, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_minutes_count_though_a_training_is_interrupted(tmp_path, vectors, tiny, monkeypatch, workers):
    """One training at a time runs in the process of the command, where nothing was written until it had ended."""
    monkeypatch.setattr(command, "SHORTEST", 0.0)

    def stopped(*arguments, **options):
        time.sleep(0.3)
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "train_one" if workers == 1 else "choose", stopped)
    with pytest.raises(KeyboardInterrupt):
        command.probe(str(vectors), tmp_path / "out", 0.5, workers=workers, tell=lambda line: None)
    assert json.loads((tmp_path / "out" / "probe.json").read_bytes())["seconds"] >= 0.3


def test_a_long_training_is_recorded_while_it_runs(tmp_path, vectors, tiny, monkeypatch):
    """Not only at its end: nothing can be written by a process that is killed."""
    monkeypatch.setattr(command, "SHORTEST", 0.0)
    monkeypatch.setattr(command, "EVERY", 0.0)
    state, seen = tmp_path / "out" / "probe.json", []

    def watched(*arguments, each_step):
        for _ in range(3):
            time.sleep(0.05)
            each_step()
            seen.append(json.loads(state.read_bytes())["seconds"])
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "train_one", watched)
    with pytest.raises(KeyboardInterrupt):
        command.probe(str(vectors), tmp_path / "out", 0.5, workers=1, tell=lambda line: None)
    assert 0 < seen[0] < seen[1] < seen[2]


def test_the_model_of_small_data_has_room_for_four_sizes():
    assert probe_model.choose_model("images", "cpu", 10_000) == MODELS["images", "cpu"]
    small = probe_model.choose_model("vectors", "cpu", 105)
    assert small.smallest == 16 and small.batch == MODELS["vectors", "cpu"].batch
    assert probe_model.choose_model("images", "cuda:1", 10**6).width == 32


def test_pictures_are_drawn_within_their_bounds_by_a_sampler_that_forgets_its_errors(tmp_path, monkeypatch):
    seen: dict = {}
    array = np.random.default_rng(0).integers(0, 256, (150, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", array)
    data = read(str(tmp_path / "images.npy"), tmp_path / "out", 8, progress=False)
    real = probe_model.sample
    monkeypatch.setattr(probe_model, "sample", lambda *a, **options: seen.update(options) or real(*a, **options))
    model = TINY["images"]
    measure = probe_model.Measure(model, data, data.pool[:16], seed=0)
    _, arrays = measure(model.network(data, 0, "cpu"), 4)
    assert seen["eta"] == 1.0 and seen["clip"] == data.bounds
    assert arrays["samples"].min() >= 0 and arrays["samples"].max() <= 1
    assert MODELS["images", "cpu"].eta == MODELS["images", "cuda"].eta == 1.0
