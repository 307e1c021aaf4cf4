"""Figures of the random-features spectrum: eigenvalues of true features on the limit, and the times they set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from plotly.subplots import make_subplots

from ...rfnn.model import Model
from ...rfnn.spectrum import spectral_density, spectrum
from ...runs.store import Result
from ..estimators.rfnn import atoms_of, sample_eigenvalues
from .interactive import rounded, scrubber
from .style import MEMORY, QUALITY, subplots

Case = dict[str, Any]  # the arguments of `spectrum`


def spectra(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Eigenvalues of U of true tanh features (bars) on the limit (lines), a row each: all, and the two main bulks."""
    figure, axes = subplots(len(results), 3, figsize=(9.5, 2.9 * len(results)), squeeze=False)
    tables = []
    for row, r in zip(axes, results, strict=True):
        c = r.config
        case: Case = {"psi_p": c["psi_p"], "psi_n": c["psi_n"], "t": c["t"], "covariance": atoms_of(c)}
        whole, eigenvalues = spectrum(**case), r.samples["eigenvalues"].astype(float)
        first, second = whole.rho_1, whole.rho_2
        panels = (
            ((0.8 * whole.delta_place, 1.2 * second.high), True, 60),
            ((0.5 * first.low, 1.2 * first.high), False, 60),
            ((0.7 * second.low, 1.1 * second.high), False, 25),
        )
        for axis, (span, log, bins) in zip(row, panels, strict=True):
            tables.append(_histogram(axis, eigenvalues, case, span, log, bins).assign(low=c["low"], high=c["high"]))
        row[0].axvline(whole.delta_place, color=MEMORY, lw=1)
        name = r"$\Sigma = I$" if c["low"] == c["high"] else rf"$\Sigma$: {c['low']:g} and {c['high']:g}"
        row[0].set(ylabel=f"{name}\nshare per decade", ylim=(0, 0.3), title="all, and the delta (orange)")
        row[1].set(title=r"$\rho_1$, of the training set")
        row[2].set(title=r"$\rho_2$, of the population")
    for axis in axes[-1]:
        axis.set_xlabel(r"eigenvalue $\lambda$ of $U$")
    return figure, pd.concat(tables)


def small_spectra(cases: Sequence[Case], d: int = 100, draws: int = 4) -> tuple[plt.Figure, pd.DataFrame]:
    """The same for models small enough to be drawn here: a panel for each psi_p, psi_n, t (Fig. 14)."""
    figure, axes = subplots(1, len(cases), figsize=(9.5, 3.4))
    tables = []
    for axis, case in zip(axes, cases, strict=True):
        eigenvalues = np.concatenate([sample_eigenvalues(d, seed, **case) for seed in range(draws)])
        whole = spectrum(**case)
        span = (
            0.7 * whole.bulks[0].low if whole.delta_weight == 0 else 0.8 * whole.delta_place,
            1.3 * whole.bulks[-1].high,
        )
        tables.append(_histogram(axis, eigenvalues, case, span, log=True, bins=80).assign(**case))
        if whole.delta_weight:
            axis.axvline(whole.delta_place, color=MEMORY, lw=1)
        p, n, t = case["psi_p"], case["psi_n"], case["t"]
        regime = "I" if p > n else "II"
        axis.set_title(rf"regime {regime}: $\psi_p$ = {p:g}, $\psi_n$ = {n:g}, t = {t:g}")
        axis.set(xlabel=r"eigenvalue $\lambda$ of $U$", ylim=(0, None))
    axes[0].set_ylabel("share per decade")
    return figure, pd.concat(tables)


def _histogram(
    axis: Axes, eigenvalues: np.ndarray, case: Case, span: tuple[float, float], log: bool, bins: int = 60
) -> pd.DataFrame:
    """Bars of the eigenvalues above the delta and the limit density, per decade on a log axis, else per unit."""
    edges = np.geomspace(*span, bins + 1) if log else np.linspace(*span, bins + 1)
    if log:  # the delta, widened by finite d, would hide all else
        model = Model.of(**case)
        above = eigenvalues[eigenvalues > model.c.s2 * 1.02] if model.psi_p > 1 + model.psi_n else eigenvalues
    else:
        above = eigenvalues
    counts = np.histogram(above, edges)[0] / len(eigenvalues)
    lam = np.geomspace(*span, 1500) if log else np.linspace(*span, 600)
    unit = lam * np.log(10) if log else 1.0
    density = spectral_density(lam, **case) * unit
    width = np.diff(np.log10(edges)) if log else np.diff(edges)
    axis.bar(edges[:-1], counts / width, np.diff(edges), align="edge", color="0.75")
    axis.plot(lam, density, color=QUALITY, lw=1.4)
    axis.set(xscale="log" if log else "linear", xlim=span)
    middle = np.sqrt(edges[1:] * edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2
    return pd.DataFrame({"lambda": middle, "counted": counts / width, "limit": np.interp(middle, lam, density)})


def spectrum_slider(psi_p: float, psi_n: Sequence[float], t: float, start: int) -> go.Figure:
    """Slider over psi_n: the density on a log axis, and beside it the predicted times on a time axis."""
    lam = np.geomspace(1e-3, 100, 400)
    frames: list[list[dict[str, Any]]] = []
    titles = []
    delta = -np.expm1(-2 * t)
    for n in psi_n:
        case: Case = {"psi_p": psi_p, "psi_n": n, "t": t}
        whole = spectrum(**case)
        density = spectral_density(lam, **case) * lam * np.log(10)
        bulks = [(b.low, b.high) for b in whole.bulks]
        ends = [rounded([psi_p / delta / high, psi_p / delta / low], 1) for low, high in bulks]
        x = [v for pair in ends for v in (*pair, None)]  # a gap after each bulk
        frames.append([
            {"x": rounded(lam, 5), "y": rounded(density, 4)},
            {"x": rounded([whole.delta_place] * 2, 6), "y": [0, whole.delta_weight]},
            {"x": x, "y": [0.0 if v is not None else None for v in x]},
            {"x": rounded([whole.tau_gen], 1), "y": [0.0]},
            {"x": rounded([whole.tau_mem], 1), "y": [0.0]},
        ])  # fmt: skip
        ratio = whole.tau_mem / whole.tau_gen
        titles.append(
            f"psi_n = {n:g}: tau_gen {whole.tau_gen:,.0f}, tau_mem {whole.tau_mem:,.0f}, {ratio:,.0f} times later"
        )
    figure = make_subplots(rows=2, cols=1, row_heights=[0.72, 0.28], vertical_spacing=0.2)
    now = frames[start]
    figure.add_scatter(**now[0], name="density", fill="tozeroy", line={"color": QUALITY}, row=1, col=1)
    figure.add_scatter(**now[1], name="delta", line={"color": "#666", "width": 3}, row=1, col=1)
    figure.add_scatter(**now[2], name="bulks", line={"color": "#999", "width": 8}, row=2, col=1)
    dot = {"mode": "markers"}
    figure.add_scatter(**now[3], **dot, name="tau_gen", marker={"color": QUALITY, "size": 14}, row=2, col=1)
    figure.add_scatter(**now[4], **dot, name="tau_mem", marker={"color": MEMORY, "size": 14}, row=2, col=1)
    figure.update_xaxes(type="log", title="eigenvalue of U", range=[-3, 2], row=1, col=1)
    figure.update_yaxes(title="share per decade", range=[0, 1], row=1, col=1)
    reach = np.log10(psi_p / delta)  # tau = psi_p/(Delta lambda): the same axis, turned round
    figure.update_xaxes(
        type="log", title="training time tau = psi_p/(Delta_t lambda)", range=[reach + 3, reach - 2], row=2, col=1
    )
    figure.update_yaxes(visible=False, range=[-1, 1], row=2, col=1)
    return scrubber(figure, list(psi_n), [0, 1, 2, 3, 4], frames, start, titles, "psi_n = ")
