"""Numbers of the four questions: known errors, minima, gaps and eigenvalues come back, and stored runs are whole."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from diffmemlib.companion import claims
from diffmemlib.companion.estimators import Estimate, proximity, questions
from diffmemlib.companion.figures import questions as draw
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.experiments.gmm_measures import probes

ROOT = Path(__file__).resolve().parents[2]
STEPS = np.array([10.0, 30.0, 100.0, 300.0])


def run(seed=0, predicted=None, eigenvalues=None, curves=None, **settings):
    """What the estimators ask of a stored run."""
    config = {"d": 8, "mu": 1.0, "noise_levels": 3, "n": 64, "seed": seed, "samples": 10**6, **settings}
    samples = {"predicted": predicted, "eigenvalues": eigenvalues}
    curves = {"f_mem": np.zeros(len(STEPS)), **(curves or {})}
    frames = {
        name: pd.DataFrame({"value": values}, index=pd.Index(STEPS, name="step")) for name, values in curves.items()
    }
    return SimpleNamespace(config=config, samples=samples, curve=frames.__getitem__, provenance={"complete": True})


def test_common_and_own_error_come_back():
    """Every network is off by the same 0.3, and by noise of its own of standard deviation 0.2."""
    exact = probes(GaussianMixture(8, 1.0), Schedule(), 3)[1].numpy()
    g = np.random.default_rng(0)
    runs = [run(s, exact + 0.3 + 0.2 * g.standard_normal((len(STEPS), *exact.shape))) for s in range(6)]
    found = questions.errors(runs)
    assert len(found) == len(STEPS) * 3
    assert found["variance"].mean() == pytest.approx(0.04, rel=0.05)
    assert found["bias"].mean() == pytest.approx(0.09, rel=0.05)
    same = questions.errors([run(s, np.broadcast_to(exact, (len(STEPS), *exact.shape))) for s in range(2)])
    assert same["variance"].max() == 0 and same["bias"].max() == 0 and same["cosine"].min() == pytest.approx(1)


def test_the_minimum_of_a_curve_is_that_of_its_parabola():
    x = np.geomspace(10, 1000, 9)
    step, value = questions.lowest(pd.Series(2 + (np.log(x) - np.log(70)) ** 2, index=x))
    assert step == pytest.approx(70) and value == pytest.approx(2)
    assert questions.lowest(pd.Series([3.0, 2.0, 1.0], index=[1.0, 10.0, 100.0])) == pytest.approx((100, 1))


def test_the_widest_gap_is_found_at_its_time_of_diffusion(monkeypatch):
    """The losses differ by 0.1 at all times but the second, where it is 0.3 from the third milestone on."""
    some = [run(seed, noise_levels=3) for seed in range(3)]
    ks = list(questions.times_of_diffusion(some[0]))
    curves = {f"loss_test_{k}": np.ones(4) for k in ks} | {f"loss_train_{k}": np.full(4, 0.9) for k in ks}
    curves[f"loss_train_{ks[1]}"] = np.array([0.95, 0.95, 0.7, 0.7])
    curves["f_mem"] = np.array([0.0, 0.0, 0.0, 0.04])
    monkeypatch.setattr(questions, "sweep_results", lambda name: [run(s, curves=curves) for s in range(3)])
    assert questions.widest_gap(0.9).value == pytest.approx(questions.times_of_diffusion(some[0])[ks[1]])
    assert questions.widest_gap(0.1).value != pytest.approx(questions.times_of_diffusion(some[0])[ks[1]])


def test_nearness_is_that_of_the_stored_samples(monkeypatch):
    """Samples that become copies halfway: chance before, always nearer after."""
    g = np.random.default_rng(0)
    train, fresh, real = (torch.from_numpy(g.standard_normal((m, 4))) for m in (30, 600, 400))
    stored = np.stack([g.standard_normal((300, 4))] * 2 + [np.tile(train.numpy() + 1e-3, (10, 1))] * 2)
    one = run(curves={"loss_test": np.array([1.0, 0.9, 0.7, 1.2]), "f_mem": np.array([0, 0, 0.5, 1.0])}, steps=300)
    one.samples |= {"samples": stored, "step": STEPS.astype(int)}
    monkeypatch.setattr(proximity, "sets_of", lambda _: (train, fresh, real))
    monkeypatch.setattr(proximity, "sweep_results", lambda _: [one])
    proximity.biases.cache_clear()
    found = proximity.biases(("made up",))
    proximity.biases.cache_clear()
    assert found["share"].to_numpy() == pytest.approx([0.5, 0.5, 1, 1], abs=0.12)
    assert found["real"].iloc[0] == pytest.approx(0.5, abs=0.12) and 30 < found["turn"].iloc[0] < 300
    two = pd.concat([found, found.assign(seed=1, real=found["real"] + 0.1)])
    monkeypatch.setattr(proximity, "biases", lambda *_: two)
    told = proximity.nearer_at_turn(("made up",))
    row = proximity.at_turn(proximity.over_seeds(found)).iloc[0]
    assert told.value == pytest.approx(row["share"] - found["real"].iloc[0] + 0.45), "less what unseen data have"
    assert min(found["share"]) < row["share"] <= 1 and row["tau_mem"] == found["tau_mem"].iloc[0]


def test_points_that_are_copied_are_told_to_be_isolated_or_not(monkeypatch):
    """One far point and a cluster: copies of the far one, or of one amid the others."""
    train = torch.cat(
        [0.1 * torch.randn(19, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([[9.0, 9.0]])]
    )
    fresh = 0.1 * torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(proximity, "train_and_fresh", lambda _: (train, fresh))
    f_mem = {"f_mem": np.array([0.0, 0.1, 0.4, 0.9])}
    for copied, isolated in (
        (19, True),
        (int((torch.cdist(train, train) + 99 * torch.eye(20)).amin(1).argmin()), False),
    ):
        runs = []
        for seed in range(3):
            one = run(seed, curves=f_mem)
            one.samples |= {
                "step": STEPS,
                "neighbours": np.full((4, 5, 2), copied),
                "distances": np.tile([1e-6, 1.0], (4, 5, 1)),
            }
            runs.append(one)
        monkeypatch.setattr(proximity, "sweep_results", lambda _, runs=runs: runs)
        assert (proximity.isolation_of_copied("made up").value > 0.5) == isolated
    near = torch.cdist(fresh, train)
    close = near.amin(1) <= float(near.amin(1).quantile(0.005))
    for one in runs:  # samples that are the nearest fresh points say nothing, wherever these lie
        one.samples["neighbours"][:] = int(near.argmin(1)[close][0])
    assert proximity.isolation_of_copied("made up").value == pytest.approx(0.5)


@pytest.mark.parametrize("sweep", ["mixture-n", "images-n"])
def test_the_sets_are_disjoint_and_in_the_units_of_the_samples(sweep: str):
    """Each stored nearest neighbour is in the training set, at the distance that was stored with it."""
    one = min(sweep_results(sweep), key=lambda r: r.config["n"])
    train, fresh, real = proximity.sets_of(one)
    rows = [{tuple(x.flatten().tolist()) for x in points} for points in (train, fresh, real)]
    assert len(train) == one.config["n"] and not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    if sweep == "images-n":
        assert {tuple(x.flatten().astype(float).tolist()) for x in one.samples["nearest"][-1]} <= rows[0]
        return
    samples, index = (
        torch.from_numpy(one.samples["samples"][-1].astype(np.float32)),
        one.samples["neighbours"][-1][:, 0],
    )
    apart = (samples - train[torch.from_numpy(index).long()]).norm(dim=1).numpy()
    assert apart == pytest.approx(one.samples["distances"][-1][:, 0], abs=0.02)


def test_a_gap_is_seen_where_it_stays():
    curves = {"loss_test_7": np.ones(4), "loss_train_7": 1 - np.array([0.15, 0.0, 0.05, 0.15])}
    (found,) = questions.gap_times([run(curves=curves)], 7)
    assert found.status == "interpolated" and 100 < found.tau < 300, "not the first look, which was chance"


def test_the_time_of_an_eigenvalue_is_that_of_gradient_descent(monkeypatch):
    """One direction, eigenvalue l of the Gram matrix of N points: the error shrinks by rate l/N a step."""
    values = np.linspace(10, 0.1, 64 * 4)[None, None].repeat(3, 1)
    kernel = run(eigenvalues=values, width=128, steps=0, draws=4, momentum=0.95, lr=0.006)
    copies = np.array([0.0, 0.001, 0.5, 0.9])
    measured = run(width=128, curves={"f_mem": copies})
    monkeypatch.setattr(questions, "sweep_results", lambda name: [kernel if name == questions.KERNEL else measured])
    table = questions.kernel_times()
    eigenvalue = values[0, 0, 63]
    error, velocity, steps = 1.0, 0.0, 0
    while error > np.exp(-1):  # heavy-ball descent along that direction
        velocity = 0.95 * velocity - 0.006 * eigenvalue / (64 * 4) * error
        error, steps = error + velocity, steps + 1
    assert table["predicted"].iloc[0] == pytest.approx(steps, rel=0.1)
    spread = questions.kernel_spread(table.assign(predicted=[10.0, 10.0, 10.0], tau_mem=[20.0, 20.0, 20.0]))
    assert spread["factor"].tolist() == pytest.approx([1, 1, 1]) and spread["constant"].iloc[0] == pytest.approx(2)
    two = pd.DataFrame({"steps": 0, "t": 0.1, "predicted": [1.0, 1.0], "tau_mem": [1.0, 4.0]})
    assert questions.kernel_spread(two)["factor"].iloc[0] == pytest.approx(2)


def test_powers_of_the_predicted_and_the_measured_time_come_back():
    rows = [
        (n, w, 3.0 * n**2 / w, 5.0 * n * w**-0.5) for n, w in ((64, 128), (128, 128), (256, 128), (64, 32), (64, 64))
    ]
    found = questions.kernel_exponents(pd.DataFrame(rows, columns=["n", "width", "predicted", "tau_mem"]))
    assert found.set_index("setting").loc["n"].tolist() == pytest.approx([2, 1])
    assert found.set_index("setting").loc["width"].tolist() == pytest.approx([-1, -0.5])


def test_the_step_of_a_spectrum_is_found_past_its_first_directions():
    values = np.concatenate([[1e4, 1e2], np.linspace(9, 7, 7), np.geomspace(0.5, 0.1, 55)])
    assert questions.gap_rank(run(eigenvalues=values[None, None])) == [9]


def test_the_best_of_a_cure_keeps_copies_below_the_share():
    def number(value):
        return Estimate(value, value, value, ())

    rows = [("a", 1, 0.01, 3.0), ("a", 2, 0.015, 2.0), ("a", 3, 0.3, 1.0), ("b", 1, 0.5, 0.1)]
    table = pd.DataFrame(
        [(c, s, number(f), number(k)) for c, s, f, k in rows], columns=["cure", "strength", "f_mem", "kl"]
    )
    found = questions.best_within(table)
    assert found["cure"].tolist() == ["a"] and found["strength"].tolist() == [2]


def test_stored_runs_answer_all_questions():
    turns, gaps = questions.turning_points(), questions.warnings_by_time()
    assert turns["n"].tolist() == [32, 64, 128] and (turns["bias"] < turns["tau_mem"]).all()
    assert turns["t"].nunique() == 1, "figures show one time of diffusion for all sizes"
    seen = gaps[gaps["seen"] > 1]
    assert seen["seen"].min() >= 10 and all(e.low <= e.value <= e.high for e in seen["of_tau_mem"])
    assert (turns["loss_there"] < turns["bias"]).all(), "the sum of both errors turns before the common one"
    expected = questions.expectations()
    text = " ".join(
        line.removeprefix("# ").strip() for line in (ROOT / "config" / "laptop.toml").read_text().splitlines()
    )
    assert all(sentence in " ".join(text.split()) for sentence in expected["expected"]), "in the words of the table"
    assert expected["came"].tolist() == [True, True, False, True, True, True, True, True, False]
    cured = questions.cures()
    plain = cured[cured["cure"] == questions.PLAIN]
    best = plain.iloc[int(np.argmin([e.value for e in plain["kl"]]))]
    assert best["beside"] == 1 and (plain["beside"] >= 1).all() and cured["beside"].min() == 1
    assert set(cured["cure"]) == {questions.PLAIN, *questions.CURED.values()}
    for _, table in (draw.errors(turns, (0.003, 1.1)), draw.gaps(64, gaps), draw.cures(cured)):
        assert len(table) and np.isfinite(table.select_dtypes("number")).all().all()


def test_claims_of_later_papers_are_judged_by_the_stored_runs():
    later = {claim.id: claim for claim in claims.later()}
    assert {name: claim.verdict for name, claim in later.items()} == {
        "later-bias-digits": "reproduced", "later-bias-mixture": "reproduced", "later-gap-widest": "consistent",
        "later-clock-rate": claims.OUTSIDE, "later-clock-batch": claims.OUTSIDE,
        "later-kernel": claims.OUTSIDE, "later-ridge": "reproduced", "later-size": "reproduced",
        "later-isolated": "reproduced", "later-prototypes": claims.OUTSIDE, "later-variance": "reproduced",
        "later-peak": "reproduced",
    }  # fmt: skip
    assert not {claim.id for claim in claims.load()} & set(later), "they are not counted among those of the paper"
    assert "In their paper" in claims.show(list(later.values()), whose="In their paper").data
