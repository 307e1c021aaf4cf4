"""Two processes over gloo train one net: the curves of one process, at the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffmemlib.companion.sweeps.tables import sweep_configs
from diffmemlib.places import checkout
from diffmemlib.runs.store import complete_result, read_result

ROOT = checkout()

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RUNS = {
    "gmm": '{ n = 16, lr = 6e-3, steps = 60, milestones = 3, samples = 100, kept = 5, sampler = "ddim", batch = 8 }',
    "unet": "{ n = 16, steps = 4, dropout = 0.0 }",
}


def made(place: Path, monkeypatch: pytest.MonkeyPatch, experiment: str, run: str, *launcher: str, options=()):
    """The result of the one run of a table, made by `python -m diffmemlib run` or under torchrun."""
    (place / "config").mkdir(parents=True, exist_ok=True)
    text = f'[x]\nexperiment = "{experiment}"\nfigures = []\nruns = [{run}]\n'
    (place / "config" / "smoke.toml").write_text(text)
    for name in ("CONFIG", "RESULTS", "CHECKPOINTS"):
        monkeypatch.setenv(f"DIFFMEM_{name}", str(place / name.lower()))
    (config,) = sweep_configs("x", "smoke")
    command = [*launcher, "-m", "diffmemlib", "run", config.id, "--tier", "smoke", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    return done, config


@pytest.mark.slow
@pytest.mark.parametrize("experiment", RUNS)
def test_two_processes_give_the_curves_of_one(experiment: str, tmp_path, monkeypatch):
    stored = []
    for name, launcher in (("one", [sys.executable]), ("two", TORCHRUN)):
        done, config = made(tmp_path / name, monkeypatch, experiment, RUNS[experiment], *launcher)
        assert done.returncode == 0, done.stderr[-3000:]
        stored.append(read_result(config.result_dir))
    one, two = stored
    assert two.provenance["complete"]
    assert (one.provenance["processes"], two.provenance["processes"]) == (1, 2)
    assert one.provenance["data_sha256"] == two.provenance["data_sha256"]
    for metric in ("loss_train", "loss_test"):
        np.testing.assert_allclose(two.curve(metric)["value"], one.curve(metric)["value"], rtol=1e-3)
    assert list(one.curves["step"]) == list(two.curves["step"])


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(tmp_path, monkeypatch):
    whole, config = made(tmp_path / "whole", monkeypatch, "gmm", RUNS["gmm"], *TORCHRUN)
    assert whole.returncode == 0, whole.stderr[-3000:]
    curves = (config.result_dir / "curves.parquet").read_bytes()
    part, config = made(tmp_path / "part", monkeypatch, "gmm", RUNS["gmm"], *TORCHRUN, options=["--budget", "0"])
    assert part.returncode == 0, part.stderr[-3000:]
    assert "Stopped before its end" in part.stdout
    assert complete_result(config) is None
    rest, config = made(tmp_path / "part", monkeypatch, "gmm", RUNS["gmm"], *TORCHRUN)
    assert rest.returncode == 0, rest.stderr[-3000:]
    assert (config.result_dir / "curves.parquet").read_bytes() == curves


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    odd = RUNS["gmm"].replace("batch = 8", "batch = 7")
    done, _ = made(tmp_path, monkeypatch, "gmm", odd, *TORCHRUN)
    assert done.returncode != 0
    assert "7 points a step cannot be shared evenly by 2 processes" in done.stderr
