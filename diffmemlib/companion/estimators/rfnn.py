"""Numbers of the random-features theory: in the limit of large dimension, and from stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from ...experiments.random_features import FlowConfig, problem
from ...rfnn.coefficients import Atoms
from ...rfnn.gradient_flow import GradientFlow
from ...rfnn.learning_curves import learning_curves
from ...rfnn.spectrum import spectrum
from ...runs.store import Result
from ...timescales.crossings import Timescale, first_crossing, times_and_bounds
from ...timescales.power_laws import exponent
from ..sweeps.tables import sweep_results
from . import Estimate

GAP = 0.3  # L_gen at tau_mem: where the losses have parted for good, at every psi_n of Fig. 5
LEARNED = 0.5  # share of the starting E_score that is left at tau_gen
TAU = np.geomspace(0.3, 1e6, 500)  # training times searched for the smallest score error


@lru_cache(maxsize=256)
def best_stop(psi_p: float, psi_n: float, t: float) -> tuple[float, float]:
    """Smallest E_score over training time, and the time where it is reached.

    On the grid TAU, refined by the parabola through the three lowest points in log tau. ValueError at its ends.
    """
    curve = learning_curves(TAU, psi_p=psi_p, psi_n=psi_n, t=t)
    tau, error = lowest(TAU, curve.score_error)
    if tau in (TAU[0], TAU[-1]):
        raise ValueError(f"psi_p = {psi_p}, psi_n = {psi_n}, t = {t}: the smallest E_score lies at an end of TAU")
    return error, tau


def lowest(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return place and value of the lowest point of a curve over a geometric grid.

    Refined by the parabola through the three lowest points in log x; an end of the grid where the curve falls to it.
    """
    i = int(y.argmin())
    if i in (0, len(y) - 1):
        return float(x[i]), float(y[i])
    a, b, _ = np.polyfit([-1, 0, 1], y[i - 1 : i + 2], 2)
    shift = -b / (2 * a) if a > 0 else 0.0
    return float(x[i] * (x[1] / x[0]) ** shift), float(y[i] - a * shift**2)


def best_stops(psi_p: Sequence[float], psi_n: Sequence[float], t: float) -> pd.DataFrame:
    """`best_stop` on a grid: psi_p, psi_n, score_error, tau, and the local exponent -d log E_score / d log psi_n.

    The exponent of a row is that between its psi_n and the next; the last row of each psi_p has none.
    """
    rows = [(p, n, *best_stop(p, n, t)) for p in psi_p for n in psi_n]
    table = pd.DataFrame(rows, columns=["psi_p", "psi_n", "score_error", "tau"])
    steps = np.log(table[["psi_n", "score_error"]]).groupby(table["psi_p"]).diff(-1)
    return table.assign(exponent=-steps["score_error"] / steps["psi_n"])


def eta(
    psi_n: Sequence[float] = (4, 8, 16, 32), psi_p: float = 64, t: float = 0.1, from_psi_n: float | None = None
) -> Estimate:
    """Exponent of the smallest E_score in psi_n, as of `exact_exponent`."""
    table = best_stops((psi_p,), psi_n, t)
    return exact_exponent(table["psi_n"], 1 / table["score_error"], from_psi_n)


def exact_exponent(
    x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series, start: float | None = None
) -> Estimate:
    """Least-squares exponent of y in x, both positive and without error; of a power, it is that between any two x.

    start: one of x, for the local exponent between it and the next.
    """
    log_x, log_y = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    if start is not None:
        i = np.asarray(x, float).tolist().index(start)
        log_x, log_y = log_x[i : i + 2], log_y[i : i + 2]
    return _exact(np.polyfit(log_x, log_y, 1)[0])


def atoms_of(c: dict[str, Any]) -> Atoms:
    """Covariance atoms of a stored run, from its settings."""
    return ((c["low"], 1.0),) if c["low"] == c["high"] else ((c["low"], 0.5), (c["high"], 0.5))


def sample_eigenvalues(d: int, seed: int, psi_p: float, psi_n: float, t: float) -> np.ndarray:
    """Eigenvalues of U of one draw of true tanh features and data."""
    W, X, variances = problem(FlowConfig("smoke", seed, d, psi_p, psi_n, t, 1.0, 1.0))
    U, _ = GradientFlow(W, X, t, variances).UV
    return np.linalg.eigvalsh(U.numpy())


def loss_gap(r: Result) -> pd.Series:
    """L_gen = L_test - L_train of a stored run, indexed by its steps (or tau)."""
    return r.curve("test")["value"] - r.curve("train")["value"]


def gap_times(psi_p: Sequence[float], psi_n: Sequence[float], t: float, levels: Sequence[float]) -> pd.DataFrame:
    """First tau at which L_gen reaches each level, in the limit, and its local exponent up to the next psi_n.

    Columns psi_p, level, psi_n, tau (NaN where L_gen stays below), exponent.
    """
    tau, rows = np.geomspace(0.3, 1e8, 500), []
    for p in psi_p:
        for n in psi_n:
            c = learning_curves(tau, psi_p=p, psi_n=n, t=t)
            for level in levels:
                crossing = first_crossing(tau, c.test - c.train, level)
                rows.append((p, level, n, crossing.tau if crossing.status == "interpolated" else np.nan))
    table = pd.DataFrame(rows, columns=["psi_p", "level", "psi_n", "tau"]).sort_values(["psi_p", "level", "psi_n"])
    steps = np.log(table[["psi_n", "tau"]]).groupby([table["psi_p"], table["level"]]).diff(-1)
    return table.assign(exponent=steps["tau"] / steps["psi_n"])


def _crossing(curve: pd.Series, level: float, rising: bool = True) -> Timescale:
    return first_crossing(curve.index.to_numpy(float), curve.to_numpy(), level, rising)


def tau_mem_simulated(gap: float = GAP) -> Estimate:
    """Exponent in psi_n of the time at which L_gen reaches a level, from the stored flows of Fig. 5."""
    runs = sweep_results("rfnn-n")
    times = [_crossing(loss_gap(r), gap) for r in runs]
    fit = exponent([r.config["psi_n"] for r in runs], *times_and_bounds(times))
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def tau_mem_limit(from_psi_n: float | None = None) -> Estimate:
    """The same in the limit for 1 << psi_n << psi_p, psi_n = 64 to 512, as of `exact_exponent`."""
    table = gap_times((65536.0,), (64.0, 128.0, 256.0, 512.0), 0.1, (GAP,))
    return exact_exponent(table["psi_n"], table["tau"], from_psi_n)


def tau_gen_in(key: str, of: Any, left: float = LEARNED) -> Estimate:
    """Exponent of the time at which a share of E_score is left (half of it), against a function of one setting.

    Over stored flows.
    """
    runs = sweep_results("rfnn-times")
    times = []
    for r in runs:
        curve = r.curve("score_error")["value"]
        delta = -np.expm1(-2 * r.config["t"])
        scaled = curve if key == "t" else curve.set_axis(curve.index * delta)  # so that t is no cause of a difference
        times.append(_crossing(scaled, left * curve.iloc[0], rising=False))
    fit = exponent([of(r.config[key]) for r in runs], *times_and_bounds(times))
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def tau_gen_delta(left: float = LEARNED) -> Estimate:
    """Exponent in Delta_t of the time at which E_score has halved."""
    return tau_gen_in("t", lambda t: -np.expm1(-2 * t), left)


def tau_gen_n(left: float = LEARNED) -> Estimate:
    """Exponent in psi_n of the same time."""
    return tau_gen_in("psi_n", float, left)


def second_bulk_low() -> Estimate:
    """Lower edge of rho_2 in the limit, at the paper's psi_p = 64, psi_n = 8, t = 0.01."""
    return _exact(spectrum(psi_p=64, psi_n=8, t=0.01).rho_2.low)


def second_bulk_high() -> Estimate:
    """Its upper edge."""
    return _exact(spectrum(psi_p=64, psi_n=8, t=0.01).rho_2.high)


def _exact(value: float) -> Estimate:
    return Estimate(float(value), float(value), float(value), (), "number")


def first_bulk_shift() -> Estimate:
    """Largest difference of the distribution functions within rho_1 between Sigma = I and the atoms 0.5 and 1.5.

    Eigenvalues of true features, those of neither the delta nor rho_2; the mass psi_n/psi_p of rho_1 counts as one.
    """
    runs = sweep_results("rfnn-spectrum")
    parts = []
    for r in runs:
        c = r.config
        d, n = c["d"], round(c["psi_n"] * c["d"])
        parts.append(r.samples["eigenvalues"][-n:-d])  # n - d of them: the mass (psi_n - 1)/psi_p
    grid = np.sort(np.concatenate(parts))
    a, b = (np.searchsorted(part, grid, side="right") / len(part) for part in parts)
    shift = float(np.abs(a - b).max())
    return Estimate(shift, shift, shift, tuple(runs), "number")


def adam_exponent(gap: float = GAP) -> Estimate:
    """Exponent in n of the number of Adam steps after which L_gen reaches a level, from stored runs."""
    runs = sweep_results("rfnn-adam")
    sizes = [r.config["psi_n"] * r.config["d"] for r in runs]
    fit = exponent(sizes, *times_and_bounds([_crossing(loss_gap(r), gap) for r in runs]))
    return Estimate(fit.value, fit.low, fit.high, tuple(runs))


def adam_times() -> pd.DataFrame:
    """Steps of Adam until L_gen reaches 0.3, geometric mean over seeds: psi_n, steps, and steps per training point.

    NaN where a seed does not get there.
    """
    runs = sweep_results("rfnn-adam")
    times = [_crossing(loss_gap(r), GAP) for r in runs]
    rows = [
        (r.config["psi_n"], r.config["d"], np.log(t.tau) if t.status == "interpolated" else np.nan)
        for r, t in zip(runs, times, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["psi_n", "d", "log"])
    table = table.groupby(["psi_n", "d"], as_index=False).agg({"log": lambda v: v.mean(skipna=False)})
    steps = np.exp(table["log"])
    return table.assign(steps=steps, per_point=steps / (table["psi_n"] * table["d"]))
