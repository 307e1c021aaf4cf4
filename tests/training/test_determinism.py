"""Sums in a fixed order are asked for on a GPU, and what was asked before is put back."""

import pytest
import torch

from diffmemlib.experiments.gmm import GmmConfig, job
from diffmemlib.runs import execute
from diffmemlib.training.determinism import deterministic


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_a_gpu_is_asked_and_a_cpu_is_not(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = state()
    for device, wanted, inside in (
        ("cuda:1", True, (True, True, False)),
        ("cuda", False, before),
        ("cpu", True, before),
    ):
        with deterministic(device, wanted):
            assert state() == inside
        assert state() == before
    with pytest.raises(RuntimeError), deterministic("cuda"):
        raise RuntimeError
    assert state() == before


def test_runs_ask_for_it(tmp_path, monkeypatch):
    for place in ("RESULTS", "CHECKPOINTS"):
        monkeypatch.setenv(f"DIFFMEM_{place}", str(tmp_path / place))
    asked = []

    def seen(device, wanted=True):
        asked.append(str(device))
        return deterministic(device, wanted)

    monkeypatch.setattr(execute, "deterministic", seen)
    config = {"tier": "smoke", "n": 8, "steps": 4, "first": 2, "samples": 100, "milestones": 2, "sampler": "ddim"}
    jobs = [job(GmmConfig.from_parameters(config | {"seed": seed})) for seed in range(3)]
    execute.execute(jobs[0], show_progress=False)
    execute.execute_ensemble(jobs[1:], show_progress=False)
    assert asked == ["cpu", "cpu"]
