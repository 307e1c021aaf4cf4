"""The theory that the book computes in the browser is that of diffmemlib.rfnn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmemlib.rfnn.coefficients import coefficients
from diffmemlib.rfnn.learning_curves import learning_curves
from diffmemlib.rfnn.model import Model
from diffmemlib.rfnn.spectrum import spectral_density, spectrum

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / "book" / "_static" / "live"
ACTIVATIONS = {"tanh": np.tanh, "sin": np.sin, "arctan": np.arctan}
TIMES = [0.1, 3.0, 20.0, 1e3, 1e5, 1e7]
ONE, TWO = ((1.0, 1.0),), ((0.4, 0.5), (1.6, 0.5))

AVERAGED = [
    {"psiP": p, "psiN": n, "t": t, "covariance": covariance}
    for (p, n), (t, covariance) in product(
        [(1, 4), (8, 3), (64, 8), (64, 64), (512, 16), (16, 256)], [(0.01, ONE), (0.1, TWO), (1.0, ONE)]
    )
]
OTHERS: list[dict[str, Any]] = [
    {"psiP": 4, "psiN": 2, "t": 0.3, "noises": 3},
    {"psiP": 64, "psiN": 8, "t": 0.1, "noises": 1},
    {"psiP": 8, "psiN": 16, "t": 0.2, "noises": 20, "covariance": TWO},
    {"psiP": 64, "psiN": 8, "t": 0.1, "ridge": 0.1},
    {"psiP": 3, "psiN": 2, "t": 0.2, "noises": 4, "covariance": TWO, "ridge": 1e-3},
    {"psiP": 64, "psiN": 8, "t": 0.1, "activation": "sin"},
    {"psiP": 16, "psiN": 4, "t": 0.5, "activation": "arctan", "covariance": TWO},
]

# Nodes are doubled until two rules agree, as the page does.
LOSSES = """({ridge, times, ...parameters}) => {
  const model = new RandomFeatures.Model(parameters);
  let before = null;
  for (const nodes of [200, 400, 800, 1600]) {
    const at = RandomFeatures.learningCurves(model, {ridge: ridge ?? 0, longest: Math.max(...times), nodes});
    const now = times.map(at).map(({train, test, score}) => [train, test, score]);
    const agree = (v, w) => Math.abs(v - w) < 1e-9 * Math.max(1, Math.abs(v));
    if (before && now.every((row, i) => row.every((v, j) => agree(v, before[i][j])))) return now;
    before = now;
  }
  return null;
}"""


@pytest.fixture(scope="module")
def evaluate(chromium: Any) -> Iterator[Any]:
    """A function (script, argument) -> value that runs in a page which has loaded theory.js and chart.js."""
    page = chromium.new_page()
    for script in ("theory.js", "chart.js"):
        page.add_script_tag(path=LIVE / script)
    yield page.evaluate
    page.close()


def called(parameters: dict[str, Any]) -> dict[str, Any]:
    """The same parameters as diffmemlib names them."""
    python = {"psiP": "psi_p", "psiN": "psi_n"}
    named = {python.get(name, name): value for name, value in parameters.items()}
    return named | ({"activation": ACTIVATIONS[named["activation"]]} if "activation" in named else {})


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("t", "variance"), [(0.01, 1.0), (0.3, 1.7), (3.0, 0.5)])
def test_coefficients_are_the_librarys(evaluate: Any, activation: str, t: float, variance: float) -> None:
    found = evaluate(
        "([t, variance, name]) => RandomFeatures.coefficients(t, variance, RandomFeatures.ACTIVATIONS[name])",
        [t, variance, activation],
    )
    expected = coefficients(t, variance, ACTIVATIONS[activation])
    assert [found[name] for name in expected._fields] == pytest.approx(list(expected), rel=1e-11)


@pytest.mark.parametrize("parameters", AVERAGED + OTHERS, ids=str)
def test_losses_are_the_librarys(evaluate: Any, parameters: dict[str, Any]) -> None:
    found = evaluate(LOSSES, {**parameters, "times": TIMES})
    assert found is not None, "no two rules agreed"
    expected = learning_curves(TIMES, **called(parameters))
    for column, name in enumerate(("train", "test", "score_error")):
        values = getattr(expected, name)
        np.testing.assert_allclose([row[column] for row in found], values, rtol=1e-8, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("parameters", AVERAGED + [p for p in OTHERS if "ridge" not in p], ids=str)
def test_the_spectrum_is_the_librarys(evaluate: Any, parameters: dict[str, Any]) -> None:
    found = evaluate("parameters => RandomFeatures.spectrum(new RandomFeatures.Model(parameters))", parameters)
    expected = spectrum(**called(parameters))
    edges = [edge for part in expected.bulks for edge in (part.low, part.high)]
    assert [part[end] for part in found["bulks"] for end in ("low", "high")] == pytest.approx(edges, rel=1e-9)
    assert [part["mass"] for part in found["bulks"]] == pytest.approx([b.mass for b in expected.bulks], rel=5e-3)
    assert found["delta"]["weight"] == pytest.approx(expected.delta_weight, abs=1e-12)
    times = [found["tauGen"], found["tauMem"]]
    assert times == pytest.approx([expected.tau_gen, expected.tau_mem], rel=1e-9, nan_ok=True)
    middle = [part[name][len(part[name]) // 2] for part in found["bulks"] for name in ("lambda", "density")]
    np.testing.assert_allclose(middle[1::2], spectral_density(middle[::2], **called(parameters)), rtol=1e-6)


def test_a_solution_that_is_not_the_physical_one_is_not_taken(evaluate: Any) -> None:
    """The traces from a wrong guess are those from far above, and a made-up root is refused."""
    found = evaluate("""() => {
      const model = new RandomFeatures.Model({psiP: 64, psiN: 8, t: 0.1}), z = {re: 0.1, im: 1e-6};
      const right = model.traces(z), flipped = right.map(({re, im}) => ({re, im: -im}));
      return [model.proven(z, flipped), model.traces(z, flipped)[0], right[0]];
    }""")
    assert found[0] is False and found[1] == found[2]
    expected = Model.of(psi_p=64, psi_n=8, t=0.1)
    q = expected.traces_beside(np.array([0.1 + 1e-6j]))[0][0]
    assert complex(found[2]["re"], found[2]["im"]) == pytest.approx(complex(q), rel=1e-9)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0433, "0.0433"),
        (1000, "1,000"),
        (2139, "2,139"),
        (12345.6, "12,300"),
        (1e7, "10⁷"),
        (3e-5, "3 × 10⁻⁵"),
    ],
)
def test_numbers_are_shown_as_people_write_them(evaluate: Any, value: float, shown: str) -> None:
    assert evaluate("value => Chart.plain(value)", value) == shown
