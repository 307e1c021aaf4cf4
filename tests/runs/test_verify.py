"""Results that prove themselves: any change in what is stored is noticed and told by the name of the file."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.companion.sweeps.costs import damaged, estimate
from diffmemlib.experiments.gmm import GmmConfig
from diffmemlib.files import NumberedFiles, read_text
from diffmemlib.places import checkout, results_dir
from diffmemlib.runs.measurements import Measurement, read_measurement, start_afresh_if_lost
from diffmemlib.runs.store import (
    CONTENT,
    ResultError,
    complete_result,
    read_result,
    read_settings,
    sealed,
    write_result,
)
from diffmemlib.runs.verify import MANIFEST, verify, write_manifest
from diffmemlib.training.checkpoints import Checkpoint, latest_checkpoint, load_weights, restore

SMALL = {"tier": "smoke", "n": 16, "width": 8}
FACTS = {"command": "make it", "complete": True, "seconds": 2.0, "device": "a chip"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path


def config(**changes) -> GmmConfig:
    return GmmConfig.from_parameters(SMALL | changes)


def put(c: GmmConfig, value: float = 0.5) -> Path:
    curves = pd.DataFrame([(10, "kl", value, 0.4, 0.6)], columns=["step", "metric", "value", "low", "high"])
    return write_result(c, curves, {"step": np.array([10])}, FACTS)


def change(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, and put the checksums right, as one who wants to be believed would."""
    (folder / name).write_bytes(data)
    record = json.loads((folder / "provenance.json").read_bytes())
    record["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / "provenance.json").write_bytes(sealed(record))


FLIPS = 120


@settings(max_examples=FLIPS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.sampled_from([*CONTENT, "provenance.json"]), strategies.integers(0, 10**6), strategies.integers(0, 7))
def test_a_bit_flipped_in_any_stored_file_is_noticed(store: Path, name: str, at: int, bit: int):
    folder = put(config())
    data = bytearray((folder / name).read_bytes())
    data[at % len(data)] ^= 1 << bit
    (folder / name).write_bytes(data)
    with pytest.raises(ResultError, match=rf"{folder.name}/{name}"):
        read_result(folder).samples  # noqa: B018
    assert not complete_result(config())
    assert damaged([config()])[0].startswith(f"smoke/gmm/{folder.name}/{name}")


def test_a_result_under_the_name_of_another_is_refused(store: Path):
    one, other = put(config()), config(n=32).result_dir
    shutil.copytree(one, other)
    with pytest.raises(ResultError, match=f"smoke/gmm/{other.name} holds another run, smoke/gmm/{one.name}"):
        read_result(other)
    moved = results_dir() / "laptop" / "gmm" / one.name
    shutil.copytree(one, moved)
    with pytest.raises(ResultError, match="holds another run"):
        read_result(moved)
    edited = json.loads((one / "config.json").read_bytes()) | {"n": 64}
    change(one, "config.json", json.dumps(edited).encode())
    with pytest.raises(ResultError, match="holds another run"):
        read_settings(one)


@pytest.mark.parametrize("name", [*CONTENT, "provenance.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"[" * 100_000, b"PK\x03\x04", b"PAR1", bytes(100)])
def test_content_of_another_kind_is_told_by_the_name_of_its_file(store: Path, name: str, data: bytes):
    folder = put(config())
    if name == "provenance.json":
        (folder / name).write_bytes(data)
    else:
        change(folder, name, data)
    with pytest.raises(ResultError, match=name) as error:
        read_result(folder).samples  # noqa: B018
    assert len(str(error.value).splitlines()) == 1
    assert name in verify().damaged[f"smoke/gmm/{folder.name}"]


def test_curves_with_other_columns_are_refused(store: Path):
    folder = put(config())
    change(folder, "curves.parquet", pd.DataFrame({"step": [1]}).to_parquet(index=False))
    with pytest.raises(ResultError, match=r"curves\.parquet holds no table of curves \(its columns are step\)"):
        read_result(folder)


def test_the_page_says_how_many_bits_are_flipped():
    assert f"{FLIPS} random bits" in (checkout() / "book" / "reproduce.md").read_text()


def test_the_manifest_knows_the_committed_results(store: Path):
    """Values edited with all checksums put right are believed by every reader, and not by the manifest."""
    folders = [put(config(seed=seed)) for seed in range(3)]
    write_manifest()
    own = put(config(seed=9))
    found = verify()
    assert (found.whole, found.own, found.as_committed) == (4, 1, True)
    put(config(seed=1), value=0.1)
    shutil.rmtree(folders[2])
    found = verify()
    assert found.changed == [f"smoke/gmm/{folders[1].name}"]
    assert found.missing == [f"smoke/gmm/{folders[2].name}"]
    run = CliRunner().invoke(app, ["verify"])
    assert run.exit_code == 1
    assert f"not the committed one (made again, or edited): smoke/gmm/{folders[1].name}" in run.output
    assert CliRunner().invoke(app, ["verify", "--integrity"]).exit_code == 0
    (own / "curves.parquet").write_bytes(b"")
    assert CliRunner().invoke(app, ["verify", "--integrity"]).exit_code == 1
    (results_dir() / MANIFEST).write_text("[")
    assert "manifest.json is damaged" in CliRunner().invoke(app, ["verify"]).output


def test_the_committed_results_are_those_of_the_manifest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DIFFMEM_RESULTS", raising=False)
    tracked = subprocess.run(
        ["git", "ls-files", "results/*/*/*/provenance.json"], cwd=checkout(), capture_output=True, text=True
    )
    names = {"/".join(line.split("/")[1:4]) for line in tracked.stdout.split()}
    assert names <= set(json.loads((checkout() / "results" / MANIFEST).read_bytes()))
    found = verify()
    assert found.as_committed, found.lines()


def test_costs_tell_damaged_results_and_read_the_others_once(store: Path, monkeypatch: pytest.MonkeyPatch):
    for seed in range(5):
        put(config(seed=seed))
    (config(seed=0).result_dir / "curves.parquet").write_bytes(b"x")
    (damage,) = damaged([config(seed=0), config(seed=1), config(seed=77)])
    assert "curves.parquet is damaged" in damage
    read: list[Path] = []
    monkeypatch.setattr(
        "diffmemlib.companion.sweeps.costs.read_settings", lambda f: (read.append(f), read_settings(f))[1]
    )
    costs = estimate([config(seed=seed) for seed in range(50, 90)])
    assert len(read) == 5
    assert all(cost.seconds == 2.0 for cost in costs)


def test_a_measurement_under_another_step_is_passed_over(tmp_path: Path):
    log, states = NumberedFiles(tmp_path / "log", ".npz"), NumberedFiles(tmp_path / "states", ".safetensors")
    for tau in (10, 20, 30):
        log.write(tau, Measurement({"kl": (1.0, 0.9, 1.1)}, {}, 1.0, "", tau).pack())
    states.write(30, Checkpoint(30, {"w": torch.ones(1)}).pack())
    first = log.paths()[10]
    first.replace(first.with_name(first.name.replace("000000010", "000000020")))
    log.paths()[20].unlink()
    log.write(10, Measurement({"kl": (1.0, 0.9, 1.1)}, {}, 1.0, "", 10).pack())
    wrong = log.paths()[10]
    shutil.copy(wrong, wrong.with_name(wrong.name.replace("000000010", "000000020")))
    with pytest.warns(UserWarning, match=r"is no measurement at step 20 \(it was made at step 10\)"):
        assert read_measurement(log, 20) is None
    assert read_measurement(log, 30).step == 30
    with pytest.warns(UserWarning, match="the run starts afresh"):
        start_afresh_if_lost(log, states, [10, 20, 30])
    assert states.latest() is None


@pytest.mark.parametrize("data", [b"", b"[]", bytes(30)])
def test_a_measurement_or_checkpoint_of_another_kind_is_told(tmp_path: Path, data: bytes):
    log = NumberedFiles(tmp_path, ".npz")
    log.write(5, data)
    with pytest.warns(UserWarning, match="is no measurement at step 5"):
        assert read_measurement(log, 5) is None
    with pytest.raises(ValueError, match=r"the checkpoint of step 5 in .* is not one of this library"):
        latest_checkpoint(log)


def test_checkpoints_of_other_networks_steps_and_without_numbers_are_refused(tmp_path: Path):
    net = torch.nn.Linear(2, 3)
    files = NumberedFiles(tmp_path, ".safetensors")
    files.write(5, Checkpoint(5, torch.nn.Linear(4, 3).state_dict()).pack())
    with pytest.raises(ValueError, match=r"the checkpoint of step 5 in .* is of another network \(.*size mismatch"):
        load_weights(net, latest_checkpoint(files), files)
    files.write(5, Checkpoint(5, {k: v * float("nan") for k, v in net.state_dict().items()}).pack())
    with pytest.raises(ValueError, match="it holds weights that are no numbers"):
        latest_checkpoint(files)
    files.write(5, Checkpoint(6, net.state_dict()).pack())
    with pytest.raises(ValueError, match="it holds step 6"):
        latest_checkpoint(files)
    files.write(5, Checkpoint(5, net.state_dict(), {7: {"step": torch.tensor(1.0)}}).pack())
    with pytest.raises(ValueError, match="an optimiser of more parameters"):
        restore(net, torch.optim.Adam(net.parameters()), files)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_text_of_any_system_is_read(tmp_path: Path, encoding: str):
    path = tmp_path / "smoke.toml"
    path.write_bytes("# Frédéric\r\n[mine]\r\n".encode(encoding))
    if encoding == "utf-16-le":  # without its mark it is anything
        path.write_bytes("# é\n".encode("latin-1"))
        with pytest.raises(ValueError, match=r"smoke\.toml, line 1: not UTF-8"):
            read_text(path)
    else:
        assert read_text(path) == "# Frédéric\n[mine]\n"


def test_tables_are_refused_with_their_name_before_any_run(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIFFMEM_CONFIG", str(store / "my"))
    run = CliRunner().invoke(app, ["costs", "--tier", "smoke"])
    assert "is no folder" in run.output
    (store / "my").mkdir()
    (store / "my" / "smoke.toml").write_text("")
    assert "smoke.toml holds no sweep" in CliRunner().invoke(app, ["costs", "--tier", "smoke"]).output
    for row, message in (
        ("width = 12", "width = 12: must be a multiple of 8"),
        ("n = 99999", "n = 99999: must be 2 to 2976"),
        ("side = 64", "side = 64: must be 16 or 32"),
        ("features = 'fid'", "features = 'fid': must be one of digits"),
        ("features = 'inception', samples = 2050", "features = 'inception': 1024 images are held out"),
    ):
        table = f"[m]\nexperiment = 'unet'\nfigures = []\nruns = [\n  {{ n = 16 }},\n  {{ {row} }},\n]\n"
        (store / "my" / "smoke.toml").write_text(table)
        run = CliRunner().invoke(app, ["costs", "--tier", "smoke"])
        assert run.exit_code == 1
        assert f"smoke.toml, line 6, m: {message}" in run.output


@pytest.mark.parametrize("budget", ["-5", "nan"])
def test_budgets_are_not_negative(budget: str):
    run = CliRunner().invoke(app, ["run", "gmm", "-p", "tier=smoke", "--budget", budget])
    assert run.exit_code == 1
    assert "give seconds, zero or more" in run.output


def test_too_little_memory_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity"),
    ):

        def fails(*a, error=error, **k):
            raise error

        monkeypatch.setattr("diffmemlib.experiments.registry.run", fails)
        run = CliRunner().invoke(app, ["run", "gmm", "-p", "tier=smoke"])
        assert run.exit_code == 1
        assert "Error: there is too little memory for this" in run.output
