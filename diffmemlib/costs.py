"""What runs will cost before they start: hours from steps a second measured here, or from runs like them; and disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from .bench_images import timed
from .experiments.registry import JOBS
from .experiments.unet import UNetConfig
from .runs import Config
from .store import Result, ResultError, find_results
from .training import Member, Single, make_optimizer

MEASURED = 1.0  # seconds of training that a speed is taken from
SAMPLED = 64  # samples in the forward pass that the cost of sampling is taken from


@dataclass(frozen=True)
class Cost:
    """Seconds of one process (None: not known) and bytes to store, with where the seconds come from."""

    seconds: float | None
    disk: int
    how: str


def estimate(configs: Sequence[Config], device: str = "cpu") -> list[Cost]:
    """The cost of each run: that of stored runs with the same settings but the seed, else measured here by a few steps.

    Runs that differ in seed, n (of one batch size), steps or milestones alone are measured once. Not known: the cost
    of exact flows that have no stored like, and of runs whose data are not here.
    """
    speeds: dict[Any, tuple[float, float] | str] = {}
    found = []
    for c in configs:
        like = _like(c)
        size = _stored_bytes(like) if like else _stored_bytes(_any(c))
        if like:
            seconds = sum(r.provenance["seconds"] for r in like) / len(like)
            found.append(Cost(seconds, size, f"{len(like)} stored runs like it, on {like[0].provenance['device']}"))
            continue
        key = _shape(c)
        if key not in speeds:
            speeds[key] = _speed(c, device)
        speed = speeds[key]
        if isinstance(speed, str):
            found.append(Cost(None, size, speed))
        else:
            step, forward = speed
            s = asdict(c)
            seconds = s["steps"] * step + s["milestones"] * s["samples"] * _sampling_steps(s) * forward
            found.append(Cost(seconds, size, f"{1 / step:.3g} steps/s measured here"))
    return found


def summary(configs: Sequence[Config], costs: Sequence[Cost]) -> str:
    """A few lines: runs, hours of one process, disk, and what is not known."""
    known = [c.seconds for c in costs if c.seconds is not None]
    hours = (
        f"about {_time(sum(known))} of one process in all, {_time(max(known))} the longest" if known else "cost unknown"
    )
    besides = f", {len(costs) - len(known)} more not counted" if known and len(known) < len(costs) else ""
    lines = [f"{len(configs)} runs to make: {hours}{besides}; {sum(c.disk for c in costs) / 2**20:.2g} MB of results"]
    experiments = sorted({c.experiment for c in configs})
    for name in experiments:
        own = [cost for c, cost in zip(configs, costs, strict=True) if c.experiment == name]
        for how in sorted({cost.how for cost in own}):
            these = [cost.seconds for cost in own if cost.how == how]
            told = "not counted" if None in these else _time(sum(s for s in these if s is not None))
            lines.append(f"  {name}: {len(these)} runs, {told} ({how})")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def _like(config: Config) -> list[Result]:
    settings = {k: v for k, v in asdict(config).items() if k not in {"seed", "tier", *config.added()}}
    try:
        found = find_results(config.experiment, config.tier, **settings)
    except ResultError:
        return []
    neutral = config.added()
    own = {k: v for k, v in asdict(config).items() if k in neutral}
    return [r for r in found if r.provenance["complete"] and {k: r.config.get(k, v) for k, v in neutral.items()} == own]


def _any(config: Config) -> list[Result]:
    for tier in (config.tier, "laptop"):
        try:
            return find_results(config.experiment, tier)[:5]
        except ResultError:
            continue
    return []


def _stored_bytes(results: Sequence[Result]) -> int:
    sizes = [sum(f.stat().st_size for f in r.folder.iterdir()) for r in results]
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
    if config.experiment not in JOBS:
        return "no run like it is stored, and its steps cannot be timed"
    if device != "cpu" and not torch.cuda.is_available():  # a cluster's login node
        return "no run like it is stored, and torch sees no CUDA device here to time its steps on"
    try:
        if device == "cpu" and isinstance(config, UNetConfig):
            config = replace(config, compiled=False)  # compiling takes minutes, and gains nothing there
        job = JOBS[config.experiment](config, device)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        return str(error).split(";")[0]
    labels = None if job.labels is None else job.labels.to(device)
    member = Member(job.net.to(device), job.data.to(device), 0, labels)
    learner = Single(member, make_optimizer(member.net, *job.optimizer), job.loss, job.batch)
    step = timed(lambda tau: learner.step(tau), device, MEASURED)
    x = member.data[:1].expand(SAMPLED, *member.data.shape[1:]).contiguous()
    k = torch.ones(SAMPLED, dtype=torch.long, device=device)
    member.net.eval()
    with torch.no_grad():
        return step, timed(lambda _: member.net(x, k), device, MEASURED) / SAMPLED
