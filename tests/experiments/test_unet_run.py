"""Image runs: dropout and memory layout survive a resume bit for bit, samplers agree, and what is refused."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffmemlib.data.images import images
from diffmemlib.diffusion.losses import DenoisingLoss, loss_at
from diffmemlib.diffusion.samplers import sample
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.experiments import unet
from diffmemlib.files import NumberedFiles
from diffmemlib.metrics.memorization import memorized_fraction
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import SampleNoise, derive_seed, seeded
from diffmemlib.runs.execute import execute
from diffmemlib.training.loop import Trainer, TrainState, make_optimizer, train

DATA = images("digits", 16, scale=4.0)
TRAIN = DATA.centred(DATA.training_set(12, seed=0))


def trained(steps: int, optimizer: str, **options) -> dict[str, torch.Tensor]:
    net = seeded(0, lambda: UNet(8)).to(memory_format=torch.channels_last)
    for _ in train(
        net, TRAIN, make_optimizer(net, optimizer, 1e-3), DenoisingLoss(Schedule()),
        seed=1, milestones=[steps], batch=5, **options,
    ):  # fmt: skip
        pass
    return net.state_dict()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resuming_is_bitwise_the_same(tmp_path, optimizer: str):
    """Dropout is a function of the step, and the optimiser's state keeps the weights' layout in memory."""
    whole = trained(6, optimizer)
    calls, files = itertools.count(1), NumberedFiles(tmp_path, ".safetensors")
    trained(6, optimizer, checkpoints=files, should_stop=lambda: next(calls) == 3)
    assert list(files.paths()) == [3]
    torch.manual_seed(99)  # nothing hangs on the state of the global generator
    resumed = trained(6, optimizer, checkpoints=files)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_stored_run_is_what_its_network_gives(tmp_path, monkeypatch):
    """It has every metric, and its pictures are samples beside images of its own training set."""
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    config = unet.UNetConfig.from_parameters({"tier": "smoke", "optimizer": "adam", "batch": "full", "seed": 3})
    assert config.batch == 0
    result = unet.run(config, show_progress=False)
    assert set(result.curves.metric) == {"f_mem", "f_mem_1/2", "f_mem_1/4", "fd", "loss_train", "loss_test"}
    pixels = DATA.pool.double() / 255
    facts = {"pixel_mean": float(pixels.mean()), "pixel_sd": float(pixels.std())}
    train = DATA.centred(DATA.training_set(config.n, 3)) / 4.0
    facts["held_out_f_mem"] = memorized_fraction(DATA.centred(DATA.test) / 4.0, train).value
    assert {name: result.provenance[name] for name in facts} == pytest.approx(facts)
    stored = result.samples
    assert stored["samples"].shape == stored["nearest"].shape == (3, 4, 1, 16, 16)
    chosen = DATA.training_set(config.n, 3)
    pool = {bytes(x.numpy()) for x in chosen}
    assert all(x.tobytes() in pool for x in stored["nearest"].reshape(-1, 256))
    assert (stored["distances"][..., 0] <= stored["distances"][..., 1]).all()


def test_draws_repeat_a_full_batch_and_one_changes_no_identity():
    given = {"tier": "smoke", "n": 8, "batch": "full"}
    plain, three = (unet.UNetConfig.from_parameters(given | extra) for extra in ({}, {"draws": 3}))
    assert plain.id == unet.UNetConfig.from_parameters(given | {"draws": 1}).id != three.id
    once, thrice = unet.job(plain), unet.job(three)
    assert thrice.batch == len(thrice.data) == 24
    assert torch.equal(thrice.data, torch.cat([once.data] * 3))


def test_the_same_noise_at_every_milestone_shows_the_same_samples_change(tmp_path, monkeypatch):
    """A network that hardly learns makes the same samples of the same noise, and others of other noise."""
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    given = {"tier": "smoke", "optimizer": "sgd", "lr": 1e-9, "momentum": 0.0}
    other, plain, alike = (
        unet.UNetConfig.from_parameters(given | extra) for extra in ({"same_noise": False}, {}, {"same_noise": True})
    )
    assert other.id == plain.id != alike.id
    for config, same in ((plain, False), (alike, True)):
        first, *others = unet.run(config, show_progress=False).samples["samples"].astype(int)
        assert all((abs(first - other).max() <= 1) == same for other in others)


def test_a_compiled_run_is_compiled_for_two_shapes_and_no_more(tmp_path, monkeypatch):
    """A batch of another size made torch.compile try symbols for sizes, and a GPU wait for minutes.

    Samples and losses are of 40 and 32 images here, in parts of 24, so that the last parts are filled up.
    """
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    compiled: list[int] = []

    def backend(graph, inputs):
        sizes = [size for x in inputs if isinstance(x, torch.Tensor) for size in x.shape]
        assert not [x for x in [*inputs, *sizes] if isinstance(x, torch.SymInt)], "no size is a symbol"
        compiled.append(len(inputs))
        return graph.forward

    compiling, measured = torch.nn.Module.compile, []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, mode, **how: compiling(net, backend=backend, **how))
    monkeypatch.setattr(unet, "sample_batch_size", lambda device: 24)
    torch._dynamo.reset()
    given = {"tier": "smoke", "graphs": True, "bf16": True, "steps": 8, "milestones": 4}
    job = unet.job(unet.UNetConfig.from_parameters(given | {"compiled": True}))

    def measure(net, tau):
        found = job_measure(net, tau)
        measured.append((tau, len(compiled)))
        return found

    job_measure, job = job.measure, dataclasses.replace(job, measure=measure)
    assert execute(job, show_progress=False).provenance["complete"]
    assert [count for _, count in measured] == [2] * 4, "one of training, one of measuring"


def test_replayed_runs_are_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    plain, replayed = (
        unet.run(unet.UNetConfig.from_parameters({"tier": "smoke", "graphs": g}), show_progress=False)
        for g in (False, True)
    )
    assert plain.id != replayed.id
    pd.testing.assert_frame_equal(plain.curves, replayed.curves)


def test_ddim_is_that_of_the_formula():
    """The sampler on a U-Net against a plain loop over Eq. 22 in float64."""
    schedule, net = Schedule(), seeded(0, lambda: UNet(8)).double().eval()
    ours = sample(lambda x, k: net(x.double(), k), 2, (1, 8, 8), schedule, seed=5, steps=4)
    x = SampleNoise(5, range(2), (1, 8, 8))().double()
    abar = (-2 * schedule.t).exp()
    grid = [999, 666, 334, 1]
    with torch.no_grad():
        for k, after in zip(grid, [*grid[1:], None], strict=True):
            eps = net(x, torch.tensor([k, k]))
            x0 = (x - (1 - abar[k]).sqrt() * eps) / abar[k].sqrt()
            x = x0 if after is None else abar[after].sqrt() * x0 + (1 - abar[after]).sqrt() * eps
    torch.testing.assert_close(ours, x.float(), rtol=1e-4, atol=1e-4)


def test_copies_of_training_images_count_as_memorised():
    samples = torch.cat([TRAIN[:3] + 0.01, DATA.centred(DATA.test[:7])])
    assert memorized_fraction(samples, TRAIN).neighbours.memorized().tolist() == [True] * 3 + [False] * 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 5000}, "n = 5000: must be 2 to 2976, the images of the pool"),
        ({"width": 12}, "width = 12: must be a multiple of 8"),
        ({"side": 30}, "side = 30: must be 16 or 32 for digits"),
        ({"dataset": "faces"}, "dataset = 'faces': neither digits nor celeba, nor your own: "),
        ({"samples": 30}, "samples = 30: must be above 32"),
        ({"dropout": 1.0}, "dropout = 1.0: must be at least 0 and below 1"),
        ({"draws": 2}, "draws = 2: must be 1, or more with a full batch"),
        ({"path": "linear"}, "path = 'linear': must be ddpm, or linear with sampler = 'ddim'"),
        ({"ema": 1.0}, "ema = 1.0: must be at least 0 and below 1"),
        ({"batch": "half"}, "parameter batch = 'half' is of type str"),
    ],
)
def test_bad_settings_are_refused(given: dict, message: str):
    with pytest.raises(ValueError, match=message):
        unet.job(unet.UNetConfig.from_parameters({"tier": "smoke", **given}))


def test_the_laptop_tier_trains_wider_nets_at_a_lower_rate():
    """SGD at the rate of W = 16 diverges within ten steps at W = 32; Adam's rate stays."""

    def rate(**given) -> float:
        return unet.UNetConfig.from_parameters({"tier": "laptop", **given}).lr

    assert [rate(width=w) for w in (8, 16, 32)] == [0.1, 0.1, 0.025]
    assert rate(width=32, optimizer="adam") == rate(optimizer="adam")
    assert rate(width=32, tier="paper") == 1e-2


@pytest.mark.parametrize(("rate", "diverges"), [(0.1, True), (None, False)])
def test_a_wide_net_diverges_at_the_rate_of_a_narrow_one(rate, diverges):
    """At W = 32 within ten steps; its own default holds."""
    given = {"tier": "laptop", "width": 32, "optimizer": "sgd", **({"lr": rate} if rate else {})}
    made = unet.job(unet.UNetConfig.from_parameters(given))
    learner = Trainer(
        TrainState(made.net, made.data, 0), make_optimizer(made.net, *made.optimizer), made.loss, made.batch
    )
    losses = [float(learner.step(tau)) for tau in range(10)]
    assert (not max(losses) < 100) == diverges  # NaN is not below


LINEAR = {"path": "linear", "sampler": "ddim"}


@pytest.mark.parametrize(
    "settings",
    [{"prediction": "v"}, {**LINEAR, "prediction": "flow"}, {"weighting": "high_noise"}, {"ema": 0.9},
     {"optimizer": "adam", "weight_decay": 0.3}, {"jitter": 0.2}],
    ids=str,
)  # fmt: skip
def test_settings_of_the_mixture_act_on_images(settings: dict, tmp_path, monkeypatch):
    """Each changes a training or what is sampled of it, and its samples and losses are read as its network predicts."""
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    optimizer = {"optimizer": settings.get("optimizer", "sgd"), "sampler": settings.get("sampler", "ddim_paper")}
    plain, c = (unet.UNetConfig.from_parameters({"tier": "smoke", **of}) for of in (optimizer, settings))
    assert plain.id != c.id
    stored = unet.run(c, show_progress=False)
    assert not stored.curves.equals(unet.run(plain, show_progress=False).curves)

    made = unet.job(c)
    options = {"seed": c.seed, "batch": made.batch, "milestones": [c.steps]}
    ema = AveragedModel(made.net, multi_avg_fn=get_ema_multi_avg_fn(c.ema)) if c.ema else None
    list(train(made.net, made.data, make_optimizer(made.net, *made.optimizer), made.loss, ema=ema, **options))
    net, tau = (ema.module if ema else made.net).eval(), c.steps
    schedule = Schedule.flow() if c.path == "linear" else Schedule()
    seed = derive_seed(c.seed, "measure", tau)
    x = sample(net, c.samples, (1, 16, 16), schedule, seed, c.sampler, c.sampling_steps, prediction=c.prediction)
    pixels = (DATA.pixels(x[: c.kept]) * 255).round().byte().numpy()
    assert abs(stored.samples["samples"][-1].astype(int) - pixels.astype(int)).max() <= 1

    k = schedule.timestep_at(0.01)
    signal, noise = float(schedule.signal[k]), float(schedule.noise[k])

    def eps(x, timestep):
        output = net(x, timestep)
        return {
            "eps": output, "x0": (x - signal * output) / noise, "v": noise * x + signal * output,
            "flow": (x + signal * output) / (signal + noise),
        }[c.prediction]  # fmt: skip

    losses = loss_at(eps, DATA.centred(DATA.test)[: c.loss_images], k, schedule, derive_seed(seed, "test"))
    assert stored.curve("loss_test")["value"].iloc[-1] == pytest.approx(np.mean(losses), rel=1e-4)
