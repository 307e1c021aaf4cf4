"""The runs of the random-features model: descent against the exact flow, draws, and what is refused."""

import numpy as np
import pytest
import torch

from diffmemlib.experiments.random_features import (
    TIMES,
    DescentConfig,
    FlowConfig,
    ScoreLossAtTime,
    frozen_noises,
    problem,
    run_descent,
    run_flow,
)
from diffmemlib.nets.random_features import RandomFeatures
from diffmemlib.randomness import generator
from diffmemlib.rfnn.gradient_flow import GradientFlow
from diffmemlib.training.loop import make_optimizer, train

SMALL = {"tier": "smoke", "d": 10, "psi_p": 6.0, "psi_n": 3.0, "t": 0.3}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))


def test_descent_with_sampled_noise_follows_the_exact_flow():
    """Two independent ways to the same curves: 400 noises a step and small steps, against one eigendecomposition."""
    W, X, variances = problem(FlowConfig.from_parameters(SMALL))
    flow = GradientFlow(W, X, 0.3, variances)
    d, step = 10, 0.02
    net = RandomFeatures(torch.from_numpy(W).float())
    data = torch.from_numpy(X).float().repeat(400, 1)
    optimizer = make_optimizer(net, "sgd", step * d**2, 0.0)
    for k in train(net, data, optimizer, ScoreLossAtTime(0.3), seed=0, milestones=[50, 200, 1000], batch=len(data)):
        found, exact = flow.losses_of(net.B.double()), flow.losses(k * step)
        assert found[0] == pytest.approx(float(exact.train), abs=4e-3)
        assert found[1] == pytest.approx(float(exact.test), abs=4e-3)
        assert found[2] == pytest.approx(float(exact.score_error), abs=1e-2)
    assert float(exact.train) < 0.8, "the comparison must go far into the training"


def test_the_loss_is_that_of_the_closed_form_on_average():
    W, X, variances = problem(FlowConfig.from_parameters(SMALL))
    net = RandomFeatures(torch.from_numpy(W).float())
    torch.nn.init.normal_(net.A, generator=torch.Generator().manual_seed(0))
    data, loss = torch.from_numpy(X).float().repeat(4000, 1), ScoreLossAtTime(0.3)
    sampled = loss.per_sample(net, data, None, *loss.draw_noise(data, generator(0, "loss"), None)).mean().item()
    train_loss = GradientFlow(W, X, 0.3, variances).losses_of(net.B.double())[0]
    assert sampled == pytest.approx(train_loss, rel=0.01)


def test_a_flow_has_the_noises_and_the_ridge_of_its_settings():
    config = FlowConfig.from_parameters({**SMALL, "noises": 2, "ridge": 0.1})
    result, (W, X, variances) = run_flow(config), problem(config)
    exact = GradientFlow(W, X, 0.3, variances, noises=frozen_noises(config), ridge=0.1).losses(TIMES)
    for name in ("train", "test", "score_error"):
        np.testing.assert_allclose(result.curve(name)["value"], getattr(exact, name), rtol=1e-12)
    other = FlowConfig.from_parameters({**SMALL, "noises": 2})
    assert other.id != config.id
    assert FlowConfig.from_parameters({**SMALL, "noises": 0, "ridge": 0.0}).id == FlowConfig.from_parameters(SMALL).id


def test_fewer_noises_are_the_start_of_more():
    few, more = (frozen_noises(FlowConfig.from_parameters({**SMALL, "noises": m})) for m in (2, 5))
    assert few.shape == (30, 2, 10)
    np.testing.assert_array_equal(few, more[:, :2])
    assert abs(more.mean()) < 0.1 and more.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("given", [{"noises": -1}, {"ridge": -0.1}, {"ridge": float("inf")}])
def test_noises_and_ridges_that_cannot_be_are_refused(given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} = .*: must be"):
        FlowConfig.from_parameters({**SMALL, **given})


def test_a_flow_is_stored_whole_and_read_again():
    config = FlowConfig.from_parameters({**SMALL, "low": 0.5, "high": 1.5})
    result = run_flow(config)
    W, X, variances = problem(config)
    assert variances.tolist() == [0.5] * 5 + [1.5] * 5
    flow = GradientFlow(W, X, 0.3, variances)
    curve = result.curve("score_error")["value"]
    np.testing.assert_allclose(curve, flow.losses(curve.index.to_numpy()).score_error)
    np.testing.assert_allclose(result.samples["eigenvalues"], flow.eigenvalues, rtol=1e-6)
    assert run_flow(config).provenance == result.provenance, "read, not computed again"


def test_smaller_problems_are_the_start_of_larger_ones():
    small, large = (problem(FlowConfig.from_parameters({**SMALL, "psi_n": n})) for n in (2.0, 5.0))
    assert np.array_equal(small[0], large[0])
    assert np.array_equal(small[1], large[1][:20])


def test_adam_learns_and_then_overfits():
    result = run_descent(
        DescentConfig.from_parameters({**SMALL, "psi_n": 1.0, "lr": 0.03, "steps": 1500, "milestones": 12}),
        show_progress=False,
    )
    test, train_loss = result.curve("test")["value"], result.curve("train")["value"]
    assert test.min() < 0.9 * test.iloc[0] and test.idxmin() < 1500
    assert test.iloc[-1] - train_loss.iloc[-1] > 0.2


@pytest.mark.parametrize(
    ("given", "message"),
    [({"d": 7}, "d = 7"), ({"psi_n": 0.0}, "psi_n = 0.0"), ({"t": 0.0}, "t = 0.0"), ({"low": -1.0}, "low = -1.0")],
)
def test_bad_settings_name_themselves(given: dict, message: str):
    with pytest.raises(ValueError, match=message):
        FlowConfig.from_parameters({**SMALL, **given})
