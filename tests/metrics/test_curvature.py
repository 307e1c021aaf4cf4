"""Curvature of losses: closed forms for linear nets, the whole Hessian of a small one, and descent at the edge."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffmemlib.data.images import images
from diffmemlib.diffusion.losses import DenoisingLoss
from diffmemlib.diffusion.schedule import Schedule, forward_noise
from diffmemlib.experiments import unet_curvature
from diffmemlib.metrics.curvature import (
    gauss_newton_trace,
    hessian_max_eigenvalue,
    max_stable_learning_rate,
    rayleigh_quotient,
)
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import derive_seed, generator, seeded

X = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def linear() -> nn.Module:
    return nn.Linear(6, 3, bias=False)


def test_of_a_linear_net_all_is_known(linear):
    """2 J^T J / N is 2 X^T X / (3 m) for each of the three outputs."""
    one = 2 * (X.T @ X).double().numpy() / (3 * len(X))
    mean, error = gauss_newton_trace(linear, lambda: linear(X), 400, seed=0)
    assert mean == pytest.approx(3 * np.trace(one), abs=4 * error)
    assert error < 0.1 * mean
    top = hessian_max_eigenvalue(linear, lambda: (linear(X) - Y).square().mean(), seed=0)
    assert top == pytest.approx(np.linalg.eigvalsh(one)[-1], rel=2e-3)
    uniform = 2 * float(X.sum(0).square().sum()) / (3 * len(X)) / len(X)
    assert rayleigh_quotient(linear, lambda: linear(X), torch.ones(1)) == pytest.approx(uniform, rel=1e-5)


def test_no_direction_is_faster_than_the_largest_eigenvalue(linear):
    _, _, right = torch.linalg.svd(X)
    best = (X @ right[0])[:, None] * torch.tensor([1.0, 0, 0])
    top = hessian_max_eigenvalue(linear, lambda: linear(X).square().mean(), seed=0)
    assert rayleigh_quotient(linear, lambda: linear(X), best) == pytest.approx(top, rel=2e-3)
    assert rayleigh_quotient(linear, lambda: linear(X), torch.randn(50, 3)) < top


def test_the_largest_eigenvalue_of_the_hessian_of_a_unet():
    """Against the whole Hessian in a few of its weights, the others held: attention and GroupNorm are in between."""
    torch.manual_seed(0)
    net = UNet(8, dropout=0.0)
    chosen = [net.up[0].norm_1.weight, net.middle[0].attention.norm.bias]
    for p in net.parameters():
        p.requires_grad_(any(p is own for own in chosen))
    x, k = torch.randn(2, 1, 8, 8), torch.tensor([3, 500])

    def loss() -> torch.Tensor:
        return (net(x, k) - x).square().mean()

    with sdpa_kernel(SDPBackend.MATH):
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss(), chosen, create_graph=True)])
        rows = [torch.autograd.grad(g, chosen, retain_graph=True) for g in gradient]
    hessian = torch.stack([torch.cat([p.flatten() for p in row]) for row in rows]).double().numpy()
    assert hessian_max_eigenvalue(net, loss, seed=0) == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=5e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.95])
def test_descent_diverges_above_the_highest_rate_and_not_below(momentum):
    ends = {}
    for factor in (0.98, 1.02):
        w = torch.ones(1, requires_grad=True)
        descent = torch.optim.SGD([w], lr=factor * max_stable_learning_rate(7.0, momentum), momentum=momentum)
        for _ in range(3000):
            descent.zero_grad()
            (3.5 * w.square()).sum().backward()
            descent.step()
        ends[factor] = abs(w.item())
    assert ends[0.98] < 1e-3
    assert not ends[1.02] < 1e3


def test_a_stored_run_holds_the_curvature_of_its_own_loss(tmp_path, monkeypatch):
    """The rate of brightness, against what a small step along the gradient of the mean prediction does."""
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    config = unet_curvature.CurvatureConfig.from_parameters({"tier": "smoke"})
    curves = unet_curvature.run(config).curves.set_index("metric")
    data = images("digits", config.side, config.scale)
    x0 = data.centred(data.training_set(config.images, config.seed))
    net = seeded(derive_seed(config.seed, "weights"), lambda: UNet(config.width, dropout=0.0)).double()
    k, eps = DenoisingLoss(Schedule()).draw_noise(x0, generator(config.seed, "noise", 0), None)
    noised = forward_noise(x0, k, eps, Schedule()).double()
    # It raises that mean by eta |gradient|^2; of N predictions |J^T 1|^2 / N is N times that.
    net(noised, k).mean().backward()
    means = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            for p in net.parameters():
                p += step * p.grad
            means.append(float(net(noised, k).mean()))
    assert curves.loc["brightness", "value"] == pytest.approx((means[0] - means[1]) / 1e-5, rel=1e-4)
    assert curves.loc["trace", "low"] < curves.loc["trace", "value"] < curves.loc["trace", "high"]
    assert curves.loc["brightness", "value"] < curves.loc["trace", "value"]


@pytest.mark.parametrize(
    ("changes", "message"), [({"probes": 1}, "probes = 1"), ({"side": 10}, "side = 10"), ({"dataset": "x"}, "dataset")]
)
def test_bad_parameters(changes, message):
    with pytest.raises(ValueError, match=message):
        unet_curvature.CurvatureConfig.from_parameters({"tier": "smoke", **changes})
