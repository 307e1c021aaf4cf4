"""What f_mem is of data that no network has seen, counted by another library, and drawn under the curves."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree

from diffmemlib.companion.estimators import baseline
from diffmemlib.companion.figures import curves
from diffmemlib.companion.sweeps.tables import sweep_results


@pytest.mark.parametrize("sweep", ["mixture-n", "images-n"])
def test_the_shares_are_those_that_a_search_tree_counts(sweep: str, monkeypatch):
    monkeypatch.setattr(baseline, "FRESH", 3000)
    runs = [r for r in sweep_results(sweep, "laptop") if r.config["n"] == 64]
    shares = []
    for run in runs:
        train, fresh = (points.double().flatten(1).numpy() for points in baseline.train_and_fresh(run))
        assert len(train) == 64 and not {row.tobytes() for row in train} & {row.tobytes() for row in fresh}
        near, next_ = KDTree(train).query(fresh, 2)[0].T
        shares.append([np.mean(near < k * next_) for k in (1 / 4, 1 / 3, 1 / 2)])
    assert baseline.fresh_shares(runs).loc[64].tolist() == pytest.approx(np.max(shares, 0))
    assert 0 < np.max(shares) < 0.05


def test_by_chance_is_the_largest_share_of_all_sizes(monkeypatch):
    table = pd.DataFrame({"1/4": [0.0, 0.0], "1/3": [0.001, 0.003], "1/2": [0.2, 0.1]}, index=[64, 128])
    monkeypatch.setattr(baseline, "fresh_shares", lambda runs: table)
    assert baseline.by_chance([]) == 0.003


def test_the_baseline_is_drawn_under_each_curve_of_copies_and_no_other():
    runs = [r for r in sweep_results("mixture-n", "laptop") if r.config["n"] == 64]

    def dashed(axis) -> list[float]:
        return [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"]

    figure, _ = curves.quality_and_memory(runs, fresh=0.003)
    assert [dashed(axis) for axis in figure.axes] == [[], [], [0.003], [0.003]]
    figure, _ = curves.compared({"a": runs, "b": runs}, ("scaled", "seen"), 0.003)
    assert [dashed(axis) for axis in figure.axes] == [[0.003]] * 4
    figure, _ = curves.compared({"a": runs})
    assert dashed(figure.axes[0]) == []
