"""From stored runs to the numbers that the pages quote and the claims are judged by, a module an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from ..runs import Result


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval [low, high], and the runs it rests on."""

    value: float
    low: float
    high: float
    runs: tuple[Result, ...]
