"""Kinds of training loss: how often each time is drawn, noise on the data, and noises drawn before training."""

import math

import pytest
import torch

from diffmemlib import DenoisingLoss, ResidualMLP, Schedule
from diffmemlib.diffusion.losses import FrozenNoiseLoss, draw_timesteps, freeze_noise, noise_prediction
from diffmemlib.diffusion.schedule import forward_noise, prediction_target
from diffmemlib.randomness import generator, seeded

S = Schedule()
X = torch.randn(12, 3, generator=generator(0, "x"))


@pytest.mark.parametrize(("weighting", "mean"), [("uniform", 1 / 2), ("low_noise", 1 / 3), ("high_noise", 2 / 3)])
def test_times_are_drawn_as_the_weighting_says(weighting, mean):
    k = draw_timesteps(200_000, S, generator(0, "k"), weighting)
    assert k.min() == 1 and k.max() == S.T - 1
    share = (k.double() - 0.5) / (S.T - 1)
    assert share.mean().item() == pytest.approx(mean, abs=0.003)
    if weighting != "uniform":  # u^2 is below 1/4 half of the time, and 1 - u^2 above 3/4
        low = share if weighting == "low_noise" else 1 - share
        assert (low < 0.25).double().mean().item() == pytest.approx(0.5, abs=0.005)


def test_uniform_times_are_those_of_stored_runs():
    expected = torch.randint(1, S.T, (50,), generator=generator(3, "k"))
    assert torch.equal(draw_timesteps(50, S, generator(3, "k")), expected)


@pytest.mark.parametrize("options", [{"weighting": "often"}, {"jitter": -0.1}, {"jitter": math.nan}])
def test_a_loss_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DenoisingLoss(S, **options)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "flow"])
def test_jitter_moves_the_data_that_are_noised_and_predicted(prediction):
    loss, net = DenoisingLoss(S, prediction=prediction, jitter=0.3), seeded(0, lambda: ResidualMLP(3, 8))
    timestep, eps, z = loss.draw_noise(X, generator(1, "noise"), None)
    plain = DenoisingLoss(S, prediction=prediction)
    expected = plain.per_sample(net, X + 0.3 * z, None, timestep, eps)
    assert torch.equal(loss.per_sample(net, X, None, timestep, eps, z), expected)
    assert not torch.allclose(expected, plain.per_sample(net, X, None, timestep, eps))
    assert z.std().item() == pytest.approx(1, abs=0.4)


def test_jitter_leaves_the_numbers_of_labels_where_they_were():
    labels = torch.zeros(12, dtype=torch.long)
    with_labels = DenoisingLoss(S, 0.1).draw_noise(X, generator(1, "noise"), labels)
    both = DenoisingLoss(S, 0.1, jitter=0.3).draw_noise(X, generator(1, "noise"), labels)
    assert all(torch.equal(a, b) for a, b in zip(with_labels, both[:3], strict=True)) and both[3].shape == X.shape


def test_jitter_beside_labels_is_its_own_noise():
    labels, net = torch.arange(12) % 2, seeded(0, lambda: ResidualMLP(3, 8, classes=2))
    loss, plain = DenoisingLoss(S, 0.5, jitter=0.3), DenoisingLoss(S, 0.5)
    k, eps, uniform, z = loss.draw_noise(X, generator(1, "noise"), labels)
    expected = plain.per_sample(net, X + 0.3 * z, labels, k, eps, uniform)
    assert torch.equal(loss.per_sample(net, X, labels, k, eps, uniform, z), expected)


@pytest.mark.parametrize("prediction", ["eps", "flow"])
def test_frozen_noises_are_those_of_the_fresh_loss_kept(prediction):
    fresh, net = DenoisingLoss(S, prediction=prediction), seeded(0, lambda: ResidualMLP(3, 8))
    packed, loss = freeze_noise(X, 5, fresh, 7), FrozenNoiseLoss(fresh)
    assert packed.shape == (60, 7)
    assert torch.equal(packed[:, :3], X.repeat(5, 1))
    eps, timestep = packed[:, 3:6], packed[:, 6].long()
    assert torch.equal(packed[:, 6], timestep.float()) and timestep.min() >= 1 and timestep.max() < S.T
    assert len(torch.unique(eps, dim=0)) == 60  # a noise of its own for every one of them
    expected = fresh.per_sample(net, X.repeat(5, 1), None, timestep, eps)
    assert loss.draw_noise(packed, generator(1, "noise"), None) == ()
    assert torch.equal(loss.per_sample(net, packed, None), expected)
    assert torch.equal(freeze_noise(X, 5, fresh, 7), packed) and not torch.equal(freeze_noise(X, 5, fresh, 8), packed)


@pytest.mark.parametrize(
    ("x", "m", "loss"),
    [(X, 0, DenoisingLoss(S)), (X[:, None], 2, DenoisingLoss(S)), (X, 2, DenoisingLoss(S, jitter=0.1))],
)
def test_noises_that_cannot_be_frozen_are_refused(x, m, loss):
    with pytest.raises(ValueError, match="need 1 or more noises"):
        freeze_noise(x, m, loss, 0)


@pytest.mark.parametrize("schedule", [S, Schedule.flow()], ids=str)
@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "flow"])
def test_every_kind_of_network_says_the_noise(schedule, prediction):
    k, eps = torch.arange(300, 900, 50), torch.randn(12, 3, generator=generator(0, "eps"))
    x = forward_noise(X, k, eps, schedule)
    signal, sigma = schedule.signal[k, None].float(), schedule.noise[k, None].float()
    right = prediction_target(X, eps, signal, sigma, prediction)
    found = noise_prediction(lambda *_: right, schedule, prediction)(x, k)
    torch.testing.assert_close(found, eps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("prediction", "space", "factor"),
    [("flow", "eps", lambda a, s: a / (a + s)), ("v", "eps", lambda a, s: a), ("eps", "x0", lambda a, s: s / a),
     ("x0", "v", lambda a, s: 1 / s)],
)  # fmt: skip
def test_the_space_of_the_loss_weights_times_and_leaves_the_prediction(prediction, space, factor):
    net = seeded(0, lambda: ResidualMLP(3, 8))
    k, eps = torch.tensor([1, 5, 40, 100, 200, 300, 400, 500, 600, 700, 800, 900]), torch.randn(12, 3)
    own = DenoisingLoss(S, prediction=prediction).per_sample(net, X, None, k, eps)
    other = DenoisingLoss(S, prediction=prediction, loss_space=space).per_sample(net, X, None, k, eps)
    weights = factor(S.signal[k], S.noise[k]).square().float()
    torch.testing.assert_close(other, weights * own, rtol=1e-3, atol=1e-5)
    same = DenoisingLoss(S, prediction=prediction, loss_space=prediction)
    assert torch.equal(same.per_sample(net, X, None, k, eps), own)


def test_a_space_that_is_none_is_refused():
    with pytest.raises(ValueError, match="loss_space = 'noise'"):
        DenoisingLoss(S, loss_space="noise")
