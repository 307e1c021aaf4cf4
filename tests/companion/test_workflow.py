"""The workflow as a user calls it: what is missing is made and nothing else, locally and by Slurm, in slices."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from diffmemlib.companion.sweeps import costs
from diffmemlib.companion.sweeps.tables import sweep_configs, table_runs
from diffmemlib.experiments import gmm
from diffmemlib.experiments.registry import run
from diffmemlib.files import RunBusyError, run_lock
from diffmemlib.places import checkout
from diffmemlib.runs import launch as launching
from diffmemlib.runs.launch import UNFINISHED, free_gpu, launch
from diffmemlib.runs.store import complete_result, read_result
from diffmemlib.training import loop

ROOT = checkout()

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--nolock"]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def snakemake(*options: str, python: str = sys.executable) -> subprocess.CompletedProcess:
    return subprocess.run([python, *SNAKEMAKE[1:], *options], cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_the_workflow_makes_what_is_missing_and_nothing_else(store, monkeypatch):
    table(store, monkeypatch, f"{{ n = [16, 32], {SHORT} }}")
    settings = ["--cores", "2", "--config", "tier=smoke", "fig=9"]
    first = snakemake(*settings)
    assert first.returncode == 0, first.stderr
    runs = sweep_configs("x", "smoke")
    assert all(complete_result(c) for c in runs)
    finished = {c.id: read_result(c.result_dir).provenance["finished"] for c in runs}
    broken = runs[1].result_dir / "curves.parquet"
    broken.write_bytes(broken.read_bytes()[:-5])
    again = snakemake(*settings)
    assert again.returncode == 0, again.stderr
    remade = [c.id for c in runs if read_result(c.result_dir).provenance["finished"] != finished[c.id]]
    assert remade == [runs[1].id]
    assert "rule run" in again.stderr
    assert "rule run" not in snakemake(*settings).stderr


@pytest.mark.slow
def test_a_run_that_fails_is_told_once_and_not_begun_again(store, monkeypatch):
    """By a Python whose path holds a space, as in a clone of such a name."""
    table(store, monkeypatch, "{ n = 16, lr = 1e30, samples = 100, kept = 20 }")
    python = python_with_a_space(store)
    # A budget allows many attempts.
    failed = snakemake("--cores", "1", "--config", "tier=smoke", "budget=60", python=python)
    assert failed.returncode != 0
    assert "1 runs failed; why stands in executed/smoke/gmm-" in failed.stderr
    (config,) = sweep_configs("x", "smoke")
    note = ROOT / "executed" / "smoke" / f"gmm-{config.id}.failed"
    assert "training diverged: at step" in note.read_text()
    begun = note.with_suffix(".log").read_text().count(f"gmm {config.id}: papermill")
    assert begun == 1


@pytest.mark.slow
def test_a_run_cut_by_its_budget_is_begun_again_until_it_is_whole(store, monkeypatch):
    """So short a budget leaves one step to each attempt."""
    table(store, monkeypatch, f"{{ n = 16, {SHORT} }}")
    done = snakemake("--cores", "1", "--config", "tier=smoke", "budget=0.001")
    assert done.returncode == 0, done.stderr
    (config,) = sweep_configs("x", "smoke")
    assert complete_result(config)
    assert (ROOT / "executed" / "smoke" / f"gmm-{config.id}.log").read_text().count(f"gmm {config.id}: papermill") == 2


SHORT = 'steps = 2, first = 1, milestones = 2, samples = 100, kept = 20, sampler = "ddim"'


def python_with_a_space(store: Path) -> str:
    """This Python, by a path with a space."""
    (store / "a place").symlink_to(Path(sys.prefix), target_is_directory=True)
    return str(store / "a place" / "bin" / Path(sys.executable).name)


def table(store: Path, monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    """A tier of one table."""
    (store / "config").mkdir()
    text = f'[x]\nexperiment = "gmm"\nfigures = ["9", "10"]\nruns = [{run}]\n'
    (store / "config" / "smoke.toml").write_text(text)
    monkeypatch.setenv("DIFFMEM_CONFIG", str(store / "config"))


@pytest.mark.slow
@pytest.mark.skipif(" " in sys.executable, reason="no job of a cluster can begin a Python whose path holds a space")
def test_slurm_goes_on_from_job_to_job_until_a_run_is_whole(store, monkeypatch, cluster):
    """Two runs on a real Slurm of one node; the first job of the longer one is killed.

    As at its time limit. The next job ends the run, with the result of one that nothing happened to.
    """
    long = '{ n = 16, steps = 5000, samples = 100, kept = 20, sampler = "ddim" }'
    table(store, monkeypatch, f"{long}, {{ n = 32, {SHORT} }}")
    config = next(c for c in sweep_configs("x", "smoke") if c.n == 16)
    options = [
        "--workflow-profile", "workflow/profiles/slurm", "--jobs", "2",
        "--config", "tier=smoke", "fig=10", "walltime=5",
        "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
        "--seconds-between-status-checks", "2", "--slurm-no-account", "--default-resources", "mem_mb=500",
    ]  # fmt: skip
    with (store / "log").open("wb") as log:
        workflow = subprocess.Popen([*SNAKEMAKE, *options], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while workflow.poll() is None and not any((config.checkpoint_dir / "milestones").glob("*.npz")):
            time.sleep(0.05)
        subprocess.run(["scancel", "--full", "--signal=KILL", job_of(config.checkpoint_dir)], check=True)
        assert workflow.wait(600) == 0, (store / "log").read_text()[-3000:]
    runs = table_runs("smoke", "10", missing=False)
    assert config in runs and len(runs) == 2
    assert all(complete_result(c) for c in runs)
    log = ROOT / "executed" / "smoke" / f"gmm-{config.id}.log"
    assert log.read_text().count(f"gmm {config.id}: papermill") == 2
    through_slurm = complete_result(config).curves
    monkeypatch.setenv("DIFFMEM_RESULTS", str(store / "alone"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(store / "alone" / "checkpoints"))
    assert launch(run, config) == 0
    pd.testing.assert_frame_equal(complete_result(config).curves, through_slurm, check_exact=True)


def job_of(work: Path) -> str:
    """The number of the Slurm job whose process holds a run's folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            job = process.environ().get("SLURM_JOB_ID")  # first: files of all processes take longer than the run
            if job and any(file.path == f"{work}.lock" for file in process.open_files()):
                return job
    raise AssertionError(f"no process holds {work}")


def test_a_run_of_the_tables_stops_on_sigterm_and_goes_on(store):
    """It saves its state; the same command then ends with the result."""
    config = sweep_configs("mixture-n", "smoke")[0]
    command = [sys.executable, "-m", "diffmemlib", "run", config.id, "--tier", "smoke"]
    process = subprocess.Popen(command, cwd=ROOT)
    milestones = config.checkpoint_dir / "milestones"
    while process.poll() is None and not any(milestones.glob("*.npz")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) in (UNFINISHED, 0)  # 0 where the signal came after the last step
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    assert complete_result(config)


def test_a_run_ends_with_75_until_it_is_whole(store):
    config = sweep_configs("mixture-n", "smoke")[0]
    assert launch(run, config, budget=0.0) == UNFINISHED
    assert config in table_runs("smoke", "9")
    assert launch(run, config) == 0
    assert config not in table_runs("smoke", "9")
    assert config in table_runs("smoke", "9", missing=False)


def test_a_run_that_another_process_is_at_is_left_alone(store, monkeypatch, capsys):
    monkeypatch.setattr(launching, "BUSY", 0.0)
    config = sweep_configs("mixture-n", "smoke")[0]
    with run_lock(config.checkpoint_dir):
        assert launch(run, config) == UNFINISHED
    assert "another process is working on" in capsys.readouterr().err
    assert not config.result_dir.exists()


def test_unknown_figures_and_tiers_are_named():
    with pytest.raises(ValueError, match="no sweep of tier smoke draws figure '99'; there are"):
        table_runs("smoke", "99")
    with pytest.raises(ValueError, match=r"tier = 'huge': .* has no huge.toml; it has .*laptop"):
        table_runs("huge")


def test_gpus_are_given_out_one_each(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))

    def uuids() -> list[str]:
        return ["GPU-a", "GPU-b"]

    with free_gpu("cuda", uuids) as first, free_gpu("cuda", uuids) as second:
        assert (first, second) == ("cuda:0", "cuda:1")
        with pytest.raises(RunBusyError, match="all 2 GPUs are at work"), free_gpu("cuda", uuids):
            pass
    with free_gpu("cuda", uuids) as again:
        assert again == "cuda:0"
    with free_gpu("cpu", uuids) as device:
        assert device == "cpu"
    with pytest.raises(ValueError, match="torch sees no CUDA device"), free_gpu("cuda", list):
        pass


def test_costs_come_from_stored_runs_or_from_steps_timed_here(store, monkeypatch):
    runs = sweep_configs("mixture-n", "smoke") + sweep_configs("rfnn-n", "smoke")
    monkeypatch.setattr(costs, "MEASURED", 0.05)
    before = costs.estimate(runs)
    assert all("steps/s measured here" in c.source and c.seconds > 0 for c in before[:4])
    assert all(c.seconds is None for c in before[4:])
    text = costs.summary(runs, before)
    assert text.startswith("6 runs to make: about ")
    assert "rfnn_flow: 2 runs, not counted" in text
    step = loop.Trainer.step

    def stopped(self, tau):
        if any((runs[0].checkpoint_dir / "milestones").glob("*.npz")):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, tau)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "step", stopped)
        part = gmm.run(runs[0], show_progress=False)
    assert read_result(runs[0].result_dir).provenance["complete"] is part.provenance["complete"] is False
    assert "measured here" in costs.estimate(runs[:1])[0].source
    launch(run, runs[0])
    after = costs.estimate(runs[:2])  # the second differs by its seed alone
    measured = read_result(runs[0].result_dir).provenance["seconds"]
    assert all(c.seconds == measured and "1 stored runs like it" in c.source for c in after)


def test_costs_of_a_gpu_are_not_counted_on_a_login_node(store, monkeypatch):
    """`make reproduce ... SLURM=1 DEVICE=cuda` begins where there is no GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    runs = sweep_configs("mixture-n", "smoke")
    found = costs.estimate(runs, "cuda")
    assert all(c.seconds is None and "torch sees no CUDA device here" in c.source for c in found)
    assert costs.summary(runs, found).startswith("4 runs to make: cost unknown")


def test_every_table_of_every_tier_names_runs_that_can_be_made():
    for path in sorted((ROOT / "config").glob("*.toml")):
        assert table_runs(path.stem, missing=False), path.name


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [("budget=-5", "budget = "), ("walltime=abc", "walltime = 'abc'"), ("teir=smoke", "unknown setting teir")],
)
def test_settings_of_the_workflow_that_cannot_be_are_told(store, setting: str, sentence: str):
    done = snakemake("--cores", "1", "--config", "tier=smoke", setting)
    assert done.returncode != 0 and sentence in done.stderr


def test_a_cluster_is_not_given_a_python_that_its_jobs_cannot_begin(store):
    python = python_with_a_space(store)
    done = snakemake("--cores", "1", "--config", "tier=smoke", "walltime=5", python=python)
    assert done.returncode != 0 and "since its path holds a space: clone into another folder" in done.stderr
    assert python in done.stderr
