"""From stored runs to the numbers of pages and claims: a module an experiment, `scaling` for what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...runs.store import Result

Kind = Literal["interval", "number"]


@dataclass(frozen=True)
class Estimate:
    """A number, what is known of its error, and the runs it rests on.

    kind: what low and high are. "interval": the ends of a 95% interval. "number": the value itself, where it is
    computed without an error, or its error is not known.
    """

    value: float
    low: float
    high: float
    runs: tuple[Result, ...]
    kind: Kind = "interval"

    def __str__(self) -> str:
        """The number with its interval [low, high], if it has one, with two decimals, or none from ten up."""
        digits = 0 if abs(self.value) >= 10 else 2
        value, low, high = (f"{v:,.{digits}f}" for v in (self.value, self.low, self.high))
        return value if self.kind == "number" else f"{value} [{low}, {high}]"
