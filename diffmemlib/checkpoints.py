"""Checkpoints as safetensors: weights and optimiser state of one net, loaded without pickle."""

from __future__ import annotations

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .files import NumberedFiles

State = dict[int, dict[str, Tensor]]  # of an optimiser: for each parameter, by its index


def pack(weights: dict[str, Tensor], state: State, tau: int, seconds: float = 0.0) -> bytes:
    """Weights, optimiser state, step and time spent as safetensors: tensors and text only, nothing that could run."""
    tensors = {"seconds": torch.tensor(seconds, dtype=torch.float64)}
    tensors |= {f"net.{name}": value for name, value in weights.items()}
    for index, values in state.items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(tensors, metadata={"tau": str(tau), "format": "diffmemlib/1"})


def unpack(data: bytes) -> tuple[dict[str, Tensor], State]:
    """Weights and optimiser state from the bytes of a checkpoint."""
    weights: dict[str, Tensor] = {}
    state: State = {}
    tensors = safetensors.torch.load(data)
    tensors.pop("seconds", None)  # see `spent`
    for name, value in tensors.items():
        kind, rest = name.split(".", 1)
        if kind == "net":
            weights[rest] = value
        else:
            index, key = rest.split(".")
            state.setdefault(int(index), {})[key] = value
    return weights, state


def latest(checkpoints: NumberedFiles | None) -> tuple[int, dict[str, Tensor], State]:
    """Step, weights and optimiser state of the last whole checkpoint; 0 and nothing where there is none.

    ValueError for a file that is not one of this library; it is not opened in any other way.
    """
    found = checkpoints.latest() if checkpoints else None
    if checkpoints is None or found is None:
        return 0, {}, {}
    tau, data = found
    try:
        return tau, *unpack(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(
            f"the checkpoint of step {tau} in {checkpoints.folder} is not one of this library ({error}); remove it"
        ) from None


def spent(checkpoints: NumberedFiles) -> float:
    """Seconds that a run had taken at its last whole checkpoint; 0 where there is none, or it is of another kind."""
    found = checkpoints.latest()
    try:
        return float(safetensors.torch.load(found[1])["seconds"]) if found else 0.0
    except (safetensors.SafetensorError, KeyError):
        return 0.0


def restore(net: nn.Module, optimizer: torch.optim.Optimizer, checkpoints: NumberedFiles) -> int:
    """Load the last whole checkpoint into net and optimizer; returns its step, 0 where there is none."""
    tau, weights, state = latest(checkpoints)
    if not weights:
        return 0
    net.load_state_dict(weights)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, values in state.items():  # laid out in memory as the weights are: a fused optimiser walks both alike
        p = parameters[index]
        state[index] = {k: torch.empty_like(p).copy_(v) if v.shape == p.shape else v for k, v in values.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return tau
