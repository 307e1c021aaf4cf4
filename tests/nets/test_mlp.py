"""The paper's MLP: parameter count, block, time embedding."""

import pytest
import torch
from torch.nn import functional as F

from diffmemlib.nets.mlp import ResidualMLP, sinusoidal_table


def test_parameter_count_is_the_papers():
    assert sum(p.numel() for p in ResidualMLP(d=8, width=128).parameters()) == 102_024


def test_forward_is_the_papers_formula():
    torch.manual_seed(0)
    net, x, k = ResidualMLP(d=3, width=16), torch.randn(5, 3), torch.tensor([1, 2, 40, 500, 999])
    p = dict(net.named_parameters())
    angle = k[:, None] / 1e4 ** (torch.arange(8) / 8)
    emb = torch.cat([angle.sin(), angle.cos()], 1)
    h = x @ p["into.weight"].T + p["into.bias"]
    for i in range(3):
        w = {name: p[f"blocks.{i}.{name}"] for name in ("first.weight", "first.bias", "second.weight", "second.bias")}
        u = (h + emb) @ w["first.weight"].T + w["first.bias"]
        u = u * (1 + torch.erf(u / 2**0.5)) / 2
        h = F.layer_norm(h + u @ w["second.weight"].T + w["second.bias"], (16,))
    torch.testing.assert_close(net(x, k), h @ p["out.weight"].T + p["out.bias"], rtol=1e-4, atol=1e-5)


def test_the_time_table_is_frozen_and_not_stored():
    net = ResidualMLP()
    assert "embedding" not in net.state_dict()
    assert not net.embedding.requires_grad


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width = 33"):
        sinusoidal_table(10, 33)
