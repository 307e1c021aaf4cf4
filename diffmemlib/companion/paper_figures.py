"""From each figure of the paper to ours: book/paper-figures.toml says where it is, and the claims how it came out."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from IPython.display import HTML

from ..places import checkout, checkout_root
from .claims import VERDICTS, Claim


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper, or a half of one: its number, what it shows, and our page with the names of our figures.

    lacks: what ours do not have, and where else it is; else empty.
    """

    number: str
    shows: str
    page: str
    figures: tuple[str, ...]
    lacks: str = ""


def load(path: Path | None = None) -> list[PaperFigure]:
    """The figures in the paper's order."""
    path = path or checkout_root("The table of the paper's figures") / "book" / "paper-figures.toml"
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["figure"]
    return [PaperFigure(**{**row, "figures": tuple(row["figures"])}) for row in rows]


def redraws(name: str) -> str:
    """The paper's figures that one of ours redraws, such as "Fig. 9 left and Fig. 10"; "" for none.

    name: of ours, such as fig-images. Outside of a copy of the repository no table is known, and none is told.
    """
    if checkout() is None:
        return ""
    return " and ".join(f"Fig. {figure.number}" for figure in load() if name in figure.figures)


def title(page: str) -> str:
    """The first heading of a page of the book, a notebook's pair or a text."""
    book = checkout_root("The title of a page") / "book"
    files = {book / f"{page}.py": r"^# # (.+)$", book / f"{page}.md": r"^# (.+)$"}
    file, pattern = next((file, pattern) for file, pattern in files.items() if file.is_file())
    heading = re.search(pattern, file.read_text(encoding="utf-8"), re.M)
    return heading[1] if heading else page


def belongs(claim: Claim, number: str) -> bool:
    """Whether a claim's place names this figure, such as 9 left; a place without a side belongs to both halves."""
    figure, _, side = number.partition(" ")
    places = re.findall(r"Figs?\. (\d+)([^,(]*)|, (\d+)(?=[,)]|$)", claim.place)
    for first, words, more in places:
        sides = {s for s in ("left", "right") if s in words}
        if (first or more) == figure and (not side or not sides or side in sides):
            return True
    return False


def judged(claims: Sequence[Claim], number: str) -> tuple[str, str]:
    """The verdicts on the claims that name a figure, counted, and the tiers of their runs; as text."""
    own = [c for c in claims if belongs(c, number)]
    verdicts, tiers = Counter(c.verdict for c in own), sorted({c.tier for c in own} - {""})
    return ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if v in verdicts) or "no claim", ", ".join(tiers)


def as_markdown(claims: Sequence[Claim]) -> str:
    """The same table for README.md, a row for each figure that is redrawn; a test holds the two together."""
    rows = ["| Figure of the paper | Page of the book | Verdicts on its claims | Tier |", "| --- | --- | --- | --- |"]
    for figure in load():
        if figure.figures:
            told, tiers = judged(claims, figure.number)
            rows.append(f"| {figure.number}: {figure.shows} | `{figure.page}` | {told} | {tiers} |")
    return "\n".join(rows)


def show(claims: Sequence[Claim]) -> HTML:
    """The table: number, what it shows, our figures as links, and verdicts and tiers of the claims that name it."""
    body = []
    for figure in load():
        told, tiers = judged(claims, figure.number)
        links = " ".join(
            f'<a href="{figure.page}.html#{name}">{i}</a>' for i, name in enumerate(figure.figures, start=1)
        )
        here = f'<a href="{figure.page}.html">{escape(title(figure.page))}</a>'
        here += f": figures {links}" if links else ""
        lacks = f"<br><small>not here: {escape(figure.lacks)}</small>" if figure.lacks else ""
        cells = (f"Fig. {figure.number}", escape(figure.shows) + lacks, here, told, tiers)
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("The paper", "It shows", "Here", "Verdicts on its claims", "Tier"))
    return HTML(f'<table class="wide"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>')
