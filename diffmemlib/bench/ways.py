"""Ways to make a training step of the U-Net: which of them is fastest is measured on each machine, not assumed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion.losses import DenoisingLoss
from ..diffusion.schedule import Schedule
from ..nets.cpu import attention_by_formula, use_cpu_layers
from ..nets.unet import Attention, UNet
from ..randomness import seeded
from ..training.compiling import compile_static
from ..training.loop import Trainer, TrainState, make_optimizer

LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Way:
    """How a step is made.

    Attributes
    ----------
    replayed : bool
        Recorded and replayed, on a GPU as one CUDA graph; see `training.replay`.
    mode : str
        Of torch.compile; empty: not compiled.
    bf16 : bool
        The network computes in bfloat16, by autocast.
    half_weights : bool
        Without autocast: the network's weights are bfloat16, copied at each step from those in float32 that the
        optimiser moves.
    norm_by_formula : bool
        GroupNorm in the layout of channels last, for torch.compile to fuse with what follows it.
    attention_by_formula : bool
        Attention as products and softmax, instead of torch's fused kernels.
    kernel : SDPBackend or None
        Of torch's kernels of attention, the only one allowed; None: torch chooses.
    tf32 : bool
        What autocast leaves in float32 is multiplied in TF32.
    deterministic : bool
        Sums in a fixed order, as runs have them; see `training.determinism`.
    """

    replayed: bool = False
    mode: str = ""
    bf16: bool = False
    half_weights: bool = False
    norm_by_formula: bool = False
    attention_by_formula: bool = False
    deterministic: bool = True
    kernel: SDPBackend | None = None
    tf32: bool = False

    def trainer(self, width: int, batch: int, data: Tensor, device: str) -> Trainer:
        """Return the trainer of an image run that makes its steps in this way; data lie on the device."""
        net = seeded(0, lambda: UNet(width)).to(device)
        net.to(memory_format=torch.channels_last)
        if device == "cpu":
            use_cpu_layers(net)
        for module in list(net.modules()):
            if self.norm_by_formula and type(module) is nn.GroupNorm:
                module.__class__ = GroupNormByFormula
            if self.attention_by_formula and isinstance(module, Attention):
                module.__class__ = AttentionByFormula
            if self.kernel is not None and isinstance(module, Attention):
                module.__class__ = attention_by(self.kernel)
        loss = DenoisingLoss(Schedule(), bf16=self.bf16 and not self.half_weights)
        kind: Callable[..., Trainer] = HalfWeightsTrainer if self.half_weights else Trainer
        state, optimizer = TrainState(net, data, 0), make_optimizer(net, "adam", LEARNING_RATE)
        trainer = kind(state, optimizer, loss, batch, self.replayed)
        if self.mode:
            compile_static(trainer.half if isinstance(trainer, HalfWeightsTrainer) else net, device, self.mode)
        return trainer


COMPILED = "default"
AUTOTUNED = "max-autotune-no-cudagraphs"
# On a GPU in this order, as far as the time allows: first what needs no compiler, then what runs use.
OF_RUNS = {"cuda": "compiled, replayed", "cpu": "eager"}
WAYS = {
    "cuda": {
        "replayed": Way(True, bf16=True),
        "compiled, replayed": Way(True, COMPILED, bf16=True),
        "weights in bfloat16": Way(True, COMPILED, bf16=True, half_weights=True),
        "GroupNorm by formula": Way(True, COMPILED, bf16=True, norm_by_formula=True),
        "eager": Way(bf16=True),
        "compiled": Way(False, COMPILED, bf16=True),
        "flash attention": Way(True, COMPILED, bf16=True, kernel=SDPBackend.FLASH_ATTENTION),
        "cuDNN attention": Way(True, COMPILED, bf16=True, kernel=SDPBackend.CUDNN_ATTENTION),
        "efficient attention": Way(True, COMPILED, bf16=True, kernel=SDPBackend.EFFICIENT_ATTENTION),
        "attention by formula": Way(True, COMPILED, bf16=True, attention_by_formula=True),
        "TF32 for the rest": Way(True, COMPILED, bf16=True, tf32=True),
        "sums in any order": Way(True, COMPILED, bf16=True, deterministic=False),
        "max-autotune": Way(True, AUTOTUNED, bf16=True),
    },
    "cpu": {"eager": Way()},
}


class HalfWeightsTrainer(Trainer):
    """A `Trainer` whose network computes with bfloat16 copies of its float32 weights, made anew in each step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.half = copy.deepcopy(self.state.net).to(torch.bfloat16)
        self.masters: list[Tensor] = list(self.state.net.parameters())
        self.copies: list[Tensor] = list(self.half.parameters())
        self.forward = self._forward

    def _forward(self, x: Tensor, *inputs: Tensor) -> Tensor:
        return self.half(x.bfloat16(), *inputs)

    def work(self) -> Tensor:
        """Make the step that is prepared."""
        x0, labels = self.state.points()
        noise = self.loss.draw_noise(x0, self.state.noise, labels)
        with torch.no_grad():
            torch._foreach_copy_(self.copies, self.masters)
        self.half.zero_grad(set_to_none=True)
        loss = self.loss.per_sample(self.forward, x0, labels, *noise).mean()
        loss.backward()
        for master, half in zip(self.masters, self.copies, strict=True):
            master.grad = None if half.grad is None else half.grad.float()
        self.optimizer.step()
        return loss.detach()


class GroupNormByFormula(nn.GroupNorm):
    """GroupNorm of images whose channels lie together, in float32 inside; the same up to rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, channels, height, width)."""
        m, channels, height, width = x.shape
        groups = x.permute(0, 2, 3, 1).reshape(m, height * width, self.num_groups, -1).float()
        variance, mean = torch.var_mean(groups, (1, 3), correction=0, keepdim=True)
        normal = ((groups - mean) * torch.rsqrt(variance + self.eps)).reshape(m, height, width, channels)
        return (normal * self.weight + self.bias).to(x.dtype).permute(0, 3, 1, 2)


def attention_by(kernel: SDPBackend) -> type[Attention]:
    """Return the attention layer that torch computes by one kernel alone."""

    class AttentionByKernel(Attention):
        def attend(self, qkv: Tensor) -> Tensor:
            with sdpa_kernel(kernel):
                return super().attend(qkv)

    return AttentionByKernel


class AttentionByFormula(Attention):
    """Attention as products and softmax."""

    def attend(self, qkv: Tensor) -> Tensor:
        return attention_by_formula(qkv)
