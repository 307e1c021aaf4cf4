"""The exponent of the time of memorisation by each definition, against numbers computed apart."""

import numpy as np
import pytest

from diffmemlib.companion.estimators import rfnn, rfnn_exponents
from diffmemlib.rfnn.spectrum import spectrum


def test_the_edge_is_the_one_of_thirty_digits():
    """The lower edges of rho_1 at psi_p = 64, t = 0.1 that mpmath found: 0.06253, 0.02813 and 0.01487."""
    for psi_n, edge in ((8.0, 0.06253), (16.0, 0.02813), (32.0, 0.01487)):
        found = rfnn_exponents.times(64.0, psi_n, 0.1)["edge"]
        assert 64 / (-np.expm1(-0.2) * found) == pytest.approx(edge, rel=4e-4)


def test_where_features_are_many_every_definition_is_near_the_law():
    """psi_n from 64 to 512 at psi_p = 65536; at the edge the square root of their ratio is still felt."""
    row = rfnn_exponents.exponents((65536.0,), (64.0, 128.0, 256.0, 512.0)).iloc[0]
    for name in (f"{rfnn.GAP:g}", "10%", "30%", "50%"):
        assert row[name] == pytest.approx(1, abs=0.02), name
    assert 1 < row["edge"] < 1.06
    assert 1 <= row["factor"] < 1.2


def test_curves_collapse_where_features_are_many():
    """And the exponent of the edge is near 1 for them at any psi_n: its bulk is narrow there, and was once missed."""
    assert rfnn_exponents.collapse_factor(65536.0, psi_n=(8.0, 16.0, 32.0)).value < 1.2
    assert rfnn_exponents.edge_exponent(65536.0).value == pytest.approx(1, abs=0.06)
    few = rfnn_exponents.collapse_factor()
    ratios = [
        found["50%"] / found["edge"] for found in (rfnn_exponents.times(64.0, n, 0.1) for n in (4.0, 8.0, 16.0, 32.0))
    ]
    assert few.value == pytest.approx(max(ratios) / min(ratios)) and few.value > 3 and few.kind == "number"


def test_the_factor_of_the_collapse_is_that_of_the_extremes(monkeypatch):
    ratios = {4.0: 2.0, 8.0: 6.0, 16.0: 1.5, 32.0: 3.0}
    monkeypatch.setattr(rfnn_exponents, "times", lambda p, n, t: {"edge": 10.0, "50%": 10 * ratios[n]})
    assert rfnn_exponents.collapse_factor().value == pytest.approx(4)


def test_a_share_of_the_gap_is_reached_at_its_time_and_the_gap_is_that_of_the_end():
    found = rfnn_exponents.times(64.0, 8.0, 0.1)
    assert found["gap"] == pytest.approx(2.12, abs=0.01)
    half = rfnn.learning_curves(np.array([found["50%"]]), psi_p=64, psi_n=8, t=0.1)
    assert (half.test - half.train)[0] == pytest.approx(found["gap"] / 2, rel=2e-3)
    assert found["10%"] < found["30%"] < found["50%"]


def test_the_papers_definition_has_local_exponents():
    sizes = (8.0, 16.0, 32.0)
    edges = [spectrum(psi_p=64, psi_n=n, t=0.1).rho_1.low for n in sizes]
    local = [rfnn_exponents.edge_exponent(psi_n=sizes, from_psi_n=n).value for n in sizes[:-1]]
    assert local == pytest.approx(-np.diff(np.log(edges)) / np.log(2))
    assert min(local) < rfnn_exponents.edge_exponent(psi_n=sizes).value < max(local)
