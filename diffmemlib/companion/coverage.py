"""How often each interval in use holds the truth, by simulation of worlds in which it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import product
from math import log
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import optimize, stats
from tqdm import tqdm

from .._version import __version__
from ..data.gmm import GaussianMixture
from ..diffusion.losses import NOISES, loss_band, loss_interval
from ..metrics.frechet import frechet_interval
from ..metrics.memorization import wilson_interval
from ..metrics.neighbour_kl import kl_nearest_neighbour
from ..monitor.evidence import log_evidences
from ..randomness import derive_seed
from ..runs.store import Result
from ..timescales.crossings import Timescale, share_crossing
from ..timescales.power_laws import collapse_exponent, exponent, geometric_mean
from ..timescales.prediction import STEEPER, predict
from .estimators.scaling import F_MEM, LEVELS, sizes, tau_mem
from .sweeps.tables import sweep_results

SWEEPS = (
    "mixture-n", "mixture-adam", "mixture-flow", "conditional-sgd", "conditional", "images-n", "images-sgd",
    "images-full", "letters",
)  # fmt: skip
# Sizes of the runs of designs that people have: three sizes once, three and five with seeds, and unequal ones.
DESIGNS: dict[str, list[int]] = {
    "3 sizes, 1 run": [64, 128, 256], "3 sizes, 2 runs": [64, 128, 256] * 2,
    "5 sizes, 3 runs": [32, 64, 128, 256, 512] * 3,
    "2 sizes, 3 runs": [16, 32] * 3, "4 sizes, 2 runs": [16, 32, 64, 128] * 2,
    "3, 1 and 1 runs": [64, 64, 64, 128, 256], "3, 3 and 1 runs": [64, 64, 64, 128, 128, 128, 512],
}  # fmt: skip
LAWS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "12 n": lambda n: 12 * n, "n^1.3": lambda n: n**1.3, "100 n^0.44": lambda n: 100 * n**0.44,
    "900 + 12 n": lambda n: 900 + 12 * n,
}  # fmt: skip
STEEP: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {  # as of a network that fills up
    "900 + 5 n^1.5": lambda n: 900 + 5 * n**1.5, "900 + 0.7 n^2": lambda n: 900 + 0.7 * n**2,
}  # fmt: skip
OF_PROBE = ("2 sizes, 3 runs", "4 sizes, 2 runs")  # what minutes of a probe allow
REACHES = (4, 16, 32)  # times the largest n of a probe that all of the data are
OF_LAWS = "Fréchet distance, of the distributions"  # which its interval does not promise to hold
SCATTER = 0.1  # of log tau from run to run
Trial = Callable[[np.random.Generator], bool]
Curves = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def coverage(repetitions: int = 1000, progress: bool = True) -> dict[str, Any]:
    """Simulate every case, and return for each how often its interval held the truth.

    repetitions: of quick cases; slow ones are made less often. The sweeps are those stored, of the tier in use.
    """
    rows = []
    for group, world, share, trial in tqdm(list(cases()), disable=not progress):
        rng, count = np.random.default_rng(derive_seed(0, group, world)), max(10, round(repetitions * share))
        hits = sum(trial(rng) for _ in range(count))
        rows.append({"estimator": group, "world": world, "held": hits, "trials": count})
    for samples in (200, 1000):
        for p in (0.002, 0.005, 0.01, 0.02, 0.1, 0.5):
            hits_of = np.arange(samples + 1)
            low, high = wilson_interval(hits_of / samples, samples)
            held = stats.binom.pmf(hits_of, samples, p)[(low <= p) & (p <= high)].sum()
            rows.append({"estimator": "share of copies", "world": f"{p:g}, {samples} samples", "exact": float(held)})
    return {"rows": rows, "repetitions": repetitions, "version": __version__}


def cases() -> Iterator[tuple[str, str, float, Trial]]:
    """Estimator, world, share of the repetitions, and one trial: whether its interval held."""
    for sweep in SWEEPS:
        world = World(sweep_results(sweep))
        yield "exponent of a sweep", sweep, 1.0, world.exponent
        yield "collapse of a sweep", sweep, 0.5, world.collapse
    shared = World(sweep_results("mixture-n"), of_seed=0.5)
    yield "exponent of a sweep", "mixture-n, half of the scatter the seed's", 1.0, shared.exponent
    for name, n in DESIGNS.items():
        if name in OF_PROBE:
            continue
        yield "exponent of times", name, 1.0, partial(_exponent, np.array(n, float), 0.0)
        yield "exponent of times", f"{name}, some ended before", 1.0, partial(_exponent, np.array(n, float), 0.3)
    for count in (2, 3, 6):
        yield "geometric mean", f"{count} runs", 1.0, partial(_mean, count, 0.0)
    yield "geometric mean", "6 runs, some ended before", 1.0, partial(_mean, 6, 0.3)
    for law in LAWS:
        for name, times in (("3 sizes, 2 runs", 2), ("3 sizes, 2 runs", 4), ("3 sizes, 2 runs", 10),
                            ("5 sizes, 3 runs", 4)):  # fmt: skip
            yield "prediction", f"{law}, {name}, at {times} times n", 0.3, partial(_predict, law, DESIGNS[name], times)
    for law in (*LAWS, *STEEP):
        for name, times in product(OF_PROBE, REACHES):
            trial = partial(_predict, law, DESIGNS[name], times, powers=STEEPER)
            yield "prediction of a probe", f"{law}, {name}, at {times} times n", 0.1, trial
    for name in ("normal", "skewed"):
        yield "loss", f"{name} errors, {NOISES} noises", 2.0, partial(_loss, name)
    for d in (8, 16):
        for name in ("exact", "too wide", "shifted", "one mode"):
            yield "KL by nearest neighbours", f"{name}, d = {d}", 0.04, partial(_neighbours, d, name)
    for shift in (0.0, 0.1, 0.3):
        yield "Fréchet distance, of so many samples", f"shift {shift:g}", 0.3, partial(_frechet, shift, True)
    for shift in (0.0, 0.1, 0.3):
        yield OF_LAWS, f"shift {shift:g}", 0.3, partial(_frechet, shift, False)
    for p in (0.0, 0.005, 0.05):
        yield "monitor: no false alarm in 20 looks", f"{p:g} of held-out data", 0.1, partial(_monitor, p)


class World:
    """A sweep as if its law were known: its sizes, milestones, samples, the shape of its rise, and its scatter.

    runs: the stored ones. of_seed: the part of the variance of log tau that all runs of a seed share.
    """

    def __init__(self, runs: Sequence[Result], of_seed: float = 0.0) -> None:
        self.n, self.samples = np.array(sizes(runs), float), int(runs[0].config["samples"])
        curves, times = [r.curve("f_mem")["value"] for r in runs], tau_mem(runs)
        fitted = exponent(self.n, times)
        self.a, self.constant = fitted.value, log(fitted.prefactor)
        self.tau = [c.index.to_numpy(float) for c in curves]
        measured = _scatter(self.n, times)
        self.seed, self.of_seed = np.array([r.config["seed"] for r in runs]), of_seed
        # The shape of the rise, against log(tau/tau_mem): monotone, and smooth on the scale of the milestones.
        place = np.concatenate([np.log(tau / t.tau) for tau, t in zip(self.tau, times, strict=True)])
        order = np.argsort(place)
        rise = optimize.isotonic_regression(np.concatenate(curves)[order]).x
        self.grid = np.linspace(place.min(), place.max(), 400)
        window = np.hanning(31)
        padded = np.pad(np.interp(self.grid, place[order], rise), 15, mode="edge")
        self.shape = np.convolve(padded, window / window.sum(), "valid")
        self.crossing = float(np.interp(F_MEM, self.shape, self.grid))
        # What counting and milestones add to the scatter of measured times is drawn again: take it out of it first.
        self.scatter, rng = 0.0, np.random.default_rng(0)
        added = float(np.mean([_scatter(self.n, self.times(self.draw(rng))) ** 2 for _ in range(200)]))
        self.scatter = max(measured**2 - added, 0.0) ** 0.5

    def draw(self, rng: np.random.Generator) -> Curves:
        """Return curves of a sweep in this world: (tau, share of copies) of each run."""
        own, of_seeds = rng.standard_normal(len(self.n)), rng.standard_normal(int(self.seed.max()) + 1)
        error = self.scatter * ((1 - self.of_seed) ** 0.5 * own + self.of_seed**0.5 * of_seeds[self.seed])
        log_tau = self.constant + self.a * np.log(self.n) + error
        curves = []
        for tau, at in zip(self.tau, log_tau, strict=True):
            p = np.interp(np.log(tau) - at + self.crossing, self.grid, self.shape).clip(0, 1)
            curves.append((tau, rng.binomial(self.samples, p) / self.samples))
        return curves

    def times(self, curves: Curves) -> list[Timescale]:
        """Return tau_mem of curves, by what the book uses."""
        return [share_crossing(tau, share, self.samples, F_MEM) for tau, share in curves]

    def exponent(self, rng: np.random.Generator) -> bool:
        """Whether the interval of the exponent of tau_mem holds the true one."""
        fitted = exponent(self.n, self.times(self.draw(rng)))
        return fitted.low <= self.a <= fitted.high

    def collapse(self, rng: np.random.Generator) -> bool:
        """Whether that of the collapse does."""
        fitted = collapse_exponent(self.n, self.draw(rng), LEVELS, self.samples)
        return fitted.low <= self.a <= fitted.high


def _scatter(n: NDArray[np.float64], times: Sequence[Timescale]) -> float:
    """Standard deviation of the log of the times around their power law in n; bounds count as times."""
    x, y = np.log(n), np.log([t.tau for t in times])
    return float(np.std(y - np.polyval(np.polyfit(x, y, 1), x), ddof=0) * (len(y) / (len(y) - 2)) ** 0.5)


def _times(log_tau: NDArray[np.float64], ended: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Times with their scatter, of which about a share ended before, at times of their own."""
    y = log_tau + SCATTER * rng.standard_normal(len(log_tau))
    end = log_tau - SCATTER * stats.norm.ppf(ended) if ended else np.full(len(y), np.inf)
    late = y > end
    return np.exp(np.where(late, end, y)), late.astype(int)


def _exponent(n: NDArray[np.float64], ended: float, rng: np.random.Generator) -> bool:
    tau, late = _times(np.log(100 * n), ended, rng)
    try:
        fitted = exponent(n, tau, late)
    except ValueError:  # too few are known, and nothing is said
        return _exponent(n, ended, rng)
    return fitted.low <= 1 <= fitted.high


def _mean(count: int, ended: float, rng: np.random.Generator) -> bool:
    tau, late = _times(np.full(count, log(100)), ended, rng)
    try:
        _, low, high = geometric_mean(tau, late)
    except ValueError:
        return _mean(count, ended, rng)
    return low <= 100 <= high


def _predict(
    law: str, n: Iterable[int], times: int, rng: np.random.Generator, powers: Sequence[float] = (1.0,)
) -> bool:
    x, of_n = np.array(list(n), float), (LAWS | STEEP)[law]
    at = times * x.max()
    truth = float(_times(np.log(of_n(np.array([at]))), 0.0, rng)[0][0])
    _, low, high = predict(x, _times(np.log(of_n(x)), 0.0, rng)[0], at, powers=powers)
    return low <= truth <= high


def _loss(errors: str, rng: np.random.Generator) -> bool:
    drawn = rng.standard_normal(NOISES) if errors == "normal" else rng.gamma(8.0, 1.0, NOISES) - 8
    low, high = loss_band(*loss_interval((10 + drawn).tolist()))
    return bool(low <= 10 <= high)


def _neighbours(d: int, kind: str, rng: np.random.Generator) -> bool:
    law, seed = GaussianMixture(d, 1.0), int(rng.integers(2**31))
    x, many = law.sample(1000, seed).double(), law.sample(200_000, 0).double()

    def changed(x: torch.Tensor) -> torch.Tensor:
        moved = {"exact": x, "too wide": 1.2 * x, "shifted": x + 0.3}
        return moved[kind] if kind in moved else torch.where(x.sum(1, keepdim=True) > 0, x, -x)

    def density(y: torch.Tensor) -> torch.Tensor:
        if kind == "too wide":
            return law.log_prob(y / 1.2) - d * log(1.2)
        if kind == "one mode":
            return log(2) + law.log_prob(y)
        return law.log_prob(y - 0.3 if kind == "shifted" else y)

    y = changed(many)
    truth = float((density(y) - law.log_prob(y)).mean())
    found = kl_nearest_neighbour(changed(x), law)
    return found.low <= truth <= found.high


def _frechet(shift: float, of_so_many: bool, rng: np.random.Generator, d: int = 8, m: int = 200) -> bool:
    truth = _frechet_mean(shift, d, m) if of_so_many else d * shift**2
    _, low, high = _frechet_drawn(shift, d, m, rng)
    return low <= truth <= high


def _frechet_drawn(shift: float, d: int, m: int, rng: np.random.Generator) -> tuple[float, float, float]:
    return frechet_interval(rng.standard_normal((m, d)) + shift, rng.standard_normal((2 * m, d)))


@cache
def _frechet_mean(shift: float, d: int, m: int) -> float:
    """The mean distance of so many samples."""
    rng = np.random.default_rng(0)
    return float(np.mean([_frechet_drawn(shift, d, m, rng)[0] for _ in range(400)]))


def _monitor(p: float, rng: np.random.Generator) -> bool:
    held_out, copies = rng.binomial(1000, p), rng.binomial(512, p, size=20)
    return bool((log_evidences(copies, [512] * 20, held_out, 1000) < log(20)).all())


def table(found: dict[str, Any]) -> pd.DataFrame:
    """The outcome with 95% intervals of its own: estimator, world, held, low, high, trials (0: computed exactly)."""
    rows = []
    for row in found["rows"]:
        if "exact" in row:
            rows.append((row["estimator"], row["world"], row["exact"], row["exact"], row["exact"], 0))
            continue
        share = row["held"] / row["trials"]
        low, high = (float(v) for v in wilson_interval(share, row["trials"]))
        rows.append((row["estimator"], row["world"], share, low, high, row["trials"]))
    return pd.DataFrame(rows, columns=["estimator", "world", "held", "low", "high", "trials"])


def coverage_report(found: dict[str, Any]) -> str:
    """The outcome as lines of text."""
    return table(found).to_string(index=False)
