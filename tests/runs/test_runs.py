"""Configuration, identity, store: what is accepted, what is refused, and what survives a fault."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from diffmemlib.companion.sweeps.rename import rename_results
from diffmemlib.experiments import gmm, gmm_measures
from diffmemlib.experiments.gmm import GmmConfig
from diffmemlib.experiments.one_dimension import OneDimensionConfig
from diffmemlib.experiments.unet import UNetConfig
from diffmemlib.files import NumberedFiles, RunBusyError, run_lock, to_json, write_atomic
from diffmemlib.metrics.memorization import wilson
from diffmemlib.places import checkout
from diffmemlib.runs import execute, provenance
from diffmemlib.runs.config import identity
from diffmemlib.runs.measurements import Measurement
from diffmemlib.runs.store import ResultError, complete_result, find_results, read_result, sealed, write_result
from diffmemlib.training import loop

SMALL = {"tier": "smoke", "n": 16, "steps": 60, "samples": 100, "milestones": 3, "kept": 5}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path


def config(**changes) -> GmmConfig:
    return GmmConfig.from_parameters(SMALL | changes)


CURVES = pd.DataFrame([(10, "f_mem", 0.5, 0.4, 0.6)], columns=["step", "metric", "value", "low", "high"])


def put(c: GmmConfig, complete: bool = True, f_mem: float = 0.5):
    curves = CURVES.assign(value=f_mem)
    return write_result(c, curves, {"step": np.array([10])}, {"command": c.command, "complete": complete})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tier": "smoke", "widht": 32}, "unknown parameter 'widht'.*did you mean 'width'"),
        ({"tier": "huge"}, "tier = 'huge': choose one of smoke, laptop, gpu, paper"),
        ({}, "tier = None"),
        ({"tier": "smoke", "n": "many"}, "n = 'many' is of type str; it takes type int"),
        ({"tier": "smoke", "n": 12.5}, "it takes type int"),
        ({"tier": "smoke", "n": True}, "it takes type int"),
        ({"tier": "smoke", "optimizer": "lion"}, "optimizer = 'lion'"),
        ({"tier": "smoke", "n": 1}, "n = 1: must be at least 2"),
        ({"tier": "smoke", "width": 7}, "width = 7: must be even"),
        ({"tier": "smoke", "momentum": 1.0}, "momentum = 1.0"),
        ({"tier": "smoke", "sampler": "heun"}, "sampler = 'heun'"),
        ({"tier": "smoke", "steps": 0}, "steps = 0: must be at least 1"),
        ({"tier": "smoke", "steps": 3, "first": 4}, "first = 4: must be 1 to `steps`, which is 3"),
        ({"tier": "smoke", "kept": 500}, "kept = 500: must be 0 to `samples`, which is 200"),
        ({"tier": "smoke", "conditional": True, "guidance": -float("inf")}, "guidance = -inf"),
    ],
)
def test_bad_parameters_fail_with_name_and_rule(parameters, message):
    with pytest.raises(ValueError, match=message):
        GmmConfig.from_parameters(parameters)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 5000}, "n = 5000: must be 2 to 4096"),
        ({"optimizer": "lion"}, "optimizer = 'lion': must be sgd or adam"),
        ({"t": 99.0}, "t = 99.0: must be positive and within the schedule"),
        ({"milestones": 1}, "milestones = 1"),
    ],
)
def test_bad_parameters_in_one_dimension(changes, message):
    with pytest.raises(ValueError, match=message):
        OneDimensionConfig.from_parameters({"tier": "smoke", **changes})


@pytest.mark.parametrize(
    ("device", "budget", "message"),
    [
        ("gpu", None, "device = 'gpu'"),
        (0, None, "device = 0"),
        ("cpu", "1h", "budget = '1h': a number of seconds"),
        ("cpu", -5, "budget = -5: a number of seconds, not negative"),
    ],
)
def test_a_bad_place_is_refused(device, budget, message):
    names = {"tier": "smoke", "device": device, "budget": budget}
    with pytest.raises(ValueError, match=message):
        GmmConfig.from_notebook(names, set())


def test_an_integer_will_do_for_a_number():
    assert GmmConfig.from_parameters({"tier": "smoke", "lr": 1}).lr == 1.0


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (GmmConfig, {"tier": "laptop", "samples": 150}, {"kept": 150}),
        (GmmConfig, {"tier": "laptop", "steps": 50}, {"first": 50}),
        (UNetConfig, {"tier": "laptop", "steps": 5}, {"first": 5}),
        (UNetConfig, {"tier": "smoke", "n": 2, "optimizer": "adam"}, {"steps": 6, "first": 2}),
        (UNetConfig, {"tier": "paper", "dataset": "celeba"}, {"features": "inception"}),
        (UNetConfig, {"tier": "smoke", "dataset": "celeba"}, {"features": "untrained"}),  # too few samples for FID
    ],
)
def test_a_default_gives_way_to_what_was_asked_for(kind, given, expected):
    c = kind.from_parameters(given)
    assert {name: getattr(c, name) for name in expected} == expected
    with pytest.raises(ValueError, match="kept"):
        GmmConfig.from_parameters({"tier": "laptop", "samples": 150, "kept": 151})


def test_identity_is_stable_and_depends_on_every_setting():
    early = {"balanced": False}  # a setting that was added later, at the value that changes nothing
    assert config(**early).id == "fc69a12e6047"  # a change of this orphans every stored result
    assert config().id == config().id == "ba8f4fb8b35e"
    assert len({config(**c).id for c in ({}, {"seed": 1}, {"n": 17}, {"lr": 0.1}, {"tier": "gpu", "first": 10})}) == 5


@pytest.mark.parametrize(
    "changes", [{}, {"seed": 4}, {"steps": 500, "tier": "laptop", "width": 64, "optimizer": "adam", "lr": 0.1}]
)
def test_the_command_makes_the_same_run(changes):
    c = config(**changes)
    words = c.command.split("-p ")[1:]
    given = dict(word.split() for word in words)
    types = {"tier": str, "optimizer": str, "lr": float, "sampler": str}
    parameters = {name: types.get(name, int)(value) for name, value in given.items()}
    assert GmmConfig.from_parameters(parameters) == c


def test_the_command_of_a_stored_run_is_the_one_that_makes_it_today(store):
    """A setting that was added later has a new default; the old run goes on having the old value."""
    early = config(balanced=False)
    folder = write_result(early, CURVES, {}, {"command": "as it was", "complete": True})
    settings = json.loads((folder / "config.json").read_bytes())
    del settings["balanced"]  # as an earlier version stored it, under the same identity
    record = json.loads((folder / "provenance.json").read_bytes())
    (folder / "config.json").write_bytes(to_json(settings))
    record["sha256"]["config.json"] = hashlib.sha256(to_json(settings)).hexdigest()
    (folder / "provenance.json").write_bytes(sealed(record))
    assert read_result(folder).provenance["command"] == early.command
    assert "-p balanced False" in early.command
    assert "balanced" not in config().command


def test_results_come_back_as_written(store):
    result = read_result(put(config()))
    assert result.config == {"experiment": "gmm", **dataclasses.asdict(config())}
    assert result.curve("f_mem").loc[10].tolist() == pytest.approx([0.5, *wilson(np.arange(100) < 50)[1:]])
    assert result.samples["step"].tolist() == [10]
    with pytest.raises(KeyError, match="no metric 'fid'; it has f_mem"):
        result.curve("fid")


def test_what_one_reader_changes_in_its_curves_another_does_not_see(store):
    c = config()
    put(c)
    curves = read_result(c.result_dir).curves
    curves["value"] = -1.0
    assert (read_result(c.result_dir).curves["value"] != -1.0).all()
    put(c, f_mem=0.25)
    assert read_result(c.result_dir).curve("f_mem")["value"].iloc[-1] == 0.25


def test_find_filters_and_sorts(store):
    for c in (config(seed=1), config(), config(n=32)):
        put(c)
    assert [(r.config["n"], r.config["seed"]) for r in find_results(GmmConfig, "smoke")] == [(16, 0), (16, 1), (32, 0)]
    assert len(find_results(GmmConfig, "smoke", n=(32, 64))) == 1
    with pytest.raises(ResultError, match=r"make one with: diffmem run gmm -p tier=smoke -p n=99"):
        find_results(GmmConfig, "smoke", n=99)
    with pytest.raises(ValueError, match="gmm has no setting widht"):
        find_results(GmmConfig, "smoke", widht=16)


def test_a_setting_that_came_later_has_its_neutral_value_in_older_results(store):
    folder = put(config())
    older = json.loads((folder / "config.json").read_bytes())
    del older["guidance"]
    record = json.loads((folder / "provenance.json").read_bytes())
    (folder / "config.json").write_bytes(to_json(older))
    record["sha256"]["config.json"] = hashlib.sha256(to_json(older)).hexdigest()
    (folder / "provenance.json").write_bytes(sealed(record))
    (only,) = find_results(GmmConfig, "smoke", guidance=0.0)
    assert only.config["guidance"] == 0.0
    with pytest.raises(ResultError):
        find_results(GmmConfig, "smoke", guidance=1.0)


def test_what_is_not_named_as_a_run_is_passed_over(store):
    folder = put(config())
    (folder.parent / "desktop.ini").write_text("left by a cloud drive")
    (folder.parent / "a copy of it").mkdir()
    (folder.parent / "0123456789ab").write_text("a file named as a run")
    assert [r.id for r in find_results(GmmConfig, "smoke")] == [folder.name]


def test_a_batch_of_n_or_more_is_the_full_batch():
    full = config(batch=0)
    assert {GmmConfig.from_parameters({**SMALL, "batch": b}).id for b in (16, 17, 512, "full")} == {full.id}
    assert GmmConfig.from_parameters({**SMALL, "batch": 16}) == full
    assert dataclasses.replace(full, batch=16).id == full.id
    assert config(batch=15).id != full.id


def test_results_under_an_older_identity_are_moved(store):
    """A store in which the full batch of n = 16 lies under the identity of a batch of 16."""
    now = config(batch=0)
    folder = put(now)
    settings = {"experiment": "gmm", **dataclasses.asdict(now), "batch": 16}
    older = identity("gmm", {k: v for k, v in settings.items() if k != "experiment"}, GmmConfig.later_defaults())
    assert older != now.id
    record = json.loads((folder / "provenance.json").read_bytes())
    record["sha256"]["config.json"] = hashlib.sha256(to_json(settings)).hexdigest()
    (folder / "config.json").write_bytes(to_json(settings))
    (folder / "provenance.json").write_bytes(sealed(record))
    folder.rename(folder.with_name(older))
    assert list(rename_results("smoke")) == [(older, now.id)]
    assert complete_result(now) is not None
    assert read_result(now.result_dir).config == {"experiment": "gmm", **dataclasses.asdict(now)}
    assert list(rename_results("smoke")) == []
    shutil.copytree(now.result_dir, now.result_dir.with_name(older))
    (now.result_dir.with_name(older) / "config.json").write_bytes(to_json(settings))
    (now.result_dir.with_name(older) / "provenance.json").write_bytes(sealed(record))
    with pytest.raises(ResultError, match=f"{older} and {now.id} are one run, and both are stored: remove {older}"):
        list(rename_results("smoke"))


def test_a_replacement_that_fails_leaves_what_was_stored(store, monkeypatch):
    folder = put(config())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rename = Path.rename

    def failing(self, target):
        if self.name.startswith(".new-"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        put(config())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_reader_beside_a_replacement_sees_the_old_or_the_new(store, monkeypatch):
    """Between its first and its last step on disk a replacement only renames: nothing of the old is removed before."""
    folder, seen = put(config()), []
    rename = Path.rename

    def watched(self, target):
        seen.append(len(list(folder.iterdir())) if folder.exists() else None)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    put(config())
    assert seen == [4, None], "the old one whole until it is renamed"


def test_checkpoints_of_a_complete_run_are_removed(store):
    part = gmm.run(config(), budget=0.0, show_progress=False)
    assert any(config().checkpoint_dir.rglob("*.safetensors")) and not part.provenance["complete"]
    gmm.run(config(), show_progress=False)
    assert not config().checkpoint_dir.exists()
    (config().checkpoint_dir / "checkpoints").mkdir(parents=True)  # of a process that died after storing
    gmm.run(config(), show_progress=False)
    assert not config().checkpoint_dir.exists()


@pytest.mark.parametrize(
    ("text", "value"), [("n=16", 16), ("lr=0.5", 0.5), ("conditional=True", True), ("optimizer=adam", "adam")]
)
def test_parameters_typed_on_a_command_line_get_their_type(text: str, value):
    name, _, typed = text.partition("=")
    assert getattr(GmmConfig.from_text({"tier": "smoke", name: typed}), name) == value


def test_a_typed_parameter_of_another_type_is_refused():
    assert GmmConfig.from_text({"tier": "smoke", "n": "16", "batch": "full"}).batch == 0
    assert GmmConfig.from_text({"tier": "smoke", "n": "None"}).n == 32
    with pytest.raises(ValueError, match="parameter n = 'many' is of type str; it takes type int"):
        GmmConfig.from_text({"tier": "smoke", "n": "many"})
    with pytest.raises(ValueError, match="unknown parameter 'nn'"):
        GmmConfig.from_text({"tier": "smoke", "nn": "5"})


@pytest.mark.parametrize("name", ["config.json", "curves.parquet", "samples.npz"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damage_names_the_file_and_the_remedy(store, name: str, damage: str):
    path = put(config()) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flipped" else data[:20])
    with pytest.raises(ResultError, match=f"{name} is .*make it again: papermill"):
        assert read_result(path.parent).samples


def test_damaged_provenance_is_named(store):
    folder = put(config())
    (folder / "provenance.json").write_text("{")
    with pytest.raises(ResultError, match=r"provenance\.json is damaged"):
        read_result(folder)


def test_a_failed_write_leaves_the_old_result_and_no_debris(store, monkeypatch):
    folder = put(config())
    monkeypatch.setattr("numpy.savez_compressed", lambda *a, **k: (_ for _ in ()).throw(OSError("No space left")))
    with pytest.raises(OSError, match="No space"):
        put(config(), f_mem=0.9)
    assert read_result(folder).curve("f_mem").loc[10, "value"] == 0.5
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_write_atomic_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbered_files_keep_the_last_ones(tmp_path):
    files = NumberedFiles(tmp_path, ".bin")
    for step in (5, 10, 100):
        files.write(step, b"%d" % step, keep=2)
    assert list(files.paths()) == [10, 100]
    assert files.latest() == (100, b"100")
    assert files.read(5) is None


def test_a_second_process_leaves_with_a_clear_message(store):
    hold = (
        "import sys, time; from pathlib import Path; from diffmemlib.files import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(config().checkpoint_dir)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunBusyError, match="another process is working on"):
            gmm.run(config(), show_progress=False)
    finally:
        other.kill()
        other.wait()
    with run_lock(config().checkpoint_dir):  # a killed process holds nothing
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(store, monkeypatch, code):
    """Never a lock of filelock's own kind, which a killed process would leave behind for ever."""

    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(OSError, match="its file system has no locks; let DIFFMEM_CHECKPOINTS name a folder on another"):
        gmm.run(config(), show_progress=False)
    assert not config().result_dir.exists()


def test_the_commit_is_that_of_the_start(store, monkeypatch):
    """Someone commits while the run is under way: its code was loaded before."""
    head = ["started-from"]
    answers = {"--show-toplevel": lambda: str(checkout()), "HEAD": lambda: head[-1]}
    monkeypatch.setattr(provenance, "_git", lambda _, *arguments: answers.get(arguments[1], str)())
    step = loop.Trainer.step

    def step_and_commit(self, tau):
        head.append("committed-meanwhile")
        return step(self, tau)

    monkeypatch.setattr(loop.Trainer, "step", step_and_commit)
    provenance.code.cache_clear()
    try:
        assert gmm.run(config(), show_progress=False).provenance["commit"] == "started-from"
    finally:
        provenance.code.cache_clear()


def test_the_time_of_every_session_counts(store, monkeypatch):
    """Sessions that each end before the next milestone, the clock a second further at each step."""
    clock = [0.0]
    step = loop.Trainer.step

    def slow(self, tau):
        clock[0] += 1
        return step(self, tau)

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(loop.Trainer, "step", slow)
    c = config(steps=60, milestones=2, first=1)
    for _ in range(5):
        gmm.run(c, budget=10.0, show_progress=False)
    result = gmm.run(c, show_progress=False)
    assert result.provenance["complete"]
    assert result.provenance["seconds"] == 60


def test_a_run_keeps_the_memory_that_it_frees(store, monkeypatch):
    told = []
    monkeypatch.setattr(execute, "keep_freed_memory", lambda: told.append(True))
    gmm.run(config(), show_progress=False)
    assert told == [True]


def test_a_run_that_went_on_elsewhere_names_both_devices(store, monkeypatch):
    for name in ("one processor", "another"):
        monkeypatch.setattr(provenance, "_processor", lambda name=name: name)
        result = gmm.run(config(first=1), budget=0 if name == "one processor" else None, show_progress=False)
    assert result.provenance["complete"]
    assert result.provenance["device"] == "one processor, then another"


def test_samples_that_are_no_numbers_end_a_run_in_one_sentence(store, monkeypatch):
    monkeypatch.setattr(gmm_measures, "sample", lambda *_, **__: torch.full((100, 8), torch.nan))
    with pytest.raises(loop.DivergedError, match=r"what it generates is not\. Lower the learning rate \(lr = 0\.006"):
        gmm.run(config(), show_progress=False)


def test_a_budget_ends_cleanly_and_the_run_goes_on(store):
    part = gmm.run(config(), budget=0.0, show_progress=False)
    assert part.provenance["complete"] is False
    assert part.curves.empty
    assert not part.folder.exists()
    whole = gmm.run(config(), show_progress=False)
    assert whole.provenance["complete"] is True
    assert whole.curves["step"].max() == 60
    assert gmm.run(config(), budget=0.0, show_progress=False).provenance["complete"] is True  # read, not run


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_damaged_measurement_is_made_again(store, monkeypatch, which: int):
    curves = (gmm.run(config(), show_progress=False).folder / "curves.parquet").read_bytes()
    shutil.rmtree(config().result_dir)
    with monkeypatch.context() as patch:  # all is measured, and then the result cannot be stored
        patch.setattr(execute, "write_result", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            gmm.run(config(), show_progress=False)
    files = NumberedFiles(config().checkpoint_dir / "milestones", ".npz")
    path = list(files.paths().values())[which]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="damaged"):
        again = gmm.run(config(), show_progress=False)
    assert again.provenance["complete"]
    assert (again.folder / "curves.parquet").read_bytes() == curves


def test_a_measurement_survives_its_file():
    m = Measurement({"f_mem": (0.5, 0.4, 0.6)}, {"samples": np.arange(6, dtype=np.float16).reshape(2, 3)}, 1.5, "a GPU")
    back = Measurement.unpack(m.pack())
    assert back.metrics == m.metrics
    assert (back.seconds, back.device) == (1.5, "a GPU")
    np.testing.assert_array_equal(back.arrays["samples"], m.arrays["samples"])
    assert m.pack() == m.pack()


def test_an_array_of_objects_is_never_loaded(store):
    """npz files may hold pickles; ours are read without."""
    folder = put(config())
    packed = io.BytesIO()
    np.savez(packed, step=np.array([{"a": 1}], dtype=object))
    result = read_result(folder)
    (folder / "samples.npz").write_bytes(packed.getvalue())
    result.provenance["sha256"]["samples.npz"] = hashlib.sha256(packed.getvalue()).hexdigest()
    with pytest.raises(ResultError, match=r"samples\.npz holds no arrays .*allow_pickle=False"):
        result.samples["step"]
