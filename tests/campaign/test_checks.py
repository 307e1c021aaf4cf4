"""The checks of a device, made on the CPU: each passes there, and fails where what it checks is broken."""

import importlib
import json
import re
from types import SimpleNamespace

import pytest
import torch

from diffmemlib.campaign import checks
from diffmemlib.campaign.checks import CHECKS, check_all


@pytest.mark.parametrize("name", [name for name in CHECKS if not name.startswith("compiled_steps")])
def test_every_check_passes_on_a_cpu(name: str):
    said = CHECKS[name]("cpu")
    assert "apart by" in said or name in ("too_large", "killed_and_gone_on_with")


@pytest.mark.parametrize("name", ["compiled_steps", "compiled_steps_resumed"])
def test_compiled_steps_are_compared(name: str, monkeypatch):
    """Without a compiler's minute: that of another backend, and of one that computes something else."""
    compiling = torch.nn.Module.compile

    def with_backend(wrong: bool):
        def backend(graph, inputs):
            return (lambda *x: tuple(-y for y in graph.forward(*x))) if wrong else graph.forward

        return lambda net, **how: compiling(net, backend=backend, dynamic=False)

    monkeypatch.setattr(checks, "STEPS", 3)
    for wrong in (False, True):
        torch._dynamo.reset()
        monkeypatch.setattr(torch.nn.Module, "compile", with_backend(wrong))
        if wrong and name == "compiled_steps":  # as wrong before as after an interruption
            with pytest.raises(AssertionError, match="movement in 3 steps in float32: apart by"):
                CHECKS[name]("cpu")
        else:
            assert re.search(r" 3 steps(, resumed| in float32): apart by ", CHECKS[name]("cpu"))


def test_steps_that_are_resumed_without_their_optimizer_are_found(monkeypatch):
    monkeypatch.setattr(checks, "STEPS", 3)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **how: None)
    monkeypatch.setattr(torch.optim.SGD, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError, match="weights after 3 steps, resumed: apart by"):
        CHECKS["compiled_steps_resumed"]("cpu")


def second_call_differs(function, by=1.01):
    """As of a device that computes another number than the CPU before it."""
    calls = []

    def wrapped(*arguments, **options):
        calls.append(0)
        out = function(*arguments, **options)
        return out if len(calls) % 2 else out * by

    return wrapped


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("networks", "diffmemlib.nets.unet.UNet.forward"),
        ("losses_and_gradients", "diffmemlib.nets.unet.UNet.forward"),
        ("replayed_steps", "diffmemlib.nets.unet.UNet.forward"),
        ("frechet_distance", "diffmemlib.metrics.digit_features.DigitFeatures.forward"),
    ],
)
def test_a_device_that_computes_otherwise_fails(monkeypatch, name: str, target: str):
    module, kind, method = target.rsplit(".", 2)
    owner = getattr(importlib.import_module(module), kind)
    monkeypatch.setattr(checks, "STEPS", 5)
    monkeypatch.setattr(owner, method, second_call_differs(getattr(owner, method)))
    with pytest.raises(AssertionError, match="apart by"):
        CHECKS[name]("cpu")


def test_rounding_alone_fails_no_check(monkeypatch):
    """Adam would make whole steps of it where a gradient is nothing else."""
    forward = importlib.import_module("diffmemlib.nets.unet").UNet.forward
    monkeypatch.setattr(checks.UNet, "forward", second_call_differs(forward, by=1 + 2**-22))
    for name in ("replayed_steps", "one_process_of_several"):
        assert "apart by" in CHECKS[name]("cpu")


def test_a_divergence_that_differs_by_a_hundredth_fails(monkeypatch):
    values = iter([1.0, 1.01])
    monkeypatch.setattr(checks, "kl_score_gap", lambda *_, **__: SimpleNamespace(value=next(values)))
    with pytest.raises(AssertionError, match="score gaps: apart by"):
        CHECKS["divergence"]("cpu")


def test_a_difference_that_is_no_number_fails():
    with pytest.raises(AssertionError):
        checks.within("x", float("nan"), 1.0)
    assert checks.within("x", 0.5, 1.0) == "x: apart by 5.0e-01, at most 1"
    assert checks.apart(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.25


def test_all_are_made_in_turn_and_what_fails_is_told(monkeypatch):
    def broken(device: str) -> str:
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    monkeypatch.setattr(checks, "CHECKS", {"good": lambda device: f"on {device}", "broken": broken, "last": str})
    saved = []
    found = check_all("cpu", 100, lambda found: saved.append(json.dumps(found)))
    assert [c["outcome"] for c in found.values()] == ["passed", "failed", "not reached"], "after it all would fail"
    assert found["broken"]["said"] == "RuntimeError: CUDA error: an illegal memory access"
    outcomes = [[c["outcome"] for c in json.loads(each).values()] for each in saved]
    assert [row[:2] for row in outcomes] == [
        ["begun", "not reached"], ["passed", "not reached"], ["passed", "begun"], ["passed", "failed"],
    ]  # fmt: skip
    found = check_all("cpu", -1, saved.append)
    assert {c["outcome"] for c in found.values()} == {"not reached"}
    assert list(check_all("cpu", 100, lambda found: None, ["last"])) == ["last"]
