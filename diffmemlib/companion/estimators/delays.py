"""What delays the first copies under SGD: laws of tau_mem in n and in the draws of a step, compared by their fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ...runs.store import Result
from .scaling import draws_a_step, sizes, tau_mem

Floats = NDArray[np.float64]
# The terms of each law, as functions of n and m, the draws of a step; their coefficients are fitted, none negative.
TERMS = {"1": lambda n, m: np.ones_like(n), "n": lambda n, m: n, "n/m": lambda n, m: n / m,
         "n/sqrt(m)": lambda n, m: n / np.sqrt(m)}  # fmt: skip
LAWS = {
    "A n/sqrt(m)": ("n/sqrt(m)",),
    "A n/m + B n": ("n/m", "n"),
    "T + B n": ("1", "n"),
    "T + A n/m + B n": ("1", "n/m", "n"),
}


@dataclass(frozen=True)
class Law:
    """One law, fitted.

    coefficients: of its terms. spread: root mean square of log(tau/law). aicc: Akaike's criterion, corrected for few
    runs, of log tau with normal errors; smaller is better.
    """

    terms: tuple[str, ...]
    coefficients: tuple[float, ...]
    spread: float
    aicc: float

    def at(self, n: float, m: float) -> float:
        """tau_mem for n points and m draws a step."""
        of = np.array([n], float), np.array([m], float)
        return float(sum(c * TERMS[t](*of)[0] for c, t in zip(self.coefficients, self.terms, strict=True)))


def fit_law(terms: Sequence[str], n: Floats, m: Floats, tau: Floats) -> Law:
    """The coefficients of tau = sum of terms by least squares in log tau, none negative."""
    design = np.stack([TERMS[term](n, m) for term in terms], axis=1)
    start = tau.mean() / design.mean(axis=0) / len(terms)
    fit = optimize.least_squares(
        lambda p: np.log(np.maximum(design @ p, 1e-12)) - np.log(tau), start, bounds=(0, np.inf), x_scale=start
    )
    count, free = len(tau), len(terms) + 1  # the errors' variance too
    mean_square = 2 * fit.cost / count
    aicc = count * float(np.log(mean_square)) + 2 * free + 2 * free * (free + 1) / (count - free - 1)
    return Law(tuple(terms), tuple(fit.x.tolist()), mean_square**0.5, aicc)


def laws(runs: Sequence[Result]) -> dict[str, Law]:
    """Every law of LAWS, fitted to the runs that saw their first copies."""
    seen = [(r, t.tau) for r, t in zip(runs, tau_mem(runs), strict=True) if t.status == "interpolated"]
    n, m = (np.array(values, float) for values in (sizes([r for r, _ in seen]), [draws_a_step(r) for r, _ in seen]))
    tau = np.array([t for _, t in seen])
    return {name: fit_law(terms, n, m, tau) for name, terms in LAWS.items()}
