"""What a run measures at its milestones, kept in files of its own until the run is stored."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..files import NumberedFiles
from ..training.loop import DivergedError
from .config import Config, Metrics

Arrays = dict[str, np.ndarray]
CURVES = ["step", "metric", "value", "low", "high"]  # columns
Row = tuple[float, str, float, float, float]


@dataclass(frozen=True)
class Measurement:
    """What was measured at one milestone.

    Attributes
    ----------
    metrics : dict
        Name -> value, low, high.
    arrays : dict
        A few arrays to keep.
    seconds : float
        That the run had taken up to then.
    device : str
        What it calls itself.
    step : int
        The milestone; -1 in files of a version that did not say it.
    """

    metrics: Metrics
    arrays: Arrays
    seconds: float
    device: str
    step: int = -1

    def pack(self) -> bytes:
        """Return the bytes of an npz file, without pickle."""
        file = io.BytesIO()
        names, values = np.array(list(self.metrics)), np.array(list(self.metrics.values()))
        np.savez(
            file,
            allow_pickle=False,
            metric=names,
            value=values,
            seconds=self.seconds,
            device=self.device,
            milestone=self.step,
            **self.arrays,
        )
        return file.getvalue()

    @classmethod
    def unpack(cls, data: bytes) -> Measurement:
        """Return the measurement in the bytes of an npz file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = dict(file)
        names, values, seconds = arrays.pop("metric"), arrays.pop("value"), arrays.pop("seconds")
        # Of files that are older than these entries: unknown.
        device, step = str(arrays.pop("device", "")), int(arrays.pop("milestone", -1))
        rows = zip(names, values.tolist(), strict=True)
        return cls({str(m): (v[0], v[1], v[2]) for m, v in rows}, arrays, float(seconds), device, step)


def read_measurement(log: NumberedFiles, tau: int) -> Measurement | None:
    """Return the measurement at a milestone; None, with a warning, where it is damaged or not one of this milestone."""
    data = log.read(tau)
    if data is None:
        return None
    try:
        measurement = Measurement.unpack(data)
        if measurement.step not in (-1, tau):
            raise ValueError(f"it was made at step {measurement.step}")
    except Exception as error:  # whatever is in it, it is not what it should be
        warnings.warn(f"{log.paths()[tau]} is no measurement at step {tau} ({error}); it is passed over", stacklevel=2)
        return None
    return measurement


def start_afresh_if_lost(log: NumberedFiles, states: NumberedFiles, milestones: list[int]) -> None:
    """Drop the checkpoints where a measurement before the last one is missing or damaged: it can only be made again."""
    reached = states.latest()
    lost = [tau for tau in milestones if reached and tau < reached[0] and read_measurement(log, tau) is None]
    if lost:
        warnings.warn(f"the measurement at step {lost[0]} is missing or damaged; the run starts afresh", stacklevel=4)
        states.clear()


def read_all(log: NumberedFiles, milestones: list[int]) -> dict[int, Measurement]:
    """Return the measurements that there are, by milestone."""
    read = {tau: read_measurement(log, tau) for tau in milestones}
    return {tau: measurement for tau, measurement in read.items() if measurement is not None}


def measured_seconds(log: NumberedFiles) -> float:
    """Return the seconds that the run had taken up to its last measurement."""
    last = log.latest()
    measurement = read_measurement(log, last[0]) if last else None
    return measurement.seconds if measurement else 0.0


def curves_table(measured: dict[int, Measurement]) -> pd.DataFrame:
    """Return the long table of all metrics at all milestones."""
    rows = [(tau, name, *v) for tau, measurement in measured.items() for name, v in measurement.metrics.items()]
    return pd.DataFrame(rows, columns=CURVES)


def stack_arrays(measured: dict[int, Measurement]) -> Arrays:
    """Return the arrays of all milestones along a new first axis, beside the milestones themselves."""
    arrays = {"step": np.array(list(measured), dtype=np.int64)}
    for name in next(iter(measured.values())).arrays if measured else ():
        arrays[name] = np.stack([m.arrays[name] for m in measured.values()])
    return arrays


def require_finite(samples: Tensor, tau: int, config: Config) -> Tensor:
    """Return the samples; DivergedError where some are no numbers, as of a net whose weights are finite but huge."""
    if not torch.isfinite(samples).all():
        raise DivergedError(
            f"run {config.id} diverged: its weights at step {tau} are finite, and what it generates is not. Lower the "
            f"learning rate (lr = {vars(config)['lr']:g})"
        )
    return samples
