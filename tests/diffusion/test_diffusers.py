"""Schedules and samplers against the schedulers of diffusers, on the same grid with the same noise."""

import pytest
import torch
from torch import Tensor

from diffmemlib import DiffusersUNet, Schedule, sample
from diffmemlib.diffusion.samplers import ddim
from diffmemlib.diffusion.schedule import sampling_grid

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

F64 = torch.float64
KIND = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
BETAS = {"linear": Schedule(), "squaredcos_cap_v2": Schedule.cosine()}


def some_net(x: Tensor, timestep: Tensor) -> Tensor:
    """A prediction that is neither linear nor the same at all times."""
    return torch.sin(1.7 * x + 0.01 * timestep[:, None].to(x)) + 0.3 * x


def scheduler(kind: type, prediction: str, betas: str = "linear", **options):
    return kind(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=betas,
        prediction_type=KIND[prediction], **{"clip_sample": False} | options,
    )  # fmt: skip


def in_double_precision(theirs):
    """Its noise levels are float32, whose rounding makes the root of a small variance NaN at eta = 1."""
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.one = torch.tensor(1.0, dtype=F64)
    return theirs


@pytest.mark.parametrize("betas", list(BETAS))
def test_noise_levels_are_those_of_diffusers(betas: str):
    theirs = scheduler(diffusers.DDPMScheduler, "eps", betas).alphas_cumprod.double()
    torch.testing.assert_close(BETAS[betas].signal ** 2, theirs, rtol=3e-5, atol=1e-10)  # theirs are float32
    taken = Schedule.from_alphas_cumprod(theirs)
    torch.testing.assert_close(taken.signal**2, theirs, rtol=1e-12, atol=0)
    torch.testing.assert_close(taken.noise**2, 1 - theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prediction", list(KIND))
@pytest.mark.parametrize("steps", [2, 50, 999])
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_ddim_is_the_ddim_of_diffusers(prediction: str, steps: int, eta: float):
    theirs = in_double_precision(scheduler(diffusers.DDIMScheduler, prediction, set_alpha_to_one=True))
    schedule = Schedule.from_alphas_cumprod(theirs.alphas_cumprod)
    grid = sampling_grid(1000, steps)
    g = torch.Generator().manual_seed(0)
    start, noises = torch.randn(3, 2, generator=g, dtype=F64), torch.randn(steps, 3, 2, generator=g, dtype=F64)
    drawn = iter(noises)
    ours = ddim(some_net, start, schedule, steps, eta, lambda: next(drawn), prediction)
    x = start
    for i, k in enumerate(grid):
        # diffusers finds the next step as k less 1000 // num_inference_steps: here that is our next one
        following = grid[i + 1] if i + 1 < steps else -1
        theirs.num_inference_steps = type("Steps", (), {"__rfloordiv__": lambda self, _, d=k - following: d})()
        output = some_net(x, torch.full((3,), k))
        noise = noises[i] if following >= 0 else torch.zeros_like(x)
        x = theirs.step(output, k, x, eta=eta, variance_noise=noise if eta else None).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("clip", [None, (-0.4, 0.4)])
@pytest.mark.parametrize("prediction", list(KIND))
def test_ddim_with_eta_1_is_the_ddpm_of_diffusers(prediction: str, clip: tuple[float, float] | None, monkeypatch):
    """Ancestral sampling with the posterior's variance, over all steps down to k = 1, x0 clipped or not."""
    options = {"variance_type": "fixed_small", "clip_sample": clip is not None, "clip_sample_range": 0.4}
    theirs = in_double_precision(scheduler(diffusers.DDPMScheduler, prediction, **options))
    theirs.set_timesteps(timesteps=list(range(999, 0, -1)))
    schedule = Schedule.from_alphas_cumprod(theirs.alphas_cumprod)
    g = torch.Generator().manual_seed(1)
    start, noises = torch.randn(3, 2, generator=g, dtype=F64), torch.randn(999, 3, 2, generator=g, dtype=F64)
    drawn = iter(noises)
    ours = ddim(some_net, start, schedule, 999, 1.0, lambda: next(drawn), prediction, clip=clip)
    x = start
    for i, k in enumerate(range(999, 0, -1)):
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, i=i, **__: noises[i])
        x = theirs.step(some_net(x, torch.full((3,), k)), k, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-8, atol=1e-8)


def test_a_model_of_diffusers_is_sampled_and_trained_as_it_is():
    torch.manual_seed(0)
    model = diffusers.UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 8),
        norm_num_groups=4, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        num_class_embeds=3,
    )  # fmt: skip
    net, labels = DiffusersUNet(model), torch.tensor([0, 2])
    x, k = torch.randn(2, 3, 8, 8), torch.tensor([5, 900])
    assert torch.equal(net(x, k, labels), model(x, k, class_labels=labels).sample)
    drawn = sample(net, 2, (3, 8, 8), steps=3, labels=labels)
    assert drawn.shape == (2, 3, 8, 8)
    assert torch.isfinite(drawn).all()
    assert model.training, "put back into the mode that it had"
