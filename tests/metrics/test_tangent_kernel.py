"""The tangent kernel: closed forms of linear networks, the gradients of autograd, and what a small step does."""

import numpy as np
import pytest
import torch
from torch import nn

from diffmemlib import ResidualMLP
from diffmemlib.experiments.gmm import GmmConfig, job
from diffmemlib.experiments.gmm_kernel import KernelConfig, run
from diffmemlib.metrics.tangent_kernel import tangent_gram, tangent_spectrum
from diffmemlib.training.loop import make_optimizer, train


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x, timestep):
        return self.inner(x)


def points(m, d, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(m, d, generator=g), torch.randint(1, 999, (m,), generator=g)


def test_of_a_linear_network_it_is_the_products_of_the_points_and_one():
    x, k = points(6, 3)
    torch.testing.assert_close(tangent_gram(Line(), x, k), (x @ x.T + 1).double(), atol=1e-6, rtol=1e-6)
    values = tangent_spectrum(Line(), x, k)
    assert (np.diff(values) <= 0).all() and (np.abs(values[4:]) < 1e-5 * values[0]).all(), "three slopes and a constant"


def test_it_is_the_products_of_the_gradients_of_autograd():
    net, (x, k) = ResidualMLP(d=2, width=8), points(5, 2)
    rows = []
    for i in range(5):
        gradients = torch.autograd.grad(net(x, k)[i, 1], list(net.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    expected = torch.stack(rows)
    torch.testing.assert_close(
        tangent_gram(net, x, k, output=1), (expected @ expected.T).double(), atol=1e-5, rtol=1e-5
    )


def test_a_small_step_moves_the_outputs_as_the_kernel_says():
    torch.manual_seed(0)
    net, (x, k) = ResidualMLP(d=2, width=16).double(), points(5, 2)
    x, rate = x.double(), 1e-6
    target = torch.linspace(-1, 1, 5, dtype=torch.float64)
    gram, before = tangent_gram(net, x, k), net(x, k)[:, 0].detach()
    ((net(x, k)[:, 0] - target) ** 2 / 2).sum().backward()
    with torch.no_grad():
        for p in net.parameters():
            if p.grad is not None:
                p -= rate * p.grad
    moved = (net(x, k)[:, 0].detach() - before) / rate
    torch.testing.assert_close(moved, -gram @ (before - target), rtol=1e-3, atol=1e-3)


def test_the_run_is_of_the_network_of_the_mixture_run_at_that_step(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    result = run(KernelConfig.from_parameters({"tier": "smoke", "n": 8, "steps": 5, "seed": 3}))
    made = job(GmmConfig.from_parameters({"tier": "smoke", "n": 8, "seed": 3}))
    list(train(made.net, made.data, make_optimizer(made.net, *made.optimizer), made.loss,
               milestones=[5], seed=3, batch=made.batch))  # fmt: skip
    eigenvalues = result.samples["eigenvalues"]
    assert eigenvalues.shape == (1, 2, 16)
    first, last = result.curves["value"]
    assert first == pytest.approx(eigenvalues[0, 0, 7]) and last == pytest.approx(eigenvalues[0, 1, 7])
    trained = sum(float(p.detach().square().sum()) for p in made.net.parameters())
    again = run(KernelConfig.from_parameters({"tier": "smoke", "n": 8, "steps": 0, "seed": 3}))
    assert trained > 0 and not np.allclose(again.samples["eigenvalues"], eigenvalues, rtol=1e-3)


@pytest.mark.parametrize("bad", [{"n": 1}, {"width": 7}, {"draws": 0}, {"noise_levels": 1}, {"steps": -1}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        KernelConfig.from_parameters({"tier": "smoke", **bad})
