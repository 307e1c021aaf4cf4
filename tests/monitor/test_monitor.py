"""The monitor: what it counts, what it says, what it keeps, and what it refuses."""

import json
import warnings

import numpy as np
import pytest
import torch

from diffmemlib import MemorizationMonitor, memorized_fraction
from diffmemlib.monitor.figure import history


def points(count: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def monitor() -> MemorizationMonitor:
    return MemorizationMonitor(points(300), points(1000, seed=1))


def samples(train: torch.Tensor, copies: int, seed: int, count: int = 512) -> torch.Tensor:
    """New points, of which some are moved to within rounding of a training point."""
    x = points(count, train.shape[1], seed)
    x[:copies] = train[:copies] + 1e-3
    return x


def test_it_counts_what_memorized_fraction_counts(monitor):
    x = samples(points(300), 20, seed=2)
    look, found = monitor.update(100, x), memorized_fraction(x, points(300))
    assert (look.f_mem, look.low, look.high) == (found.value, found.low, found.high)
    assert (look.samples, look.copies) == (512, round(512 * found.value))


def test_it_says_stop_for_copies_and_not_for_fresh_data(monitor):
    for i in range(10):
        assert not monitor.update(100 * (i + 1), samples(points(300), 0, seed=3 + i)).stop
    needed = monitor.copies_to_stop(512)
    assert needed is not None and 5 < needed < 20
    assert not monitor.update(1100, samples(points(300), needed - 1, seed=20)).stop
    assert monitor.update(1200, samples(points(300), needed, seed=21)).stop
    assert monitor.update(1300, samples(points(300), 0, seed=22)).stop, "what was said is not taken back"
    assert (monitor.copies_to_stop(512), monitor.power(0.0, 512)) == (0, 1.0)


def test_the_number_that_stops_is_the_one_it_gave(monitor):
    needed = monitor.copies_to_stop(512)
    assert monitor.update(100, samples(points(300), needed, seed=2)).stop


def test_held_out_data_that_the_network_sees_are_refused_or_told():
    train, fresh = points(300), points(1000, seed=1)
    with pytest.raises(
        ValueError, match="300 of 300 held-out points equal a training point: give data that the network"
    ):
        MemorizationMonitor(train, train)
    with pytest.warns(UserWarning, match="7 of 1007 held-out points equal a training point and count as copies"):
        monitor = MemorizationMonitor(train, torch.cat([fresh, train[:7]]))
    assert monitor.baseline_copies == 7


def test_pictures_on_another_scale_are_told():
    """From -1 to 1 beside from 0 to 1, the commonest mistake: no sample is then near to anything."""
    unit = torch.rand(200, 30, generator=torch.Generator().manual_seed(0))
    fresh = torch.rand(400, 30, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=r"held_out run from [\d.e-]+ to 1 and train from -1 to 1: bring them"):
        MemorizationMonitor(2 * unit - 1, fresh)
    with pytest.raises(ValueError, match=r"held_out run from -.* and train from .*: bring them to one scale"):
        MemorizationMonitor(unit, 2 * fresh - 1)
    monitor = MemorizationMonitor(unit, fresh)
    with pytest.warns(UserWarning, match=r"samples run from -.* and train from .*: are they on one scale"):
        monitor.update(1, 2 * unit - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        monitor.update(2, 2 * unit - 1)
        MemorizationMonitor(unit, fresh).update(1, unit[:50])


def test_other_versions_of_training_points_are_no_held_out_data():
    train = points(300)
    with pytest.raises(ValueError, match="300 of 300 held-out points lie as near to a training point as a copy"):
        MemorizationMonitor(train, train + 1e-3)


def test_features_are_one_row_a_point():
    with pytest.raises(ValueError, match="features returned 1 rows for 256 points: return one row a point"):
        MemorizationMonitor(points(300), points(300, seed=1), features=lambda x: x[:1])


def test_too_few_held_out_points_are_told():
    with pytest.warns(
        UserWarning, match="with 30 held-out points, 0 .* it takes (1[0-9][0-9]) copies among 512"
    ) as told:
        monitor = MemorizationMonitor(points(300), points(30, seed=1))
    assert f"it takes {monitor.copies_to_stop(512)} copies" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MemorizationMonitor(points(300), points(200, seed=1))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.update("a", points(10)), "step = 'a': give the number of steps"),
        (lambda m: m.update(None, points(10)), "step = None"),
        (lambda m: m.update(10, loss_train="low"), "loss_train = 'low': give one number"),
        (lambda m: m.update(10, loss_test=torch.ones(3)), "loss_test = .*: give one number, the mean"),
        (lambda m: m.update(10, [[1.0, 2.0], [1.0]]), "samples is no array of points of one shape"),
        (lambda m: MemorizationMonitor(points(9), points(9), features="vgg"), "features = 'vgg': give a function"),
    ],
)
def test_what_is_no_step_loss_or_function_is_told(monitor, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(monitor)
    assert monitor.looks == []


def test_power_is_that_of_the_binomial_distribution(monitor):
    from scipy import stats

    needed = monitor.copies_to_stop(512)
    assert monitor.power(0.02, 512) == pytest.approx(stats.binom.sf(needed - 1, 512, 0.02), abs=0.04)
    assert monitor.power(0.02, 512, looks=3) > 0.95
    assert monitor.power(0.0, 512) == 0


def test_data_with_near_duplicates_raise_no_false_alarm():
    """Held-out points beside training points meet the criterion: the baseline holds them."""
    train = points(300)
    near = train[torch.arange(1000) % 300] + 0.01 * points(1000, seed=5)
    held_out = torch.where(
        torch.rand(1000, 1, generator=torch.Generator().manual_seed(6)) < 0.1, near, points(1000, seed=7)
    )
    monitor = MemorizationMonitor(train, held_out)
    assert 0.07 < monitor.baseline < 0.13
    for i in range(6):
        assert not monitor.update(100 + i, samples(train, 51, seed=30 + i)).stop
    assert monitor.update(200, samples(train, 200, seed=40)).stop


def test_training_points_of_which_no_copy_can_be_told_are_told():
    train = points(300)
    train[100:200] = train[:100] + 1e-4
    with pytest.warns(UserWarning, match="200 of 300 training points have a near-duplicate"):
        monitor = MemorizationMonitor(train, points(1000, seed=1))
    look = monitor.update(100, samples(train, 100, seed=2))
    assert look.blind >= 100 and look.copies < 5


def test_data_of_few_dimensions_raise_no_alarm_of_near_duplicates():
    """On a line many points have a neighbour much nearer than the next, whatever the data."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MemorizationMonitor(points(500, d=1), points(500, d=1, seed=1))


def test_features_decide_what_a_copy_is():
    """Pictures shifted by one pixel are no copies in pixels, and are in a feature that does not see shifts."""
    g = torch.Generator().manual_seed(0)
    train, held_out = torch.rand(200, 1, 8, 8, generator=g), torch.rand(800, 1, 8, 8, generator=g)
    moved = train.roll(1, dims=3)

    def spectrum(x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(x).abs()

    assert not MemorizationMonitor(train, held_out).update(1, moved).stop
    look = MemorizationMonitor(train, held_out, features=spectrum).update(1, moved)
    assert look.stop and look.f_mem == 1


def test_what_it_has_seen_goes_through_json_and_on(monitor):
    monitor.update(100, samples(points(300), 8, seed=2), loss_train=0.5, loss_test=0.6)
    monitor.update(np.int64(200), loss_train=0.4, loss_test=0.6)
    again = MemorizationMonitor(points(300), points(1000, seed=1))
    again.load_state_dict(json.loads(json.dumps(monitor.state_dict())))
    for one in (monitor, again):
        one.update(300, samples(points(300), 12, seed=3))
    assert again.table().equals(monitor.table())
    assert again.stop and again.looks[-1].evidence == monitor.looks[-1].evidence


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"train": points(300, seed=9)}, "train"),
        ({"held_out": points(1000, seed=3)}, "held_out"),
        ({"alpha": 0.1}, "alpha"),
        ({"k": 0.4}, "k"),
        ({"tolerance": 0.01}, "tolerance"),
    ],
)
def test_the_state_of_another_monitor_is_refused_by_name(monitor, other, named):
    theirs = MemorizationMonitor(**{"train": points(300), "held_out": points(1000, seed=1)} | other)
    with pytest.raises(ValueError, match=f"another monitor: its {named} is"):
        monitor.load_state_dict(theirs.state_dict())


def test_losses_alone_cost_no_samples_and_change_no_evidence(monitor):
    first = monitor.update(100, samples(points(300), 3, seed=2))
    second = monitor.update(150, loss_train=0.3, loss_test=0.5)
    assert second.samples == 0 and np.isnan(second.f_mem)
    assert second.evidence == first.evidence


def test_the_gap_of_the_losses_is_told_and_since_when_it_stays():
    monitor = MemorizationMonitor(points(100), points(100, seed=1))
    for step, (train, test) in {10: (0.5, 0.6), 20: (0.58, 0.6), 30: (0.5, 0.6), 50: (0.3, 0.6)}.items():
        monitor.update(step, loss_train=train, loss_test=test)
    monitor.update(60, loss_test=0.6)
    assert monitor.losses_apart_since() == 30, "at 20 they were together again, and 60 says nothing"
    assert monitor.losses_apart_since(0.4) == 50 and monitor.losses_apart_since(0.9) is None
    assert monitor.table()["gap"].tolist() == pytest.approx([1 / 6, 1 / 30, 1 / 6, 0.5, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="gap = 0: a share"):
        monitor.losses_apart_since(0)


def test_milestones_are_even_in_log_tau_or_what_is_given():
    monitor = MemorizationMonitor(points(30), points(50, seed=1), milestones=[30, 10, 20, 10])
    assert monitor.milestones == (10, 20, 30)
    default = MemorizationMonitor(points(30), points(50, seed=1)).milestones
    assert default[0] == 100 and default[8] == 1000 and default[-1] == 10**8
    assert {int(x) for x in np.diff(np.log10(default)) * 8 + 0.5} == {1}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"alpha": 0}, "alpha = 0: the rate of false alarms lies between 0 and 1"),
        ({"tolerance": 0.9}, "tolerance = 0.9: a share of samples"),
        ({"k": 2.0}, "k = 2.0"),
        ({"train": points(1)}, "fewer than 2 points"),
        ({"held_out": points(50, d=15)}, "held_out have shape"),
        ({"held_out": points(50) * float("nan")}, "held_out holds NaN"),
        ({"features": lambda x: x * float("nan")}, "the features of train holds NaN"),
        ({"milestones": []}, "milestones is empty"),
        ({"milestones": [0, 10]}, "milestones holds 0"),
    ],
)
def test_what_cannot_be_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        MemorizationMonitor(**{"train": points(30), "held_out": points(50, seed=1)} | change)


def test_a_bad_look_is_refused_and_not_kept(monitor):
    monitor.update(100, samples(points(300), 0, seed=2))
    for step, x, sentence in (
        (100, points(10), "step 100 is not later than step 100"),
        (200, points(10, d=3), "samples have shape"),
        (200, points(10) * float("inf"), "samples holds NaN or infinite"),
        (200, None, "give samples, losses, or both"),
    ):
        with pytest.raises(ValueError, match=sentence):
            monitor.update(step, x)
    assert len(monitor.looks) == 1


def test_the_figure_shows_every_look_and_the_line_to_cross(monitor):
    with pytest.raises(ValueError, match="call update first"):
        history(monitor)
    for i in range(4):
        monitor.update(100 * 2**i, samples(points(300), 3 * i, seed=2 + i), loss_train=1 / (i + 1), loss_test=0.5)
    figure = monitor.figure()
    share, evidence, loss = figure.axes
    assert len(share.lines[0].get_xdata()) == 4
    np.testing.assert_allclose(evidence.lines[0].get_ydata(), monitor.table()["evidence"])
    assert evidence.lines[1].get_ydata()[0] == 20
    assert [line.get_label() for line in loss.lines] == ["training data", "held-out data"]


def test_a_state_made_with_other_features_is_refused():
    train, held_out = points(100), points(400, seed=1)
    state = MemorizationMonitor(train, held_out, features=lambda x: 2 * x).state_dict()
    MemorizationMonitor(train, held_out, features=lambda x: (2 + 1e-6) * x).load_state_dict(state)  # rounded otherwise
    MemorizationMonitor(train, held_out).load_state_dict(
        {key: value for key, value in MemorizationMonitor(train, held_out).state_dict().items() if key != "of_features"}
    )
    for other in (None, lambda x: x):
        with pytest.raises(ValueError, match="the state is that of another monitor"):
            MemorizationMonitor(train, held_out, features=other).load_state_dict(state)
