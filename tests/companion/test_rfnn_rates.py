"""The exponent of the smallest score error by the size of a step: made runs whose exponent is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmemlib.companion.estimators import Estimate, rfnn_rates
from diffmemlib.companion.figures import rfnn as draw
from diffmemlib.companion.figures.names import Names
from diffmemlib.runs.store import Result


def made(lr: float, psi_n: float, seed: int, eta: float, lowest_at: int = 12) -> Result:
    """A score error with its minimum psi_n^-eta at step `lowest_at`, a parabola in the logarithm of time."""
    steps = np.unique(np.geomspace(1, 100, 40).round()).astype(int)
    error = psi_n**-eta * (1 + np.log(steps / lowest_at) ** 2) * (1 + 0.01 * seed)
    table = pd.DataFrame({"step": steps, "metric": "score_error", "value": error, "low": error, "high": error})
    config = {"d": 50, "lr": lr, "psi_n": psi_n, "seed": seed, "tier": "smoke"}
    return Result(Path(f"made-{lr}-{psi_n}-{seed}"), config, table, {"complete": True})


RUNS = [made(lr, n, seed, eta) for lr, eta in ((2500, 0.9), (250, 0.6)) for n in (4, 8, 16) for seed in (0, 1)]


def test_each_size_of_a_step_has_its_exponent() -> None:
    found = rfnn_rates.eta_by_step(RUNS)
    assert list(found) == [1.0, 0.1]
    assert [e.value for e in found.values()] == pytest.approx([0.9, 0.6], abs=1e-6)
    assert all(e.low < e.value < e.high and len(e.runs) == 6 for e in found.values())


def test_the_smallest_error_and_its_time_are_those_of_the_run() -> None:
    table = rfnn_rates.smallest([made(2500, 4, 0, 0.5)])
    assert table.loc[0, "score_error"] == pytest.approx(0.5, rel=2e-3)
    assert table.loc[0, "tau"] == pytest.approx(12, rel=0.1)


def test_a_run_that_was_still_getting_better_is_refused() -> None:
    with pytest.raises(ValueError, match="smallest E_score is its last one; give it more steps"):
        rfnn_rates.smallest([made(2500, 4, 0, 0.5, lowest_at=500)])


def test_the_figure_has_a_line_for_each_size_and_the_limit() -> None:
    limit = pd.DataFrame({"psi_n": [4.0, 8.0, 16.0], "score_error": [0.4, 0.25, 0.16]})
    figure, table = draw.rates(RUNS, 0.59, limit, {50: Estimate(0.6, 0.55, 0.65, ())})
    assert len(table) == 12
    (names,) = [artist for artist in figure.axes[0].artists if isinstance(artist, Names)]
    assert [text.get_text() for text in names.texts] == ["a step is 0.1", "a step is 1", "gradient flow, limit"]
