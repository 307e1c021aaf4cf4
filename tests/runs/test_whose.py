"""Whose a stored file is: nothing of another run, nothing edited and nothing damaged is taken for a run's own."""

import json
import os
import shutil
import stat
from math import inf, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.companion.sweeps.rename import rename_results
from diffmemlib.experiments import gmm
from diffmemlib.experiments.gmm import GmmConfig
from diffmemlib.files import NumberedFiles, check_writable, digest, to_json, write_atomic
from diffmemlib.runs.store import ResultError, sealed, write_result

SMALL = {"tier": "smoke", "n": 16, "width": 8, "samples": 100, "kept": 20, "sampler": "ddim", "sampling_steps": 5}
FACTS = {"command": "make it", "complete": True, "seconds": 2.0, "device": "a chip"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path


def config(**changes) -> GmmConfig:
    return GmmConfig.from_parameters(SMALL | changes)


def put(c: GmmConfig) -> Path:
    curves = pd.DataFrame([(10, "kl", 0.5, 0.4, 0.6)], columns=["step", "metric", "value", "low", "high"])
    return write_result(c, curves, {"step": np.array([10])}, FACTS)


def test_rename_results_seals_nothing_that_is_damaged_or_another_run(store):
    """What `verify` calls damaged, no other command makes whole."""
    folder = put(config())
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    settings, record = (json.loads(whole[name]) for name in ("config.json", "provenance.json"))
    edited = to_json(settings | {"n": 64})
    resealed = sealed(record | {"sha256": record["sha256"] | {"config.json": digest(edited)}})
    for files, sentence in (
        ({"config.json": edited}, "config.json is damaged"),
        ({"config.json": edited, "provenance.json": resealed}, "holds the settings of another run"),
        ({"provenance.json": to_json({k: v for k, v in record.items() if k != "checksum"})}, "no checksum of its own"),
        ({"curves.parquet": b"nothing"}, "curves.parquet is damaged"),
    ):
        for name, data in (whole | files).items():
            (folder / name).write_bytes(data)
        with pytest.raises(ResultError, match=sentence):
            list(rename_results("smoke"))
        assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    with pytest.raises(ValueError, match="choose one of smoke"):
        list(rename_results("labtop"))


@pytest.mark.parametrize("content", [[1, 2], None, {"n": 3}, {"experiment": "gmm", "foo": 1}])
def test_settings_of_any_shape_are_refused_in_a_sentence(store, content):
    folder = put(config())
    record, data = json.loads((folder / "provenance.json").read_bytes()), (json.dumps(content) + "\n").encode()
    (folder / "config.json").write_bytes(data)
    (folder / "provenance.json").write_bytes(
        sealed(record | {"sha256": record["sha256"] | {"config.json": digest(data)}})
    )
    with pytest.raises(ResultError, match="holds no settings of gmm"):
        list(rename_results("smoke"))


def test_files_of_another_run_are_passed_over(tmp_path):
    """Checkpoints and measurements carry whose they are in their checksum."""
    theirs, ours = (NumberedFiles(tmp_path / name, ".npz", owner=name) for name in ("a", "b"))
    theirs.write(5, b"theirs")
    assert theirs.latest() == (5, b"theirs")
    shutil.copytree(theirs.folder, ours.folder)
    with pytest.warns(UserWarning, match="or of another run"):
        assert ours.latest() is None
    NumberedFiles(tmp_path / "b", ".npz").write(7, b"of an earlier version")
    assert ours.read(7) == b"of an earlier version"
    for step in (-1, 10**9):
        with pytest.raises(ValueError, match="numbered from 0"):
            ours.write(step, b"")


def test_a_run_goes_on_from_no_other_runs_checkpoint(store):
    """Seed 1's folder copied to seed 2: the result is that of seed 2 alone."""
    one, two = (config(seed=seed, steps=3000, milestones=6) for seed in (1, 2))
    whole = gmm.run(two, show_progress=False).curves
    shutil.rmtree(two.result_dir)
    stopped = gmm.run(one, budget=0.2, show_progress=False)
    assert not stopped.provenance["complete"], "it would have to be stopped earlier to test anything"
    shutil.copytree(one.checkpoint_dir, two.checkpoint_dir)
    with pytest.warns(UserWarning, match="or of another run"):
        again = gmm.run(two, show_progress=False).curves
    pd.testing.assert_frame_equal(again, whole)


def test_nothing_to_verify_is_no_success(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "mistyped"))
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 1 and "is no folder: there is nothing to verify" in done.output
    (tmp_path / "mistyped").mkdir()
    (tmp_path / "mistyped" / "manifest.json").write_text('{"a\\u001b[31m": "x"}')
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 1 and "names no run" in done.output and "\x1b" not in done.output


def test_what_is_written_has_the_permissions_of_the_user(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_whether_a_file_can_be_written_is_asked_without_touching_it(tmp_path):
    """A benchmark asks before it measures for minutes, and an earlier one's file is not lost if it is interrupted."""
    (tmp_path / "kept.json").write_text("earlier")
    check_writable(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_text() == "earlier"
    check_writable(tmp_path / "new" / "a.json")
    assert not (tmp_path / "new" / "a.json").exists()
    for impossible in (tmp_path, tmp_path / "kept.json" / "b.json"):
        with pytest.raises(OSError, match="could not be written"):
            check_writable(impossible)


def test_json_is_json_whatever_the_numbers():
    content = to_json({"interval": (1.0, inf), "rows": [{"value": nan, "count": 3, "name": "x", "good": True}]})
    assert json.loads(content, parse_constant=pytest.fail) == {
        "interval": [1.0, None], "rows": [{"value": None, "count": 3, "name": "x", "good": True}],
    }  # fmt: skip
