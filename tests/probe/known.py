"""Runs of a probe whose times are known."""

import numpy as np
import pandas as pd

from diffmemlib.probe.training import Run


def made(n: int, seed: int = 0, late: float = 1.0, end: float = 1e7, gen: float = 500.0, offset: float = 0.0) -> Run:
    """Good from `gen` on; f_mem passes 0.02 above its baseline of 0.01 at late * (offset + 30 n)."""
    tau = np.geomspace(10, 1e7, 241)
    tau = tau[tau <= end]
    curves = {
        "distance": 0.4 * gen / tau,
        "f_mem": np.clip(0.03 + 0.2 * np.log(tau / (late * (offset + 30 * n))), 0, 1),
    }
    rows = [(t, name, v, v, v) for name, values in curves.items() for t, v in zip(tau, values, strict=True)]
    table = pd.DataFrame(rows, columns=["step", "metric", "value", "low", "high"])
    return Run(
        n, seed, table, {}, baseline=0.01, level=0.03, copies_distance=0.2, gaussian_distance=0.15, seconds=10.0,
        steps_per_second=50.0, ended="copies", samples=10**6,
    )  # fmt: skip


def several(sizes=(32, 64, 128), **options) -> list[Run]:
    rng = np.random.default_rng(0)
    return [made(n, seed, late=float(np.exp(0.1 * rng.standard_normal())), **options) for n in sizes for seed in (0, 1)]
