"""A monitor for a training loop of one's own: it is handed samples now and then, and says when to stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..files import digest
from ..metrics.inputs import Kind, as_points, check_alike
from ..metrics.memorization import NeighbourIndex, hide_copies, wilson_interval
from .evidence import copies_to_stop, log_evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A_DECADE = 8  # default milestones
FIRST, LAST = 100, 10**8  # of them
PART = 256  # points whose features are taken at once
LOOKED_AT = 2000  # training points that are looked at for near-duplicates
SHOWN = 16  # training points whose features tell one function of features from another
NEAR = 0.01  # share of training points with a near-duplicate from which on that is said
POWER = 2000  # trainings that `power` simulates
USUAL = 512  # samples at a look, for which held-out data must suffice
MOST_NEEDED = 0.15  # share of them above the baseline that may have to be copies before the monitor says stop
FEW = 8  # dimensions up to which many points meet the criterion of copies by chance
MOST_COMMON = 0.5  # share of the held-out data that may equal training points


@dataclass(frozen=True)
class Look:
    """What the monitor saw at one step.

    Parameters
    ----------
    step : int
        Of the training.
    samples : int
        That it was handed; 0 where there were losses only.
    copies : int
        Samples with d1/d2 < k.
    blind : int
        Samples nearest to a training point that has a near-duplicate, of which no copy can be told.
    f_mem, low, high : float
        Share of copies and the ends of Wilson's 95% interval; NaN without samples.
    evidence : float
        That samples are copies more often than held-out data, of all looks so far; see `evidence.log_evidence`. Where
        they are not, it ever exceeds 1/alpha with probability alpha at most.
    stop : bool
        Whether it has, at this look or before.
    loss_train, loss_test : float
        Where they were given, else NaN.
    """

    step: int
    samples: int
    copies: int
    blind: int
    f_mem: float
    low: float
    high: float
    evidence: float
    stop: bool
    loss_train: float
    loss_test: float

    @property
    def gap(self) -> float:
        """Held-out minus training loss in units of the former; NaN where one of them was not given."""
        return (self.loss_test - self.loss_train) / self.loss_test if self.loss_test else float("nan")


class MemorizationMonitor:
    """Compares samples with the training set at some steps of a training, and says stop when they are copies.

    A sample counts as a copy where its nearest training point is nearer than k times the second nearest (Eq. 6 of the
    paper). Fresh data meet that criterion now and then too, more often where the data have near-duplicates; so the
    held-out data are counted first, and ``stop`` is said when samples are copies more often than they are. It may be
    asked at every step without more false alarms: of all trainings that make no more copies than fresh data, it stops
    a share alpha at most.

    Parameters
    ----------
    train
        The training set as samples are compared with it, (n, ...), tensor, array or list: without augmentation.
    held_out
        Data that the network never sees, (m, ...), of the same layout and scale. The more, the smaller a share of
        copies can be told: 3% with 1000 of them and 512 samples a look, 1% with 20 000; see `power`.
    features
        A function from points (m, ...) to features (m, ...), in which distances are then taken; unless given, they are
        taken between the numbers themselves, such as pixels.
    k
        Threshold of d1/d2.
    alpha
        Rate of false alarms.
    tolerance
        Rate of copies above that of held-out data that is accepted.
    milestones
        Steps at which you mean to look: by default, from 100 on, eight in each decade, which are evenly spaced in log
        tau, as copies come. `update` takes any step.

    Raises
    ------
    ValueError
        For fewer than two training points, sets of different layout or scale, numbers that are not finite, held-out
        data of which more than half are training points, and parameters out of range.

    Examples
    --------
    >>> import torch
    >>> train, held_out = torch.rand(500, 64), torch.rand(1000, 64)
    >>> monitor = MemorizationMonitor(train, held_out)
    >>> monitor.update(100, torch.rand(200, 64)).stop
    False
    >>> monitor.update(200, train[:200] + 0.001).stop
    True
    """

    def __init__(
        self, train: Any, held_out: Any, *, features: Callable[[Tensor], Any] | None = None, k: float = 1 / 3,
        alpha: float = 0.05, tolerance: float = 0.0, milestones: Iterable[int] | None = None,
    ) -> None:  # fmt: skip
        if not 0 < alpha < 1:
            raise ValueError(f"alpha = {alpha}: the rate of false alarms lies between 0 and 1")
        if not 0 <= tolerance <= 0.5:
            raise ValueError(f"tolerance = {tolerance}: a share of samples, from 0 to 0.5")
        if not 0 < k < 1:
            raise ValueError(f"k = {k}: the threshold of d1/d2 lies between 0 and 1")
        self.k, self.alpha, self.tolerance = k, alpha, tolerance
        self._warned = False  # of samples on another scale
        if features is not None and not callable(features):
            raise ValueError(f"features = {features!r}: give a function from points to features, or leave it out")
        self.features = features
        self.milestones = _milestones(milestones)
        points = self._points(train, "train")
        self._index = NeighbourIndex(points)
        self._digests = {"train": _digest(train, "train"), "held_out": _digest(held_out, "held_out")}
        # Other features, other distances: a few numbers of them tell, which rounding on another machine changes little.
        flat = points[:SHOWN].flatten(1).double()
        self._of_features = [] if features is None else [flat.abs().mean().item(), *flat[:, 0].tolist()]
        self._near_duplicate: dict[int, bool] = {}  # of the training points that were nearest to something
        fresh = self._points(held_out, "held_out")
        near, hidden = hide_copies(self._index, k, sample=LOOKED_AT, least=NEAR)
        if hidden:
            about = "about " if len(points) > LOOKED_AT else ""
            warnings.warn(
                f"{about}{near} of {len(points)} training points have a near-duplicate: a copy of such a point is as "
                "near to the other and is not counted, so the monitor sees fewer copies than there are; leave "
                "near-duplicates out, of the training too",
                stacklevel=2,
            )
        found = self._count(fresh, "held_out")
        self.baseline_copies, self.baseline_size = found.copies, found.samples
        self.looks: list[Look] = []
        self._check_held_out(found)

    def _check_held_out(self, found: _Counted) -> None:
        """Refuse held-out data that are training points; warn of some that are, and of too few to tell copies by."""
        if found.equal > MOST_COMMON * found.samples:
            raise ValueError(
                f"{found.equal} of {found.samples} held-out points equal a training point: give data that the network "
                "never sees"
            )
        if found.copies > MOST_COMMON * found.samples and self._index.train.shape[1] > FEW:
            raise ValueError(
                f"{found.copies} of {found.samples} held-out points lie as near to a training point as a copy does: "
                "give data that the network never sees, and no other versions of them"
            )
        if found.equal:
            warnings.warn(
                f"{found.equal} of {found.samples} held-out points equal a training point and count as copies, so the "
                "monitor stops later than it should; leave them out",
                stacklevel=3,
            )
        needed = self.copies_to_stop(USUAL)
        if needed is None or needed > (self.baseline + MOST_NEEDED) * USUAL:
            number = "no number of" if needed is None else str(needed)
            warnings.warn(
                f"with {found.samples} held-out points, {found.copies} of which meet the criterion of copies, it takes "
                f"{number} copies among {USUAL} samples to say stop; hold out more, to be told earlier",
                stacklevel=3,
            )

    @property
    def baseline(self) -> float:
        """Share of the held-out data that the criterion calls copies."""
        return self.baseline_copies / self.baseline_size

    @property
    def stop(self) -> bool:
        """Whether copies have been found."""
        return bool(self.looks) and self.looks[-1].stop

    def update(
        self, step: int, samples: Any = None, *, loss_train: float | None = None, loss_test: float | None = None
    ) -> Look:
        """Look at samples, at losses, or at both, and return what was seen.

        Parameters
        ----------
        step
            Of the training, larger than at the last look.
        samples
            Drawn from the network as it is now, (m, ...), of the layout and scale of the training set. They must be
            new ones, each drawn on its own: the noise that they start from must not be that of an earlier look.
        loss_train, loss_test
            Mean losses on training and on held-out data, at the same times t, best a small one (the paper's is 0.01).
            They cost no sampling, and the gap between them is where memorisation shows first.

        Raises
        ------
        ValueError
            For a step that is not larger, and samples that cannot be compared with the training set.
        """
        if not isinstance(step, int | np.integer):
            raise ValueError(f"step = {step!r}: give the number of steps of the training so far, a whole number")
        if self.looks and step <= self.looks[-1].step:
            raise ValueError(
                f"step {step} is not later than step {self.looks[-1].step}, the last one that was looked at"
            )
        if samples is None and loss_train is None and loss_test is None:
            raise ValueError(f"step {step}: give samples, losses, or both")
        losses = [_loss(loss_train, "loss_train"), _loss(loss_test, "loss_test")]
        seen = _Counted(0, 0) if samples is None else self._count(self._points(samples, "samples"), "samples")
        value = seen.copies / seen.samples if seen.samples else float("nan")
        low, high = wilson_interval(value, seen.samples) if seen.samples else (np.nan, np.nan)
        log_e = self._log_evidence([*self._seen, seen])
        stop = self.stop or log_e >= -log(self.alpha)
        look = Look(int(step), seen.samples, seen.copies, seen.blind, value, float(low), float(high),
                    exp(log_e), stop, *losses)  # fmt: skip
        self.looks.append(look)
        return look

    def copies_to_stop(self, samples: int) -> int | None:
        """Return how many copies among so many samples at the next look say stop; None where no number does.

        Parameters
        ----------
        samples
            At that look.
        """
        if self.stop:
            return 0
        before = [s.copies for s in self._seen if s.samples], [s.samples for s in self._seen if s.samples]
        counts = self.baseline_copies, self.baseline_size
        return copies_to_stop(samples, self.alpha, *counts, self.tolerance, before)

    def power(self, f_mem: float, samples: int, looks: int = 1, seed: int = 0) -> float:
        """Return the probability that the next looks say stop, if a share f_mem of the samples are copies from now on.

        Parameters
        ----------
        f_mem
            That share.
        samples
            At each look.
        looks
            How many.
        seed
            Of the simulation, of 2000 trainings.
        """
        if not 0 <= f_mem <= 1:
            raise ValueError(f"f_mem = {f_mem}: a share of samples, from 0 to 1")
        if self.stop:
            return 1.0
        drawn = np.random.default_rng(seed).binomial(samples, f_mem, size=(POWER, looks))
        stopped: dict[tuple[int, ...], bool] = {}

        def stops(copies: tuple[int, ...]) -> bool:
            if copies not in stopped:
                seen = [*self._seen, *(_Counted(samples, c) for c in copies)]
                stopped[copies] = (len(copies) > 1 and stops(copies[:-1])) or (
                    self._log_evidence(seen) >= -log(self.alpha)
                )
            return stopped[copies]

        return float(np.mean([stops(tuple(row)) for row in drawn.tolist()]))

    def losses_apart_since(self, gap: float = 0.1) -> int | None:
        """Return the step from which on the losses have been apart by a share of the held-out one, or None.

        A warning that costs no sampling, and no reason to stop by itself: copies come later, by a factor that depends
        on the data and on the diffusion time of the losses.

        Parameters
        ----------
        gap
            That share, (held out - training)/held out.
        """
        if not gap > 0:
            raise ValueError(f"gap = {gap}: a share of the held-out loss, above 0")
        since = None
        for look in self.looks:
            if not np.isnan(look.gap):
                since = (look.step if since is None else since) if look.gap >= gap else None
        return since

    def table(self) -> pd.DataFrame:
        """Return all looks, a row each; the columns are those of `Look`, and its gap."""
        columns = [*Look.__dataclass_fields__, "gap"]
        return pd.DataFrame([asdict(look) | {"gap": look.gap} for look in self.looks], columns=columns)

    def figure(self) -> Figure:
        """Return a figure of all looks; see `monitor.figure.history`. It needs matplotlib."""
        from .figure import history

        return history(self)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen, as numbers and texts alone, which torch.save and JSON can keep."""
        return {**self._settings, "of_features": self._of_features, "looks": [asdict(look) for look in self.looks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Parameters
        ----------
        state
            Of a monitor of the same training set, held-out data and settings.

        Raises
        ------
        ValueError
            Where these are others.
        """
        for name, value in self._settings.items():
            if name not in state or state[name] != value:
                raise ValueError(
                    f"the state is that of another monitor: its {name} is {state.get(name)!r}, and here it is {value!r}"
                )
        there, here = (
            state.get("of_features", self._of_features),
            self._of_features,
        )  # none in those of earlier versions
        if len(there) != len(here) or not np.allclose(
            there, here, rtol=1e-3, atol=1e-6 * max(map(abs, here), default=0)
        ):
            raise ValueError("the state is that of another monitor: its features are others")
        self.looks = [Look(**look) for look in state["looks"]]

    @property
    def _settings(self) -> dict[str, Any]:
        return {**self._digests, "k": self.k, "alpha": self.alpha, "tolerance": self.tolerance}

    @property
    def _seen(self) -> list[_Counted]:
        return [_Counted(look.samples, look.copies, look.blind) for look in self.looks]

    def _log_evidence(self, seen: list[_Counted]) -> float:
        seen = [s for s in seen if s.samples]
        copies, samples = [s.copies for s in seen], [s.samples for s in seen]
        if not samples:
            return 0.0
        return log_evidence(copies, samples, self.baseline_copies, self.baseline_size, self.tolerance)

    def _points(self, x: Any, name: str) -> Tensor:
        points = as_points(x, name)
        if self.features is None:
            return points
        with torch.no_grad():
            parts = [(part, as_points(self.features(part), f"the features of {name}")) for part in points.split(PART)]
        if wrong := next((len(found) for part, found in parts if len(found) != len(part)), None):
            raise ValueError(f"features returned {wrong} rows for {len(parts[0][0])} points: return one row a point")
        return torch.cat([found for _, found in parts])

    def _count(self, points: Tensor, name: str) -> _Counted:
        """How many of the points the criterion calls copies, and of how many it can say nothing."""
        kind = Kind.of(points)
        check_alike(kind, self._index.kind, name)
        if kind.may_be_shifted(self._index.kind):
            ranges = (
                f"{name} run from {kind.low:.3g} to {kind.high:.3g} and train from {self._index.kind.low:.3g} to "
                f"{self._index.kind.high:.3g}"
            )
            if name == "held_out":
                raise ValueError(f"{ranges}: bring them to one scale")
            if not self._warned:
                warnings.warn(f"{ranges}: are they on one scale? No copy can be seen if not", stacklevel=3)
                self._warned = True
        near = self._index.two_nearest(points)
        nearest = near.index[:, 0].tolist()
        new = sorted(set(nearest) - set(self._near_duplicate))
        self._near_duplicate |= zip(new, self._index.has_near_duplicate(np.array(new, int), self.k), strict=True)
        blind = sum(bool(self._near_duplicate[i]) for i in nearest)
        equal = int((near.distance[:, 0] == 0).sum())
        return _Counted(len(points), int(near.memorized(self.k).sum()), blind, equal)


@dataclass(frozen=True)
class _Counted:
    samples: int
    copies: int
    blind: int = 0
    equal: int = 0  # to a training point


def _digest(x: Any, name: str) -> str:
    """Of the numbers as they are handed over, before any features."""
    return digest(as_points(x, name).cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _loss(loss: Any, name: str) -> float:
    try:
        return float("nan") if loss is None else float(loss)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} = {loss!r}: give one number, the mean of the losses") from None


def _milestones(steps: Iterable[int] | None) -> tuple[int, ...]:
    if steps is not None:
        given = tuple(sorted({int(step) for step in steps}))
        if not given or given[0] < 1:
            raise ValueError(f"milestones {f'holds {given[0]}' if given else 'is empty'}: give steps, 1 or more each")
        return given
    count = round(np.log10(LAST / FIRST) * A_DECADE) + 1
    return tuple(round(step) for step in np.geomspace(FIRST, LAST, count))
