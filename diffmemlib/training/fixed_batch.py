"""A network that is asked in batches of one size, so that it is compiled, and recorded, for one shape and no other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..diffusion.samplers import eval_mode
from ..precision import tensor_float_32
from .determinism import deterministic
from .replay import Replay


class FixedBatch:
    """Predictions of a network in eval mode, (x (m, ...), timestep (m,), label (m,)) -> (m, ...), for any m.

    Labels are for a network that takes them, and then given at every call.

    Points are asked for in parts; the last one is filled up with zeros, whose predictions are thrown away. On a GPU,
    products of float32 matrices are computed in TF32.

    Parameters
    ----------
    net
        The network; its later weights are seen, as long as they stay where they are.
    size
        Points at once.
    replayed
        Whether the work is recorded and replayed; see `replay`.
    tf32
        Whether products may be in TF32.
    """

    def __init__(self, net: nn.Module, size: int, replayed: bool = False, tf32: bool = True) -> None:
        self.net, self.size, self.replayed, self.tf32 = net, size, replayed, tf32
        self.run: Replay[Tensor] | None = None
        self.inputs: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, x: Tensor, timestep: Tensor, *label: Tensor) -> Tensor:
        """Return the predictions at points x and steps k, of classes if the network takes them."""
        given = (x, timestep, *label)
        if not self.inputs:
            self.inputs = [part.new_zeros((self.size, *part.shape[1:])) for part in given]
            if self.replayed:
                self.run = Replay(self._predict, x.device)
        parts = []
        for start in range(0, len(x), self.size):
            part, count = slice(start, start + self.size), min(self.size, len(x) - start)
            for place, values in zip(self.inputs, given, strict=True):
                place[:count] = values[part]
                place[count:] = 0
            # In a fixed order as training is, or a compiler may choose among kernels by how fast they are now.
            with eval_mode(self.net), tensor_float_32(self.tf32), deterministic(x.device, strict=False):
                parts.append((self.run or self._predict)()[:count].clone())
        return torch.cat(parts)

    @torch.no_grad()
    def _predict(self) -> Tensor:
        return self.net(*self.inputs)
