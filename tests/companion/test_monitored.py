"""The monitor's page: a stored run watched after the event, and the shares of copies that can be told."""

import numpy as np
import pytest
from scipy import stats

from diffmemlib.companion.estimators import monitored
from diffmemlib.companion.figures.monitored import history
from diffmemlib.companion.sweeps.tables import sweep_results
from diffmemlib.monitor.evidence import copies_to_stop


@pytest.fixture(scope="module")
def run():
    return next(r for r in sweep_results("mixture-n") if r.config["n"] == 64 and r.config["seed"] == 0)


def test_a_stored_run_is_counted_from_its_stored_samples(run):
    table = monitored.watch(run).table()
    assert table["step"].tolist() == run.samples["step"].tolist()
    d = run.samples["distances"]  # measured when the run was made, before its samples were rounded to be stored
    np.testing.assert_allclose(table["f_mem"], (d[:, :, 0] < d[:, :, 1] / 3).mean(1), atol=0.011)
    np.testing.assert_array_equal(table["loss_test"], run.curve("loss_test")["value"])


def test_stop_is_said_between_the_first_copies_and_a_few_milestones_later(run):
    (row,) = monitored.stops([run]).to_dict("records")
    steps = run.samples["step"]
    late = np.searchsorted(steps, float(row["tau_mem"].replace(",", "")))
    assert steps[max(late - 2, 0)] <= row["stopped at step"] <= steps[late + 2]


def test_the_share_that_is_told_has_the_probability_that_is_said():
    table = monitored.detectable([1000], [256], looks=3)
    needed = copies_to_stop(256, 0.05, 0, 1000, before=([0] * 3, [256] * 3))
    assert needed is not None
    assert stats.binom.sf(needed - 1, 256, table.loc[1000, 256]) == pytest.approx(monitored.CHANCE)


def test_the_power_of_one_look_is_that_of_so_many_copies_or_more_and_looks_add_to_it():
    table = monitored.power([(1000, 0), (1000, 5), (10_000, 50)], looks=3).set_index(
        ["held-out points", "that meet the criterion"]
    )
    for (size, met), row in table.iterrows():
        needed = copies_to_stop(monitored.LOOK, 0.05, met, size)
        exact = stats.binom.sf(needed - 1, monitored.LOOK, monitored.COPIED)
        assert row[1] == pytest.approx(exact, abs=4 * (exact * (1 - exact) / monitored.TRAININGS) ** 0.5 + 1e-9)
    told = monitored.power([(1000, 0)], looks=8, f_mem=0.006).iloc[0, 2:]  # evidence that is now and then lost again
    assert (np.diff(told) >= 0).all(), "who has stopped has stopped"
    assert table.loc[(1000, 5), 3] < table.loc[(10_000, 50), 3], "the same rate, known better"


def test_the_figure_marks_where_stop_is_said(run):
    monitor = monitored.watch(run)
    figure, table = history(monitor)
    first = table.loc[table["stop"], "step"].min()
    assert all(axis.lines[-1].get_xdata()[0] == first for axis in figure.axes)
