"""Several networks of one shape trained as one: their parameters stacked, so that small products fill the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..diffusion.losses import Loss
from ..nets.stackable import stack
from .checkpoints import Checkpoint, OptimizerState, latest_checkpoint, load_weights
from .compiling import compile_static, has_compiler
from .loop import DivergedError, OptimizerSettings, TrainState, divergence_message, loop, make_optimizer
from .memory import free_memory
from .replay import Replay

COMPILE_FROM = 5000  # steps that repay the ten seconds which torch.compile takes
SPARE = 0.9  # share of the free memory that training together may take


class EnsembleTrainer:
    """Networks of one shape at the same step, as one `Learner`; each gets the numbers that it would get alone.

    Parameters
    ----------
    states
        The networks and their data.
    optimizer_states
        Of each, empty at the start.
    optimizer
        `OptimizerSettings`; elementwise, so a slice of the stack moves as the network would alone.
    loss, batch
        As of `Trainer`.
    saved
        The step that they stand at.
    compiled
        Whether the networks are compiled by torch.compile; changes the last digits.
    replayed
        Whether the work of a step is recorded and replayed, which small networks on a GPU need most; see `replay`.

    Attributes
    ----------
    failed : dict
        The error of a network that diverged, by its position; its slice goes on as NaN, touches no other and is saved
        no more.
    """

    def __init__(
        self, states: Sequence[TrainState], optimizer_states: Sequence[OptimizerState],
        optimizer: OptimizerSettings, loss: Loss, batch: int, saved: int, compiled: bool = False,
        replayed: bool = False,
    ) -> None:  # fmt: skip
        self.states, self.loss, self.batch = list(states), loss, batch
        self.device = self.states[0].data.device
        self.saved = [saved] * len(states)
        self.failed: dict[int, DivergedError] = {}
        self.net = stack([state.net for state in states])
        if compiled:
            compile_static(self.net, self.device)
        self.run: Callable[[], Tensor] = self.work
        if replayed:
            self.run = Replay(self.work, self.device, [state.noise for state in self.states])
        self.optimizer = make_optimizer(self.net, *optimizer)
        if optimizer_states[0]:
            first = optimizer_states[0]
            stacked = {i: {k: _stack([s[i][k] for s in optimizer_states]) for k in first[i]} for i in first}
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": stacked, "param_groups": groups})

    def step(self, tau: int) -> Tensor:
        for state in self.states:
            state.prepare_step(tau, self.batch)
        return self.run()

    def work(self) -> Tensor:
        """Make the step that is prepared: the same calls, whichever it is."""
        points = [state.points() for state in self.states]
        noises = [self.loss.draw_noise(x, s.noise, y) for s, (x, y) in zip(self.states, points, strict=True)]
        x0 = torch.stack([x for x, _ in points])
        labels = None if points[0][1] is None else torch.stack([y for _, y in points if y is not None])
        noise = [torch.stack(each) for each in zip(*noises, strict=True)]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss.per_sample(self.net, x0, labels, *noise).mean(1)
        loss.sum().backward()
        self.optimizer.step()
        return loss.detach()

    def check_finite(self, loss: Tensor, tau: int) -> None:
        fine = torch.isfinite(loss)
        for w in self.net.parameters():
            fine &= torch.isfinite(w).flatten(1).all(1)
        for i in (~fine).nonzero().flatten().tolist():
            if i not in self.failed:
                self.failed[i] = DivergedError(divergence_message(loss[i], tau, self.saved[i]))
        if len(self.failed) == len(self.states):
            raise self.failed[0]

    def save(self, tau: int) -> None:
        optimizer = self.optimizer.state_dict()["state"]
        for i, state in enumerate(self.states):
            if i in self.failed:
                continue
            with torch.no_grad():
                for parameter, stacked in zip(state.net.parameters(), self.net.parameters(), strict=True):
                    parameter.copy_(stacked[i])
            if state.checkpoints:
                checkpoint = Checkpoint(tau, state.net.state_dict(), unstack(optimizer, i), state.elapsed())
                state.checkpoints.write(tau, checkpoint.pack(), keep=2)
                self.saved[i] = tau


def _stack(values: Sequence[Tensor]) -> Tensor:
    """Along a new axis; a number that all share, such as Adam's step, stays one."""
    return torch.stack(list(values)) if values[0].ndim else values[0]


def unstack(optimizer: OptimizerState, i: int) -> OptimizerState:
    """Return the optimiser state of one network of a stack."""
    return {j: {k: v[i] if v.ndim else v for k, v in values.items()} for j, values in optimizer.items()}


def train_ensemble(
    states: Sequence[TrainState], optimizer: OptimizerSettings, loss: Loss, *, milestones: Sequence[int],
    batch: int, failed: dict[int, DivergedError], compiled: bool | None = None, replayed: bool | None = None,
    **options: Any,
) -> Iterator[tuple[int, list[int]]]:  # fmt: skip
    """Train networks of one shape together, yielding (tau, positions) at every milestone of those that are at it.

    Each starts from its last whole checkpoint; those that are behind catch up first. One that diverges stops alone,
    its last good checkpoint kept.

    Parameters
    ----------
    states
        The networks and their data.
    optimizer
        `OptimizerSettings`.
    loss, batch, milestones
        As of `train`.
    failed
        Filled with the error of each network that diverged, by its position.
    compiled
        Whether to compile; None: where there are steps enough and a compiler.
    replayed
        Whether steps are recorded and replayed; None: on a GPU.
    **options
        Of `loop`.

    Raises
    ------
    MemoryError
        Before the first step, where they do not fit.
    ValueError
        For networks that cannot be stacked, or with weights to average.
    """
    if any(state.stateful for state in states):
        raise ValueError(
            "networks that are trained together keep no averaged weights, nor other state: train them alone"
        )
    check_memory(states, loss, batch)
    last = max(milestones)
    if compiled is None:
        compiled = last >= COMPILE_FROM and has_compiler()
    if replayed is None:
        replayed = states[0].data.device.type == "cuda"
    steps, optimizer_states = [], []
    for state in states:
        checkpoint = latest_checkpoint(state.checkpoints)
        if checkpoint.weights:
            load_weights(state.net, checkpoint, state.checkpoints)
        steps.append(checkpoint.step)
        optimizer_states.append(checkpoint.optimizer)
    stopped = False
    should_stop = options.pop("should_stop", lambda: False)

    def watch() -> bool:
        nonlocal stopped
        stopped = should_stop()
        return stopped

    yielded: set[tuple[int, int]] = set()  # milestones of positions, since those of a group's start are met twice
    while not stopped and (active := [i for i in range(len(states)) if i not in failed and steps[i] < last]):
        low = min(steps[i] for i in active)
        group = [i for i in active if steps[i] == low]
        goal = min((steps[i] for i in active if steps[i] > low), default=last)
        trainer = EnsembleTrainer(
            [states[i] for i in group], [optimizer_states[i] for i in group], optimizer, loss, batch, low, compiled,
            replayed,
        )  # fmt: skip
        tau = low
        try:
            for tau in loop(trainer, low, [*milestones, goal], goal, should_stop=watch, **options):
                alive = [i for j, i in enumerate(group) if j not in trainer.failed and (i, tau) not in yielded]
                yielded |= {(i, tau) for i in alive}
                if tau in milestones and alive:
                    yield tau, alive
        except DivergedError:
            pass  # all of them, told below
        failed |= {group[j]: error for j, error in trainer.failed.items()}
        optimizer_state = trainer.optimizer.state_dict()["state"]
        for j, i in enumerate(group):
            steps[i] = goal
            optimizer_states[i] = unstack(optimizer_state, j)
    if not stopped:
        done = [i for i in range(len(states)) if i not in failed and (i, last) not in yielded]
        if done:  # complete before this call
            yield last, done


def check_memory(states: Sequence[TrainState], loss: Loss, batch: int) -> None:
    """Raise MemoryError where training together needs more than nine tenths of the memory that is free.

    Counted on one network: what one step keeps for its gradient, and five copies of the weights (the stack, gradient,
    two of the optimiser, the network itself).
    """
    state, kept = states[0], 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    state.prepare_step(0, batch)
    x0, labels = state.points()
    with saved_tensors_hooks(count, lambda tensor: tensor):
        loss.per_sample(state.net, x0, labels, *loss.draw_noise(x0, state.noise, labels))
    weights = sum(p.numel() * p.element_size() for p in state.net.parameters())
    needed, free = len(states) * (kept + 5 * weights), free_memory(state.data.device)
    if needed > SPARE * free:
        raise MemoryError(
            f"{len(states)} runs together need about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: "
            f"train at most {int(SPARE * free / needed * len(states))} at once"
        )
