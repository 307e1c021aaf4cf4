"""Weight decay against stopping in time, over ratios, diffusion times and noises a point, in the exact limit."""

from __future__ import annotations

from itertools import product
from math import inf
from typing import Any

from tqdm import tqdm

from .._version import __version__
from .estimators.frozen import best_ridge, stop

RATIOS = tuple(2.0**k for k in range(8))  # psi_p and psi_n
TIMES = (0.03, 0.1, 0.3)  # of diffusion
NOISES = (1.0, inf)  # a point


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
