"""Where the spectrum of U ends: edges to rounding, and masses between them."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from .model import BranchError, Model

Floats = NDArray[np.float64]
NEAR = 1e-8  # imaginary part at which a point is tried, in units of its distance from the spectrum's lower end
SLOPE = 0.32  # ratio of Im q at a tenth of it: 1 within the spectrum, 0.1 outside, 10^(-1/2) at an edge
GRIDS = (400, 2000, 10_000)  # points tried, until no mass is missed
CLOSEST = 1e-8  # of the points to that end, in units of the smaller of v^2 and s^2
WITHIN = 1e-3  # of its distance, from where an edge is seen to where Newton's method finds it
ACCURACY = 1e-8  # of the sum of the masses, relative
MARGIN = 0.02  # of a gap, in log distance, that is left at both ends when it is searched for mass


def support(model: Model) -> list[tuple[float, float, float]]:
    """Return the intervals of the continuous spectrum, from small to large: low, high and mass of each.

    Parameters
    ----------
    model
        The model.

    Raises
    ------
    BranchError
        Where the masses do not sum to one less the delta's weight, within 1e-8 of that, or a gap holds mass: an
        interval was missed.
    """
    expected, total, extra = model.bulk_weight, 0.0, np.array([])
    for grid in (GRIDS[0], *GRIDS):  # the first once more, with points where it showed mass
        edges = _edges(model, grid, extra)
        masses = _masses(model, edges)
        total, hidden = sum(masses), _hidden(model, edges)
        if abs(total / expected - 1) < ACCURACY and not len(hidden):
            return [
                (model.origin + low, model.origin + high, mass) for (low, high), mass in zip(edges, masses, strict=True)
            ]
        extra = np.union1d(extra, hidden[np.isfinite(hidden)])
    raise BranchError(
        f"the intervals found hold {total:.9g} of the spectrum, which has {expected:.9g}, and {len(hidden)} of the "
        "gaps beside them hold some, or could not be searched: an interval was missed"
    )


def inside(model: Model, distance: Floats) -> NDArray[np.bool_]:
    """Return whether origin + distance lies within the spectrum, whatever the density there.

    Towards the real axis Im q tends to pi times the density within the spectrum, and to zero in proportion to Im z
    outside: no level of the density has to be chosen, and a narrow heavy interval nearby does not blur the edges.
    """
    far = model.traces_beside(distance * (1 + 1j * NEAR))
    near = model.traces_beside(distance * (1 + 1j * NEAR / 10), guess=far)
    return near[0].imag > SLOPE * far[0].imag


def _hidden(model: Model, edges: list[tuple[float, float]]) -> Floats:
    """Distances at which the gaps beside the intervals hold mass, where it is centred; NaN: unknown.

    What is farther below or above all intervals is in no contour of `_masses`, so their sum lacks it. The centre of a
    single narrow interval lies within it, however narrow it is.
    """
    if not edges:
        return np.array([np.nan])
    ends = [edges[0][0] / 4, *(end for edge in edges for end in edge), edges[-1][1] * 4]
    gaps = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if 0 < a < b]
    found = []
    for below, above in gaps:
        margin = (above / below) ** MARGIN
        try:
            mass, moment = _around(model, 0.0, below * margin, above / margin, least=model.bulk_weight)
        except BranchError:  # where mass lies at an end of the contour, say
            found.append(np.nan)
            continue
        if mass > 10 * ACCURACY * model.bulk_weight:
            found.append(moment / mass)
    return np.array(found)


def _edges(model: Model, grid: int, extra: Floats) -> list[tuple[float, float]]:
    """Low and high end of every interval that the grid, even in log(lambda - origin), has a point in, above origin.

    Many frozen noises leave a narrow interval around s^2, so the grid is even in log|lambda - s^2| there too. extra:
    further points.
    """
    distance = np.union1d(np.geomspace(CLOSEST * min(model.c.v2, model.c.s2), model.top, grid), extra)
    if model.origin == 0:
        beside = np.geomspace(CLOSEST * model.c.s2, model.c.s2 / 2, grid // 2)
        distance = np.union1d(distance, np.concatenate([model.c.s2 - beside, model.c.s2 + beside]))
    within = inside(model, distance)
    change = np.flatnonzero(within[1:] != within[:-1])
    if len(change) == 0:
        return []
    left, right, begins = distance[change], distance[change + 1], within[change + 1]
    for _ in range(4):  # to 1e-6 of the grid's step, near enough for Newton: each time to one of 32 parts
        between = left[:, None] * (right / left)[:, None] ** (np.arange(33) / 32)
        beyond = inside(model, between[:, 1:-1]) == begins[:, None]
        part = np.where(beyond.any(1), beyond.argmax(1), 31)
        left, right = between[np.arange(len(part)), part], between[np.arange(len(part)), part + 1]
    places = [_polished(model, *ends) for ends in zip(left, right, begins, strict=True)]
    if within[0]:  # the spectrum reaches down to its lower end
        places.insert(0, 0.0)
    if len(places) % 2 or (np.diff(places) <= 0).any():
        raise BranchError(f"the edges of the spectrum could not be told apart: {places}")
    return list(zip(places[::2], places[1::2], strict=True))


def _polished(model: Model, left: float, right: float, begins: bool) -> float:
    """The edge between two distances, where dz/dq = 0 on the real branch, by Newton's method.

    Its Jacobian is exact: the equations are rational, so a derivative is the imaginary part of a tiny imaginary step.
    BranchError where it leads elsewhere.
    """
    outside = left if begins else right
    at = np.array([complex(v[0]).real for v in model.traces_beside(np.array([outside * (1 + 1j * NEAR)]))])
    for _ in range(50):
        wanted = np.real(model.real_branch(*at)[1:])  # all three are zero at an edge
        columns = [model.real_branch(*(at + 1e-30j * abs(at) * axis))[1:] for axis in np.eye(3)]
        step = np.linalg.solve(np.imag(columns).T * 1e30, wanted)
        at = at - step * abs(at)
        if abs(step).max() < 1e-14:
            break
    distance = float(np.real(model.real_branch(*at)[0]))
    margin = 10 * (right - left) + WITHIN * right
    if not left - margin < distance < right + margin:
        raise BranchError(f"an edge of the spectrum near {model.origin + right:.6g} could not be told to rounding")
    return distance


def _masses(model: Model, edges: list[tuple[float, float]]) -> list[float]:
    """Mass of each interval: 1/(2 pi i) times the integral of q around it, clockwise, through the gaps beside it."""
    masses = []
    for i, (low, high) in enumerate(edges):
        below = edges[i - 1][1] if i else None
        above = edges[i + 1][0] if i + 1 < len(edges) else None
        origin = -model.c.s2 if low == 0 else 0.0  # contours are ellipses in log(x - origin), origin outside
        first = (low - origin) / 2 if below is None else np.sqrt((below - origin) * (low - origin))
        last = (high - origin) * 2 if above is None else np.sqrt((high - origin) * (above - origin))
        masses.append(_around(model, origin, first, last)[0])
    return masses


def _around(model: Model, origin: float, first: float, last: float, least: float = 0.0) -> tuple[float, float]:
    """The mass between two points outside the spectrum, and the integral of the distance over it.

    Nodes are doubled until two rules agree, relative to the mass or to `least` where that is more.
    """
    centre, half = np.log(first * last) / 2, np.log(last / first) / 2
    before, nodes = np.inf, 64
    while nodes <= 2**15:
        angle = (np.arange(nodes) + 0.5) * pi / nodes  # the lower half mirrors the upper
        height = min(1.2, half)
        x = np.exp(centre + half * np.cos(angle) + 1j * height * np.sin(angle))
        along = x * (-half * np.sin(angle) + 1j * height * np.cos(angle))
        part = model.traces_beside(origin + x)[0] * along
        mass, moment = (-float(values.imag.sum()) / nodes for values in (part, part * (origin + x)))
        if abs(mass - before) < ACCURACY / 4 * max(abs(mass), least):
            return mass, moment
        before, nodes = mass, 2 * nodes
    low, high = (model.origin + origin + end for end in (first, last))
    raise BranchError(f"the mass of the spectrum between {low:.6g} and {high:.6g} did not converge")
