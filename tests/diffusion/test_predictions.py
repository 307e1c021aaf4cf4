"""Kinds of prediction and of schedules: one network in four forms, and paths with a closed form."""

import itertools
import math

import pytest
import torch
from torch import nn

from diffmemlib import DenoisingLoss, Schedule, classifier_free_guidance, ddim, euler_maruyama, sample
from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.schedule import prediction_target, x0_and_eps
from diffmemlib.randomness import generator

F64 = torch.float64
KINDS = ("eps", "x0", "v", "flow")
SCHEDULES = {
    "linear": Schedule(),
    "cosine": Schedule.cosine(),
    "sigmas": Schedule.from_sigmas(torch.logspace(-2, 2, 200, dtype=F64)),
    "flow": Schedule.flow(500),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_network_is_trained_on_says_data_and_noise(kind, schedule: Schedule):
    g = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, schedule.T, generator=g, dtype=F64)
    x = schedule.signal * x0 + schedule.noise * eps
    target = prediction_target(x0, eps, schedule.signal, schedule.noise, kind)
    back = x0_and_eps(target, x, schedule.signal, schedule.noise, kind)
    well = schedule.signal > 1e-3 if kind == "eps" else schedule.noise > 1e-3  # of the other there is little in x
    torch.testing.assert_close(back[0][well], x0[well], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(back[1][well], eps[well], rtol=1e-8, atol=1e-8)


def exact(schedule: Schedule, kind: str):
    """The best prediction of N(0, 4) data, in each form."""

    def predict(x, timestep):
        a, b = schedule.signal[timestep[0]].item(), schedule.noise[timestep[0]].item()
        x0, eps = 4 * a * x / (4 * a**2 + b**2), b * x / (4 * a**2 + b**2)
        return prediction_target(x0, eps, a, b, kind)

    return predict


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_form_of_a_prediction_does_not_change_the_samples(kind, schedule: Schedule):
    x = torch.randn(5, 2, dtype=F64)
    plain = ddim(exact(schedule, "eps"), x, schedule, 30)
    torch.testing.assert_close(
        ddim(exact(schedule, kind), x, schedule, 30, prediction=kind), plain, rtol=1e-6, atol=1e-6
    )
    if schedule.preserves_variance:
        noises = torch.randn(30, 5, 2, dtype=F64)
        one, other = iter(noises), iter(noises)
        a = euler_maruyama(exact(schedule, "eps"), x, schedule, lambda: next(one), 30)
        b = euler_maruyama(exact(schedule, kind), x, schedule, lambda: next(other), 30, prediction=kind)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_ddim_on_the_linear_path_is_eulers_method_for_the_flow():
    schedule = Schedule.flow(1000)
    predict, x = exact(schedule, "flow"), torch.randn(4, 1, dtype=F64)
    s = [*schedule.noise[torch.tensor([999, 666, 334, 1])].tolist(), 0.0]
    y = x
    for k, (now, following) in zip((999, 666, 334, 1), itertools.pairwise(s), strict=True):
        y = y + (following - now) * predict(y, torch.tensor([k]))
    torch.testing.assert_close(ddim(predict, x, schedule, 4, prediction="flow"), y, rtol=1e-12, atol=1e-12)


def test_schedules_are_what_their_formulas_say():
    f = [math.cos((k / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(1001)]
    cosine = Schedule.cosine()
    for k in (0, 10, 500, 900):
        assert cosine.signal[k].item() ** 2 == pytest.approx(f[k + 1] / f[0], rel=1e-9)
    sigmas = Schedule.from_sigmas([0.1, 1.0, 10.0])
    torch.testing.assert_close(sigmas.noise / sigmas.signal, torch.tensor([0.1, 1, 10], dtype=F64))
    flow = Schedule.flow(9)
    torch.testing.assert_close(flow.noise, torch.arange(1, 10, dtype=F64) / 10)
    torch.testing.assert_close(flow.signal + flow.noise, torch.ones(9, dtype=F64))
    torch.testing.assert_close(torch.exp(flow.t) ** 2 - 1, (flow.noise / flow.signal) ** 2)  # e^2t - 1 = sigma^2
    assert [s.preserves_variance for s in (Schedule(), cosine, sigmas, flow)] == [True, True, True, False]


def test_schedules_of_one_path_are_equal_and_others_are_not():
    same = Schedule.from_alphas_cumprod(Schedule().signal ** 2)
    assert Schedule() == Schedule(1000)
    assert hash(Schedule()) == hash(Schedule(1000))
    torch.testing.assert_close(same.signal, Schedule().signal, rtol=1e-14, atol=0)
    assert Schedule() != Schedule(999)
    assert Schedule() != Schedule.cosine()
    assert DenoisingLoss(Schedule()) == DenoisingLoss(Schedule())
    assert repr(Schedule.cosine(50)) == "Schedule.cosine(T=50, offset=0.008)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(1), "T = 1"),
        (lambda: Schedule.cosine(1), "T = 1"),
        (lambda: Schedule.flow(1), "T = 1"),
        (lambda: Schedule.from_alphas_cumprod([0.9, 0.95]), "alphas_cumprod must decrease"),
        (lambda: Schedule.from_alphas_cumprod([0.9, 0.0]), "between 0 and 1"),
        (lambda: Schedule.from_alphas_cumprod([0.9, float("nan")]), "finite numbers"),
        (lambda: Schedule.from_alphas_cumprod([[0.9, 0.5]]), "a list of at least 2"),
        (lambda: Schedule.from_sigmas([1.0, 0.5]), "sigmas must be positive and increasing"),
        (lambda: x0_and_eps(1.0, 1.0, 0.5, 0.5, "score"), "prediction = 'score': choose one of eps, x0, v, flow"),
        (lambda: prediction_target(*[torch.ones(1)] * 4, "score"), "prediction = 'score'"),
    ],
)
def test_bad_schedules_and_predictions_are_refused_by_name(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_the_best_network_is_what_remains_unknown(kind):
    """Of N(0, 4) data the error of the best prediction is known for each form: a constant times Var(x0 | x)."""
    schedule, x0 = Schedule(), 2 * torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    loss = DenoisingLoss(schedule, prediction=kind)
    noise = loss.draw_noise(x0, generator(0, "noise", 0), None)
    k = torch.full_like(noise[0], 300)
    a, b = schedule.signal[300].item(), schedule.noise[300].item()
    error = loss.per_sample(exact(schedule, kind), x0, None, k, *noise[1:])
    unknown = 4 * b**2 / (4 * a**2 + b**2)  # Var(x0 | x); that of eps given x is (a/b)^2 times it
    factor = {"eps": (a / b) ** 2, "x0": 1.0, "v": ((a**2 + b**2) / b) ** 2, "flow": ((a + b) / b) ** 2}[kind]
    assert float(error.mean()) == pytest.approx(factor * unknown, rel=0.02)


class Recorder(nn.Module):
    """Predicts the exact noise of the mixture, and keeps in which mode and on what it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = nn.Dropout(0.5), []

    def forward(self, x, timestep, label=None):
        self.calls.append((self.training, self.inner.training, len(x), label))
        shift = 0 if label is None else label[:, None].to(x)
        return x * 0.1 + shift


def test_a_network_is_sampled_in_eval_mode_and_put_back():
    net = Recorder().train()
    net.inner.eval()
    sample(net, 4, (2,), steps=2)
    assert {call[:2] for call in net.calls} == {(False, False)}
    assert (net.training, net.inner.training) == (True, False)
    with pytest.raises(ValueError, match="steps = 0"):
        sample(net, 4, (2,), steps=0)
    assert net.training


def test_guidance_takes_one_pass_of_two_halves():
    net, x, k = Recorder(), torch.randn(6, 2), torch.randint(1, 999, (6,))
    guided = classifier_free_guidance(net, torch.tensor([0, 1, 0, 1, 1, 0]), 2.0)(x, k)
    (call,) = net.calls
    assert call[2] == 12
    assert call[3].tolist() == [0, 1, 0, 1, 1, 0] + [-1] * 6
    y = torch.tensor([0.0, 1, 0, 1, 1, 0])[:, None]
    torch.testing.assert_close(guided, 3 * (0.1 * x + y) - 2 * (0.1 * x - 1))


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 5), ("euler_maruyama", 7)])
def test_a_callback_sees_every_step_and_the_last_is_the_sample(sampler: str, steps: int):
    seen = []
    x = sample(
        Recorder(), 3, (2,), sampler=sampler, steps=steps, batch_size=2,
        callback=lambda step, k, x: seen.append((step, k, x)),
    )  # fmt: skip
    assert [step for step, *_ in seen] == [*range(1, steps + 1)] * 2
    assert [k for _, k, _ in seen[:steps]] == sorted((k for _, k, _ in seen[:steps]), reverse=True)
    assert seen[steps - 1][1] == seen[-1][1] == -1
    assert torch.equal(torch.cat([seen[steps - 1][2], seen[-1][2]]), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "euler_maruyama", "eta": 0.5}, "eta = 0.5: euler_maruyama has no eta"),
        ({"guidance": 1.0}, "guidance = 1.0: guidance needs labels"),
        ({"labels": torch.tensor([0])}, "1 labels for 2 samples"),
        ({"eta": -0.1}, "eta = -0.1"),
        ({"sampler": "euler_maruyama", "schedule": Schedule.flow()}, "does not preserve variance"),
        ({"sampler": "euler_maruyama", "steps": 1}, "at least 2 steps"),
        ({"batch_size": 0}, "batch_size = 0"),
    ],
)
def test_an_argument_that_would_be_ignored_is_refused(options, message: str):
    with pytest.raises(ValueError, match=message):
        sample(Recorder(), 2, (2,), **options)


def test_samples_of_the_exact_score_are_of_the_distribution_for_every_schedule():
    law = GaussianMixture(d=1, mu=2.0)
    for schedule in (Schedule(), Schedule.cosine(), Schedule.from_sigmas(torch.logspace(-3, 2, 300, dtype=F64))):

        def predict(x, timestep, schedule=schedule):
            k = timestep[0]
            return -schedule.noise[k].item() * law.score(x.double(), float(schedule.t[k]))

        x = sample(predict, 4000, (1,), schedule, 3, steps=schedule.T - 1)
        assert float(x.abs().mean()) == pytest.approx(2.0, abs=0.1)
        assert float(x.var()) == pytest.approx(5.0, abs=0.3)
