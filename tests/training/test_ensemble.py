"""Nets trained together are the nets trained alone: numbers, checkpoints, identities, and what goes wrong."""

import dataclasses
import itertools
import re
from pathlib import Path

import pytest
import torch

from diffmemlib.companion.estimators.scaling import tau_mem
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.losses import DenoisingLoss
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.experiments.gmm import GmmConfig, job, run
from diffmemlib.experiments.random_features import ScoreLossAtTime
from diffmemlib.files import NumberedFiles
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.nets.random_features import RandomFeatures
from diffmemlib.nets.stackable import stack
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import seeded
from diffmemlib.runs.execute import execute_ensemble
from diffmemlib.runs.store import read_result
from diffmemlib.training import ensemble, memory
from diffmemlib.training.checkpoints import restore
from diffmemlib.training.ensemble import train_ensemble
from diffmemlib.training.loop import DivergedError, TrainState, make_optimizer, train

S = Schedule()
SMALL = {"tier": "smoke", "n": 16, "steps": 60, "samples": 100, "milestones": 3, "kept": 5, "sampling_steps": 10,
         "sampler": "ddim"}  # fmt: skip
SGD, ADAM = ("sgd", 1e-2, 0.95), ("adam", 1e-2, 0.0)


def members(folder=None, seeds=(0, 1, 2), labelled: bool = False) -> list[TrainState]:
    made = []
    for seed in seeds:
        x, y = GaussianMixture(d=2).labelled(24, seed)
        net = seeded(seed, lambda: ResidualMLP(2, 8, blocks=1, classes=2 if labelled else 0))
        files = NumberedFiles(folder / str(seed), ".safetensors") if folder else None
        made.append(TrainState(net, x.float(), seed, y if labelled else None, files))
    return made


def train_all(team: list[TrainState], optimizer=SGD, steps=(10, 30), batch=24, failed=None, drop=0.1, **options):
    failed = {} if failed is None else failed
    seen = train_ensemble(
        team, optimizer, DenoisingLoss(S, drop), milestones=steps, batch=batch, failed=failed, **options
    )
    return [(tau, list(here)) for tau, here in seen]


def train_alone(m: TrainState, optimizer=SGD, steps=(10, 30), batch=24) -> None:
    for _ in train(
        m.net, m.data, make_optimizer(m.net, *optimizer), DenoisingLoss(S, 0.1),
        seed=m.seed, milestones=steps, batch=batch, labels=m.labels, checkpoints=m.checkpoints,
    ):  # fmt: skip
        pass


def assert_same(a: torch.nn.Module, b: torch.nn.Module, exactly: bool = False) -> None:
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, **({"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-4, "atol": 1e-5}))


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("batch", [24, 7])
def test_each_net_is_the_one_trained_alone(optimizer, labelled: bool, batch: int):
    team, alone = members(labelled=labelled), members(labelled=labelled)
    assert train_all(team, optimizer, batch=batch) == [(10, [0, 1, 2]), (30, [0, 1, 2])]
    for m, other in zip(team, alone, strict=True):
        before = [p.clone() for p in other.net.parameters()]
        train_alone(other, optimizer, batch=batch)
        assert_same(m.net, other.net)
        moved = max(float((p - q).detach().abs().max()) for p, q in zip(before, other.net.parameters(), strict=True))
        assert moved > 0.01, "the comparison needs nets that have moved"


def test_compiled_nets_are_those_trained_alone_and_resume_bitwise(tmp_path, monkeypatch):
    compiling, asked = torch.nn.Module.compile, []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **how: (asked.append(how), compiling(net, **how)))
    whole, alone = members(labelled=True), members(labelled=True)
    train_all(whole, compiled=True)
    for m, other in zip(whole, alone, strict=True):
        train_alone(other)
        assert_same(m.net, other.net)
    train_all(members(tmp_path, labelled=True), steps=(10,), compiled=True)
    resumed = members(tmp_path, labelled=True)
    train_all(resumed, compiled=True)
    for a, b in zip(whole, resumed, strict=True):
        assert_same(a.net, b.net, exactly=True)
    assert asked == [{"mode": "default", "dynamic": False}] * 3


def test_long_runs_are_compiled_where_there_is_a_compiler(monkeypatch):
    compiled: list[bool] = []

    class Seen(ensemble.EnsembleTrainer):
        def __init__(self, *arguments):
            states, started, optimizer, loss, batch, saved, asked, _ = arguments
            compiled.append(asked)
            super().__init__(states, started, optimizer, loss, batch, saved)

    monkeypatch.setattr(ensemble, "EnsembleTrainer", Seen)
    monkeypatch.setattr(ensemble, "COMPILE_FROM", 30)
    train_all(members(), steps=(20,))
    monkeypatch.setattr(ensemble, "has_compiler", lambda: True)
    train_all(members(), steps=(30,))
    monkeypatch.setattr(ensemble, "has_compiler", lambda: False)
    train_all(members(), steps=(30,))
    assert compiled == [False, True, False]


def test_nets_with_frozen_parts_of_their_own_keep_them():
    """Random features differ from member to member, unlike the time table of an MLP."""
    rows = torch.Generator().manual_seed(0)
    data, features = torch.randn(3, 12, 4, generator=rows), torch.randn(3, 8, 4, generator=rows)
    team, alone = (
        [TrainState(RandomFeatures(w), x, i) for i, (w, x) in enumerate(zip(features, data, strict=True))] for _ in "ab"
    )
    list(train_ensemble(team, ("sgd", 5.0, 0.0), ScoreLossAtTime(0.3), milestones=[40], batch=12, failed={}))
    for m, other in zip(team, alone, strict=True):
        optimizer = make_optimizer(other.net, "sgd", 5.0, 0.0)
        list(train(other.net, other.data, optimizer, ScoreLossAtTime(0.3), seed=other.seed, milestones=[40], batch=12))
        assert_same(m.net, other.net)
        assert float(other.net.A.detach().abs().max()) > 0.1


def test_stacked_nets_compute_what_each_computes():
    nets = [m.net for m in members(labelled=True)]
    rows = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 2, generator=rows)
    k, y = torch.randint(1, S.T, (3, 5), generator=rows), torch.randint(-1, 2, (3, 5), generator=rows)
    together_, apart = stack(nets)(x, k, y), torch.stack([net(*z) for net, *z in zip(nets, x, k, y, strict=True)])
    torch.testing.assert_close(together_, apart)
    assert float((apart[0] - apart[1]).detach().abs().max()) > 0.1, "nets that agree would show nothing"


def test_a_net_that_cannot_be_stacked_is_refused_by_name():
    with pytest.raises(
        ValueError, match="UNet has a Linear, which cannot be stacked: train such networks one after another"
    ):
        stack([UNet(8), UNet(8)])
    for layer in (torch.nn.Dropout(0.1), torch.nn.Dropout2d(0.1), torch.nn.AlphaDropout(0.1), torch.nn.RReLU()):
        with pytest.raises(ValueError, match=f"Sequential has a {type(layer).__name__}, which cannot be stacked"):
            stack([torch.nn.Sequential(layer)] * 2)
    assert stack([torch.nn.Sequential(torch.nn.Dropout(0.0))] * 2), "a dropout that drops nothing is none"


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_stopping_and_resuming_is_bitwise_the_same(tmp_path, optimizer):
    whole = members()
    train_all(whole, optimizer)
    calls = itertools.count(1)
    train_all(members(tmp_path), optimizer, should_stop=lambda: next(calls) == 17)
    assert {list(m.checkpoints.paths())[-1] for m in members(tmp_path)} == {17}
    resumed = members(tmp_path)
    assert train_all(resumed, optimizer) == [(30, [0, 1, 2])]
    for a, b in zip(whole, resumed, strict=True):
        assert_same(a.net, b.net, exactly=True)


def test_one_that_is_behind_catches_up_and_all_go_on(tmp_path):
    """As after a kill between two members' checkpoints, or with a run that was begun alone."""
    train_alone(members(tmp_path)[1], steps=(10, 20))
    team, alone = members(tmp_path), members()
    assert train_all(team) == [(10, [0, 2]), (30, [0, 1, 2])]
    for m, other in zip(team, alone, strict=True):
        train_alone(other)
        assert_same(m.net, other.net)


def test_a_checkpoint_made_together_goes_on_alone(tmp_path):
    train_all(members(tmp_path), ADAM, steps=(10, 20))
    m, other = members(tmp_path)[2], members()[2]
    train_alone(m, ADAM)
    train_alone(other, ADAM)
    assert_same(m.net, other.net)


def test_all_complete_is_told_once_more(tmp_path):
    train_all(members(tmp_path))
    assert train_all(members(tmp_path)) == [(30, [0, 1, 2])]


def test_one_that_diverges_stops_alone(tmp_path):
    team = members(tmp_path)
    train_all(team, steps=(10,))
    team = members(tmp_path)
    team[1].data = team[1].data * float("nan")
    failed: dict[int, DivergedError] = {}
    assert train_all(team, failed=failed) == [(10, [0, 1, 2]), (30, [0, 2])]
    assert list(failed) == [1]
    assert re.search(r"step 10, is kept", str(failed[1]))
    optimizer = make_optimizer(team[1].net, *SGD)
    assert restore(team[1].net, optimizer, team[1].checkpoints) == 10
    for i in (0, 2):
        other = members()[i]
        train_alone(other)
        assert_same(team[i].net, other.net)


def test_all_that_diverge_are_told():
    team = members(seeds=(0, 1))
    failed: dict[int, DivergedError] = {}
    assert train_all(team, ("sgd", 1e30, 0.0), failed=failed) == []
    assert sorted(failed) == [0, 1]


def test_what_does_not_fit_is_refused_before_the_first_step(monkeypatch):
    monkeypatch.setattr(ensemble, "free_memory", lambda device: 30_000)
    with pytest.raises(MemoryError, match=r"3 runs together need about .* train at most [012] at once"):
        train_all(members())


def test_runs_together_are_stored_each_under_its_own_identity(tmp_path, monkeypatch):
    given = {"tier": "smoke", "steps": 40, "milestones": 3, "sampler": "ddim", "sampling_steps": 20}
    configs = [GmmConfig.from_parameters({**given, "seed": seed}) for seed in (0, 1)]
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "alone" / "checkpoints"))
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "alone" / "results"))
    alone = [run(c, show_progress=False) for c in configs]
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    stopped = execute_ensemble([job(c) for c in configs], budget=0, show_progress=False)
    assert not any(r.provenance["complete"] for r in stopped)
    both = execute_ensemble([job(c) for c in configs], show_progress=False)
    for config, mine, other in zip(configs, both, alone, strict=True):
        assert mine.id == other.id == config.id == read_result(config.result_dir).id
        assert mine.provenance["together"] == 2
        assert mine.provenance["complete"]
        a, b = (r.curves.set_index(["step", "metric"])["value"] for r in (mine, other))
        for metric in ("kl_fisher", "loss_train", "loss_test"):
            torch.testing.assert_close(
                *(torch.tensor(v.xs(metric, level="metric").to_numpy()) for v in (a, b)), rtol=1e-3, atol=1e-4
            )
    again = execute_ensemble([job(c) for c in configs], show_progress=False)
    assert [r.provenance["finished"] for r in again] == [r.provenance["finished"] for r in both], "read, not made again"


def test_runs_of_different_shape_are_refused():
    jobs = [job(GmmConfig.from_parameters({"tier": "smoke", "n": n})) for n in (16, 32)]
    with pytest.raises(ValueError, match="cannot be trained together"):
        execute_ensemble(jobs)


def test_a_milestone_where_members_meet_is_told_once_to_each(tmp_path):
    train_alone(members(tmp_path)[1], steps=(10, 20))
    assert train_all(members(tmp_path), steps=(10, 20, 30)) == [(10, [0, 2]), (20, [0, 2]), (20, [1]), (30, [0, 1, 2])]


def test_one_run_that_diverges_leaves_the_others_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    jobs = [job(GmmConfig.from_parameters(SMALL | {"seed": seed})) for seed in (0, 1, 2)]
    jobs[1] = dataclasses.replace(jobs[1], data=jobs[1].data * torch.inf)
    found = execute_ensemble(jobs, show_progress=False)
    assert isinstance(found[1], DivergedError)
    assert [j.config.result_dir.exists() for j in jobs] == [True, False, True]
    alone = [job(j.config) for j in jobs]
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "alone"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "alone checkpoints"))
    for i in (0, 2):
        by_itself = run(alone[i].config, show_progress=False).curve("loss_train")["value"]
        assert found[i].curve("loss_train")["value"].to_numpy() == pytest.approx(by_itself.to_numpy(), rel=1e-3)


def test_times_of_runs_made_together_are_those_of_runs_made_alone(tmp_path, monkeypatch):
    """Long enough that last digits could grow: copies appear, and at the same time to a hundredth."""
    settings = {"tier": "smoke", "n": 8, "width": 64, "optimizer": "adam", "lr": 3e-3, "steps": 1200, "milestones": 7}
    settings |= {"first": 100, "samples": 200, "kept": 5, "sampler": "ddim", "sampling_steps": 20}
    configs = [GmmConfig.from_parameters(settings | {"seed": seed}) for seed in (0, 1)]
    times = {}
    for way in ("together", "alone"):
        monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / way))
        monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / way / "checkpoints"))
        made = execute_ensemble([job(c) for c in configs]) if way == "together" else [run(c) for c in configs]
        times[way] = tau_mem(made, 0.1)
    assert [t.status for t in times["alone"]] == ["interpolated"] * 2
    assert [t.tau for t in times["together"]] == pytest.approx([t.tau for t in times["alone"]], rel=0.01)


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, 2**63),
        ({"job": ("max", 5), "job/step": ("100", 30)}, 70),
        ({"job": ("50", 40), "job/step": ("100", 30)}, 10),
        ({"job/step": ("100", 130)}, 0),
    ],
)
def test_the_limit_of_a_job_or_container_counts(limits: dict, left: int, tmp_path: Path):
    """Files as the kernel shows them for control groups; the tightest limit on the way up holds."""
    (tmp_path / "job" / "step").mkdir(parents=True)
    for group, (limit, used) in limits.items():
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
        (tmp_path / group / "memory.current").write_text(f"{used}\n")
    assert memory.free_in_group(tmp_path, "job/step") == left
