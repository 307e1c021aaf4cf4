"""The checks of a campaign, and a training of a probe, on a GPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmemlib.campaign.checks import CHECKS
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.probe.data import read
from diffmemlib.probe.model import MODELS
from diffmemlib.probe.training import train_one
from diffmemlib.training.determinism import deterministic

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]


@pytest.mark.parametrize("name", CHECKS)
def test_check(name: str):
    with deterministic(DEVICE):
        CHECKS[name](DEVICE)


@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_a_training_of_a_probe_is_measured_stopped_and_gone_on_with(tmp_path: Path, kind: str):
    points = GaussianMixture(64, 1.0).sample(200, 0).numpy()
    np.save(tmp_path / "data.npy", points if kind == "vectors" else points.reshape(200, 8, 8))
    data = read(str(tmp_path / "data.npy"), tmp_path / "out", 8 if kind == "images" else None, progress=False)
    model = replace(MODELS[kind, DEVICE], first=10, sampling_steps=4, samples=64, width=8 if kind == "images" else 32)
    asked = iter(range(10**6))

    def after_the_second_milestone() -> bool:
        return next(asked) == 25

    cut = train_one(tmp_path / "out", model, data, 8, 0, 300, DEVICE, should_stop=after_the_second_milestone)
    assert cut.ended == "time" and len(cut.curves) > 0
    again = train_one(
        tmp_path / "out", model, data, 8, 0, 300, DEVICE, enough=lambda run: run.curves["step"].max() > 20
    )
    assert again.curves["step"].max() > cut.curves["step"].max() and np.isfinite(again.curves["value"]).all()
