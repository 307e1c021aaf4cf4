"""Tables of runs: what they mean, what is refused, and that every run they name is stored and complete."""

import dataclasses
import os
import shutil
import signal
import subprocess
import tomllib

import pytest
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.companion.sweeps.tables import read_tables, run_sweep, sweep_configs, sweep_results
from diffmemlib.places import checkout
from diffmemlib.runs.store import ResultError
from diffmemlib.training.ensemble import EnsembleTrainer

ROOT = checkout()

LAPTOP = [name for name in tomllib.loads((ROOT / "config" / "laptop.toml").read_text()) if name != "defaults"]


def table(tmp_path, text: str):
    (tmp_path / "smoke.toml").write_text(text)
    return sweep_configs("x", "smoke", tmp_path)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))


HEAD = '# a comment\n[x]\nexperiment = "gmm"\nfigures = ["9"]\n'


def test_a_list_stands_for_a_run_each(tmp_path):
    runs = table(tmp_path, HEAD + "runs = [{ n = [32, 64], seed = [1, 2] }, { n = 8 }]")
    assert [(c.n, c.seed) for c in runs] == [(32, 1), (32, 2), (64, 1), (64, 2), (8, 0)]
    assert {c.tier for c in runs} == {"smoke"}


def test_what_all_runs_of_an_experiment_have_gives_way_to_a_row(tmp_path):
    defaults = "[defaults.gmm]\nbalanced = false\nd = 2\n[defaults.unet]\nnetwork = 'early'\n"
    first, second = table(tmp_path, defaults + HEAD + "runs = [{ n = 8 }, { n = 8, balanced = true }]")
    assert (first.balanced, first.d, second.balanced, second.d) == (False, 2, True, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD.replace("[x]", "[y]") + "runs = []", "smoke.toml has no sweep 'x'; it has y"),
        (HEAD.replace("gmm", "gnn") + "runs = []", "smoke.toml, line 2, x: experiment must be one of gmm, gmm_kernel"),
        (HEAD, "line 2, x: a sweep has experiment, figures and runs, and nothing else"),
        (HEAD.replace('"9"', "9") + "runs = []", "line 2, x: figures is a list of texts"),
        (HEAD + "runs = [\n  { n = 8 },\n  { m = 3 },\n]", "smoke.toml, line 7, x: unknown parameter 'm'"),
        (HEAD + "runs = [{ n = 8 }, { n = 8, seed = 0 }]", "line 2, x: needs at least one run, and none twice"),
        (HEAD + "runs = []", "line 2, x: needs at least one run"),
        (HEAD.replace('["9"]', '"9"') + "runs = []", "line 2, x: figures is a list of texts"),
        (HEAD.replace('["9"]', "9") + "runs = []", "line 2, x: figures is a list of texts"),
        (HEAD.replace('"gmm"', '["gmm"]') + "runs = []", "line 2, x: experiment must be one of"),
        (HEAD + "runs = 3", "line 2, x: runs is a list of parameters in braces"),
        (HEAD + "runs = [3]", "line 2, x: runs is a list of parameters in braces"),
        (HEAD + "runs = [{ n = 8 }", "smoke.toml: .*(line 5|end of document)"),
        ("[defaults]\nn = 3\n" + HEAD + "runs = []", r"smoke.toml: \[defaults.NAME\] holds parameters, NAME"),
        ("defaults = 3\n" + HEAD + "runs = []", r"smoke.toml: \[defaults.NAME\] holds parameters"),
        ("[defaults.gnn]\n" + HEAD + "runs = []", r"smoke.toml: \[defaults.NAME\] holds parameters"),
        ("[defaults.gmm]\nm = 3\n" + HEAD + "runs = [{ n = 8 }]", "line 7, x: unknown parameter 'm'"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text)


def test_what_is_missing_of_a_sweep_is_made_together_and_nothing_else(store):
    first = list(run_sweep("mixture-n", "smoke", together=2))
    assert [id for id, _ in first] == [c.id for c in sweep_configs("mixture-n", "smoke")]
    stored = sweep_results("mixture-n", "smoke")
    assert {r.provenance["together"] for r in stored} == {2}
    shutil.rmtree(stored[1].folder)
    again = list(run_sweep("mixture-n", "smoke", together=2))
    assert [id for id, _ in again] == [stored[1].id]
    with pytest.raises(ValueError, match=r"sweep of rfnn_flow: make its runs one by one"):
        list(run_sweep("rfnn-n", "smoke"))


def test_a_sweep_with_a_run_that_diverges_says_so_and_fails(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_CONFIG", str(tmp_path))
    small = "n = 16, samples = 100, kept = 20, sampler = 'ddim', sampling_steps = 10"
    runs = table(tmp_path, HEAD + f"runs = [{{ {small}, lr = [1e30, 1e-3] }}]")
    ended = CliRunner().invoke(app, ["sweep", "x", "--tier", "smoke"])
    assert ended.exit_code == 1
    assert f"{runs[0].id}: training diverged: at step" in ended.output
    assert [c.id for c in runs if c.result_dir.exists()] == [runs[1].id]


def test_sigterm_ends_a_sweep_with_the_group_at_work(store, tmp_path, monkeypatch):
    """Two groups; the signal comes while the first trains, and the second is not begun."""
    monkeypatch.setenv("DIFFMEM_CONFIG", str(tmp_path))
    small = "samples = 100, kept = 20, sampler = 'ddim', sampling_steps = 10, first = 1, milestones = 2"
    runs = table(tmp_path, HEAD + f"runs = [{{ {small}, n = [16, 24] }}]")
    step, begun = EnsembleTrainer.step, []

    def signalled(self, tau):
        begun.append(tau)
        if tau == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, tau)

    monkeypatch.setattr(EnsembleTrainer, "step", signalled)
    ended = CliRunner().invoke(app, ["sweep", "x", "--tier", "smoke"])
    assert ended.exit_code == 75, ended.output
    assert begun == list(range(6))
    assert f"{runs[0].id}: stopped at step 1 or later; its state is saved" in ended.output
    assert not runs[1].checkpoint_dir.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--device", "gpu"], "device = 'gpu': give cpu, cuda"), (["--together", "0"], "greater than or equal to 1")],
)
def test_options_of_a_sweep_that_make_no_sense_are_refused(options, message):
    ended = CliRunner().invoke(app, ["sweep", "mixture-n", "--tier", "smoke", *options])
    assert ended.exit_code != 0
    assert message in ended.output


def test_the_book_is_drawn_at_a_tier_and_falls_back_to_laptop(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path))
    monkeypatch.setenv("DIFFMEM_TIER", "smoke")
    with pytest.raises(ResultError, match=r"4 of the 4 runs of mixture-n are not stored(.|\n)*-p tier smoke"):
        sweep_results("mixture-n")
    with pytest.raises(ResultError, match=r"9 of the 9 runs of mixture-adam (.|\n)*-p tier laptop(.|\n)*and 1 more"):
        sweep_results("mixture-adam")


def test_missing_runs_are_listed_with_their_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path))
    with pytest.raises(
        ResultError,
        match=r"1 of the 1 runs .*\n  papermill .*book/runs/one_dimension\.ipynb",
    ):
        sweep_results("one-dimension")


def test_runs_with_averaged_weights_are_made_one_by_one_within_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_CONFIG", str(tmp_path))
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    few = "n = 16, steps = 4, first = 2, milestones = 2, samples = 100, sampling_steps = 3, seed = [0, 1]"
    (tmp_path / "smoke.toml").write_text(
        f'[averaged]\nexperiment = "gmm"\nfigures = []\nruns = [{{ {few}, ema = 0.9 }}, {{ {few} }}]\n'
    )
    made = dict(run_sweep("averaged", "smoke", together=4))
    assert len(made) == 4 and all(r.provenance["complete"] for r in made.values())
    assert {(r.config["ema"], r.provenance["together"]) for r in made.values()} == {(0.9, 1), (0.0, 2)}


@pytest.mark.parametrize("name", LAPTOP)
def test_every_run_of_the_book_is_stored_and_whole(name):
    for result in sweep_results(name):
        assert result.provenance["complete"], f"{result.id} stopped early"
        assert not result.provenance["changed_since_commit"], f"{result.id} was made from uncommitted code"
        steps = result.curves["step"].unique()
        assert len(result.samples.get("step", steps)) == len(steps)  # a flow is one piece, its samples have no step


def test_no_committed_result_is_left_over():
    """A reader's own runs lie in results/ too, and are nobody's business."""
    listed = subprocess.run(["git", "ls-files", "results/laptop"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so what is committed cannot be told")
    used = {r.id for name in LAPTOP for r in sweep_results(name)}
    assert {line.split("/")[3] for line in listed.stdout.splitlines()} == used


def test_results_have_the_settings_that_were_added_since():
    """Those stored before there were labels or several draws have the values that change nothing."""
    for name in ("mixture-n", "images-n", "rfnn-n"):
        for c, r in zip(sweep_configs(name), sweep_results(name, "laptop"), strict=True):
            assert r.config == dataclasses.asdict(c)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[x]\nexperiment = 'gmm'\nfigures = []\nruns = [\n    { n = 16 },\n    { n = [], seed = [0, 1] },\n]",
         "line 6, x: n is an empty list"),
        ("[x]\nexperiment = 'gmm'\nfigures = []\nruns = [{ n = 16, tier = 'paper' }]", "line 4, x: a row has the tier"),
        ("[x]\nexperiment = 'gmm'\nfigures = []\nruns = [{ n = 16 }, { n = 16 }]", "'n': 16.* comes twice"),
        ("[x]\nexperiment = 'gmm'\nfigures = []\nruns = [{ n = 1" + 400 * "0" + " }]", "line 4, x: "),
        ("x = " + 3000 * "[" + 3000 * "]", "smoke.toml: "),
        ("x = 1" + 5000 * "0", "smoke.toml: "),
        ("[a]\nexperiment = 'gmm'\nfigures = []\nruns = [{ n = 16 }]\n['b c']\nexperiment = 'gmm'\nfigures = []\n"
         "runs = [\n    { n = 0 },\n]", "line 9, b c: n = 0"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_run_or_another_is_told_with_its_line(tmp_path, text: str, sentence: str):
    (tmp_path / "smoke.toml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        for name in read_tables("smoke", tmp_path):
            sweep_configs(name, "smoke", tmp_path)
