"""The U-Net that learns images: three resolutions, attention at the two coarsest (Sect. 2, App. A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mlp import sinusoidal_table

GROUPS = 8  # of GroupNorm
HEADS = 4  # of attention
MULTIPLIERS = (1, 2, 4)  # of W, the channels at each resolution; the paper's text says 1, 2, 3, its p says these
BLOCKS = 2  # residual blocks at each resolution on the way down; one more on the way up
FEW_PIXELS = 64  # up to these, torch's fused attention on a CPU, made for long sequences, is slower than the formula


class Attention(nn.Module):
    """x + attention of every pixel to all pixels, of GroupNorm(x), with four heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.few = FEW_PIXELS
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        m, channels, height, width = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (m, pixels, channels)
        qkv = self.qkv(pixels).view(m, -1, 3, HEADS, channels // HEADS)
        few = x.device.type == "cpu" and height * width <= self.few
        if few:
            mixed = by_formula(qkv)
        else:
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.out(mixed.reshape(m, -1, channels)).transpose(1, 2).view_as(x)


def by_formula(qkv: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v of each image and head: (m, pixels, 3, heads, D) to (m, pixels, heads, D).

    As one batch of small products. Pixels come last, by one copy of all three, and softmax is over the first axis of
    the weights, so that nothing of (pixels, pixels) is ever transposed, forward or backward.
    """
    q, k, v = qkv.permute(2, 0, 3, 4, 1).contiguous().flatten(1, 2)
    weights = torch.softmax(k.mT @ (q / q.shape[1] ** 0.5), dim=1)
    return (v @ weights).unflatten(0, (len(qkv), -1)).permute(0, 3, 1, 2)


class Dropout(nn.Dropout):
    """nn.Dropout of images. On a CPU with 16 random bits a number, p rounded to them, at a quarter of the cost."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (m, channels, height, width)."""
        if not self.training or self.p == 0 or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        m, channels, height, width = x.shape
        dropped = round(self.p * 2**16)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        in_order = bits[: x.numel()].view(m, height, width, channels).permute(0, 3, 1, 2)  # whatever x's layout
        kept = in_order >= dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, the time embedding added between them, then attention where asked."""

    def __init__(self, before: int, after: int, embedding: int, dropout: float, attention: bool) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = nn.GroupNorm(GROUPS, before), nn.Conv2d(before, after, 3, padding=1)
        self.time = nn.Linear(embedding, after)
        self.norm_2, self.conv_2 = nn.GroupNorm(GROUPS, after), nn.Conv2d(after, after, 3, padding=1)
        self.dropout: nn.Dropout = Dropout(dropout)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_1(F.silu(self.norm_1(x))) + self.time(embedding)[:, :, None, None]
        h = self.conv_2(self.dropout(F.silu(self.norm_2(h))))
        return self.attention(self.shortcut(x) + h)


class UNet(nn.Module):
    """Noise prediction eps(x, k) for square greyscale images.

    width: W, channels at the finest resolution, a multiple of 8 (default 32). dropout: before the second convolution
    of a block (default 0.1). T: steps of the schedule (default 1000). With the frozen time table of T W numbers
    counted, as in the paper, p = 263 089, 1 026 657, 4 055 233, 9 085 729, 16 118 145 at W = 8, 16, 32, 48, 64.
    """

    embedding: Tensor

    def __init__(self, width: int = 32, dropout: float = 0.1, T: int = 1000) -> None:
        super().__init__()
        if width < GROUPS or width % GROUPS:
            raise ValueError(
                f"width = {width}: GroupNorm's {GROUPS} groups and the {HEADS} heads of attention divide multiples of "
                f"{GROUPS} only, such as 8, 16, 32, 48, 64"
            )
        self.register_buffer("embedding", sinusoidal_table(T, width), persistent=False)
        inner = 4 * width
        self.time = nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, inner), nn.SiLU())
        self.into = nn.Conv2d(1, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        now, kept = width, [width]  # channels here, and of what is kept for the way up
        for level, multiplier in enumerate(MULTIPLIERS):
            for _ in range(BLOCKS):
                self.down.append(Block(now, multiplier * width, inner, dropout, attention=level > 0))
                now = multiplier * width
                kept.append(now)
            if level < len(MULTIPLIERS) - 1:
                self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        self.middle = nn.ModuleList(Block(now, now, inner, dropout, attention) for attention in (True, False))
        for level, multiplier in reversed(list(enumerate(MULTIPLIERS))):
            for _ in range(BLOCKS + 1):
                self.up.append(Block(now + kept.pop(), multiplier * width, inner, dropout, attention=level > 0))
                now = multiplier * width
            if level > 0:
                self.grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm, self.out = nn.GroupNorm(GROUPS, now), nn.Conv2d(now, 1, 3, padding=1)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """x: noised images, (m, 1, side, side), side a multiple of 4. k: their steps, integer, (m,). Returns as x."""
        embedding, x = self.time(self.embedding[k]), self.into(x)
        kept = [x]
        for i, block in enumerate(self.down):
            x = block(x, embedding)
            kept.append(x)
            if i % BLOCKS == BLOCKS - 1 and i // BLOCKS < len(self.shrink):
                x = self.shrink[i // BLOCKS](x)
                kept.append(x)
        for block in self.middle:
            x = block(x, embedding)
        for i, block in enumerate(self.up):
            x = block(torch.cat([x, kept.pop()], dim=1), embedding)
            if i % (BLOCKS + 1) == BLOCKS and i // (BLOCKS + 1) < len(self.grow):
                x = self.grow[i // (BLOCKS + 1)](F.interpolate(x, scale_factor=2.0))
        return self.out(F.silu(self.norm(x)))
