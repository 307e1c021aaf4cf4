"""Several nets of one shape trained as one: their parameters stacked, so that small products fill the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .checkpoints import State, latest, pack
from .losses import Loss
from .nets.stackable import stack
from .training import DivergedError, Member, diverged, loop, make_optimizer

COMPILE_FROM = 5000  # steps that repay the ten seconds which torch.compile takes


class Team:
    """Members of one shape at the same step, as one `Learner`; each gets the numbers that it would get alone.

    optimizer: name, learning rate, momentum; elementwise, so a slice of the stack moves as the member would. states:
    the members' optimiser states, empty at the start. failed: filled with the error of a member that diverged, by its
    position; its slice goes on as NaN, touches no other and is saved no more. compiled: the nets by torch.compile, and
    on a GPU in CUDA graphs, which a small net needs most; changes the last digits.
    """

    def __init__(
        self, members: Sequence[Member], states: Sequence[State], optimizer: tuple[str, float, float], loss: Loss,
        batch: int, saved: int, compiled: bool = False,
    ) -> None:  # fmt: skip
        self.members, self.loss, self.batch = list(members), loss, batch
        self.saved = [saved] * len(members)
        self.failed: dict[int, DivergedError] = {}
        self.net = stack([m.net for m in members])
        if compiled:
            on_gpu = members[0].data.device.type == "cuda"
            self.net.compile(mode="reduce-overhead" if on_gpu else "default", dynamic=False)
        self.optimizer = make_optimizer(self.net, *optimizer)
        if states[0]:
            state = {i: {k: _stacked([s[i][k] for s in states]) for k in states[0][i]} for i in states[0]}
            self.optimizer.load_state_dict(
                {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
            )

    def step(self, tau: int) -> Tensor:
        points = [m.points(tau, self.batch) for m in self.members]
        drawn = [self.loss.draw(x, m.noise(tau), y) for m, (x, y) in zip(self.members, points, strict=True)]
        x0 = torch.stack([x for x, _ in points])
        labels = None if points[0][1] is None else torch.stack([y for _, y in points if y is not None])
        numbers = [torch.stack(each) for each in zip(*drawn, strict=True)]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss.error(self.net, x0, labels, *numbers).mean(1)
        loss.sum().backward()
        self.optimizer.step()
        return loss.detach()

    def refuse_divergence(self, loss: Tensor, tau: int) -> None:
        fine = torch.isfinite(loss)
        for w in self.net.parameters():
            fine &= torch.isfinite(w).flatten(1).all(1)
        for i in (~fine).nonzero().flatten().tolist():
            if i not in self.failed:
                self.failed[i] = DivergedError(diverged(loss[i], tau, self.saved[i]))
        if len(self.failed) == len(self.members):
            raise self.failed[0]

    def save(self, tau: int) -> None:
        state = self.optimizer.state_dict()["state"]
        for i, member in enumerate(self.members):
            if i in self.failed:
                continue
            with torch.no_grad():
                for own, stacked in zip(member.net.parameters(), self.net.parameters(), strict=True):
                    own.copy_(stacked[i])
            if member.checkpoints:
                member.checkpoints.write(
                    tau, pack(member.net.state_dict(), _slice(state, i), tau, member.seconds()), keep=2
                )
                self.saved[i] = tau


def _stacked(values: Sequence[Tensor]) -> Tensor:
    """Along a new axis; a number that all share, such as Adam's step, stays one."""
    return torch.stack(list(values)) if values[0].ndim else values[0]


def _slice(state: State, i: int) -> State:
    """The optimiser state of one member, the inverse of `_stacked`."""
    return {j: {k: v[i] if v.ndim else v for k, v in values.items()} for j, values in state.items()}


def train_together(
    members: Sequence[Member],
    optimizer: tuple[str, float, float],  # name, learning rate, momentum
    loss: Loss,
    *,
    milestones: Sequence[int],
    batch: int,
    failed: dict[int, DivergedError],  # filled with the error of each member that diverged, by its position
    compiled: bool | None = None,  # None: where there are steps enough and a compiler
    **options: Any,  # of `loop`
) -> Iterator[tuple[int, list[int]]]:
    """Train members of one shape together, yielding (tau, positions) at every milestone of those that are there.

    Each starts from its last whole checkpoint; those that are behind catch up first. A member that diverges stops
    alone, its last good checkpoint kept. MemoryError, before the first step, where they do not fit.
    """
    refuse_what_does_not_fit(members, loss, batch)
    last = max(milestones)
    if compiled is None:
        compiled = last >= COMPILE_FROM and shutil.which(os.environ.get("CXX", "g++")) is not None
    at, states = [], []
    for m in members:
        tau, weights, state = latest(m.checkpoints)
        if weights:
            m.net.load_state_dict(weights)
        at.append(tau)
        states.append(state)
    stopped = False
    should_stop = options.pop("should_stop", lambda: False)

    def watch() -> bool:
        nonlocal stopped
        stopped = should_stop()
        return stopped

    told: set[tuple[int, int]] = set()  # milestones that were yielded, as those of a group's start are met twice
    while not stopped and (active := [i for i in range(len(members)) if i not in failed and at[i] < last]):
        low = min(at[i] for i in active)
        here = [i for i in active if at[i] == low]
        goal = min((at[i] for i in active if at[i] > low), default=last)
        team = Team([members[i] for i in here], [states[i] for i in here], optimizer, loss, batch, low, compiled)
        tau = low
        try:
            for tau in loop(team, low, [*milestones, goal], goal, should_stop=watch, **options):
                alive = [i for j, i in enumerate(here) if j not in team.failed and (i, tau) not in told]
                told |= {(i, tau) for i in alive}
                if tau in milestones and alive:
                    yield tau, alive
        except DivergedError:
            pass  # all of them, told below
        failed |= {here[j]: error for j, error in team.failed.items()}
        state = team.optimizer.state_dict()["state"]
        for j, i in enumerate(here):
            at[i] = goal
            states[i] = _slice(state, j)
    if not stopped:
        done = [i for i in range(len(members)) if i not in failed and (i, last) not in told]
        if done:  # complete before this call
            yield last, done


def refuse_what_does_not_fit(members: Sequence[Member], loss: Loss, batch: int) -> None:
    """MemoryError where training them together needs more than nine tenths of the memory that is free.

    Counted on one member: what one step keeps for its gradient, and five copies of the weights (the stack, gradient,
    two of the optimiser, the net itself).
    """
    m, kept = members[0], 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    x0, labels = m.points(0, batch)
    with saved_tensors_hooks(count, lambda tensor: tensor):
        loss.error(m.net, x0, labels, *loss.draw(x0, m.noise(0), labels))
    weights = sum(p.numel() * p.element_size() for p in m.net.parameters())
    needed, free = len(members) * (kept + 5 * weights), free_memory(m.data.device)
    if needed > 0.9 * free:
        raise MemoryError(
            f"{len(members)} runs together need about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: "
            f"train at most {int(0.9 * free / needed * len(members))} at once"
        )


def free_memory(device: torch.device) -> int:
    """Bytes free on a GPU, or available to this process on the CPU: of the machine, and of its container or job."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            free = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
    except OSError:  # not Linux
        return free
    return min(free, free_in_group(Path("/sys/fs/cgroup"), own))


def free_in_group(root: Path, own: str) -> int:
    """Bytes left below the tightest limit on a control group (version 2), `own` under root, or on one around it."""
    free, folder = 2**63, root / own
    for group in [folder, *folder.parents]:
        if group.is_relative_to(root):
            try:
                limit, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
            except OSError:  # the root has none
                continue
            if limit != "max":
                free = min(free, max(int(limit) - int(used), 0))
    return free
