"""Faster forms of two layers of the U-Net on a CPU; the reference network stands in `unet`.

On two cores of a server, a training step of the laptop tier's U-Net (W = 16, 16 x 16, batch 32) takes less time with
them: `python -m diffmemlib bench` times both and prints the ratio.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .unet import Attention

FEW_PIXELS = 64  # up to these, torch's fused attention on a CPU, made for long sequences, is slower than the formula


def use_cpu_layers(net: nn.Module) -> None:
    """Swap every Attention and nn.Dropout of a network for the faster form; weights and names stay."""
    for module in net.modules():
        if type(module) is Attention:
            module.__class__ = CPUAttention
        elif type(module) is nn.Dropout:
            module.__class__ = CPUDropout


class CPUAttention(Attention):
    """Attention that goes by its formula where an image has at most 64 pixels: the same up to rounding."""

    def attend(self, qkv: Tensor) -> Tensor:
        return attention_by_formula(qkv) if qkv.shape[1] <= FEW_PIXELS else super().attend(qkv)


def attention_by_formula(qkv: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(D)) v of each image and head as one batch of small products.

    Pixels come last, by one copy of all three, and softmax is over the first axis of the weights, so that nothing of
    (pixels, pixels) is ever transposed, forward or backward.

    Parameters
    ----------
    qkv
        (m, pixels, 3, heads, D).

    Returns
    -------
    Tensor
        (m, pixels, heads, D).
    """
    q, k, v = qkv.permute(2, 0, 3, 4, 1).contiguous().flatten(1, 2)
    weights = torch.softmax(k.mT @ (q / q.shape[1] ** 0.5), dim=1)
    return (v @ weights).unflatten(0, (len(qkv), -1)).permute(0, 3, 1, 2)


class CPUDropout(nn.Dropout):
    """Dropout of images by 16 random bits a number, p rounded to them, at a quarter of the cost."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, channels, height, width)."""
        if not self.training or self.p == 0 or torch.compiler.is_compiling():
            return super().forward(x)
        m, channels, height, width = x.shape
        dropped = round(self.p * 2**16)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        in_order = bits[: x.numel()].view(m, height, width, channels).permute(0, 3, 1, 2)  # whatever x's layout
        keep = in_order >= dropped - 2**15
        return x * keep.to(x.dtype).mul_(2**16 / (2**16 - dropped))
