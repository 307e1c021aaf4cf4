"""The notebooks that make runs, executed by papermill at the smoke tier: they store, resume, and refuse nonsense."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from diffmemlib.experiments.registry import EXPERIMENTS
from diffmemlib.runs.store import find_results

ROOT = Path(__file__).resolve().parents[2]
RUNS = sorted((ROOT / "book" / "runs").glob("*.ipynb"))


def papermill(notebook: Path, out: Path, store: Path, *parameters: str) -> subprocess.CompletedProcess:
    places = {"DIFFMEM_RESULTS": str(store / "results"), "DIFFMEM_CHECKPOINTS": str(store / "checkpoints")}
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), "--no-progress-bar", *parameters]
    return subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, timeout=300)


def outputs(notebook: Path) -> str:
    cells = nbformat.read(notebook, 4).cells
    return "\n".join(str(output) for cell in cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("notebook", RUNS, ids=lambda p: p.stem)
def test_a_run_is_stored_and_its_notebook_keeps_the_record(notebook: Path, tmp_path, monkeypatch):
    out = tmp_path / "executed.ipynb"
    if notebook.stem not in ("gmm_kernel", "rfnn_flow", "unet_curvature"):  # one piece, which no budget stops
        first = papermill(notebook, out, tmp_path, "-p", "tier", "smoke", "-p", "seed", "5", "-p", "budget", "0")
        assert first.returncode == 0, first.stderr
        assert "Stopped before its end" in outputs(out)
    second = papermill(notebook, out, tmp_path, "-p", "tier", "smoke", "-p", "seed", "5")
    assert second.returncode == 0, second.stderr
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    (result,) = find_results(EXPERIMENTS[notebook.stem].config, "smoke", seed=5)
    assert result.provenance["complete"]
    text = outputs(out)
    assert "Stopped before its end" not in text
    for kept in (result.id, result.provenance["command"], result.provenance["data_sha256"], "image/png"):
        assert kept in text, f"{kept} is not in the executed notebook"


@pytest.mark.parametrize("notebook", RUNS, ids=lambda p: p.stem)
def test_the_parameters_cell_names_every_setting(notebook: Path):
    """A setting missing there could not be given by -p; the run itself refuses names that are no setting."""
    config = EXPERIMENTS[notebook.stem].config
    cells = nbformat.read(notebook, 4).cells
    (source,) = (c.source for c in cells if "parameters" in c.metadata.get("tags", []))
    named = {line.split(" = ")[0] for line in source.splitlines()}
    assert named == {f.name for f in dataclasses.fields(config)} | {"device", "budget"}


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [("widht", "32", "unknown parameter 'widht'"), ("width", "wide", "width = 'wide' is of type str")],
)
def test_a_wrong_parameter_fails_at_once(parameter: str, value: str, message: str, tmp_path):
    run = papermill(ROOT / "book/runs/gmm.ipynb", tmp_path / "x.ipynb", tmp_path, "-p", parameter, value)
    assert run.returncode != 0
    assert message in run.stderr
    assert not (tmp_path / "results").exists()
