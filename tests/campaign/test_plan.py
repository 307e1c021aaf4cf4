"""What a lease makes, and in which order; and steps that come from a pilot."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.campaign.plan import all_runs, plan, together
from diffmemlib.companion.estimators.scaling import tau_mem
from diffmemlib.companion.sweeps.tables import PilotMissingError, is_stored, sweep_configs, table_runs, waiting
from diffmemlib.data.own import identify, prepare
from diffmemlib.experiments.registry import run
from diffmemlib.experiments.unet import UNetConfig
from diffmemlib.experiments.unet_curvature import CurvatureConfig

# A network that copies its eight points within seconds.
QUICK = 'width = 64, lr = 3e-3, optimizer = "adam", d = 2, samples = 100, sampler = "ddim", sampling_steps = 10'
TABLE = f"""
[dear]
experiment = "gmm"
figures = ["9"]
runs = [{{ n = [64, 32], width = 64, steps = 5000, seed = [0, 1] }}]

[cheap]
experiment = "gmm"
figures = ["9"]
runs = [{{ n = 16, width = 8, steps = 20, first = 10, seed = [0, 1, 2] }}]

[no-figure]
experiment = "gmm"
figures = []
runs = [{{ n = 8, width = 8, steps = 10, first = 5 }}]

[from-pilot]
experiment = "gmm"
figures = ["9"]
runs = [{{ n = [16, 32], steps = {{ times = 3, of = "pilot" }}, {QUICK} }}]

[theory]
experiment = "rfnn_flow"
figures = ["4"]
runs = [{{ }}]

[pilot]
experiment = "gmm"
figures = []
runs = [{{ n = 8, steps = 3000, milestones = 12, {QUICK} }}]
"""


@pytest.fixture
def tables(tmp_path, monkeypatch):
    for variable in ("RESULTS", "CHECKPOINTS", "CONFIG"):
        monkeypatch.setenv(f"DIFFMEM_{variable}", str(tmp_path / variable.lower()))
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "smoke.toml"


def test_runs_are_made_in_the_order_of_the_tables_a_pilot_before_whom_it_leads(tables):
    tables.write_text(TABLE)
    order = [(c.n, c.seed) for c in plan("smoke")]
    assert order == [(64, 0), (64, 1), (32, 0), (32, 1), (16, 0), (16, 1), (16, 2), (8, 0), (8, 0)]
    pilot = plan("smoke")[-1]
    after = '[after]\nexperiment = "gmm"\nfigures = []\nruns = [{ n = 4, width = 8, steps = 10, first = 5 }]\n'
    tables.write_text(TABLE.replace("[theory]", f"{after}[theory]"))
    assert [c.n for c in plan("smoke")][-2:] == [8, 4] and plan("smoke")[-2] == pilot, "before its first user"
    tables.write_text(TABLE.split("[pilot]")[0].replace("[dear]", "[pilot]" + TABLE.split("[pilot]")[1] + "[dear]"))
    assert plan("smoke")[0] == pilot
    assert next(c.n for c in plan("smoke", {pilot.id})) == 64
    assert plan("smoke", last={pilot.id})[-1] == pilot and plan("smoke", experiments=["unet"]) == []
    run(plan("smoke")[-1], show_progress=False)
    assert len(plan("smoke")) == 8, "what is stored is not made again"
    assert len(all_runs("smoke")) == 9, "trainings alone, stored or not"


def test_networks_of_one_shape_go_together(tables):
    tables.write_text(TABLE)
    runs = plan("smoke")
    assert [(c.n, c.seed) for c in together(runs[4:])] == [(16, 0), (16, 1), (16, 2)]
    assert together(runs) == runs[:2], "n = 64 and n = 32 have other milestones"
    assert together(runs[-1:]) == runs[-1:]


def test_steps_come_from_a_pilot(tables):
    tables.write_text(TABLE)
    with pytest.raises(PilotMissingError, match=r"smoke.toml, from-pilot: its steps come from the run of pilot, which"):
        sweep_configs("from-pilot", "smoke")
    shown = CliRunner().invoke(app, ["costs", "--tier", "smoke", "--list"])
    assert shown.exit_code == 0 and "from-pilot waits for pilot, which finds its steps" in shown.output
    pilot_run = sweep_configs("pilot", "smoke")[0]
    table = TABLE.replace(
        'figures = ["9"]\nruns = [{ n = [16, 32], steps', 'figures = ["x"]\nruns = [{ n = [16, 32], steps'
    )
    tables.write_text(table)
    assert table_runs("smoke", "x") == [pilot_run], "in its place the pilot is to be made"
    pilot = run(sweep_configs("pilot", "smoke")[0], show_progress=False)
    (when,) = tau_mem([pilot])
    assert when.status == "interpolated"
    steps = [c.steps for c in sweep_configs("from-pilot", "smoke")]
    for found, n in zip(steps, (16, 32), strict=True):
        assert found == float(f"{3 * when.tau * n / 8:.2g}"), "in proportion to n, to two digits"
    assert [c.n for c in plan("smoke") if c.optimizer == "adam"] == [16, 32], "and then they are planned"
    assert len(table_runs("smoke", missing=False)) == 12


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("{ times = 3 }", "steps are a number, or {"),
        ('{ times = "3", of = "pilot" }', "steps are a number, or {"),
        ('{ times = 3, of = "nobody" }', "steps of 'nobody', which is no sweep of this table"),
        (
            '{ times = 3, of = "from-pilot" }',
            "steps of 'from-pilot', which is no sweep of this table with steps of its",
        ),
    ],
)
def test_bad_steps_are_told(tables, steps: str, message: str):
    tables.write_text(TABLE.replace('{ times = 3, of = "pilot" }', steps))
    with pytest.raises(ValueError, match=r"smoke\.toml") as told:
        sweep_configs("from-pilot", "smoke")
    assert message in str(told.value)


def test_a_pilot_without_copies_is_told(tables):
    tables.write_text(TABLE.replace("steps = 3000, milestones = 12", "steps = 20, first = 10, milestones = 2"))
    run(sweep_configs("pilot", "smoke")[0], show_progress=False)
    with pytest.raises(PilotMissingError, match=r"pilot has no time of copies \(censored\): give it other steps"):
        sweep_configs("from-pilot", "smoke")
    assert plan("smoke") and all_runs("smoke") and not is_stored("from-pilot", "smoke"), "the others go on"
    assert waiting("smoke", "9")[0].startswith(
        "from-pilot waits for pilot, which finds its steps (smoke.toml, from-pilot"
    )


def test_runs_whose_data_are_not_at_hand_wait_and_the_others_are_made(tables, tmp_path, monkeypatch):
    """Pictures of one's own go to a node as a file, which may have been forgotten, or be another."""
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path / "data"))
    (tmp_path / "pictures").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (160, 16, 16), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:03d}.png")
    prepare(tmp_path / "pictures", "mine", 16, progress=False)
    row = f'dataset = "{identify("mine", 16)}", n = 8'
    tables.write_text(f'{TABLE}[pictures]\nexperiment = "unet"\nfigures = ["x"]\nruns = [{{ {row} }}]\n')
    runs = plan("smoke")
    assert len(runs) == 10 and runs[-1].dataset == identify("mine", 16) and waiting("smoke", "x") == []
    for path in (tmp_path / "data").glob("mine-16.npy*"):
        path.rename(tmp_path / path.name)
    assert plan("smoke") == runs[:-1] and all_runs("smoke")[-1] == runs[-1]
    assert table_runs("smoke", "x") == [] and len(table_runs("smoke", "x", missing=False)) == 1
    asked = CliRunner().invoke(app, ["costs", "--tier", "smoke", "--figure", "x"])
    assert "pictures waits for its data" in asked.output and "No other run can be made." in asked.output
    for kind in (UNetConfig, CurvatureConfig):
        faces = kind.from_parameters({"tier": "paper", "dataset": "celeba", "side": 32})
        assert "celeba-32.npy with its manifest is not there; make it with" in faces.missing_data()
    (told,) = waiting("smoke", "x")
    assert told.startswith("pictures waits for its data (") and "mine-16.npy with its manifest is not there" in told
    assert "make it with: python -m diffmemlib data images FOLDER --name mine --size 16" in told
    (tmp_path / "pictures" / "159.png").unlink()
    prepare(tmp_path / "pictures", "mine", 16, progress=False)
    assert plan("smoke") == runs[:-1] and "mine-16.npy holds other images (mine@" in waiting("smoke", "x")[0]


def test_a_pilot_of_two_runs_is_refused(tables):
    tables.write_text(TABLE.replace("{ n = 8, steps = 3000", "{ n = [8, 9], steps = 3000"))
    with pytest.raises(ValueError, match="a pilot is one run") as told:
        sweep_configs("from-pilot", "smoke")
    assert not isinstance(told.value, PilotMissingError)
