"""From stored runs to the numbers of pages and claims: a module an experiment, `scaling` for what they share."""

from __future__ import annotations

from dataclasses import dataclass

from ...runs.store import Result


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval [low, high], and the runs it rests on."""

    value: float
    low: float
    high: float
    runs: tuple[Result, ...]

    def __str__(self) -> str:
        """The number and its interval, with two decimals, or none from ten up."""
        digits = 0 if abs(self.value) >= 10 else 2
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"
