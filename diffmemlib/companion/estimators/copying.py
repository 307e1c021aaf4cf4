"""What the comparison of the measures of copying says, from its stored outcome; see `bench.copying`."""

from __future__ import annotations

from typing import Any

import pandas as pd

DETECTED = 0.8  # of the sets


def curves(found: dict[str, Any]) -> pd.DataFrame:
    """Share of sets that are taken for copies: columns kind (of copies), share (of them), measure, alarms."""
    rows = [
        (kind, share, measure, alarms)
        for kind in found["nearness"]
        for share in found["shares"]
        for measure, alarms in found["alarms"][f"{share:g} {kind}"].items()
    ]
    return pd.DataFrame(rows, columns=["kind", "share", "measure", "alarms"])


def smallest(found: dict[str, Any], kind: str, measure: str) -> float | None:
    """The smallest share of copies from which on every larger one is seen in 80% of the sets; None where none is."""
    seen = [(share, found["alarms"][f"{share:g} {kind}"][measure] >= DETECTED) for share in found["shares"]]
    enough = None
    for share, yes in reversed(seen):
        if not yes:
            break
        enough = share
    return enough


def _seen(found: dict[str, Any], measure: str) -> float:
    """How often a measure sees copies, over all kinds and shares: the order of the table."""
    rows = curves(found)
    return float(rows.loc[rows["measure"] == measure, "alarms"].mean())


def table(found: dict[str, Any]) -> pd.DataFrame:
    """For each measure, the smallest share that it sees of each kind of copies, and how often it errs on faults."""
    rows = {}
    for measure in sorted(found["alarms"]["fresh"], key=lambda name: -_seen(found, name)):
        least = {kind: smallest(found, kind, measure) for kind in found["nearness"]}
        told = {kind: "none" if share is None else f"{share:.0%}" for kind, share in least.items()}
        faults = [
            kind for kind in found["alarms"] if kind != "fresh" and kind.split(" ", 1)[-1] not in found["nearness"]
        ]
        rows[measure] = told | {fault: f"{found['alarms'][fault][measure]:.0%}" for fault in faults}
    return pd.DataFrame(rows).T.rename_axis("measure")
