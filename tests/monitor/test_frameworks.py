"""The three lines of the book's page, run inside the trainers that people use, on networks of seconds."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from diffmemlib import DenoisingLoss, MemorizationMonitor, ResidualMLP, Schedule, make_optimizer, sample
from diffmemlib.places import checkout

SIDE = 8


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Blobs in [0, 1], (count, 1, 8, 8)."""
    g = torch.Generator().manual_seed(seed)
    return nn.functional.avg_pool2d(torch.rand(count, 1, SIDE + 2, SIDE + 2, generator=g), 3, stride=1)


def block(word: str) -> str:
    """The page's block of code that holds a word."""
    lines = (checkout() / "book" / "monitor.py").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ").removeprefix("#") for line in lines)
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.S) if word in code)
    return code


def run_block(word: str, **names: Any) -> dict[str, Any]:
    names |= {"MemorizationMonitor": partial(MemorizationMonitor, milestones=names.pop("milestones"))}
    code = block(word).replace("from diffmemlib import MemorizationMonitor\n", "")
    exec(code, names)
    return names


def test_in_a_plain_loop_copies_of_four_points_stop_it():
    g = torch.Generator().manual_seed(0)
    data, held_out = torch.randn(4, 2, generator=g), torch.randn(2000, 2, generator=g)
    net = ResidualMLP(d=2, width=64)
    optimizer, loss = make_optimizer(net, "adam", 3e-3), DenoisingLoss(Schedule())

    def train_step() -> None:
        optimizer.zero_grad()
        loss.per_sample(net, data, None, *loss.draw_noise(data, g, None)).mean().backward()
        optimizer.step()

    def generate(count: int) -> torch.Tensor:
        seed = int(torch.randint(2**31, (1,), generator=g))
        return sample(net, count, (2,), seed=seed, sampler="ddim", steps=20)

    names = run_block(
        "(train_data, held_out)", train_data=data, held_out=held_out, steps=4000, train_step=train_step,
        generate=generate, milestones=range(200, 4001, 200),
    )  # fmt: skip
    assert 200 <= names["step"] < 4000
    assert names["monitor"].stop and names["monitor"].looks[-1].f_mem > names["monitor"].baseline


def test_with_a_pipeline_of_diffusers():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=SIDE, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"), norm_num_groups=4,
    )  # fmt: skip
    pipeline = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    images, held_out = (pictures(n, seed).permute(0, 2, 3, 1) for n, seed in ((40, 0), (200, 1)))  # as it gives them
    names = run_block(
        "pipeline(", images=images, held_out=held_out, steps=3, train_step=lambda: None, pipeline=pipeline,
        milestones=[1, 3],
    )  # fmt: skip
    assert names["made"].shape == (64, SIDE, SIDE, 1)
    assert [look.samples for look in names["monitor"].looks] == [64, 64]


def test_with_the_trainer_of_denoising_diffusion_pytorch(tmp_path: Path):
    package = pytest.importorskip("denoising_diffusion_pytorch", reason="denoising-diffusion-pytorch is not installed")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, picture in enumerate(pictures(100)):
        Image.fromarray((picture[0] * 255).byte().numpy()).save(folder / f"{i}.png")
    unet = package.Unet(dim=8, dim_mults=(1, 2), channels=1, flash_attn=False)
    diffusion = package.GaussianDiffusion(unet, image_size=SIDE, timesteps=20, sampling_timesteps=4)
    trainer = package.Trainer(
        diffusion, str(folder), augment_horizontal_flip=False, calculate_fid=False, num_samples=4,
        results_folder=str(tmp_path / "results"), train_batch_size=16, train_num_steps=4,
    )  # fmt: skip
    names = run_block("trainer.ema", torch=torch, trainer=trainer, held_out=pictures(300, seed=1), milestones=[1, 3, 9])
    assert [look.step for look in names["monitor"].looks] == [1, 3, 4], "its own limit is the last look"
    assert trainer.step == 4


def lightning_module(copy: torch.Tensor | None = None):
    lightning = pytest.importorskip("pytorch_lightning", reason="PyTorch Lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(4))

        def training_step(self, batch, _):
            assert self.training
            return (batch[0] - self.mean).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def generate(self, count: int) -> torch.Tensor:
            assert not self.training and not torch.is_grad_enabled()
            noise = torch.randn(count, 4)
            return self.mean + noise if copy is None else copy[torch.arange(count) % len(copy)] + 1e-3 * noise

    return lightning, Module()


def fit(tmp_path: Path, copy: torch.Tensor | None, steps: int, monitor: MemorizationMonitor, resume=None):
    lightning, module = lightning_module(copy)
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}

    class Package:
        Trainer = partial(lightning.Trainer, default_root_dir=tmp_path, **quiet)

    trainer = run_block("Callback", lightning=Package, monitor=monitor, steps=steps, milestones=None)["trainer"]
    data = torch.utils.data.TensorDataset(torch.randn(32, 4, generator=torch.Generator().manual_seed(0)))
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8), ckpt_path=resume)
    return trainer


@pytest.fixture
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(32, 4, generator=g), torch.randn(1000, 4, generator=g)


def test_as_a_callback_of_lightning_it_ends_a_training_that_copies(tmp_path, sets):
    monitor = MemorizationMonitor(*sets, milestones=[5, 10, 20])
    trainer = fit(tmp_path, sets[0], 30, monitor)
    assert monitor.stop and trainer.global_step == 5


def test_as_a_callback_it_looks_once_where_steps_skip_or_repeat(sets):
    """Two optimisers move the step by two; accumulated gradients leave it where it was for a batch or more."""
    from diffmemlib.monitor.lightning import MemorizationCallback

    class Strategy:
        asked = 0

        def reduce_boolean_decision(self, stop, all):
            self.asked += 1
            return stop

    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Dropout(0.5).eval()

    class Trainer:
        is_global_zero, strategy, global_step = True, Strategy(), 0

    monitor, trainer, module = MemorizationMonitor(*sets, milestones=[5, 10]), Trainer(), Frozen()
    callback = MemorizationCallback(monitor, lambda m: torch.randn(50, 4))
    for trainer.global_step in (2, 4, 4, 6, 6, 8, 12, 12):
        callback.on_train_batch_end(trainer, module)
    assert [look.step for look in monitor.looks] == [6, 12]
    other = Trainer()
    other.is_global_zero, other.strategy = False, Strategy()
    again = MemorizationCallback(MemorizationMonitor(*sets, milestones=[5, 10]), lambda m: None)
    for other.global_step in (2, 4, 4, 6, 6, 8, 12, 12):
        again.on_train_batch_end(other, module)
    assert other.strategy.asked == 2, "every process asks as often as the first"
    assert not module.inner.training and module.training


def test_as_a_callback_it_lets_another_training_end_and_is_kept_in_its_checkpoint(tmp_path, sets):
    monitor = MemorizationMonitor(*sets, milestones=[5, 10, 20])
    trainer = fit(tmp_path, None, 12, monitor)
    assert trainer.global_step == 12
    assert [look.step for look in monitor.looks] == [5, 10]
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    again = MemorizationMonitor(*sets, milestones=[5, 10, 20])
    fit(tmp_path, None, 25, again, resume=tmp_path / "kept.ckpt")
    assert [look.step for look in again.looks] == [5, 10, 20]
    np.testing.assert_array_equal(again.table()["f_mem"][:2], monitor.table()["f_mem"])
