"""Sums in a fixed order are asked for on a GPU, and what was asked before is put back."""

import os
import warnings

import pytest
import torch

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.losses import DenoisingLoss
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.training import loop
from diffmemlib.training.determinism import deterministic, in_fixed_order
from diffmemlib.training.ensemble import train_ensemble


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_a_gpu_is_asked_and_a_cpu_is_not():
    before = state()
    cases = ("cuda:1", True, (True, False, False)), ("cuda", False, (True, True, False)), ("cpu", True, before)
    for device, strict, inside in cases:
        with deterministic(device, strict):
            assert state() == inside
        assert state() == before
    with pytest.raises(RuntimeError), deterministic("cuda"):
        raise RuntimeError
    assert state() == before
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_an_operation_without_a_fixed_order_is_told_once_and_done():
    """And once only is the strict way tried; other errors are not taken for this one."""
    seen: list[tuple] = []

    def step(tau: int) -> int:
        seen.append((tau, *state()[:2]))
        if not state()[1]:
            raise RuntimeError("x_backward does not have a deterministic implementation, but you set ...")
        return 10 * tau

    made = in_fixed_order(step, "cuda")
    with pytest.warns(UserWarning, match="other last digits: x_backward does not have a deterministic"):
        assert made(1) == 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made(2) == 20
    assert seen == [(1, True, False), (1, True, True), (2, True, True)]

    def broken(tau: int) -> int:
        raise RuntimeError("CUDA error")

    with pytest.raises(RuntimeError, match="CUDA error"):
        in_fixed_order(broken, "cuda")(0)


def test_training_asks_for_it(monkeypatch):
    asked = []

    def seen(step, device):
        asked.append(str(device))
        return in_fixed_order(step, device)

    monkeypatch.setattr(loop, "in_fixed_order", seen)
    x = GaussianMixture(d=2).sample(8, 0).float()
    nets = [ResidualMLP(2, 8, blocks=1) for _ in range(2)]
    list(loop.train(nets[0], x, loop.make_optimizer(nets[0], "adam", 1e-3), milestones=[2]))
    team = [loop.TrainState(nets[1], x, 0)]
    list(train_ensemble(team, loop.OptimizerSettings("adam", 1e-3), DenoisingLoss(Schedule()), milestones=[2], batch=4,
                        failed={}))  # fmt: skip
    assert asked == ["cpu", "cpu"]
