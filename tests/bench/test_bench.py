"""The benchmarks measure what they say: counts by hand, and the same loss from both loops; no time is asserted."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend
from typer.testing import CliRunner

from diffmemlib.__main__ import app
from diffmemlib.bench import images, library, sharing, theory
from diffmemlib.bench.images import Size, measure, report, work
from diffmemlib.bench.profile import profile_step
from diffmemlib.bench.ways import WAYS, Way
from diffmemlib.diffusion.schedule import Schedule, forward_noise
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import seeded
from diffmemlib.rfnn.model import BranchError

TIMES = {"alone": 3.0, "stacked": 2.0, "compiled": 1.0}
TINY = Size(width=8, side=8, batch=4, samples=3, sampling_steps=2, train=10)


def test_everything_is_measured_and_can_be_stored():
    saved = []
    found = measure("cpu", TINY, enough=0.01, save=lambda found: saved.append(json.dumps(found)))
    assert json.loads(json.dumps(found)) == found == json.loads(saved[-1])
    way = found["ways"]["eager"]
    assert found["our_step"] == way["step"] and found["ratio"] == way["ratio"] == found["plain_step"] / way["step"]
    assert all(found[name] > 0 for name in ("floor", "sampling", "neighbours", "copy_gigabytes_per_second"))
    text = report(found)
    assert "W = 8, 8 x 8, batch 4" in text
    assert "3 samples by DDIM in 2 steps" in text
    assert found["profile"]["kernels"][0]["name"] in text


def test_a_second_call_adds_to_what_the_first_found():
    first = measure("cpu", TINY, enough=0.01, names=[])
    assert (first["ways"], first["not_reached"]) == ({}, ["eager"]) and "our_step" not in first
    floor = first["floor"]
    second = measure("cpu", TINY, enough=0.01, found=first)
    assert second["not_reached"] == [] and second["floor"] == floor and second["our_step"] > 0


def test_a_look_that_fails_costs_no_other(monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(images, "profile_step", broken)
    found = measure("cpu", TINY, enough=0.01)
    assert found["failed"] == {"profile": "RuntimeError: "} and found["sampling"] > 0
    assert "profile                failed: RuntimeError: " in report(found)


def test_samples_are_timed_in_three_precisions():
    found = images._precisions(TINY, UNet(8).eval(), (1, 8, 8), "cpu")
    assert list(found) == ["float32", "TF32", "bfloat16"] and min(found.values()) > 0


def test_what_runs_use_is_compiled_ahead_small_batches_first(monkeypatch):
    compiled = []
    trainer = Way.trainer

    def seen(way, width, batch, data, device):
        compiled.append(batch)
        return trainer(way, width, batch, data, device)

    monkeypatch.setattr(Way, "trainer", seen)
    images.compile_ahead("cpu", TINY)
    assert compiled == [64, 4]


def test_a_timing_that_fails_is_told_and_the_next_is_made(tmp_path, monkeypatch):
    calls = []

    def together(n, *_):
        calls.append(n)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(images, "measure", functools.partial(measure, size=TINY, enough=0.01))
    monkeypatch.setattr(library, "together", together)
    monkeypatch.setattr(library, "table", lambda: "the rest")
    ended = CliRunner().invoke(app, ["bench", "--out", str(tmp_path / "bench.json")])
    assert ended.exit_code == 0 and calls == [n for n, *_ in library.TOGETHER["cpu"]]
    assert "failed: 8 mixture nets, n = 64 (RuntimeError: out of memory)" in ended.output
    assert len(json.loads((tmp_path / "bench.json").read_text())["failed"]) == len(calls)


def test_no_way_is_begun_when_the_time_is_over():
    saved = []
    found = measure("cpu", TINY, enough=0.01, seconds=0, save=lambda found: saved.append(json.dumps(found)))
    assert (found["ways"], found["not_reached"]) == ({}, ["eager"])
    assert json.loads(saved[0]) == found and "floor" in found
    assert "not reached in time: eager" in report(found)


def test_processes_that_share_a_device_are_counted_together():
    found = sharing.sharing("cpu", seconds=0.2, counts=(1, 2), n=2)
    assert set(found["steps_per_second"]) == {"1", "2"} and all(rate > 0 for rate in found["steps_per_second"].values())
    assert found["gain"] == found["steps_per_second"][str(found["best"])] / found["steps_per_second"]["1"] >= 1
    assert sharing.sharing_report(found).startswith("steps a second at n = 2, of all processes together: ")
    with pytest.raises(RuntimeError, match="a process that shares the device died"):
        sharing.sharing("no-such-device", counts=(1,))


def test_a_profile_tells_what_takes_the_time():
    found = profile_step(Way().trainer(8, 4, torch.randn(8, 1, 8, 8), "cpu"), "cpu")
    shares = [k["share"] for k in found["kernels"]]
    assert len(shares) == 10 and shares == sorted(shares, reverse=True) and 0.3 < sum(shares) <= 1
    calls = {k["name"]: k["calls"] for k in found["kernels"]}
    assert calls["aten::convolution_backward"] == sum(isinstance(m, torch.nn.Conv2d) for m in UNet(8).modules())
    assert found["busy"] > 0


def test_our_step_has_the_loss_of_the_plain_one():
    data = torch.randn(TINY.batch, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    learner = Way().trainer(TINY.width, TINY.batch, data, "cpu")
    learner.state.net.eval()  # no dropout
    schedule, plain = Schedule(), seeded(0, lambda: UNet(8)).eval()
    learner.state.prepare_step(0, TINY.batch)
    k, eps = learner.loss.draw_noise(data, learner.state.noise, None)
    expected = F.mse_loss(plain(forward_noise(data, k, eps, schedule), k), eps)
    torch.testing.assert_close(learner.step(0), expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", WAYS["cuda"])
def test_every_way_makes_the_same_steps_up_to_rounding(name: str, bf16: bool):
    """Not compiled here: what torch.compile makes of a way is torch's. Five steps without dropout.

    Of the kernels of attention that a way may ask for alone, a CPU has one.
    """
    data = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    way = dataclasses.replace(WAYS["cuda"][name], mode="", bf16=bf16)
    if way.kernel is not None:
        way = dataclasses.replace(way, kernel=SDPBackend.FLASH_ATTENTION)
    ours, reference = (each.trainer(8, 4, data, "cpu") for each in (way, Way()))
    for net in (ours.state.net, reference.state.net, getattr(ours, "half", ours.state.net)):
        net.eval()
    losses = [[float(trainer.step(tau)) for tau in range(5)] for trainer in (ours, reference)]
    exact = not (bf16 or way.half_weights)
    np.testing.assert_allclose(*losses, rtol=1e-4 if exact else 2e-2)
    gradients = [torch.cat([p.grad.flatten() for p in t.state.net.parameters()]) for t in (ours, reference)]
    assert F.cosine_similarity(*gradients, dim=0) > (0.9999 if exact else 0.99)
    assert all(p.dtype == torch.float32 for p in ours.state.net.parameters())


def test_nets_together_are_timed_in_all_ways(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    found = [library.together(n, models=2, steps=2, repeats=1) for n in (8, 16)]
    assert [(r["n"], r["models"]) for r in found] == [(8, 2), (16, 2)]
    assert all(r[way] > 0 for r in found for way in ("alone", "stacked", "compiled"))
    text = library.together_table([found[0] | {"alone": 6.0, "stacked": 3.0, "compiled": 2.0}], "here")
    assert text.startswith("a step of mixture nets together, here")
    assert text.splitlines()[-1].split() == ["8", "2", "6.00", "3.00", "2.00", "2.00", "3.00"]


def test_networks_in_turn_may_be_some_of_them(monkeypatch):
    """By a clock on which everything takes a second, four networks take four times what one takes."""
    clock = itertools.count()
    monkeypatch.setattr(library.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    one, every = (library.together(8, models=4, steps=1, repeats=1, in_turn=k) for k in (1, None))
    assert one["alone"] == 4 * every["alone"]


def test_the_command_prints_all_of_it_and_writes_json(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "measure", functools.partial(measure, size=TINY, enough=0.01))
    monkeypatch.setattr(library, "together", lambda n, models, *_: {"n": n, "models": models} | TIMES)
    monkeypatch.setattr(library, "table", lambda: "the rest")
    ended = CliRunner().invoke(app, ["bench", "--out", str(tmp_path / "bench.json")])
    assert ended.exit_code == 0, ended.output
    assert all(words in ended.output for words in ("W = 8, 8 x 8", "a step of mixture nets", "the rest"))
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["image"]["size"]["side"] == 8
    assert [r["n"] for r in written["together"]] == [64, 256, 1024]
    ended = CliRunner().invoke(app, ["bench", "--seconds", "0", "--out", str(tmp_path / "bench.json")])
    assert ended.output.count("not reached in time: 8 mixture nets") == 3
    refused = CliRunner().invoke(app, ["bench", "--device", "gpu"])
    assert (refused.exit_code, refused.output.count("Error: device = 'gpu'")) == (1, 1)


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


def test_the_theory_is_tried_over_ordinary_ratios_and_times(monkeypatch):
    found = theory.theory_grid(8, progress=False)
    assert found["points"] == 8
    assert found["refused"] == []
    assert found["masses"] < 1e-8
    assert found["losses"] < 1e-8
    assert "8 points" in theory.theory_report(found)
    assert "0 refusals" in theory.theory_report(found)

    def refuses(**case):
        raise BranchError("not today")

    monkeypatch.setattr(theory, "spectrum", refuses)
    assert "spectrum at {'psi_p'" in theory.theory_report(theory.theory_grid(1, progress=False))


def test_simulations_are_named_and_write_what_they_found(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["simulate", "weather"])
    assert done.exit_code == 1 and "'weather' is no simulation: choose theory, ridge, copying, coverage" in done.output
    done = CliRunner().invoke(app, ["simulate", "theory", "--count", "1", "--out", str(tmp_path / "theory.json")])
    assert done.exit_code == 0 and "wrote theory.json" in done.output, done.output
    assert json.loads((tmp_path / "theory.json").read_text())["points"] == 1
    asked: list[int] = []
    monkeypatch.setattr(
        "diffmemlib.bench.copying.copying_grid", lambda count: asked.append(count) or {"alarms": {"fresh": {}}}
    )
    done = CliRunner().invoke(app, ["simulate", "copying", "--out", str(tmp_path / "copying.json")])
    assert done.exit_code == 0 and asked == [60], "as often as the book has it, unless told"


def test_a_device_that_cannot_be_is_told_before_anything_is_timed(tmp_path):
    done = CliRunner().invoke(app, ["bench", "--device", "tpu", "--out", str(tmp_path / "x.json")])
    assert done.exit_code == 1 and done.output.startswith("Error: ") and "tpu" in done.output
