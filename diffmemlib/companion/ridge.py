"""Weight decay against stopping in time, over ratios, diffusion times and noises a point, in the exact limit."""

from __future__ import annotations

from itertools import product
from math import inf
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from tqdm import tqdm

from .._version import __version__
from .estimators.frozen import at_the_end, stop

RATIOS = tuple(2.0**k for k in range(8))  # psi_p and psi_n
TIMES = (0.03, 0.1, 0.3)  # of diffusion
NOISES = (1.0, inf)  # a point
GAMMAS = (1e-3, 1e3)  # between which the best weight decay is looked for


def best_ridge(psi_p: float, psi_n: float, t: float, noises: float = inf) -> tuple[float, float]:
    """Return the weight decay with the smallest E_score at the end of training, and that error."""
    grid = np.log(np.geomspace(*GAMMAS, 13))
    error = [at_the_end(float(np.exp(x)), psi_p, psi_n, t, noises) for x in grid]
    i = int(np.argmin(error))
    bounds = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda x: at_the_end(float(np.exp(x)), psi_p, psi_n, t, noises), bounds=bounds, method="bounded",
        options={"xatol": 1e-3},
    )  # fmt: skip
    return float(np.exp(found.x)), float(found.fun)


def ridge_grid(ratios: int = len(RATIOS), progress: bool = True) -> dict[str, Any]:
    """Return the smallest E_score by stopping and by weight decay, a row for each setting.

    ratios: how many of RATIOS, from the smallest.
    """
    rows = []
    cases = list(product(NOISES, TIMES, RATIOS[:ratios], RATIOS[:ratios]))
    for noises, t, psi_p, psi_n in tqdm(cases, disable=not progress):
        gamma, by_ridge = best_ridge(psi_p, psi_n, t, noises)
        best = {"gamma": gamma, "by_ridge": by_ridge, "by_stopping": stop(psi_p, psi_n, t, noises).best}
        rows.append({"noises": None if noises == inf else noises, "t": t, "psi_p": psi_p, "psi_n": psi_n, **best})
    return {"rows": rows, "version": __version__}


def ridge_report(found: dict[str, Any]) -> str:
    """Return in how many settings each is better, as lines of text."""
    lines = ["settings in which weight decay has the smaller E_score, of all"]
    for noises, t in product(NOISES, TIMES):
        part = [r for r in found["rows"] if (r["noises"] or inf, r["t"]) == (noises, t)]
        wins = sum(r["by_ridge"] < r["by_stopping"] for r in part)
        lines.append(f"m = {noises:g}, t = {t:g}: {wins} of {len(part)}")
    return "\n".join(lines)
