"""Benchmarks: each prints its ratio to the direct way of doing the same, measured in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import root

from ..data.gmm import GaussianMixture
from ..diffusion.losses import DenoisingLoss
from ..diffusion.schedule import Schedule
from ..metrics.memorization import two_nearest
from ..nets.mlp import ResidualMLP
from ..randomness import generator, seeded
from ..rfnn.gradient_flow import GradientFlow
from ..rfnn.learning_curves import learning_curves
from ..rfnn.model import START, Model
from ..rfnn.spectrum import spectral_density
from ..training.allocator import keep_freed_memory
from ..training.ensemble import EnsembleTrainer
from ..training.loop import Learner, OptimizerSettings, Trainer, TrainState, make_optimizer

SGD = OptimizerSettings("sgd", 6e-3, 0.95)
# What is trained together: points and networks of each, steps and repeats of a timing, networks trained in turn.
TOGETHER = {
    "cpu": [(n, 8, 100, 7, 8) for n in (64, 256, 1024)],
    "cuda": [(64, 32, 20, 3, 2), (1024, 32, 20, 3, 2), (64, 64, 20, 3, 2), (64, 128, 20, 3, 2)],
}


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
    distances = torch.from_numpy(two_nearest(x[:100], train).distance).float()
    torch.testing.assert_close(distances, direct(), rtol=1e-4, atol=1e-4)
    return {"n": n, "d": d, "samples": samples, "seconds": fast, "direct": slow, "ratio": slow / fast}


def density(points: int = 400, repeats: int = 3) -> tuple[str, float, float, float]:
    """Spectral density at psi_p = 64, psi_n = 8, t = 0.01, against scipy's root finder for each point on its own.

    The direct way continues every point from a large imaginary part in the same steps; it is timed on one point in
    twenty and scaled. Returns name, seconds, seconds of the direct way, and the largest difference of the densities.
    """
    case: dict[str, Any] = {"psi_p": 64.0, "psi_n": 8.0, "t": 0.01}
    model, lam = Model.of(**case), np.geomspace(0.05, 60, points)

    def direct(at: float) -> float:
        def equations(v: np.ndarray, z: complex) -> np.ndarray:
            at = [np.array(part) for part in v.view(complex)]
            return np.array(model.residual(np.array(z - model.origin), *at)[0]).view(float)

        height = START * max(1.0, model.top)
        q = -1 / (at + 1j * height)
        v = np.array([q, q, q]).view(float)
        while height > 1e-7 * at:
            v = root(equations, v, (at + 1j * height,), tol=1e-12).x
            height *= 0.6
        v = root(equations, v, (at + 1e-7j * at,), tol=1e-12).x
        return float(v[1] / np.pi)

    few = lam[::20]
    fast = seconds(lambda: spectral_density(lam, **case), repeats)
    began = time.perf_counter()
    densities = np.array([direct(at) for at in few])
    slow = (time.perf_counter() - began) * points / len(few)
    ours = spectral_density(few, **case)
    delta = (1 - (1 + model.psi_n) / model.psi_p) / (model.c.s2 - few * (1 + 1e-7j))
    off = float(np.abs(np.maximum(densities - delta.imag / np.pi, 0) - ours).max() / ours.max())
    return f"spectral density, {points} points", fast, slow, off


def dynamics(d: int = 20, tau: float = 2000.0) -> tuple[str, float, float, float]:
    """Losses up to tau by one eigendecomposition, against gradient descent with noise drawn afresh at every step.

    psi_p = 16, psi_n = 4, t = 0.1. Steps of a tenth of the largest stable one, ten noises a point: its test loss is
    then off by the difference that is returned, after name, seconds and seconds of descent.
    """
    rows = np.random.default_rng(0)
    W, X = rows.standard_normal((16 * d, d)), rows.standard_normal((4 * d, d))
    flow = GradientFlow(W, X, 0.1)
    exact = float(flow.losses(tau).test)
    fast = seconds(lambda: GradientFlow(W, X, 0.1).losses(np.geomspace(0.1, tau, 100)), 3)
    step = 0.1 * 2 / (2 * flow.delta * d / flow.p * flow.eigenvalues[-1])
    w, x0 = flow.W.float() / d**0.5, flow.X.float().repeat(10, 1)
    signal, noise = (1 - flow.delta) ** 0.5, flow.delta**0.5
    began = time.perf_counter()
    B = torch.zeros(d, flow.p)
    for k in range(round(tau / step)):
        xi = torch.randn(x0.shape, generator=generator(0, "bench", k))
        phi = torch.tanh((signal * x0 + noise * xi) @ w.T)
        B -= step * 2 * d / flow.p * noise * (noise * phi @ B.T + xi).T @ phi / len(x0)
    slow = time.perf_counter() - began
    return f"dynamics, d = {d}, to tau = {tau:g}", fast, slow, abs(flow.losses_of(B.double())[1] - exact)


def limit(d: int = 100, draws: int = 4) -> tuple[str, float, float, float]:
    """Learning curves in the limit, against the mean of exact dynamics over draws at finite d; psi_p = 8, psi_n = 3.

    Returns name, seconds, seconds of the draws, and the largest difference of the test losses, which falls as 1/d.
    """
    tau = np.geomspace(1, 1e5, 100)
    fast = seconds(lambda: learning_curves(tau, psi_p=8, psi_n=3, t=0.1), 3)
    rows = np.random.default_rng(0)
    began = time.perf_counter()
    curves = [
        GradientFlow(rows.standard_normal((8 * d, d)), rows.standard_normal((3 * d, d)), 0.1).losses(tau).test
        for _ in range(draws)
    ]
    slow = time.perf_counter() - began
    off = np.abs(np.mean(curves, 0) - learning_curves(tau, psi_p=8, psi_n=3, t=0.1).test).max()
    return f"learning curve, {draws} draws at d = {d}", fast, slow, float(off)


def together(
    n: int, models: int = 8, steps: int = 100, repeats: int = 7, device: str = "cpu", in_turn: int | None = None
) -> dict[str, float]:
    """Training steps of mixture nets (W = 128, full batch, SGD): stacked, and stacked and compiled, against in turn.

    All make the same steps, from the same start and with the same numbers. They take turns, and the medians
    are reported in milliseconds a step of all, so that a machine that is busy for a while slows all alike; compiling is
    not timed. On a GPU the steps of stacks are replayed as CUDA graphs. Freed memory is kept, for all, as in runs.

    Parameters
    ----------
    n
        Points of each.
    models
        How many networks.
    steps, repeats
        Of each way.
    device
        As torch calls it.
    in_turn
        How many are trained one after the other, the time of all being as many times that; all, unless given.
    """
    keep_freed_memory()
    truth, loss, few = GaussianMixture(), DenoisingLoss(Schedule()), min(models, in_turn or models)

    def states(count: int) -> list[TrainState]:
        return [
            TrainState(seeded(i, ResidualMLP).to(device), truth.sample(n, i).float().to(device), i)
            for i in range(count)
        ]

    def alone() -> list[Trainer]:
        return [Trainer(s, make_optimizer(s.net, *SGD), loss, n) for s in states(few)]

    def ensemble(compiled: bool) -> list[EnsembleTrainer]:
        replayed = device.startswith("cuda")
        return [EnsembleTrainer(states(models), [{}] * models, SGD, loss, n, 0, compiled, replayed)]

    ways: dict[str, Sequence[Learner]] = {"alone": alone(), "stacked": ensemble(False), "compiled": ensemble(True)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, learners in ways.items():
            began = time.perf_counter()
            for learner in learners:
                for tau in range(repeat * steps, (repeat + 1) * steps):
                    learner.step(tau)
            if device != "cpu":
                torch.cuda.synchronize(device)
            times[name].append(1e3 * (time.perf_counter() - began) / steps)
    medians = {name: median(values[1:]) for name, values in times.items()}  # the first of each warms up, or compiles
    return {"n": n, "models": models, **medians, "alone": medians["alone"] * models / few}


def together_table(timings: Sequence[dict[str, float]], where: str) -> str:
    """The results of `together` as text."""
    heads = ("n", "nets", "in turn (ms)", "stacked (ms)", "ratio", "compiled (ms)", "ratio")
    lines = [f"a step of mixture nets together, {where}", "", " ".join(f"{head:>13}" for head in heads)]
    for r in timings:
        alone, stacked, compiled = r["alone"], r["stacked"], r["compiled"]
        numbers = (
            f"{alone:.2f}",
            f"{stacked:.2f}",
            f"{alone / stacked:.2f}",
            f"{compiled:.2f}",
            f"{alone / compiled:.2f}",
        )
        lines.append(" ".join(f"{cell:>13}" for cell in (f"{r['n']:g}", f"{r['models']:g}", *numbers)))
    return "\n".join(lines)


def table() -> str:
    """Benchmarks that need no GPU as text: neighbours and random features."""
    lines = [f"two nearest training points, {torch.get_num_threads()} threads", ""]
    lines.append(f"{'n':>6} {'d':>5} {'samples':>8} {'ours (s)':>9} {'direct (s)':>11} {'ratio':>6}")
    for n, d, samples in ((1024, 256, 10_000), (1024, 1024, 10_000), (8192, 1024, 10_000)):
        r = neighbours(n, d, samples)
        lines.append(f"{n:6} {d:5} {samples:8} {r['seconds']:9.2f} {r['direct']:11.1f} {r['ratio']:6.0f}")
    lines += ["", "random features, against direct ways of doing the same", ""]
    lines.append(f"{'':36} {'ours (s)':>9} {'direct (s)':>11} {'ratio':>6} {'apart by':>9}")
    for name, fast, slow, off in (density(), dynamics(), limit()):
        lines.append(f"{name:36} {fast:9.2f} {slow:11.1f} {slow / fast:6.0f} {off:9.1e}")
    return "\n".join(lines)
