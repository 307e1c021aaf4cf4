"""Checkpoints as safetensors: weights, optimiser state and whatever else a run carries on, loaded without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..files import NumberedFiles

OptimizerState = dict[int, dict[str, Tensor]]  # for each parameter, by its index


class Stateful(Protocol):
    """What a checkpoint can keep: EMA weights, a learning-rate scheduler of plain numbers, another network."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers by name."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take them back."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of one run at a step, on the CPU.

    Attributes
    ----------
    step : int
        Training steps made; -1 in files of a version that did not say it.
    weights : dict
        Of the network, by name.
    optimizer : dict
        State of the optimiser for each parameter, by index.
    seconds : float
        What the run had taken.
    extra : dict
        State of further objects, by name.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: OptimizerState = field(default_factory=dict)
    seconds: float = 0.0
    extra: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Return the bytes of a safetensors file: tensors and text only, nothing that could run."""
        tensors = {"step": torch.tensor(self.step), "seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        tensors |= {f"net.{name}": value for name, value in self.weights.items()}
        for index, values in self.optimizer.items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        for owner, values in self.extra.items():
            tensors |= {f"extra.{owner}.{name}": value for name, value in values.items()}
        return safetensors.torch.save(_separate(tensors), metadata={"tau": str(self.step), "format": "diffmemlib/1"})

    @classmethod
    def unpack(cls, data: bytes) -> Checkpoint:
        """Return the checkpoint in the bytes of a file; ValueError or SafetensorError where they are none."""
        tensors = safetensors.torch.load(data)
        step, seconds = int(tensors.pop("step", torch.tensor(-1))), float(tensors.pop("seconds", torch.tensor(0.0)))
        checkpoint = cls(step, {}, {}, seconds, {})
        for name, value in tensors.items():
            kind, rest = name.split(".", 1)
            if kind == "net":
                checkpoint.weights[rest] = value
            elif kind == "optimizer":
                index, key = rest.split(".")
                checkpoint.optimizer.setdefault(int(index), {})[key] = value
            elif kind == "extra":
                owner, key = rest.split(".", 1)
                checkpoint.extra.setdefault(owner, {})[key] = value
            else:
                raise ValueError(f"unknown entry {name!r}")
        return checkpoint


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, each with memory of its own, which tied weights lack and the file format asks for."""
    taken: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        pointer = value.untyped_storage().data_ptr()
        separate[name] = value.clone() if pointer in taken else value
        taken.add(pointer)
    return separate


def extra_state(extra: Mapping[str, Stateful]) -> dict[str, dict[str, Tensor]]:
    """Return the states of further objects as tensors.

    Raises
    ------
    ValueError
        For a state that is neither a tensor nor a number, which a file without pickle cannot hold.
    """
    states: dict[str, dict[str, Tensor]] = {}
    for owner, stateful in extra.items():
        states[owner] = {}
        for name, value in stateful.state_dict().items():
            if not isinstance(value, Tensor | bool | int | float):
                raise ValueError(
                    f"{owner} keeps {name!r} as a {type(value).__name__}: a checkpoint holds tensors and numbers only"
                )
            states[owner][name] = torch.as_tensor(value)
    return states


def latest_checkpoint(checkpoints: NumberedFiles | None) -> Checkpoint:
    """Return the last whole checkpoint; step 0 and nothing else where there is none.

    Raises
    ------
    ValueError
        For a file that is no checkpoint, or that of another step than its name says; it is not opened in any other way.
    """
    last = checkpoints.latest() if checkpoints else None
    if checkpoints is None or last is None:
        return Checkpoint(0, {})
    step, data = last
    try:
        checkpoint = Checkpoint.unpack(data)
        if checkpoint.step not in (-1, step):
            raise ValueError(f"it holds step {checkpoint.step}")
        if not all(torch.isfinite(w).all() for w in checkpoint.weights.values() if w.is_floating_point()):
            raise ValueError("it holds weights that are no numbers")
    except Exception as error:  # whatever is in it, it is not what it should be
        raise ValueError(
            f"the checkpoint of step {step} in {checkpoints.folder} is not one of this library ({error}); remove it"
        ) from None
    return Checkpoint(step, checkpoint.weights, checkpoint.optimizer, checkpoint.seconds, checkpoint.extra)


def elapsed_seconds(checkpoints: NumberedFiles) -> float:
    """Return the seconds that a run had taken at its last whole checkpoint; 0 where there is none, or no such file."""
    last = checkpoints.latest()
    try:
        return Checkpoint.unpack(last[1]).seconds if last else 0.0
    except Exception:  # for `latest_checkpoint` to refuse
        return 0.0


def load_weights(net: nn.Module, checkpoint: Checkpoint, checkpoints: NumberedFiles | None) -> None:
    """Load the weights of a checkpoint; ValueError where they are of another network."""
    try:
        net.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        where = checkpoints.folder if checkpoints else "memory"
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(
            f"the checkpoint of step {checkpoint.step} in {where} is of another network ({reason}); remove it"
        ) from None


def restore(
    net: nn.Module, optimizer: torch.optim.Optimizer, checkpoints: NumberedFiles,
    extra: Mapping[str, Stateful] | None = None,
) -> int:  # fmt: skip
    """Load the last whole checkpoint into the network, its optimiser and further objects; return its step, or 0.

    ValueError where it is of another network, optimiser or set of objects.
    """
    checkpoint = latest_checkpoint(checkpoints)
    if not checkpoint.weights:
        return 0
    load_weights(net, checkpoint, checkpoints)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: OptimizerState = {}
    for index, values in checkpoint.optimizer.items():  # laid out in memory as the weights: a fused step walks both
        if index >= len(parameters):
            raise ValueError(
                f"the checkpoint of step {checkpoint.step} in {checkpoints.folder} has an optimiser of more parameters "
                "than this network; remove it"
            )
        p = parameters[index]
        state[index] = {k: torch.empty_like(p).copy_(v) if v.shape == p.shape else v for k, v in values.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for owner, stateful in (extra or {}).items():
        if owner not in checkpoint.extra:
            raise ValueError(
                f"the checkpoint in {checkpoints.folder} has no {owner}: start afresh, or train without it"
            )
        now = stateful.state_dict()
        numbers = {k: v if isinstance(now.get(k), Tensor) else v.item() for k, v in checkpoint.extra[owner].items()}
        stateful.load_state_dict(numbers)
    return checkpoint.step
