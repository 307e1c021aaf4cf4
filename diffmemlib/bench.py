"""Benchmarks: each prints its ratio to the direct way of doing the same, measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .memorization import two_nearest


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The shortest of several timings of one call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def neighbours(n: int, d: int, samples: int, repeats: int = 3) -> dict[str, float]:
    """Two nearest training points of every sample: `two_nearest` against norms over a 100 x n x d array.

    The direct way is timed on one block of 100 samples and scaled to all; both must find the same distances.
    """
    g = torch.Generator().manual_seed(0)
    train, x = torch.rand(n, d, generator=g), torch.rand(samples, d, generator=g)

    def direct() -> torch.Tensor:
        return (x[:100, None] - train[None]).norm(dim=2).topk(2, dim=1, largest=False).values

    fast = seconds(lambda: two_nearest(x, train), repeats)
    slow = seconds(direct, repeats) * samples / 100
    found = torch.from_numpy(two_nearest(x[:100], train).distance).float()
    torch.testing.assert_close(found, direct(), rtol=1e-4, atol=1e-4)
    return {"n": n, "d": d, "samples": samples, "seconds": fast, "direct": slow, "ratio": slow / fast}


def table() -> str:
    """All benchmarks as text."""
    lines = [f"two nearest training points, {torch.get_num_threads()} threads", ""]
    lines.append(f"{'n':>6} {'d':>5} {'samples':>8} {'ours (s)':>9} {'direct (s)':>11} {'ratio':>6}")
    for n, d, samples in ((1024, 256, 10_000), (1024, 1024, 10_000), (4096, 1024, 10_000)):
        r = neighbours(n, d, samples)
        lines.append(f"{n:6} {d:5} {samples:8} {r['seconds']:9.2f} {r['direct']:11.1f} {r['ratio']:6.0f}")
    return "\n".join(lines)
