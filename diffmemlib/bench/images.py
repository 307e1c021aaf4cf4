"""The image run's cost beside a plain loop in the same process, and the floor that the hardware sets."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
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
from ..metrics.memorization import two_nearest
from ..nets.unet import UNet
from ..randomness import seeded
from ..training.allocator import keep_freed_memory
from ..training.determinism import in_fixed_order
from ..training.fixed_batch import FixedBatch
from ..training.replay import WARM_UP
from ..training.timing import in_turns, timed
from .profile import profile_step
from .ways import OF_RUNS, WAYS, Way


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
    save: Callable[[dict[str, Any]], None] = lambda found: None,
) -> dict[str, Any]:  # fmt: skip
    """Return all timings of one device as a dict that JSON can hold; seconds unless the name says otherwise.

    plain: an eager float32 loop with a DataLoader, Adam and the reference network, its attention by the formula. ours:
    the training loop's own step, data on the device, channels last, fused optimiser and, on a CPU, `nets.cpu`; on CUDA
    in bfloat16, in each of WAYS, of which runs use that of OF_RUNS. Each is timed in turns with the plain one, and has
    a ratio to it. floor: the larger of FLOPs over the rate of a large matrix product, and of bytes over the bandwidth
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
    """
    keep_freed_memory()
    began, cuda = time.monotonic(), device.startswith("cuda")
    kind = "cuda" if cuda else "cpu"
    enough = (0.5 if cuda else 3.0) if enough is None else enough
    s = size or SIZES[kind]
    data = torch.randn(4 * s.batch, 1, s.side, s.side, generator=torch.Generator().manual_seed(0))
    plain, ways = _plain(s, data, device), WAYS[kind]
    flops, moved = work(s, data[: s.batch].to(device), device, bf16=cuda)
    rate, bandwidth = _rate(device, torch.bfloat16 if cuda else torch.float32, enough), _bandwidth(device, enough)
    floor = max(flops / rate, moved / bandwidth)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu", "threads": torch.get_num_threads(),
        "torch": torch.__version__, "size": asdict(s),
        "teraflops_a_step": flops / 1e12, "gigabytes_a_step": moved / 1e9,
        "matmul_teraflops_per_second": rate / 1e12, "copy_gigabytes_per_second": bandwidth / 1e9, "floor": floor,
        "ways": {}, "failed": {}, "not_reached": list(ways),
    }  # fmt: skip
    save(found)
    for name, way in ways.items():
        if time.monotonic() - began > seconds:
            break
        try:
            timings = _timings(way, s, data, plain, device, enough, of_runs=name == OF_RUNS[kind])
            found["ways"][name] = next(timings)
            for more in timings:
                save(found := found | more)
        except RuntimeError as error:  # of a compiler or a device: the other ways may do
            found["failed"][name] = str(error).splitlines()[0]
        found["not_reached"].remove(name)
        gc.collect()  # recordings and their memory refer to each other
        if cuda:
            torch.cuda.empty_cache()
        save(found)
    return found


def _timings(
    way: Way, s: Size, data: Tensor, plain: Callable[[int], object], device: str, enough: float, of_runs: bool
) -> Iterator[dict[str, Any]]:
    """Yield how long a way takes beside the plain one; then, of that of runs, what else is known, as it comes."""
    start = time.perf_counter()
    trainer = way.trainer(s.width, s.batch, data.to(device), device)
    step = in_fixed_order(trainer.step, device) if way.deterministic else trainer.step
    for tau in range(WARM_UP + 1):  # compiles, and records
        step(tau)
    prepared = time.perf_counter() - start
    theirs, ours = in_turns([plain, step], device, enough)
    yield {"step": ours, "ratio": theirs / ours, "prepared": prepared}
    if of_runs:
        yield {"plain_step": theirs, "our_step": ours, "ratio": theirs / ours}
        yield {"profile": profile_step(trainer, device)}
        yield _measuring(s, trainer.state.net, tuple(data.shape[1:]), device)


def _measuring(s: Size, net: nn.Module, shape: tuple[int, ...], device: str) -> dict[str, float]:
    """Seconds of what a milestone does: samples, and their neighbours."""
    size = min(s.samples, sample_batch_size(device))
    predict = net.eval() if device == "cpu" else FixedBatch(net, size, replayed=True)

    def draw(count: int, steps: int) -> Tensor:
        return sample(predict, count, shape, Schedule(), 0, steps=steps, batch_size=size, device=device)

    draw(size, WARM_UP + 1)  # records
    began = time.perf_counter()
    x = draw(s.samples, s.sampling_steps)
    sampling = time.perf_counter() - began
    train = torch.randn(s.train, *shape, device=device)
    began = time.perf_counter()
    two_nearest(x, train)
    return {"sampling": sampling, "neighbours": time.perf_counter() - began}


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
    lines += [f"  {name:22} failed: {reason}" for name, reason in f["failed"].items()]
    if f["not_reached"]:
        lines.append(f"  not reached in time: {', '.join(f['not_reached'])}")
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
