"""What people turn in a mixture run: each setting does what it says, alone, resumed and trained together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffmemlib import Schedule, away_from, sample
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.experiments.gmm import GmmConfig, job, population, run, training_set
from diffmemlib.experiments.gmm_measures import PROBES, levels, measurement, probes
from diffmemlib.randomness import derive_seed
from diffmemlib.runs.execute import execute_ensemble
from diffmemlib.training.loop import make_optimizer, train

SMALL = {"tier": "smoke", "n": 16, "steps": 8, "first": 2, "milestones": 3, "samples": 100, "sampling_steps": 5}
LINEAR = {"path": "linear", "sampler": "ddim"}
SETTINGS = [
    {"prediction": "v"}, {"prediction": "x0"}, {**LINEAR, "prediction": "flow"}, LINEAR, {"weighting": "low_noise"},
    {"weight_decay": 0.1}, {"optimizer": "adam", "weight_decay": 0.1}, {"jitter": 0.2}, {"noises": 2}, {"blocks": 1},
    {"prediction": "v", "loss_space": "eps"}, {**LINEAR, "prediction": "flow", "loss_space": "eps"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))


def config(**settings) -> GmmConfig:
    return GmmConfig.from_parameters({**SMALL, **settings})


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_setting_changes_a_run_and_is_the_same_alone_and_together(settings):
    plain = run(config(), show_progress=False).curves
    first, second = execute_ensemble([job(config(**settings, seed=s)) for s in (0, 1)], show_progress=False)
    alone = job(config(**settings))
    for _ in train(alone.net, alone.data, make_optimizer(alone.net, *alone.optimizer), alone.loss,
                   milestones=[8], seed=0, batch=alone.batch):  # fmt: skip
        alone.net.eval()
        value = alone.measure(alone.net, 8)[0]["loss_test"][0]
    mine = first.curve("loss_test")["value"].loc[8]
    assert mine == pytest.approx(value, rel=1e-4)
    assert not plain.equals(first.curves) and not first.curves.equals(second.curves)
    divergences = {m for m in first.curves["metric"] if m.startswith("kl")}
    assert divergences == ({"kl_nn"} if "path" in settings else {"kl", "kl_fisher", "kl_nn"})


@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
def test_samples_are_drawn_as_the_network_predicts(settings):
    c = config(**settings)
    made = job(c)
    kept = made.measure(made.net.eval(), 3)[1]["samples"]
    schedule = Schedule.flow() if c.path == "linear" else Schedule()
    x = sample(made.net, c.samples, (c.d,), schedule, derive_seed(0, "measure", 3), c.sampler, c.sampling_steps,
               prediction=c.prediction)  # fmt: skip
    assert np.array_equal(kept, x[: c.kept].numpy().astype(np.float16))


def test_averaged_weights_are_what_is_measured_and_survive_an_interruption():
    averaged = config(ema=0.5)
    made = job(averaged)
    ema = AveragedModel(made.net, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    for _ in train(made.net, made.data, make_optimizer(made.net, *made.optimizer), made.loss,
                   milestones=[8], seed=0, batch=made.batch, ema=ema):  # fmt: skip
        pass
    expected = made.measure(ema.module.eval(), 8)[0]["loss_test"][0]
    stopped = run(averaged, budget=0.0, show_progress=False)
    assert not stopped.provenance["complete"]
    whole = run(averaged, show_progress=False)
    assert whole.curve("loss_test")["value"].loc[8] == expected
    assert made.measure(made.net.eval(), 8)[0]["loss_test"][0] != expected


def test_weight_decay_is_that_of_adamw_and_of_sgd():
    for name, weight_decay in (("adam", 0.5), ("sgd", 0.5)):
        w = torch.nn.Parameter(torch.tensor([2.0]))
        optimizer = make_optimizer([w], name, 0.1, 0.0, weight_decay)
        w.grad = torch.tensor([3.0])
        optimizer.step()
        # AdamW: w (1 - lr decay) - lr sign(grad) in the first step; SGD: w - lr (grad + decay w).
        assert w.item() == pytest.approx(2 * 0.95 - 0.1 if name == "adam" else 2 - 0.1 * (3 + 1), rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"path": "linear"}, {"path": "bent"}, {"prediction": "score"}, {"weighting": "often"}, {"weight_decay": -1.0},
     {"ema": 1.0}, {"jitter": -1.0}, {"noises": 2, "jitter": 0.1}, {"noises": 2, "conditional": True, "samples": 200},
     {"blocks": 0}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} = .*: must be"):
        config(**wrong)


def test_dropout_changes_training_alone_and_survives_an_interruption():
    c = config(dropout=0.3, seed=1)
    made, plain = job(c), job(config(seed=1))
    assert made.measure(made.net.eval(), 0)[0] == plain.measure(plain.net.eval(), 0)[0], "no dropout in sampling"
    assert plain.stackable and not made.stackable
    with pytest.raises(ValueError, match="Dropout"):
        execute_ensemble([made, job(replace(c, seed=2))], show_progress=False)
    whole = [r.curves for r in run_of(c)]
    assert not whole[-1].equals(run(config(seed=1), show_progress=False).curves)


def run_of(c: GmmConfig):
    """A run that is stopped at once and gone on with; its last result is compared with the unbroken training."""
    yield run(c, budget=0.0, show_progress=False)
    alone = job(c)
    for tau in train(alone.net, alone.data, make_optimizer(alone.net, *alone.optimizer), alone.loss,
                     milestones=[8], seed=c.seed, batch=alone.batch):  # fmt: skip
        expected = alone.measure(alone.net.eval(), tau)[0]["loss_test"][0]
    whole = run(c, show_progress=False)
    assert whole.curve("loss_test")["value"].loc[8] == expected
    yield whole


def test_moving_samples_away_changes_samples_and_not_the_training():
    plain, away = run(config(), show_progress=False), run(config(away=1.0), show_progress=False)
    assert plain.curve("loss_test").equals(away.curve("loss_test"))
    made = job(config(away=1.0))
    predict = away_from(made.net.eval(), made.data, 1.0, Schedule())
    x = sample(predict, 100, (8,), Schedule(), derive_seed(0, "measure", 3), "euler_maruyama", 5)
    assert np.array_equal(made.measure(made.net, 3)[1]["samples"], x[:50].numpy().astype(np.float16))


def test_losses_and_predictions_at_several_times_are_kept_and_the_exact_ones_are_the_best():
    c = config(noise_levels=3)
    result, schedule = run(c, show_progress=False), Schedule()
    ks = levels(schedule, 3)
    assert [float(schedule.t[k]) for k in ks] == pytest.approx([0.003, 0.0949, 3.0], rel=0.05)
    assert {f"loss_{name}_{k}" for k in ks for name in ("train", "test")} < set(result.curves["metric"])
    assert result.samples["predicted"].shape == (3, 3, PROBES, 8)
    plain = run(config(), show_progress=False)
    metrics = plain.curves["metric"].unique()
    assert result.curves[result.curves["metric"].isin(metrics)].reset_index(drop=True).equals(plain.curves)


def test_the_exact_prediction_is_the_mean_of_the_noise_given_the_point():
    truth, schedule = GaussianMixture(1, 1.0), Schedule()
    k = levels(schedule, 3)[1]
    x_k, exact = (each[1] for each in probes(truth, schedule, 3))
    signal, noise = float(schedule.signal[k]), float(schedule.noise[k])
    eps = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    for x, value in zip(
        x_k[:5, 0], exact[:5, 0], strict=True
    ):  # by Bayes: p(eps | x) ~ p(eps) p0((x - noise eps)/signal)
        log_p = truth.log_prob(((x - noise * eps) / signal)[:, None]) - eps.square() / 2
        assert float((torch.softmax(log_p, 0) * eps).sum()) == pytest.approx(float(value), abs=1e-9)


@pytest.mark.parametrize(
    "settings",
    [{}, {"conditional": True, "samples": 200}, {"conditional": True, "samples": 200, "guidance": 2.0}, {"away": 1.0},
     {"prediction": "v", "noise_levels": 3}],
    ids=str,
)  # fmt: skip
def test_a_network_whose_work_is_replayed_is_measured_as_any_other(settings):
    """As on a GPU: asked in batches of one size, whatever is measured, and with the weights that it has by then."""
    c, sizes = config(**settings), set()
    made, truth, (data, labels) = job(c), population(vars(c)), training_set(vars(c))
    measures = [measurement(c, truth, Schedule(), data, labels, "cpu", replayed) for replayed in (False, True)]
    for tau in (3, 8):
        expected = measures[0](made.net.eval(), tau)
        hook = made.net.register_forward_pre_hook(lambda _, inputs: sizes.add(len(inputs[0])))
        found = measures[1](made.net, tau)
        hook.remove()
        assert found[0].keys() == expected[0].keys() and found[1].keys() == expected[1].keys()
        for name, value in expected[0].items():
            assert found[0][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
        np.testing.assert_allclose(found[1]["samples"], expected[1]["samples"], rtol=2e-3, atol=1e-3)
        with torch.no_grad():
            made.net.out.weight.mul_(1.2)
    assert sizes == {c.samples}
