"""What probes predicted from small trainings, and what larger ones then did, from their stored reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...timescales.crossings import Timescale, share_crossing
from ...timescales.prediction import STEEPER, predict

CLOSE = 1.5  # times the value that was expected, either way


def reports(folder: Path) -> list[dict[str, Any]]:
    """The reports of a folder, probe-*.json, by the name of their data."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("probe-*.json"))]
    return sorted(found, key=lambda report: str(report["source"]))


def tests(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Every larger training that was predicted, a row each.

    Columns data, n, seed, from n, expected, low, high, came (the step at which copies came), status (of that step, as
    of a `Timescale`), ratio, verdict.
    """
    rows = []
    for report in found:
        for test in report.get("backtests", []):
            expected, low, high = test["predicted"]
            came = test["measured"]["tau"]
            sizes = ", ".join(map(str, test["sizes"]))
            rows.append(
                (report["source"], test["n"], test["seed"], sizes, expected, low, high, came,
                 test["measured"]["status"], came / expected, test["verdict"])
            )  # fmt: skip
    columns = ["data", "n", "seed", "from n", "expected", "low", "high", "came", "status", "ratio", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def tests_of_good(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Every larger training of which it was predicted when its samples become good, a row each.

    Columns data, n, seed, expected, good (the step from which on they were), status (of that step), ratio.
    """
    rows = [
        (report["source"], test["n"], test["seed"], test["good_predicted"][0], test["good_measured"]["tau"],
         test["good_measured"]["status"], test["good_measured"]["tau"] / test["good_predicted"][0])
        for report in found
        for test in report.get("backtests", [])
        if test["good_predicted"]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["data", "n", "seed", "expected", "good", "status", "ratio"])


def by_todays_rule(found: Sequence[dict[str, Any]], confidence: float = 0.95) -> pd.DataFrame:
    """The same tests, predicted again from the stored curves by the library as it is: columns data, n, seed, low, high.

    confidence: of the interval.

    Stored predictions are those that were made before the larger training had ended, and stay as they were told.
    """
    rows = []
    for report in found:
        times = [(run["n"], _copies_from(run, report["model"]["samples"])) for run in report["runs"] if run["curves"]]
        for test in report.get("backtests", []):
            used = [(n, time) for n, time in times if n in test["sizes"]]
            _, low, high = predict(
                [n for n, _ in used], [time for _, time in used], test["n"], powers=STEEPER, confidence=confidence
            )
            rows.append((report["source"], test["n"], test["seed"], low, high))
    return pd.DataFrame(rows, columns=["data", "n", "seed", "low", "high"])


def _copies_from(run: dict[str, Any], samples: int) -> Timescale:
    curve = run["curves"]["f_mem"]
    return share_crossing(curve["step"], curve["value"], samples, run["level"])


def summary(table: pd.DataFrame) -> dict[str, int]:
    """How many trainings were predicted, told and not told, how many lay inside the interval, and near its value."""
    told = table[table["verdict"] != "not told"]
    near = told["ratio"].between(1 / CLOSE, CLOSE) & (told["status"] == "interpolated")
    inside = int((told["verdict"] == "inside").sum())
    return {"told": len(told), "not told": len(table) - len(told), "inside": inside, "near": int(near.sum())}
