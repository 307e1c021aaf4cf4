"""The benchmarks measure what they say: counts by hand, and the same loss from both loops; no time is asserted."""

import json

import torch
from torch.nn import functional as F

from diffmemlib.bench_images import Size, measure, ours, report, work
from diffmemlib.diffusion import Schedule, forward_noise
from diffmemlib.experiments.execute import seeded
from diffmemlib.nets.unet import UNet

TINY = Size(width=8, side=8, batch=4, samples=3, sampling_steps=2, train=10)


def test_everything_is_measured_and_can_be_stored():
    found = measure("cpu", TINY, enough=0.01)
    assert json.loads(json.dumps(found)) == found
    assert found["our_step"] == found["ways"]["eager"]
    assert found["ratio"] == found["plain_step"] / found["our_step"]
    assert found["over_floor"] == found["our_step"] / found["floor"]
    assert all(found[name] > 0 for name in ("floor", "sampling", "neighbours", "copy_gigabytes_per_second"))
    text = report(found)
    assert "W = 8, 8 x 8, batch 4" in text
    assert "3 samples by DDIM in 2 steps" in text


def test_our_step_has_the_loss_of_the_plain_one():
    data = torch.randn(TINY.batch, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    learner = ours(TINY, data, "cpu")
    learner.member.net.eval()  # no dropout
    learner.dropout = False
    schedule, plain = Schedule(), seeded(0, lambda: UNet(8)).eval()
    k, eps = learner.loss.draw(data, learner.member.noise(0), None)
    expected = F.mse_loss(plain(forward_noise(data, k, eps, schedule), k), eps)
    torch.testing.assert_close(learner.step(0), expected.detach(), rtol=1e-5, atol=1e-6)


def test_flops_are_three_times_those_of_the_layers():
    """Forward, and two products of the same size backward, for each layer; attention adds a little."""
    net, x, layers = UNet(TINY.width), torch.randn(4, 1, 8, 8), 0

    def convolution(module, _, out):
        nonlocal layers
        layers += 2 * out[0, 0].numel() * len(out) * module.weight.numel()

    def linear(module, _, out):
        nonlocal layers
        layers += 2 * out[..., 0].numel() * module.weight.numel()

    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(convolution)
        elif isinstance(module, torch.nn.Linear):
            module.register_forward_hook(linear)
    net(x, torch.ones(4, dtype=torch.long))
    flops, moved = work(TINY, x, "cpu")
    assert 2.95 < flops / layers < 3.3
    assert moved > 8 * 4 * sum(p.numel() for p in net.parameters())
