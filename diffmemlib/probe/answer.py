"""From the runs of a probe to the answer: when samples are good, when copies come, and where to stop with all data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import pandas as pd

from ..timescales.crossings import Timescale, first_crossing, share_crossing
from ..timescales.power_laws import Interval, exponent, geometric_mean
from ..timescales.prediction import STEEPER, predict
from .data import Kind
from .pilot import Pilot
from .training import Run

WIDEST = 10.0  # ratio of value and low end of an interval that still says something
GOOD = 2.0  # times the distance of the training points themselves
Status = Literal["window", "no window", "not good", "no copies", "from the start", "too few", "nothing"]


@dataclass(frozen=True)
class Answer:
    """How long one may train on all points, by the network of the probe.

    Parameters
    ----------
    status : str
        "window", stop between tau_gen and the low end of tau_mem; "no window", that low end comes before the samples
        are good; "not good", no samples became good at the largest n; "no copies", no run saw copies; "from the
        start", all that did had them at the first look; "too few" runs saw them to tell how their time grows with n;
        "nothing", no run was measured.
    n : int
        All points.
    tau_gen : tuple or None
        Step from which on samples are good in the largest trainings, with the ends of its 95% interval on all points;
        see `tau_gen_of`.
    tau_mem : tuple or None
        Steps at which copies come in one more run, on n points, with the ends of its 95% interval.
    stop : float or None
        Step to stop at: the low end of tau_mem.
    longest : float
        The last step at which a run was measured.
    later_with_more : bool
        Whether tau_gen grows with n in the runs, and may be later on all points.
    largest : int
        Points of the largest training.
    """

    status: Status
    n: int
    tau_gen: Interval | None
    tau_mem: Interval | None
    stop: float | None
    longest: float
    later_with_more: bool = False
    largest: int = 0


def good_level(run: Run) -> float:
    """Return the distance from which on the samples of a run count as good.

    It is twice that of its own training points, which say what n points can tell of the data, or that of the Gaussian
    with the data's mean and covariance where this is more.
    """
    return max(run.gaussian_distance, GOOD * run.copies_distance)


def good_from(run: Run) -> Timescale:
    """Return when the distance of a run's samples first falls to its level."""
    curve = run.curve("distance")
    return first_crossing(curve["step"], curve["value"], good_level(run), rising=False)


def copies_from(run: Run) -> Timescale:
    """Return when f_mem reaches the level at which copies have come; see `training.copies_level`, `share_crossing`."""
    curve = run.curve("f_mem")
    return share_crossing(curve["step"], curve["value"], run.samples, run.level)


def times(runs: Sequence[Run]) -> pd.DataFrame:
    """Return n, seed, good_from and copies_from (a `Timescale` each) of every run that was measured."""
    rows = [(r.n, r.seed, good_from(r), copies_from(r)) for r in runs]
    table = pd.DataFrame(rows, columns=["n", "seed", "good_from", "copies_from"])
    return table.sort_values(["n", "seed"], ignore_index=True)


def tau_mem_at(runs: Sequence[Run], n: float) -> Interval | None:
    """Return tau_mem of one more run on n points, by `predict`; None where its low end is below a tenth of it."""
    try:
        found = predict([r.n for r in runs], [copies_from(r) for r in runs], n, powers=STEEPER)
    except ValueError:
        return None
    return found if found[0] < WIDEST * found[1] else None


def tau_gen_of(runs: Sequence[Run], n: float | None = None) -> Interval | None:
    """Return when samples become good at the largest size at which they did, with an interval; None where they did not.

    The value is the geometric mean of the runs of that size, which is nearest to all data. Whether this time goes on to
    grow with the size as it did so far, or stays, is not known. So the interval goes from the low end of what `predict`
    tells of one more run of that size to the high end of what it tells of n points. It is [0, inf] for one run, where
    no growth can be told, and where an end is more than ten times away. Where a run on more points went on past that
    time and its samples were not good, they did not become good.

    Parameters
    ----------
    runs
        Of one probe.
    n
        Points that the interval is for; the largest size unless given.
    """
    found = [(r.n, good_from(r)) for r in runs]
    largest = max((size for size, time in found if time.status != "censored"), default=0)
    at_largest = [time for size, time in found if size == largest]
    if 2 * sum(time.status != "censored" for time in at_largest) <= len(at_largest):
        return None
    try:
        value = geometric_mean(at_largest)
    except ValueError:
        value = max(time.tau for time in at_largest if time.status != "censored"), 0.0, inf
    if any(size > largest and time.tau > value[0] for size, time in found):
        return None
    if n is None or n <= largest:
        return value
    known = [size for size, _ in found], [time for _, time in found]
    try:
        stays, grown = predict(*known, largest)[1], predict(*known, n)[2]
    except ValueError:
        stays, grown = 0.0, inf
    low, high = min(value[1], stays), max(value[2], grown)
    return (value[0], low, high) if high < WIDEST * value[0] and value[0] < WIDEST * low else (value[0], 0.0, inf)


def good_later_with_more(runs: Sequence[Run]) -> bool:
    """Return whether the time from which on samples are good grows with n, beyond its 95% interval."""
    try:
        return exponent([r.n for r in runs], [good_from(r) for r in runs]).low > 0
    except ValueError:
        return False


def answer(runs: Sequence[Run], n: int) -> Answer:
    """Return what the runs say of a training on n points.

    Parameters
    ----------
    runs
        Of one probe.
    n
        All points.
    """
    runs = [r for r in runs if len(r.curves)]
    if not runs:
        return Answer("nothing", n, None, None, None, 0.0)
    longest, largest = float(max(r.curves["step"].max() for r in runs)), max(r.n for r in runs)
    tau_gen, tau_mem = tau_gen_of(runs, n), tau_mem_at(runs, n)
    if tau_mem is None:
        seen = {copies_from(r).status for r in runs}
        status: Status = (
            "no copies" if seen == {"censored"} else "too few" if "interpolated" in seen else "from the start"
        )
        return Answer(status, n, tau_gen, None, None, longest, largest=largest)
    if tau_gen is None:
        return Answer("not good", n, None, tau_mem, None, longest, largest=largest)
    status = "window" if tau_gen[0] <= tau_mem[1] else "no window"
    return Answer(status, n, tau_gen, tau_mem, tau_mem[1], longest, good_later_with_more(runs), largest)


def sentences(found: Answer, batch: int, steps_per_second: float, kind: Kind = "vectors") -> list[str]:
    """Return the answer in words, the advice first.

    Of images the distance is a rough judge: smudges of the right brightness pass it, and clear pictures may fail it. So
    they are left to the reader's eye.

    Parameters
    ----------
    found
        The answer.
    batch
        Points in a step.
    steps_per_second
        Rate of the probe, for minutes; 0 where it is not known.
    kind
        Of the data.
    """
    images = kind == "images"

    def span(steps: float, of_all: bool = True) -> str:
        parts = [f"{plain(steps * batch / found.n)} epochs"] if of_all else []
        if steps_per_second:
            seconds = steps / steps_per_second
            lasting = f"{plain(seconds / 60)} minutes" if seconds >= 100 else f"{seconds:.0f} seconds"
            parts += [f"{lasting} of training here"]
        return f"step {steps:,.0f}" + (f" ({', '.join(parts)})" if parts else "")

    if found.status == "nothing":
        return ["Nothing was measured in the time given: give more minutes."]
    if found.status == "no copies":
        return [
            f"No copies were seen, in any run, up to step {found.longest:,.0f}: nothing can be predicted from that but "
            "that copies come later. Give more minutes, until the smallest runs memorise."
        ]
    if found.status == "from the start":
        return [
            "Copies were there at the first look, in every training that made any: these are too few points for the "
            "time to be told, or the criterion is met by chance. Give more data, or more minutes, so that larger parts "
            "of them are tried."
        ]
    if found.status == "too few":
        return [
            "Copies were seen, but in too few trainings, at too few sizes, or at times that differ too much, to tell "
            "how their time grows with n. Give more minutes, by --minutes: what was trained is kept."
        ]
    assert found.tau_mem is not None
    value, low, high = found.tau_mem
    copies = (
        f"On all {found.n:,} points copies are expected at {span(value)}, and with 95% confidence between step "
        f"{low:,.0f} and step {high:,.0f}."
    )
    if found.status == "not good" and images:
        return [
            f"Stop at {span(low)}. Look at the samples to judge whether they are good by then: by the measure used "
            "here they did not become good in the largest trainings, but it is a rough one, which clear pictures may "
            "fail.",
            copies,
        ]
    if found.status == "not good":
        return [
            "In the largest trainings the samples did not become good, by the measure used here: there is no window to "
            "name. More data may help, and more training will not.",
            copies,
        ]
    assert found.tau_gen is not None and found.stop is not None
    good = f"In the largest trainings samples are good from about {span(found.tau_gen[0], of_all=False)} on"
    if images:
        good = (
            "Look at the samples to judge whether they are good by then. By a rough measure, which blurred pictures "
            f"can pass too, they are good from about {span(found.tau_gen[0], of_all=False)} on in the largest trainings"
        )
    if isfinite(found.tau_gen[2]):
        good += f", and on all points from a step between {found.tau_gen[1]:,.0f} and {found.tau_gen[2]:,.0f}"
        if found.tau_gen[2] > low:
            good += ", which may be after the step to stop at"
    elif found.n > found.largest:
        good += f"; from which step they are good on all {found.n:,} points, these trainings do not tell"
    if found.later_with_more:
        good += "; this time grew with n in these trainings, so it may be later on all points"
    if found.status == "no window":
        return [
            f"Copies may come before the samples are good: the low end of their time, step {low:,.0f}, is earlier. "
            "Stop there and the samples are poor, go on and some are copies. More data widen the window; more minutes "
            "narrow the interval.",
            good + ".",
            copies,
        ]
    return [f"Stop at {span(found.stop)}.", good + ".", copies]


def plain(value: float) -> str:
    """Return a number with three digits or more, and never as a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def at_your_rate(found: Answer, steps_per_second: float, pilot: Pilot | None = None) -> list[str]:
    """Return what the answer is in minutes on another machine, and for whom; nothing where none is asked for.

    Parameters
    ----------
    found
        The answer.
    steps_per_second
        As given by the user; 0 where it was not.
    pilot
        A stored run, whose rate is taken instead.
    """
    if found.tau_mem is None or not (steps_per_second or pilot):
        return []
    rate = f"At the {steps_per_second:g} steps a second that you gave"
    if pilot is not None:
        steps_per_second = pilot.steps_per_second
        rate = f"At the {plain(steps_per_second)} steps a second of run {pilot.name} ({pilot.device})"
        if pilot.differs or not steps_per_second:
            why = (
                f"is trained otherwise than the probe ({'; '.join(pilot.differs)})" if pilot.differs else "has no rate"
            )
            return [
                f"The rate of run {pilot.name} does not turn this answer into minutes, since it {why}. Such a training "
                "needs another number of steps until copies come: put a MemorizationMonitor into its loop."
            ]
    stop, copies = (steps / steps_per_second / 60 for steps in (found.tau_mem[1], found.tau_mem[0]))
    return [
        f"{rate}, the low end of the time of copies is reached after {plain(stop)} minutes, and its middle after "
        f"{plain(copies)}. That is so for the probe's own network, batch and optimizer on that machine. A network of "
        "your own needs another number of steps, which its rate does not tell: put a MemorizationMonitor into its loop."
    ]
