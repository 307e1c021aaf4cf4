"""Every figure of the paper has its row, every link its figure, and each claim that names a figure is counted there."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from diffmemlib.companion import claims, paper_figures

BOOK = Path(__file__).parents[2] / "book"
ROWS = claims.load()


def test_the_papers_fifteen_figures_are_all_there() -> None:
    numbers = [int(f.number.split()[0]) for f in paper_figures.load()]
    assert sorted(set(numbers)) == list(range(1, 16)) and numbers == sorted(numbers)


@pytest.mark.parametrize("figure", paper_figures.load(), ids=lambda f: f.number)
def test_each_link_leads_to_a_figure_of_its_page(figure: paper_figures.PaperFigure) -> None:
    page = BOOK / f"{figure.page}.py"
    text = page.read_text(encoding="utf-8") if figure.figures else ""
    assert figure.figures or (BOOK / f"{figure.page}.md").is_file()
    assert all(f'"name": "{name}"' in text for name in figure.figures)


@pytest.mark.parametrize("figure", paper_figures.load(), ids=lambda f: f.number)
def test_what_stands_under_a_figure_names_the_papers(figure: paper_figures.PaperFigure) -> None:
    """By the name of its data, which is that of the figure."""
    text = (BOOK / f"{figure.page}.py").read_text(encoding="utf-8") if figure.figures else ""
    for name in figure.figures:
        assert f"Fig. {figure.number}" in paper_figures.redraws(name)
        called = re.findall(r"record(?:_live|_stored)?\((.*?)\)\n", text, re.S)
        assert any(f'"{name.removeprefix("fig-")}"' in arguments for arguments in called), name
    assert paper_figures.redraws("fig-none") == ""


@pytest.mark.parametrize(
    ("place", "numbers"),
    [
        ("Fig. 9 left, B.2", {"9 left"}),
        ("Fig. 7 right", {"7 right"}),
        ("Figs. 2 right, 6", {"2", "6"}),
        ("Sect. 3, Figs. 5, 11", {"5", "11"}),
        ("Fig. 2 middle (images), here on the mixture", {"2"}),
        ("Sect. 3, Theorem 3.2", set()),
        ("Fig. 9, B.2", {"9 left", "9 right"}),
    ],
)
def test_a_claims_place_says_which_figures_it_belongs_to(place: str, numbers: set[str]) -> None:
    claim = replace(ROWS[0], place=place)
    assert {f.number for f in paper_figures.load() if paper_figures.belongs(claim, f.number)} == numbers


def test_the_readme_has_the_same_table() -> None:
    """If not: put `paper_figures.as_markdown(claims.load())` in its place."""
    readme = (BOOK.parent / "README.md").read_text(encoding="utf-8")
    found = readme[readme.index("| Figure of the paper |") :].split("\n\n")[0]
    assert found == paper_figures.as_markdown(ROWS)


def test_the_table_tells_verdicts_and_tiers() -> None:
    judged = [c for c in ROWS if c.id in ("gmm-tau-mem-n", "gmm-tau-gen-width")]
    table = paper_figures.show(judged).data
    row = next(row for row in table.split("<tr>") if "Fig. 9 left" in row)
    assert f"1 {judged[0].verdict}" in row and f"<td>{judged[0].tier}</td>" in row
    assert "no claim" in next(row for row in table.split("<tr>") if "Fig. 15" in row)


def test_pages_are_called_by_their_titles() -> None:
    assert paper_figures.title("images") == "Images: training-set size"
    assert paper_figures.title("live-theory") == "Live theory"


def test_no_claim_that_names_a_figure_is_left_out() -> None:
    named = [c for c in ROWS if re.search(r"Figs?\. ", c.place)]
    numbers = [f.number for f in paper_figures.load()]
    assert [c.id for c in named if not any(paper_figures.belongs(c, n) for n in numbers)] == []
