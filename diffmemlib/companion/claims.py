"""The claims table: book/claims.toml says what the paper claims, `estimators` measure it, and this module judges.

A verdict follows from the 95% interval and the claim alone. reproduced: the whole interval lies within the claim's
margin; consistent: a part of it; contradicts: none of it; inconclusive: a part of it, but the interval also holds
numbers five margins away from what is claimed, such as no growth at all where growth is claimed; not tested: no
estimator, for want of data or of a machine.

A number that is computed without an error has no interval: it reproduces or contradicts.

Runs in another regime than the paper's (other data, sizes, rates) cannot contradict it: their row says what is other,
and where it would contradict, it differs outside the paper's regime.

A time is taken where a curve crosses some level, and its exponent may depend on which; an exact exponent may depend on
the size at which it is taken. Such a claim names several levels, or sizes, and is judged at each: depends on the
level, where one agrees with the claim and another contradicts it; contradicts, where one contradicts it and no level
has a value that agrees.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from ..files import read_text
from ..places import checkout_root
from ..runs.store import ResultError
from .estimators import Estimate
from .figures.tables import typeset
from .sweeps.tables import HIGHER, at_tier, is_stored, sweeps_read

OUTSIDE = "differs outside the paper's regime"
VERDICTS = ("reproduced", "consistent", "depends on the level", "inconclusive", OUTSIDE, "contradicts", "not tested")
AGREE = ("reproduced", "consistent", "not tested")  # beside these no reason is given
SAID = {  # of one claim and of several
    "reproduced": ("is reproduced", "are reproduced"),
    "consistent": ("is consistent with our runs", "are consistent with our runs"),
    "depends on the level": ("depends on the level", "depend on the level"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
    OUTSIDE: (OUTSIDE, OUTSIDE.replace("differs", "differ")),
    "contradicts": ("is contradicted", "are contradicted"),
    "not tested": ("is not tested", "are not tested"),
}
CHAPTERS = {  # chapter of a claim -> its page, and what the page is called
    "mixture": ("mixture", "The Gaussian mixture"),
    "mixture-width": ("mixture-width", "The mixture: width of the network"),
    "images": ("images", "Images: training-set size"),
    "images-adam": ("images-adam", "Images: Adam and SGD"),
    "images-full-batch": ("images-full-batch", "Images: full batch"),
    "images-capacity": ("images-capacity", "Images: capacity"),
    "conditional": ("conditional", "Conditional generation"),
    "training-time": ("training-time", "What buys training time"),
    "random features": ("features-dynamics", "Random features"),
    "questions": ("questions", "Four open questions"),
}
FAR = 5  # margins from the claimed value: there lies the opposite, as 0 for an exponent of 1 within 0.2
KEYS = {
    "id", "chapter", "text", "place", "paper", "estimator", "arguments", "levels", "outside", "short", "value",
    "margin", "at_least", "at_most", "why", "earlier",
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One row of claims.toml, with its estimate and verdict computed when asked for.

    estimator: "module.function" within `companion.estimators`, or None. arguments: what it is called with. levels: the
    name of one more argument, and the values for which the claim is judged beside the estimator's own. lowest, highest:
    the range of numbers that agree with the claim. outside: what takes the runs out of the paper's regime; else empty.
    short: what figures call it. why: said beside a verdict that does not agree. earlier: the verdict of the first table
    and what has changed it, or None.
    """

    id: str
    chapter: str
    text: str
    place: str
    paper: str
    estimator: str | None
    arguments: Mapping[str, Any]
    levels: tuple[str, tuple[float, ...]] | None
    lowest: float
    highest: float
    outside: str = ""
    short: str = ""
    why: str = ""
    earlier: tuple[str, str] | None = None

    @property
    def call(self) -> str:
        """How the estimator is called, as text; empty without one."""
        if self.estimator is None:
            return ""
        return f"{self.estimator}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"

    @cached_property
    def estimate(self) -> Estimate | None:
        """Our number; None where the claim has no estimator. ResultError where its runs are missing."""
        return None if self.estimator is None else self._measured[0]

    @cached_property
    def _measured(self) -> tuple[Estimate, dict[str, str]]:
        """The estimate, and the sweeps that it was read from."""
        with sweeps_read() as read:
            return self._estimated(), read

    @cached_property
    def at_other_tiers(self) -> dict[str, Estimate]:
        """Our number from the runs of each other tier at which all that it needs is stored, by tier."""
        if self.estimator is None:
            return {}
        _, read = self._measured
        others = [
            tier for tier in (*HIGHER, "laptop") if tier not in self.tier and all(is_stored(s, tier) for s in read)
        ]
        found: dict[str, Estimate] = {}
        for tier in others if read else []:
            with at_tier(tier), suppress(ValueError, ResultError):  # too few runs there, say
                found[tier] = self._estimated()
        return found

    @cached_property
    def by_level(self) -> dict[float, Estimate | None]:
        """Our number at each of the levels; None where too few runs reach it."""
        name, values = self.levels or ("", ())
        found: dict[float, Estimate | None] = {}
        for value in values:
            try:
                found[value] = self._estimated(**{name: value})
            except ResultError:
                raise
            except ValueError:
                found[value] = None
        return found

    def _estimated(self, **more: Any) -> Estimate:
        module, function = str(self.estimator).split(".")
        estimator = getattr(import_module(f".estimators.{module}", __package__), function)
        estimate: Estimate = estimator(**self.arguments, **more)
        return estimate

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        others = [e for e in self.by_level.values() if e is not None]
        verdict = together(self.estimate, others, self.lowest, self.highest)
        return OUTSIDE if verdict == "contradicts" and self.outside else verdict

    @property
    def tier(self) -> str:
        """The tier of the runs behind the estimate, "exact" where theory needs none; empty without an estimate."""
        if self.estimate is None:
            return ""
        return ", ".join(sorted({r.config["tier"] for r in self.estimate.runs})) or "exact"

    @property
    def ours(self) -> str:
        """The estimate and its interval; empty without one."""
        return str(self.estimate) if self.estimate else ""


def judge(estimate: Estimate | None, lowest: float, highest: float) -> str:
    """The verdict on an interval, given the range of numbers that agree with the claim."""
    if estimate is None:
        return "not tested"
    if not estimate.low <= estimate.value <= estimate.high:
        raise ValueError(f"{estimate.value} lies outside its own interval [{estimate.low}, {estimate.high}]")
    if lowest <= estimate.low and estimate.high <= highest:
        return "reproduced"
    if highest < estimate.low or estimate.high < lowest:
        return "contradicts"
    middle, far = (lowest + highest) / 2, FAR * (highest - lowest) / 2  # infinite where the claim has one end only
    return "inconclusive" if estimate.low <= middle - far or middle + far <= estimate.high else "consistent"


def together(estimate: Estimate | None, others: Sequence[Estimate], lowest: float, highest: float) -> str:
    """Return one verdict from that on an estimate and those on the same number at other levels.

    A level agrees if its value lies in the range that agrees and its interval is not too wide to say so. Where some
    levels agree and some contradict, the claim depends on the level; where some contradict and no level has its value
    in the range, it is contradicted, and wide intervals do not change that. What is reproduced at one level and less
    than that at another is consistent.
    """
    verdict = judge(estimate, lowest, highest)
    judged = [(e, judge(e, lowest, highest)) for e in (estimate, *others) if e is not None]
    everywhere = {word for _, word in judged}
    if "contradicts" in everywhere:
        within = {word for e, word in judged if lowest <= e.value <= highest}
        if within & {"reproduced", "consistent"}:
            return "depends on the level"
        if not within:
            return "contradicts"
        if verdict == "consistent":
            return "inconclusive"
    return "consistent" if verdict == "reproduced" and len(everywhere) > 1 else verdict


def tally(verdicts: Sequence[str]) -> str:
    """How many claims have each verdict, as a sentence ends after "of these,": "2 are reproduced and 1 is ..."."""
    counts = Counter(verdicts)
    parts = [f"{counts[verdict]} {SAID[verdict][counts[verdict] != 1]}" for verdict in VERDICTS if verdict in counts]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def load(path: Path | None = None, chapter: str | None = None) -> list[Claim]:
    """Return all claims, or those of a chapter; of book/claims.toml unless a path is given.

    ValueError names the row that is not as the file's header says.
    """
    path = path or checkout_root("The claims table") / "book" / "claims.toml"
    claims = [_claim(row) for row in tomllib.loads(read_text(path))["claim"]]
    if unknown := {c.chapter for c in claims} - set(CHAPTERS):
        raise ValueError(f"{path.name}: unknown chapter {', '.join(unknown)}; known: {', '.join(CHAPTERS)}")
    names = [c.id for c in claims]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: an id stands twice among {', '.join(names)}")
    chosen = [c for c in claims if chapter in (None, c.chapter)]
    if not chosen:
        raise ValueError(f"{path.name}: no claim of chapter {chapter!r}")
    return chosen


def later() -> list[Claim]:
    """Return the claims of later papers that the runs can test, of book/later-claims.toml."""
    return load(checkout_root("The claims table") / "book" / "later-claims.toml")


def _claim(row: dict[str, Any]) -> Claim:
    name = row.get("id", "a claim without id")
    if unknown := set(row) - KEYS:
        raise ValueError(f"claims.toml, {name}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(KEYS))}")
    if missing := {"id", "chapter", "text", "place", "paper"} - set(row):
        raise ValueError(f"claims.toml, {name}: {', '.join(sorted(missing))} missing")
    forms = [{"value", "margin"} <= set(row), "at_least" in row, "at_most" in row]
    if "arguments" in row and "estimator" not in row:
        raise ValueError(f"claims.toml, {name}: arguments go with an estimator")
    if "levels" in row and ("estimator" not in row or not isinstance(row["levels"], dict) or len(row["levels"]) != 1):
        raise ValueError(f"claims.toml, {name}: levels go with an estimator, as {{ argument = [values] }}")
    if sum(forms) != ("estimator" in row):
        raise ValueError(f"claims.toml, {name}: an estimator goes with value and margin, or at_least, or at_most")
    lowest, highest = row.get("at_least", -inf), row.get("at_most", inf)
    if forms[0]:
        lowest, highest = row["value"] - row["margin"], row["value"] + row["margin"]
    fields = {key: row[key] for key in ("id", "chapter", "text", "place", "paper")} | {
        "short": row.get("short", row["id"]),
        "outside": row.get("outside", ""),
        "why": row.get("why", ""),
        "earlier": _earlier(name, row["earlier"]) if "earlier" in row else None,
    }
    levels = next(((key, tuple(values)) for key, values in row.get("levels", {}).items()), None)
    called = {"estimator": row.get("estimator"), "arguments": row.get("arguments", {}), "levels": levels}
    return Claim(**fields, **called, lowest=lowest, highest=highest)


def _earlier(name: str, found: dict[str, str]) -> tuple[str, str]:
    if set(found) != {"verdict", "because"} or found["verdict"] not in VERDICTS:
        raise ValueError(f"claims.toml, {name}: earlier is {{ verdict = one of the verdicts, because = a sentence }}")
    return found["verdict"], found["because"]


def revised(path: Path | None = None) -> pd.DataFrame:
    """What has changed since the estimators were tested: claims whose verdict is another one, then those withdrawn.

    path: of one table; both, of the paper's and of other papers' claims, unless given.

    Columns: claim, then, now, because; all text.
    """
    book = checkout_root("The claims table") / "book"
    paths = [path] if path else [book / "claims.toml", book / "later-claims.toml"]
    changed = [(c.text, c.earlier[0], c.verdict, c.earlier[1]) for one in paths for c in load(one) if c.earlier]
    gone = [(row["text"], row["verdict"], "withdrawn", row["because"])
            for one in paths for row in tomllib.loads(read_text(one)).get("withdrawn", [])]  # fmt: skip
    rows = [row for row in changed if row[1] != row[2]] + gone
    return pd.DataFrame(rows, columns=["claim", "then", "now", "because"])


def table(claims: list[Claim]) -> pd.DataFrame:
    """The claims with estimates and verdicts, one a row, every column text; a column for each other tier."""
    rows = [(c.id, c.text, c.place, c.paper, c.call, c.ours, _range(c), c.tier, c.verdict) for c in claims]
    columns = ["id", "claim", "place", "paper", "estimator", "ours [95%]", "agrees if", "tier", "verdict"]
    found = pd.DataFrame(rows, columns=columns)
    for tier in sorted({tier for c in claims for tier in c.at_other_tiers}):
        found[f"{tier} [95%]"] = [str(c.at_other_tiers.get(tier, "")) for c in claims]
    return found


def show(claims: list[Claim], full: bool = False, whose: str = "In the paper") -> HTML:
    """The claims as an HTML table, a marked word for each verdict.

    `full`: chapter by chapter, with a link to each, and estimator, tier and runs folded under each claim. `whose`: the
    head of the last column.
    """
    body, chapter = [], ""
    for c in sorted(claims, key=lambda c: list(CHAPTERS).index(c.chapter)) if full else claims:
        if full and c.chapter != chapter:
            chapter = c.chapter
            page, title = CHAPTERS[chapter]
            body.append(
                f'<tr class="chapter"><th colspan="4" scope="rowgroup"><a href="{page}.html">{title}</a></th></tr>'
            )
        text = f'<span id="claim-{c.id}">{typeset(c.text)}</span>'
        if full and c.estimate:
            ids = ", ".join(f"<code>{r.id}</code>" for r in c.estimate.runs)
            source = f", tier {c.tier}, runs {ids}" if ids else ", exact: computed in the limit, without runs"
            text += f"<details><summary>how</summary><code>{escape(c.call)}</code>{source}{_levels(c)}</details>"
        name = re.sub(r"[^a-z]+", "-", c.verdict)
        verdict = f'<span class="verdict verdict-{name}">{c.verdict}</span>'
        if c.verdict not in AGREE:
            said = [c.outside] * (c.verdict == OUTSIDE) + [c.why]
            verdict += "".join(f"<br><small>{typeset(sentence)}.</small>" for sentence in said if sentence)
        ours = f"{c.ours}<br><small>agrees if {_range(c)}</small>" if c.estimate else ""
        for tier, estimate in c.at_other_tiers.items():
            there = judge(estimate, c.lowest, c.highest)
            ours += f"<br><small>tier {tier}: {estimate}, {there}</small>"
        cells = [text, verdict, ours, f"{typeset(c.paper)}<br><small>{typeset(c.place)}</small>"]
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in ("Claim", "Verdict", "Ours [95%]", whose))
    table = f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return HTML(table)


def _levels(claim: Claim) -> str:
    """What comes out at other levels, as HTML; empty for a claim without them."""
    if claim.levels is None:
        return ""
    rows = [
        f"<li>{escape(claim.levels[0])} = {level:g}: "
        + (f"{e}, {judge(e, claim.lowest, claim.highest)}" if e else "too few runs reach it")
        + "</li>"
        for level, e in claim.by_level.items()
    ]
    return f"<p>At other levels:</p><ul>{''.join(rows)}</ul>"


def _range(claim: Claim) -> str:
    if claim.estimator is None:
        return ""
    if claim.highest == inf:
        return f"at least {claim.lowest:g}"
    return f"at most {claim.highest:g}" if claim.lowest == -inf else f"{claim.lowest:g} to {claim.highest:g}"
