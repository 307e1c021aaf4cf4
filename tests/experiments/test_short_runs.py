"""A short run of every experiment gives the numbers that were kept of an earlier version, to the last bit.

short_runs.json was written by the version before the library got its packages, and again by that before frozen noise,
on a processor that calls itself the same and has other instructions: the two differ by 2e-6 at most. It holds the
parameters, the identity and all curves of each run as hexadecimal floats, but for the divergence by nearest neighbours,
and checksums of its arrays; an entry that came later names the processor that it was made on. Other processors and
other versions of torch round differently; there the numbers are compared loosely.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmemlib.experiments.registry import EXPERIMENTS, run
from diffmemlib.runs.provenance import device_name

KEPT = json.loads(Path(__file__).with_name("short_runs.json").read_text())
HERE = {"device": device_name("cpu"), "capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}
LOOSE = {"unet": 0.05}  # of networks that amplify rounding within a few steps; 2% elsewhere


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", list(KEPT["runs"]))
def test_a_short_run_gives_the_numbers_that_were_kept(name: str):
    kept = KEPT["runs"][name]
    kind = EXPERIMENTS[kept["experiment"]].config
    config = kind.from_parameters({"tier": "smoke", "seed": KEPT["seed"], **kept["parameters"]})
    assert config.id == kept["id"]
    result = run(config, show_progress=False)
    curves = result.curves[~result.curves["metric"].str.startswith("kl_nn")]
    assert curves["metric"].tolist() == [metric for _, metric, *_ in kept["curves"]]
    numbers = curves[["step", "value", "low", "high"]].to_numpy(float)
    expected = np.array([[_float(v) for v in (step, *values)] for step, _, *values in kept["curves"]])
    if all((KEPT | kept)[key] == value for key, value in HERE.items()):  # an entry may name another machine
        np.testing.assert_array_equal(numbers, expected)
        arrays = {key: hashlib.sha256(value.tobytes()).hexdigest()[:16] for key, value in result.samples.items()}
        assert arrays == kept["arrays"]
    else:
        tolerance = LOOSE.get(kept["experiment"], 0.02)
        np.testing.assert_allclose(numbers, expected, rtol=tolerance, atol=tolerance)


def test_kept_runs_are_of_every_experiment():
    assert {kept["experiment"] for kept in KEPT["runs"].values()} == set(EXPERIMENTS)


def _float(value: int | str) -> float:
    return float.fromhex(value) if isinstance(value, str) else float(value)
