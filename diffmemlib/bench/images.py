"""The image run's cost beside a plain loop in the same process, and the floor that the hardware sets."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from ..diffusion.samplers import sample
from ..diffusion.schedule import Schedule, forward_noise
from ..experiments.unet import sample_batch_size
from ..files import first_line
from ..metrics.memorization import two_nearest
from ..nets.unet import UNet
from ..precision import tensor_float_32
from ..randomness import seeded
from ..training.allocator import keep_freed_memory
from ..training.determinism import in_fixed_order
from ..training.fixed_batch import FixedBatch
from ..training.loop import Trainer
from ..training.replay import WARM_UP
from ..training.timing import in_turns, timed
from .profile import profile_step
from .ways import OF_RUNS, WAYS, Way

FEW = 64  # images of a training whose batch is the training set


@dataclass(frozen=True)
class Size:
    """What is timed: the U-Net's width, side of images, batch, samples drawn, and a training set to search."""

    width: int
    side: int
    batch: int
    samples: int
    sampling_steps: int
    train: int


SIZES = {
    "cpu": Size(width=16, side=16, batch=64, samples=64, sampling_steps=20, train=4096),
    "cuda": Size(width=32, side=32, batch=512, samples=10_000, sampling_steps=100, train=32_768),  # the paper's
}


def measure(
    device: str = "cpu", size: Size | None = None, enough: float | None = None, seconds: float = inf,
    save: Callable[[dict[str, Any]], None] = lambda found: None, names: Collection[str] | None = None,
    found: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return all timings of one device as a dict that JSON can hold; seconds unless the name says otherwise.

    plain: an eager float32 loop with a DataLoader, Adam and the reference network, its attention by the formula. ours:
    the training loop's own step, data on the device, channels last, fused optimiser and, on a CPU, `nets.cpu`; on CUDA
    in bfloat16, in each of WAYS, of which runs use that of OF_RUNS. Each is timed in turns with the plain one, and has
    a ratio to it. That of runs is looked at in depth: a profile, and what measuring takes, of one batch of samples;
    ``not_looked`` names what of this was not reached.
    floor: the larger of FLOPs over the rate of a large matrix product, and of bytes over the bandwidth
    of a copy, timed here. Freed memory is kept, for all of them, as in runs.

    Parameters
    ----------
    device
        As torch calls it.
    size
        What is timed; that of SIZES unless given.
    enough
        Seconds of calls that a timing is taken from.
    seconds
        When so many have passed, no other way is begun: ``not_reached`` names those left.
    save
        Called with what is known, whenever more is: one way may take minutes to compile.
    names
        Of the ways that are timed; all unless given.
    found
        What an earlier call returned, to be added to.
    """
    keep_freed_memory()
    began, cuda = time.monotonic(), device.startswith("cuda")
    kind = "cuda" if cuda else "cpu"
    enough = (0.5 if cuda else 3.0) if enough is None else enough
    s = size or SIZES[kind]
    data = torch.randn(4 * s.batch, 1, s.side, s.side, generator=torch.Generator().manual_seed(0))
    plain, ways = _plain(s, data, device), WAYS[kind]
    if found is None:
        found = _hardware(s, data, device, enough) | {"ways": {}, "failed": {}, "not_reached": list(ways)}
        save(found)
    again = [OF_RUNS[kind]] if found.get("not_looked") else []  # its trainer is needed for what was not looked at
    for name in [name for name in (*again, *found["not_reached"]) if names is None or name in names]:
        if time.monotonic() - began > seconds:
            break
        try:
            found["ways"][name], trainer, theirs = _time(ways[name], s, data, plain, device, enough)
        except Exception as error:  # of a compiler or a device: the other ways may do
            found["failed"][name] = first_line(error)
        else:
            if name == OF_RUNS[kind]:
                ours = found["ways"][name]["step"]
                found |= {"plain_step": theirs, "our_step": ours, "ratio": theirs / ours}
                save(found)
                left = seconds - (time.monotonic() - began)
                _look_closely(found, s, trainer, tuple(data.shape[1:]), device, left, save)
            del trainer
        if name in found["not_reached"]:
            found["not_reached"].remove(name)
        save(found)
        gc.collect()  # recordings and their memory refer to each other
        if cuda:
            with suppress(RuntimeError):  # of a device that an error has left unusable
                torch.cuda.empty_cache()
    return found


def _hardware(s: Size, data: Tensor, device: str, enough: float) -> dict[str, Any]:
    """What the hardware is, and how fast it could be."""
    cuda = device.startswith("cuda")
    flops, moved = work(s, data[: s.batch].to(device), device, bf16=cuda)
    rate, bandwidth = _rate(device, torch.bfloat16 if cuda else torch.float32, enough), _bandwidth(device, enough)
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu", "threads": torch.get_num_threads(),
        "torch": torch.__version__, "size": asdict(s),
        "teraflops_a_step": flops / 1e12, "gigabytes_a_step": moved / 1e9,
        "matmul_teraflops_per_second": rate / 1e12, "copy_gigabytes_per_second": bandwidth / 1e9,
        "floor": max(flops / rate, moved / bandwidth),
    }  # fmt: skip


def _time(
    way: Way, s: Size, data: Tensor, plain: Callable[[int], object], device: str, enough: float
) -> tuple[dict[str, float], Trainer, float]:
    """How long a way takes beside the plain one, its trainer, and the plain one's seconds."""
    start = time.perf_counter()
    trainer = way.trainer(s.width, s.batch, data.to(device), device)
    made = in_fixed_order(trainer.step, device) if way.deterministic else trainer.step

    def step(tau: int) -> Tensor:
        with tensor_float_32() if way.tf32 else nullcontext():
            return made(tau)

    for tau in range(WARM_UP + 1):  # compiles, and records
        step(tau)
    prepared = time.perf_counter() - start
    theirs, ours = in_turns([plain, step], device, enough)
    return {"step": ours, "ratio": theirs / ours, "prepared": prepared}, trainer, theirs


def _look_closely(
    found: dict[str, Any], s: Size, trainer: Trainer, shape: tuple[int, ...], device: str, left: float,
    save: Callable[[dict[str, Any]], None],
) -> None:  # fmt: skip
    """Add what is measured of the way of runs beside its step, each on its own: one that fails costs no other."""
    end = time.monotonic() + left
    looks: dict[str, Callable[[], dict[str, Any]]] = {
        "profile": lambda: {"profile": profile_step(trainer, device)},
        "measuring": lambda: _measuring(s, trainer.state.net, shape, device),
    }
    if device.startswith("cuda"):
        looks["precisions"] = lambda: {"precisions": _precisions(s, trainer.state.net, shape, device)}
    left_before = found.get("not_looked", list(looks))
    found["not_looked"] = []
    for what in left_before:
        if time.monotonic() > end:
            found["not_looked"].append(what)
            continue
        try:
            found |= looks[what]()
        except Exception as error:  # whatever a profiler or a device raises
            found["failed"][what] = first_line(error)
        save(found)


def compile_ahead(device: str, s: Size) -> None:
    """Compile what runs of the paper's size use, for training in full and in small batches and for measuring.

    torch keeps it on disk, so that other processes of this machine need not.

    Parameters
    ----------
    device
        As torch calls it.
    s
        The size.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    way, size = WAYS[kind][OF_RUNS[kind]], sample_batch_size(device)
    for batch in (FEW, s.batch):  # pilots, which come first, have few images
        data = torch.randn(batch, 1, s.side, s.side, generator=torch.Generator().manual_seed(0)).to(device)
        trainer = way.trainer(s.width, batch, data, device)
        in_fixed_order(trainer.step, device)(0)
        if batch == FEW:
            FixedBatch(trainer.state.net.eval(), size)(data[:1], torch.ones(1, dtype=torch.long, device=device))


def _precisions(s: Size, net: nn.Module, shape: tuple[int, ...], device: str) -> dict[str, float]:
    """Seconds of one batch of samples with the network in float32, in TF32 and in bfloat16."""
    size = min(s.samples, sample_batch_size(device))

    class Half(nn.Module):
        def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
            with torch.autocast(device.split(":")[0], torch.bfloat16):
                predicted: Tensor = net(x, timestep)
            return predicted.float()

    found = {}
    for name, one, tf32 in (("float32", net, False), ("TF32", net, True), ("bfloat16", Half(), True)):
        predict = FixedBatch(one.eval(), size, replayed=True, tf32=tf32)
        for steps in (WARM_UP + 1, s.sampling_steps):  # the first records
            began = time.perf_counter()
            sample(predict, size, shape, Schedule(), 0, steps=steps, batch_size=size, device=device)
            found[name] = time.perf_counter() - began
    return found


def _measuring(s: Size, net: nn.Module, shape: tuple[int, ...], device: str) -> dict[str, float]:
    """Seconds of what a milestone does: samples, and their neighbours; of one batch, in proportion for all samples."""
    size = min(s.samples, sample_batch_size(device))
    predict = net.eval() if device == "cpu" else FixedBatch(net, size, replayed=True)

    def draw(count: int, steps: int) -> Tensor:
        return sample(predict, count, shape, Schedule(), 0, steps=steps, batch_size=size, device=device)

    draw(size, WARM_UP + 1)  # records
    began, batches = time.perf_counter(), s.samples / size
    x = draw(size, s.sampling_steps)
    sampling = time.perf_counter() - began
    train = torch.randn(s.train, *shape, device=device)
    began = time.perf_counter()
    two_nearest(x, train)
    return {"sampling": batches * sampling, "neighbours": batches * (time.perf_counter() - began)}


def report(timings: dict[str, Any]) -> str:
    """Return the timings of `measure` as text, whatever the time allowed of them."""
    s, f = timings["size"], timings
    lines = [f"U-Net, W = {s['width']}, {s['side']} x {s['side']}, batch {s['batch']}, on {f['device']}, "
             f"{f['threads']} threads"]  # fmt: skip
    if "our_step" in f:
        lines.append(
            f"  a training step as runs make it: {1e3 * f['our_step']:.1f} ms ({1 / f['our_step']:.1f} steps/s); "
            f"a plain loop takes {1e3 * f['plain_step']:.1f} ms, {f['ratio']:.2f} times that"
        )
    if "sampling" in f:
        lines.append(
            f"  {s['samples']} samples by DDIM in {s['sampling_steps']} steps: {f['sampling']:.1f} s; their neighbours "
            f"among {s['train']}: {f['neighbours']:.2f} s"
        )
    if "precisions" in f:
        each = ", ".join(f"{seconds:.2f} s in {name}" for name, seconds in f["precisions"].items())
        lines.append(f"  a batch of samples: {each}")
    over = f", {f['our_step'] / f['floor']:.1f} times below" if "our_step" in f else ""
    lines.append(
        f"  floor {1e3 * f['floor']:.1f} ms{over}: {f['teraflops_a_step']:.3g} TFLOP at "
        f"{f['matmul_teraflops_per_second']:.3g} TFLOP/s, {f['gigabytes_a_step']:.3g} GB at "
        f"{f['copy_gigabytes_per_second']:.3g} GB/s"
    )
    lines.append("ways to make the step")
    lines += [
        f"  {name:22} {1e3 * way['step']:8.1f} ms, {way['ratio']:5.2f} times faster than a plain loop; "
        f"{way['prepared']:.0f} s to begin with"
        for name, way in f["ways"].items()
    ]
    if len(f["ways"]) > 1 and "our_step" in f:
        fastest = min(f["ways"], key=lambda name: f["ways"][name]["step"])
        lines.append(f"  fastest: {fastest}, {f['our_step'] / f['ways'][fastest]['step']:.2f} times as fast as runs")
    lines += [f"  {name:22} failed: {reason}" for name, reason in f["failed"].items()]
    if missing := [*f["not_reached"], *f.get("not_looked", [])]:
        lines.append(f"  not reached in time: {', '.join(missing)}")
    if "profile" in f:
        lines.append(f"where its time goes (kernels {f['profile']['busy']:.0%} of it, launches and gaps the rest)")
        lines += [f"  {k['share']:6.1%} {k['calls']:5.0f} times a step: {k['name']}" for k in f["profile"]["kernels"]]
    return "\n".join(lines)


def _plain(s: Size, data: Tensor, device: str) -> Callable[[int], object]:
    schedule, net = Schedule(), seeded(0, lambda: UNet(s.width)).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def batches() -> Iterator[Tensor]:
        loader = DataLoader(TensorDataset(data), batch_size=s.batch, shuffle=True)
        for _ in itertools.count():
            for (x,) in loader:
                yield x.to(device)

    source = batches()

    def step(_: int) -> None:
        x0 = next(source)
        k = torch.randint(1, schedule.T, (len(x0),), device=device)
        eps = torch.randn_like(x0)
        with sdpa_kernel(SDPBackend.MATH):
            predicted = net(forward_noise(x0, k, eps, schedule), k)
        loss = F.mse_loss(predicted, eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def work(s: Size, x: Tensor, device: str, bf16: bool = False) -> tuple[float, float]:
    """FLOPs of a step, and the bytes it cannot avoid: what backward reads again, and weights with Adam's state."""
    net: nn.Module = UNet(s.width).to(device)
    kept = 0

    def count(t: Tensor) -> Tensor:
        nonlocal kept
        kept += t.numel() * t.element_size()
        return t

    k = torch.ones(len(x), dtype=torch.long, device=device)
    kept_count = torch.autograd.graph.saved_tensors_hooks(count, lambda t: t)
    half = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16)
    with FlopCounterMode(display=False) as counter, kept_count, half:
        net(x, k).float().square().mean().backward()
    weights = sum(p.numel() * p.element_size() for p in net.parameters())
    # What is kept is written and read; so are of each weight its value, its gradient and the two states of Adam.
    return float(counter.get_total_flops()), 2.0 * kept + 8.0 * weights


def _rate(device: str, dtype: torch.dtype, enough: float) -> float:
    m = 8192 if device.startswith("cuda") else 1024
    a = torch.randn(m, m, device=device).to(dtype)
    return 2 * m**3 / timed(lambda _: a @ a, device, enough / 3)


def _bandwidth(device: str, enough: float) -> float:
    a = torch.empty(2**28 if device.startswith("cuda") else 2**24, dtype=torch.float32, device=device)
    b = torch.zeros_like(a)
    return 2 * a.numel() * 4 / timed(lambda _: a.copy_(b), device, enough / 3)
