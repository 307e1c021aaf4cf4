"""Where the exact theory answers, and how exactly: a grid of ratios and times, its refusals and its largest errors."""

from __future__ import annotations

from math import expm1
from typing import Any

import numpy as np
from scipy.stats import qmc
from tqdm import tqdm

from .._version import __version__
from ..rfnn.learning_curves import Contour, contour_losses, learning_curves
from ..rfnn.model import BranchError, Model
from ..rfnn.spectrum import spectrum

RATIOS = (1e-2, 1e4)  # of psi_p and psi_n
TIMES = (1e-3, 5.0)  # of t
OTHER_HEIGHTS = (0.5, 1.0)  # contours that `learning_curves` does not use
OTHER_NODES = 3000


def theory_grid(points: int = 2000, seed: int = 0, progress: bool = True) -> dict[str, Any]:
    """Return how often the theory refuses over ordinary ratios and times, and its largest errors where it answers.

    The points are a scrambled Sobol sequence, even in the logarithms of psi_p, psi_n and t.

    Parameters
    ----------
    points
        How many; best a power of two.
    seed
        Of the scrambling.
    progress
        Whether to show it.

    Returns
    -------
    dict
        Points, refusals of `spectrum` and of `learning_curves` as sentences, the largest |sum of masses - 1|, and the
        largest difference of a loss to that on other contours with more nodes, relative where it exceeds one.
    """
    unit = qmc.Sobol(3, rng=seed).random(points)
    low, high = np.log([RATIOS[0], RATIOS[0], TIMES[0]]), np.log([RATIOS[1], RATIOS[1], TIMES[1]])
    tau = np.geomspace(1e-2, 1e8, 11)
    refused: list[str] = []
    masses = losses = 0.0
    for psi_p, psi_n, t in tqdm(np.exp(low + (high - low) * unit), disable=not progress):
        case: dict[str, Any] = {"psi_p": float(psi_p), "psi_n": float(psi_n), "t": float(t)}
        try:
            whole = spectrum(**case)
            masses = max(masses, abs(whole.delta_weight + sum(b.mass for b in whole.bulks) - 1))
        except BranchError as error:
            refused.append(f"spectrum at {case}: {error}")
        try:
            curves = learning_curves(tau, **case)
        except BranchError as error:
            refused.append(f"learning_curves at {case}: {error}")
            continue
        model, delta = Model.of(**case), -expm1(-2 * t)
        where = Contour.around(model, float("inf"), 0.0)
        other = contour_losses(model, where, 2 * delta / psi_p * tau[:, None], OTHER_NODES, OTHER_HEIGHTS)
        ours = np.array([curves.train, curves.test])
        losses = max(losses, float(np.max(abs(ours - other) / np.maximum(abs(other), 1))))
    return {
        "points": points, "refused": refused, "masses": masses, "losses": losses, "ratios": RATIOS, "times": TIMES,
        "version": __version__,
    }  # fmt: skip


def theory_report(found: dict[str, Any]) -> str:
    """Return the grid's outcome as lines of text."""
    lines = [
        f"exact theory at {found['points']} points, {RATIOS[0]:g} <= psi <= {RATIOS[1]:g}, {TIMES[0]:g} <= t <= "
        f"{TIMES[1]:g}: {len(found['refused'])} refusals",
        f"largest error of the sum of masses {found['masses']:.1e}, of a loss {found['losses']:.1e}",
    ]
    return "\n".join(lines + found["refused"])
