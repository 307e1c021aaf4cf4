"""Tables of numbers as a page shows them."""

import re

import pandas as pd

from diffmemlib.companion.estimators import Estimate
from diffmemlib.companion.figures.tables import estimates, frame, typeset


def cells(html: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_estimates_say_what_each_number_is():
    html = estimates("Exponents in n", {"tau_mem": Estimate(1.0, 0.9, 1.1, ()), "<other>": "none"}).data
    assert "<caption>Exponents in n</caption>" in html
    assert cells(html)[1:] == [["τ<sub>mem</sub>", "1.00 [0.90, 1.10]"], ["&lt;other&gt;", "none"]]


def test_a_frame_shows_its_named_index_once_and_no_other():
    table = pd.DataFrame({"W = 8": ["1", "2", "3"]})
    assert cells(frame("", table).data) == [["W = 8"], ["1"], ["2"], ["3"]]
    table.index = pd.MultiIndex.from_tuples([("tau_gen", 32), ("tau_gen", 64), ("tau_mem", 32)], names=["time", "n"])
    assert cells(frame("", table).data) == [
        ["time", "n", "W = 8"],
        ["τ<sub>gen</sub>", "32", "1"],
        ["", "64", "2"],
        ["τ<sub>mem</sub>", "32", "3"],
    ]


def test_letters_are_typeset_and_words_left_alone():
    assert typeset("psi_n, L_gen and tau_mem/n") == "ψ<sub>n</sub>, L<sub>gen</sub> and τ<sub>mem</sub>/n"
    assert typeset("tautology of field_names") == "tautology of field_names"
