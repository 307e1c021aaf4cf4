"""What runs will cost before they start: hours from steps a second measured here, or from runs like them; and disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ...experiments.registry import EXPERIMENTS
from ...experiments.unet import UNetConfig
from ...runs.config import Config
from ...runs.store import ResultError, read_result, read_settings, stored_folders
from ...training.loop import Trainer, TrainState, make_optimizer
from ...training.timing import timed

MEASURED = 1.0  # seconds of training that a speed is taken from
SAMPLED = 64  # samples in the forward pass that the cost of sampling is taken from


@dataclass(frozen=True)
class Cost:
    """Seconds of one process (None: not known) and bytes to store, with where the seconds come from."""

    seconds: float | None
    disk: int
    source: str


def estimate(configs: Sequence[Config], device: str = "cpu") -> list[Cost]:
    """Return the cost of each run: that of stored runs with the same settings but the seed, else measured here.

    Runs that differ in seed, n (of one batch size), steps or milestones alone are measured once, by a few steps. Not
    known: the cost of exact flows that have no stored like, and of runs whose data are not here.
    """
    speeds: dict[Any, tuple[float, float] | str] = {}
    stored: dict[tuple[type[Config], str], list[Record]] = {}  # read once, however many runs are asked for
    costs = []
    for c in tqdm(configs, desc="timing", unit=" runs", delay=2, leave=False, disable=None):  # on a terminal
        for tier in (c.tier, "laptop"):
            if (type(c), tier) not in stored:
                stored[type(c), tier] = _records(type(c), tier)
        same_tier = stored[type(c), c.tier]
        like = [r for r in same_tier if r.complete and r.settings == _without_seed(asdict(c))]
        size = _mean_bytes(like or same_tier[:5] or stored[type(c), "laptop"][:5])
        if like:
            seconds = sum(r.seconds for r in like) / len(like)
            costs.append(Cost(seconds, size, f"{len(like)} stored runs like it, on {like[0].device}"))
            continue
        key = _shape(c)
        if key not in speeds:
            speeds[key] = _speed(c, device)
        speed = speeds[key]
        if isinstance(speed, str):
            costs.append(Cost(None, size, speed))
        else:
            step, forward = speed
            s = asdict(c)
            seconds = s["steps"] * step + s["milestones"] * s["samples"] * _sampling_steps(s) * forward
            costs.append(Cost(seconds, size, f"{1 / step:.3g} steps/s measured here"))
    return costs


def summary(configs: Sequence[Config], costs: Sequence[Cost]) -> str:
    """Return a few lines: runs, hours of one process, disk, and what is not known."""
    known = [c.seconds for c in costs if c.seconds is not None]
    hours = (
        f"about {_time(sum(known))} of one process in all, {_time(max(known))} the longest" if known else "cost unknown"
    )
    besides = f", {len(costs) - len(known)} more not counted" if known and len(known) < len(costs) else ""
    lines = [f"{len(configs)} runs to make: {hours}{besides}; {sum(c.disk for c in costs) / 2**20:.2g} MB of results"]
    for name in sorted({c.experiment for c in configs}):
        of_experiment = [cost for c, cost in zip(configs, costs, strict=True) if c.experiment == name]
        for source in sorted({cost.source for cost in of_experiment}):
            seconds = [cost.seconds for cost in of_experiment if cost.source == source]
            total = "not counted" if None in seconds else _time(sum(s for s in seconds if s is not None))
            lines.append(f"  {name}: {len(seconds)} runs, {total} ({source})")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"


@dataclass(frozen=True)
class Record:
    """What a stored run says of its cost: its settings but for seed and tier, and seconds, device and place."""

    settings: dict[str, Any]
    complete: bool
    seconds: float
    device: str
    folder: Path


def damaged(configs: Sequence[Config]) -> list[str]:
    """Return why runs that are stored count as missing, a sentence for each that is damaged."""
    sentences = []
    for c in configs:
        if c.result_dir.exists():
            try:
                read_result(c.result_dir).samples  # noqa: B018 - reading verifies
            except ResultError as error:
                sentences.append(str(error))
    return sentences


def _records(kind: type[Config], tier: str) -> list[Record]:
    records = []
    for folder in stored_folders(kind.experiment, tier):
        try:
            settings, p = read_settings(folder)
            del settings["experiment"]
            settings = _without_seed({**kind.later_defaults(), **settings})
            records.append(Record(settings, p["complete"], float(p["seconds"]), str(p["device"]), folder))
        except (ResultError, KeyError, TypeError, ValueError):
            continue  # damaged: `damaged` tells it
    return records


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k not in ("seed", "tier")}


def _mean_bytes(records: Sequence[Record]) -> int:
    sizes = [sum(f.stat().st_size for f in r.folder.iterdir()) for r in records]
    return round(sum(sizes) / len(sizes)) if sizes else 100_000


def _shape(config: Config) -> tuple[Any, ...]:
    s = asdict(config) | {"seed": 0, "steps": 0, "milestones": 0, "first": 0, "samples": 0, "kept": 0}
    if s.get("batch"):
        s["n"] = 0
    return (config.experiment, *s.values())


def _sampling_steps(s: dict[str, Any]) -> int:
    return s["sampling_steps"] or (999 if s.get("sampler") == "euler_maruyama" else 100)


def _speed(config: Config, device: str) -> tuple[float, float] | str:
    """Seconds of a training step, and of the network for one sample; or why they are not known."""
    if reason := config.missing_data():
        return reason.split(";")[0]
    make_job = EXPERIMENTS[config.experiment].job
    if make_job is None:
        return "no run like it is stored, and its steps cannot be timed"
    if device != "cpu" and not torch.cuda.is_available():  # a cluster's login node
        return "no run like it is stored, and torch sees no CUDA device here to time its steps on"
    try:
        if isinstance(config, UNetConfig):  # compiling takes minutes: on a GPU the estimate is then too high
            config = replace(config, compiled=False, graphs=device != "cpu")
        job = make_job(config, device)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        return str(error).split(";")[0]
    labels = None if job.labels is None else job.labels.to(device)
    state = TrainState(job.net.to(device), job.data.to(device), 0, labels)
    trainer = Trainer(state, make_optimizer(state.net, *job.optimizer), job.loss, job.batch, job.replayed)
    step = timed(lambda tau: trainer.step(tau), device, MEASURED)
    x = state.data[:1].expand(SAMPLED, *state.data.shape[1:]).contiguous()
    timestep = torch.ones(SAMPLED, dtype=torch.long, device=device)
    state.net.eval()
    with torch.no_grad():
        return step, timed(lambda _: state.net(x, timestep), device, MEASURED) / SAMPLED
