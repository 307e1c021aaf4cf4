"""A stored run as a pilot: whose steps are the probe's, what differs otherwise, and names that are none."""

import json

import pytest
from known import several
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.experiments import gmm
from diffmemlib.experiments.gmm import GmmConfig
from diffmemlib.experiments.unet import UNetConfig
from diffmemlib.probe import model as probe_model
from diffmemlib.probe.answer import answer, at_your_rate
from diffmemlib.probe.model import Model
from diffmemlib.probe.pilot import OF_PROBES, Pilot, read_pilot
from diffmemlib.runs.store import Result

PROBE = Model("vectors", 16, 24, 6e-4, 8, 100, "ddim", 10, 0.0, 20, 6)
SAME = {
    "tier": "smoke", "n": 32, "width": 16, "optimizer": "adam", "batch": 24, "steps": 20, "milestones": 2,
    "sampler": "ddim", "sampling_steps": 10, "samples": 100, "kept": 10,
}  # fmt: skip


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))


def stored(**settings) -> Result:
    return gmm.run(GmmConfig.from_parameters({**SAME, **settings}), show_progress=False)


def test_the_steps_of_a_run_trained_as_the_probe_are_its_own(store, data):
    run = stored()
    name = GmmConfig.from_parameters(SAME).id
    found = read_pilot(name[:5], PROBE, data)
    assert found == read_pilot(name, PROBE, data)
    assert found.name == name and found.differs == () and found.device == run.provenance["device"]
    assert found.steps_per_second == pytest.approx(run.provenance["last_milestone"] / run.provenance["seconds"])
    told = answer(several(), 2048)
    (sentence,) = at_your_rate(told, 0.0, found)
    assert f"{told.tau_mem[1] / found.steps_per_second / 60:.3g} minutes" in sentence.replace(",", "")
    assert found.device in sentence and "MemorizationMonitor" in sentence


@pytest.mark.parametrize(
    ("settings", "differs"),
    [
        ({"width": 32}, ("width 32 instead of 16",)),
        ({"batch": 0}, ("batch 32 instead of 24",)),
        ({"optimizer": "sgd", "lr": 6e-4}, ("optimizer sgd instead of adam",)),
        ({"lr": 1e-3, "ema": 0.9}, ("lr 0.001 instead of 0.0006", "ema 0.9 instead of 0.0")),
        ({"d": 4}, ("d 4 instead of 8",)),
    ],
)  # fmt: skip
def test_a_run_trained_otherwise_is_refused_by_what_differs(store, data, settings, differs):
    stored(**settings)
    found = read_pilot(GmmConfig.from_parameters({**SAME, **settings}).id, PROBE, data)
    assert found.differs == differs
    (sentence,) = at_your_rate(answer(several(), 2048), 0.0, found)
    assert (
        all(one in sentence for one in differs) and "minutes, since" in sentence and "MemorizationMonitor" in sentence
    )


@pytest.mark.parametrize(
    ("kind", "config", "measured"),
    [
        ("images", UNetConfig, {"features", "graphs", "sampler", "same_noise"}),
        (
            "vectors",
            GmmConfig,
            {"sampling_steps", "label_drop", "guidance", "share", "spread", "balanced", "away", "noise_levels"},
        ),
    ],
)
def test_all_settings_that_came_later_are_compared_but_those_of_data_and_measuring(kind, config, measured):
    """A run with one of them would else pass for one that is trained as a probe trains."""
    assert set(config.later_defaults()) - set(OF_PROBES[kind]) == measured


def test_without_an_answer_there_is_nothing_to_turn_into_minutes():
    assert at_your_rate(answer([], 10), 0.0, Pilot("0" * 12, 1.0, "cpu", ())) == []


@pytest.mark.parametrize("name", ["ffff", "", "../..", "*", "0" * 13])
def test_a_name_that_is_no_run_is_refused(store, data, name):
    stored()
    with pytest.raises(ValueError, match="no stored run is it"):
        read_pilot(name, PROBE, data)
    done = CliRunner().invoke(app, ["probe", "no-such-file", "--pilot", name or "x"])
    assert done.exit_code == 1 and "no stored run is it" in done.output.replace("\n", " "), "before data are read"


def test_a_run_of_another_kind_and_an_unclear_name_are_refused(data):
    """Of the stored runs of this book."""
    from diffmemlib.runs.store import stored_folders

    pictures = stored_folders("unet", "laptop")[0].name
    with pytest.raises(ValueError, match="it is a run of unet, and vectors are trained as in gmm"):
        read_pilot(pictures, PROBE, data)
    with pytest.raises(ValueError, match=r"\d+ stored runs begin so: give more of its digits"):
        read_pilot(pictures[0], PROBE, data)


def test_the_command_takes_a_pilot_and_keeps_it_in_the_report(store, vectors, tmp_path, monkeypatch):
    stored()
    name = GmmConfig.from_parameters(SAME).id
    monkeypatch.setitem(probe_model.MODELS, ("vectors", "cpu"), PROBE)
    call = ["probe", str(vectors), "--out", str(tmp_path / "out"), "--minutes", "1"]
    monkeypatch.setattr("diffmemlib.probe.plan.Plan.carry_out", lambda self, seconds, record: record(0.1))
    done = CliRunner().invoke(app, [*call, "--pilot", name])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["pilot"]["name"] == name
    both = CliRunner().invoke(app, [*call, "--pilot", name, "--model-steps-per-second", "5"])
    assert both.exit_code != 0 and "give one of them" in both.output.replace("\n", " ")
