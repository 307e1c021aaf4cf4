"""The claims table as figures: every exponent beside the paper's, and what each is at other levels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log

import matplotlib.pyplot as plt
import pandas as pd

from ..claims import Claim
from .names import NOTE
from .style import subplots

COLORS = {  # distinct without colour vision, one for each verdict on a number
    "reproduced": "#009e73",
    "consistent": "#56b4e9",
    "depends on the level": "#e69f00",
    "inconclusive": "#999999",
    "differs outside the paper's regime": "#cc79a7",
    "contradicts": "#d55e00",
}
WIDEST = 2.0  # from the paper's value, that is shown
COLUMNS = 3
LEVELS = {  # names of levels in the table of claims -> what stands under the axis
    "f_mem": r"level of $f_\mathrm{mem}$", "kl": "level of the KL (nats)", "rise": "rise of the KL (nats)",
    "gap": "gap between the losses", "level": "level", "good": "share recognised", "above": "loss over its lowest",
    "left": "share of the error left", "from_psi_n": r"$\psi_n$, to twice as much",
}  # fmt: skip


def mathtext(text: str) -> str:
    """Letters with an index, such as τ_mem, as matplotlib sets them."""
    return re.sub(r"([τψΔ])_(\w+)", r"$\1_\\mathrm{\2}$", text)


def _apart(levels: Sequence[float]) -> list[float]:
    """The first of the levels, the last, and those between that are far enough from the one before for a label."""
    kept = [levels[0]]
    room = (log(levels[-1] / levels[0]) or 1.0) / 4
    for level in levels[1:-1]:
        if log(level / kept[-1]) >= room and log(levels[-1] / level) >= room:
            kept.append(level)
    return [*kept, levels[-1]]


def exponents(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that a number equals a value within a margin of at most one half: exponents and the like."""
    return [c for c in claims if c.estimate is not None and 0 < c.highest - c.lowest <= 1]


def forest(claims: Sequence[Claim]) -> tuple[plt.Figure, pd.DataFrame]:
    """Every exponent with its interval less the paper's value, and the margin that counts as the same.

    Narrow, with each name above its interval, so that a phone shows both.
    """
    shown = exponents(claims)
    figure, axis = subplots(figsize=(5, 0.46 * len(shown) + 2))
    rows = []
    for y, c in enumerate(reversed(shown)):
        e, paper = c.estimate, (c.lowest + c.highest) / 2
        assert e is not None
        color = COLORS[c.verdict]
        low, high = (max(-WIDEST, min(WIDEST, end - paper)) for end in (e.low, e.high))
        axis.fill_betweenx([y - 0.25, y + 0.25], c.lowest - paper, c.highest - paper, color="0.9", lw=0)
        axis.plot([low, high], [y, y], color=color, lw=3 if e.kind == "interval" else 1.2)
        axis.plot(e.value - paper, y, "o" if e.kind == "interval" else "D", color=color, ms=6)
        for end, marker in ((e.low - paper, "<"), (e.high - paper, ">")):
            if abs(end) > WIDEST:
                axis.plot(max(-WIDEST, min(WIDEST, end)), y, marker, color=color, ms=7)
        name = f"{mathtext(c.short)}  (paper: {paper:g})"
        axis.text(-WIDEST, y + 0.27, name, fontsize=NOTE, va="bottom", color=axis.yaxis.label.get_color())
        rows.append((c.id, e.value, e.low, e.high, e.kind, paper, c.tier, c.verdict))
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks([])
    axis.set(xlabel="ours less the paper's value", ylim=(-0.6, len(shown)))
    for verdict, color in COLORS.items():
        if any(c.verdict == verdict for c in shown):
            axis.plot([], [], "o-", color=color, lw=3, label=verdict)
    figure.legend(loc="outside lower center", ncols=2)
    columns = ["claim", "value", "low", "high", "kind", "paper", "tier", "verdict"]
    return figure, pd.DataFrame(rows[::-1], columns=columns)


def by_level(claims: Sequence[Claim]) -> tuple[plt.Figure, pd.DataFrame]:
    """For each claim that names levels, its number at each of them, and the range that agrees with the claim."""
    shown = [c for c in exponents(claims) if c.levels]
    lines = -(-len(shown) // COLUMNS)
    figure, axes = subplots(lines, COLUMNS, figsize=(9.5, 2.3 * lines), squeeze=False)
    rows = []
    for axis, c in zip(axes.flat, shown, strict=False):
        assert c.levels is not None
        axis.axhspan(c.lowest, c.highest, color="0.9", lw=0)
        for level, e in c.by_level.items():
            if e is None:
                continue
            axis.plot(level, e.value, "o", color=COLORS[c.verdict], ms=5)
            axis.plot([level, level], [e.low, e.high], color=COLORS[c.verdict], lw=2)
            rows.append((c.id, c.levels[0], level, e.value, e.low, e.high))
        middle, values = (c.lowest + c.highest) / 2, [e.value for e in c.by_level.values() if e is not None]
        axis.set(xscale="log", ylim=(min(middle - 1, *values) - 0.1, max(middle + 1, *values) + 0.1))
        axis.set_title(mathtext(c.short), fontsize=NOTE)
        axis.set_xticks(_apart(list(c.by_level)))
        axis.set_xticklabels(
            [f"{level:.2g}" if level < 10 else f"{level:g}" for level in axis.get_xticks()], fontsize=NOTE
        )
        axis.minorticks_off()
        axis.tick_params(axis="y", labelsize=NOTE)
        axis.set_xlabel(LEVELS[c.levels[0]], fontsize=NOTE)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    return figure, pd.DataFrame(rows, columns=["claim", "level of", "level", "value", "low", "high"])
