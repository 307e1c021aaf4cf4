"""Figures of the random-features dynamics: stored flows and descents beside the limit of large dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ...rfnn.learning_curves import learning_curves
from ...rfnn.spectrum import spectrum
from ...runs.store import Result
from ..estimators import Estimate
from ..estimators.rfnn import GAP, atoms_of, best_stops, gap_times, loss_gap
from ..estimators.rfnn_rates import eta_by_step, smallest
from .names import NOTE, name_lines
from .style import MEMORY, as_picture, finer, plain_ticks, shades, subplots


def curves(psi_p: float, psi_n: Sequence[float], t: float, tau: np.ndarray) -> tuple[plt.Figure, pd.DataFrame]:
    """Train loss (dashed), test loss and E_score against tau for several psi_n; a dot marks the smallest E_score."""
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    colors, tables = shades(psi_n, "psi_n"), []
    for n in psi_n:
        c = learning_curves(tau, psi_p=psi_p, psi_n=n, t=t)
        left.plot(tau, c.test, color=colors[n], label=rf"$\psi_n$ = {n}")
        left.plot(tau, c.train, color=colors[n], ls="--")
        right.plot(tau, c.score_error, color=colors[n])
        best = int(c.score_error.argmin())
        right.plot(tau[best], c.score_error[best], "o", color=colors[n])
        columns = {"tau": tau, "train": c.train, "test": c.test, "score_error": c.score_error}
        tables.append(pd.DataFrame({"psi_n": n, **columns}))
    for axis in (left, right):
        axis.set(xscale="log", xlabel=r"training time $\tau$")
    left.set(ylabel="loss (dashed: train)", ylim=(0, 2))
    right.set(ylabel=r"$E_\mathrm{score}$", yscale="log")
    name_lines(left)
    return figure, pd.concat(tables)


def exponents(
    psi_p: Sequence[float], psi_n: Sequence[float], t: float, paper: float, simulated: tuple[float, float]
) -> tuple[plt.Figure, pd.DataFrame]:
    """Smallest E_score, its local exponent, and the best time to stop, against psi_n for several psi_p.

    paper: the exponent of the paper, a dashed line. simulated: the range of psi_n that its runs covered, shaded.
    """
    table = best_stops(psi_p, psi_n, t)
    figure, (left, middle, right) = subplots(1, 3, figsize=(9.5, 3.6))
    colors = shades(psi_p, "psi_p")
    for p, part in table.groupby("psi_p"):
        left.plot(part["psi_n"], part["score_error"], color=colors[p])
        between = np.sqrt(part["psi_n"] * part["psi_n"].shift(-1))
        middle.plot(between, part["exponent"], color=colors[p], label=rf"$\psi_p$ = {p:g}")
        right.plot(part["psi_n"], part["tau"], color=colors[p])
    middle.axhline(paper, color=MEMORY, ls="--", lw=1.2)
    middle.annotate(f"paper, {paper:g}", (0.98, paper), (0, 4), ("axes fraction", "data"), "offset points",
                    ha="right", color=MEMORY, fontsize=NOTE)  # fmt: skip
    for axis in (left, middle, right):
        axis.axvspan(*simulated, color="0.9", zorder=0)
        axis.set(xscale="log", xlabel=r"$\psi_n = n/d$")
    left.set(yscale="log", ylabel=r"smallest $E_\mathrm{score}$")
    middle.set(ylabel="local exponent")
    right.set(yscale="log", ylabel=r"best time to stop $\tau$")
    name_lines(middle)
    return figure, table


def rates(
    results: Sequence[Result], paper: float, limit: pd.DataFrame, flows: Mapping[int, Estimate]
) -> tuple[plt.Figure, pd.DataFrame]:
    """Smallest E_score of descents against psi_n for each size of a step, and its exponent against that size.

    paper: the exponent of the paper. limit: as `best_stops` gives it, of gradient flow in high dimension. flows: its
    exponent at finite d.
    """
    table, found = smallest(results), eta_by_step(results)
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.6))
    colors = shades(list(found), "step")
    for step, part in table.groupby("step"):
        mean = np.exp(np.log(part["score_error"]).groupby(part["psi_n"]).mean())
        left.plot(mean.index, mean, "o-", color=colors[step], label=f"a step is {step:g}")
        eta = found[step]
        error = [[eta.value - eta.low], [eta.high - eta.value]]
        right.errorbar([step], [eta.value], error, fmt="o", color=colors[step], capsize=3)
    left.plot(limit["psi_n"], limit["score_error"], "k--", label="gradient flow, limit")
    left.set(xscale="log", yscale="log", xlabel=r"$\psi_n = n/d$", ylabel=r"smallest $E_\mathrm{score}$")
    name_lines(left)
    flow = -np.polyfit(np.log(limit["psi_n"]), np.log(limit["score_error"]), 1)[0]
    right.axhline(flow, color="k", ls="--", lw=1.4)
    right.axhline(paper, color=MEMORY, ls="--", lw=1.2)
    named = [("gradient flow, limit", flow, "k"), (f"paper, {paper:g}", paper, MEMORY)]
    for place, (d, e) in enumerate(flows.items()):
        at = min(found) * 0.5 ** (place + 1)
        right.errorbar([at], [e.value], [[e.value - e.low], [e.high - e.value]], fmt="D", color="0.4", capsize=3)
        right.annotate(f"flow,\nd = {d}", (at, e.high), (0, 4), textcoords="offset points", ha="center", va="bottom",
                       color="0.3", fontsize=NOTE)  # fmt: skip
    for name, value, color in named:
        right.annotate(name, (0.98, value), (0, 4), ("axes fraction", "data"), "offset points",
                       ha="right", color=color, fontsize=NOTE)  # fmt: skip
    right.set(xscale="log", xlabel=r"a step in units of $\tau$", ylabel=r"exponent $\eta$")
    right.set_xlim(left=min(found) * 0.5 ** (len(flows) + 1))
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        plain_ticks(axis)
    return figure, table


def dynamics(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """Losses, E_score and L_gen of stored flows (points, every fifth time) on the limit (lines), by psi_n (Fig. 5)."""
    figure, axes = subplots(1, 3, figsize=(9.5, 3.6))
    colors, tables = shades([r.config["psi_n"] for r in results], "psi_n"), []
    for r in results:
        n = r.config["psi_n"]
        table = with_limit(r)
        tables.append(table.assign(psi_n=n))
        dots, color = table.iloc[::5], colors[n]
        for axis, x, names in (
            (axes[0], "tau", ("train", "test")),
            (axes[1], "tau", ("score_error",)),
            (axes[2], "tau/tau_mem", ("gap",)),
        ):
            for name in names:
                style = "--" if name == "train" else "-"
                label = None if name == "train" else rf"$\psi_n$ = {n:g}"
                axis.plot(table[x], table[f"{name} (limit)"], color=color, ls=style, label=label)
                axis.plot(dots[x], dots[name], "o", ms=3.5, color=color, mfc="white" if name == "train" else color)
    axes[0].set(ylabel="loss (open, dashed: train)", ylim=(0, 2), xlabel=r"$\tau$")
    axes[1].set(ylabel=r"$E_\mathrm{score}$", yscale="log", xlabel=r"$\tau$")
    axes[2].set(ylabel=r"$L_\mathrm{gen}$", ylim=(0, 1), xlim=(1e-4, 10), xlabel=r"$\tau/\tau_\mathrm{mem}$")
    axes[2].axvline(1, color=MEMORY, ls=":", lw=1.4)
    for axis in axes:
        axis.set_xscale("log")
    name_lines(axes[0])
    return figure, pd.concat(tables)


def with_limit(r: Result) -> pd.DataFrame:
    """A stored flow beside its limit: tau, tau/tau_mem, and train, test, score_error, gap = test - train of both.

    tau_mem is that of the limiting spectrum.
    """
    c = r.config
    stored = {name: r.curve(name)["value"] for name in ("train", "test", "score_error")}
    tau = stored["train"].index.to_numpy(float)
    limit = learning_curves(tau, psi_p=c["psi_p"], psi_n=c["psi_n"], t=c["t"], covariance=atoms_of(c))
    whole = spectrum(psi_p=c["psi_p"], psi_n=c["psi_n"], t=c["t"], covariance=atoms_of(c))
    table = pd.DataFrame({"tau": tau, "tau/tau_mem": tau / whole.tau_mem})
    for name, values in stored.items():
        table[name], table[f"{name} (limit)"] = values.to_numpy(), getattr(limit, name)
    for suffix in ("", " (limit)"):
        table[f"gap{suffix}"] = table[f"test{suffix}"] - table[f"train{suffix}"]
    return table


def times_of_diffusion(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score relative to its start against tau (left) and Delta_t tau (right), a colour for each t (Fig. 11)."""
    tables = [with_limit(r) for r in results]
    for r, table in zip(results, tables, strict=True):
        table["Delta_t tau"] = -np.expm1(-2 * r.config["t"]) * table["tau"]
    panels = ({"x": "tau", "y": "score_error"}, {"x": "Delta_t tau", "y": "score_error"})
    figure, axes = _on_limits(results, tables, panels, "t", "t")
    axes[0].set(xlabel=r"$\tau$", ylabel=r"$E_\mathrm{score}$, relative to its start")
    axes[1].set(xlabel=r"$\Delta_t\,\tau$", ylabel=axes[0].get_ylabel())
    return figure, _joined(results, tables, "t")


def variances(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score relative to its start against tau, and L_gen against tau/tau_mem, tau_mem from the spectrum (Fig. 12)."""
    tables = [with_limit(r) for r in results]
    panels = ({"x": "tau", "y": "score_error"}, {"x": "tau/tau_mem", "y": "gap"})
    figure, axes = _on_limits(results, tables, panels, "low", r"$\sigma_x^2$")
    axes[0].set(xlabel=r"$\tau$", ylabel=r"$E_\mathrm{score}$, relative to its start")
    axes[1].set(
        xlabel=r"$\tau/\tau_\mathrm{mem}$", ylabel=r"$L_\mathrm{gen}$", yscale="linear", ylim=(0, 4), xlim=(1e-3, 1e2)
    )
    return figure, _joined(results, tables, "low")


def _on_limits(
    results: Sequence[Result], tables: Sequence[pd.DataFrame], panels: Sequence[dict[str, str]], key: str, symbol: str
) -> tuple[plt.Figure, Any]:
    """Points on limit lines, a colour for each value of a setting; full for the smallest psi_n, dashed for others."""
    figure, axes = subplots(1, len(panels), figsize=(9.5, 3.6))
    colors = shades([r.config[key] for r in results], key)
    first = min(r.config["psi_n"] for r in results)
    for r, table in zip(results, tables, strict=True):
        color, style = colors[r.config[key]], "-" if r.config["psi_n"] == first else "--"
        for axis, panel in zip(axes, panels, strict=True):
            x, y = panel["x"], panel["y"]
            start = table[f"{y} (limit)"].iloc[0] if y == "score_error" else 1.0
            label = f"{symbol} = {r.config[key]:g}" if style == "-" else None
            axis.plot(table[x], table[f"{y} (limit)"] / start, color=color, ls=style, label=label)
            axis.plot(table[x].iloc[2::5], table[y].iloc[2::5] / start, "o", ms=3, color=color)
            axis.set(xscale="log", yscale="log", ylim=(0.01, 3))
    name_lines(axes[0])
    return figure, axes


def _joined(results: Sequence[Result], tables: Sequence[pd.DataFrame], key: str) -> pd.DataFrame:
    rows = zip(results, tables, strict=True)
    return pd.concat(table.assign(**{key: r.config[key], "psi_n": r.config["psi_n"]}) for r, table in rows)


def gap_map(psi: Sequence[float], t: float, tau: Sequence[float], level: float) -> tuple[plt.Figure, pd.DataFrame]:
    """L_gen over (psi_n, psi_p), both from the same list, at each tau, with the contour of one level (Fig. 5 C)."""
    rows = []
    for p in psi:
        for n in psi:
            c = learning_curves(tau, psi_p=p, psi_n=n, t=t)
            rows += [(p, n, when, gap) for when, gap in zip(tau, c.test - c.train, strict=True)]
    table = pd.DataFrame(rows, columns=["psi_p", "psi_n", "tau", "gap"])
    figure, axes = subplots(1, len(tau), figsize=(9.5, 4), sharey=True)
    norm, drawn = plt.matplotlib.colors.LogNorm(1e-2, 3), list[Any]()
    for axis, when in zip(axes, tau, strict=True):
        grid = table[table["tau"] == when].pivot(index="psi_p", columns="psi_n", values="gap")
        x, y, gaps = finer(grid)
        mesh = axis.pcolormesh(x, y, gaps.clip(min=1e-2), norm=norm, shading="gouraud", cmap="magma")
        line = axis.contour(x, y, gaps, levels=[level], colors="white", linewidths=1.5)
        drawn += [mesh, line]
        axis.set(xscale="log", yscale="log", xlabel=r"$\psi_n$", title=rf"$\tau$ = {when:,.0f}")
        axis.grid(False)
    axes[0].set_ylabel(r"$\psi_p$")
    as_picture(figure.colorbar(mesh, ax=axes, label=r"$L_\mathrm{gen}$"), *drawn)
    return figure, table


def overfitting_times(
    psi_p: Sequence[float], psi_n: Sequence[float], t: float, levels: Sequence[float], simulated: tuple[float, float]
) -> tuple[plt.Figure, pd.DataFrame]:
    """When L_gen reaches each level (left), and the local exponent of that time in psi_n (right), in the limit."""
    table = gap_times(psi_p, psi_n, t, levels)
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    colors = shades(levels, "level")
    for (p, level), part in table.groupby(["psi_p", "level"]):
        style, color = "-" if p == max(psi_p) else ":", colors[level]
        left.plot(part["psi_n"], part["tau"], color=color, ls=style)
        right.plot(np.sqrt(part["psi_n"] * part["psi_n"].shift(-1)), part["exponent"], color=color, ls=style)
    for level in levels:
        right.plot([], [], color=colors[level], label=rf"$L_\mathrm{{gen}}$ = {level:g}")
    for p in psi_p:
        right.plot([], [], color="0.4", ls="-" if p == max(psi_p) else ":", label=rf"$\psi_p$ = {p:g}")
    right.axhline(1, color=MEMORY, ls="--", lw=1.2)
    for axis in (left, right):
        axis.axvspan(*simulated, color="0.9", zorder=0)
        axis.set(xscale="log", xlabel=r"$\psi_n = n/d$")
    left.set(yscale="log", ylabel=r"$\tau$ at which $L_\mathrm{gen}$ reaches a level")
    right.set(ylabel="local exponent in $\\psi_n$", ylim=(0.5, 2.6))
    right.legend()
    return figure, table


def definitions(tables: Mapping[float, pd.DataFrame]) -> tuple[plt.Figure, pd.DataFrame]:
    """Exponent of the time of memorisation in psi_n by three definitions, and how well curves collapse, against psi_p.

    tables: of `estimators.rfnn_exponents.exponents`, by t.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.5, 3.8))
    ways = {"edge": ("#0072b2", "inverse edge"), f"{GAP:g}": ("#d55e00", rf"$L_\mathrm{{gen}}$ = {GAP:g}"),
            "50%": ("#009e73", r"half of the final $L_\mathrm{gen}$")}  # fmt: skip
    for (t, table), style in zip(tables.items(), ("-", ":"), strict=True):
        for name, (color, _) in ways.items():
            left.plot(table["psi_p"], table[name], "o" + style, ms=4, color=color)
        right.plot(table["psi_p"], table["factor"], "o" + style, ms=4, color="0.2", label=f"t = {t:g}")
    for color, label in ways.values():
        left.plot([], [], color=color, label=label)
    left.axhline(1, color="0.6", lw=1)
    right.axhline(1, color="0.6", lw=1)
    left.set(xscale="log", xlabel=r"$\psi_p = p/d$", ylabel="exponent in $\\psi_n$, from 4 to 32")
    right.set(xscale="log", yscale="log", xlabel=r"$\psi_p = p/d$",
              ylabel=r"largest / smallest $\tau_{50\%}/\tau_\mathrm{mem}$")  # fmt: skip
    plain_ticks(right.yaxis)
    left.legend()
    right.legend()
    return figure, pd.concat([table.assign(t=t) for t, table in tables.items()])


def adam(results: Sequence[Result]) -> tuple[plt.Figure, pd.DataFrame]:
    """E_score against steps and L_gen against steps and steps/n of runs by Adam: mean over seeds and their range."""
    figure, axes = subplots(1, 3, figsize=(9.5, 3.5))
    sizes = sorted({r.config["psi_n"] for r in results})
    colors, tables = shades(sizes, "psi_n"), []
    for n in sizes:
        of_size = [r for r in results if r.config["psi_n"] == n]
        points = round(n * of_size[0].config["d"])
        for axis, name, by in ((axes[0], "score_error", 1), (axes[1], "gap", 1), (axes[2], "gap", points)):
            curves = pd.concat([loss_gap(r) if name == "gap" else r.curve(name)["value"] for r in of_size], axis=1)
            steps = curves.index.to_numpy() / by
            axis.plot(steps, curves.mean(axis=1), color=colors[n], label=rf"$\psi_n$ = {n:g}")
            axis.fill_between(steps, curves.min(axis=1), curves.max(axis=1), color=colors[n], alpha=0.2, linewidth=0)
            if by == 1:
                mean = pd.DataFrame(
                    {"psi_n": n, "n": points, "step": steps, "metric": name, "value": curves.mean(axis=1)}
                )
                tables.append(mean)
    axes[0].set(yscale="log", ylabel=r"$E_\mathrm{score}$")
    axes[1].set(ylabel=r"$L_\mathrm{gen}$", ylim=(0, 0.6))
    axes[2].set(ylabel=r"$L_\mathrm{gen}$", ylim=(0, 0.6))
    for axis, label in zip(axes, ("Adam steps", "Adam steps", "Adam steps / n"), strict=True):
        axis.set(xscale="log", xlabel=label)
    name_lines(axes[0])
    return figure, pd.concat(tables)
