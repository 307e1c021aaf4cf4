"""The comparison of the measures of copying, as the page reads it."""

from diffmemlib.companion.estimators import copying
from diffmemlib.companion.figures.copying import LINES, detection

SEEN = {  # measure -> share of sets in which it sees 1%, 10% and 100% of copies, and that of a fault
    "late": (0.05, 0.1, 0.9, 0.6), "early": (0.9, 1.0, 1.0, 0.0), "odd": (0.9, 0.5, 1.0, 0.2),
    "never": (0.0, 0.0, 0.1, 0.0),
}  # fmt: skip
FOUND = {
    "nearness": {"copies": 0.001}, "shares": [0.01, 0.1, 1.0], "alarm": 0.05,
    "alarms": {
        "fresh": dict.fromkeys(SEEN, 0.05), "shifted": {name: of[3] for name, of in SEEN.items()},
        **{f"{share:g} copies": {name: of[i] for name, of in SEEN.items()} for i, share in enumerate((0.01, 0.1, 1.0))},
    },
}  # fmt: skip


def test_the_smallest_share_is_that_from_which_on_all_are_seen():
    least = {name: copying.smallest(FOUND, "copies", name) for name in SEEN}
    assert least == {"late": 1.0, "early": 0.01, "odd": 1.0, "never": None}


def test_the_table_begins_with_the_measure_that_sees_most():
    table = copying.table(FOUND)
    assert table.index.tolist() == ["early", "odd", "late", "never"]
    assert table["copies"].tolist() == ["1%", "100%", "100%", "none"]
    assert table.loc["late", "shifted"] == "60%"


def test_the_figure_has_a_line_for_each_measure_that_it_names():
    found = {
        **FOUND,
        "alarms": {kind: dict.fromkeys(LINES, 0.5) for kind in FOUND["alarms"]},
        "nearness": {"copies": 0.1, "b": 1},
    }
    found["alarms"] |= {f"{share:g} b": dict.fromkeys(LINES, 0.2) for share in FOUND["shares"]}
    figure, rows = detection(found)
    assert len(figure.axes) == 2 and set(rows["measure"]) == set(LINES)
    for axis, height in zip(figure.axes, (0.5, 0.2), strict=True):
        drawn = [line for line in axis.lines if line.get_label() in LINES]
        assert len(drawn) == len(LINES) and all((line.get_ydata() == height).all() for line in drawn)
