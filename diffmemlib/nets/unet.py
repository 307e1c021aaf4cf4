"""The U-Net that learns images: three resolutions, attention at the two coarsest (Sect. 2, App. A)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mlp import sinusoidal_table

Variant = Literal["paper", "early"]
GROUPS = 8  # of GroupNorm
HEADS = 4  # of attention
MULTIPLIERS = (1, 2, 4)  # of W, the channels at each resolution; the paper's text says 1, 2, 3, its p says these
BLOCKS = 2  # residual blocks at each resolution on the way down; one more on the way up
FACTOR = 2 ** (len(MULTIPLIERS) - 1)  # the resolutions divide the sides of images by this


class Attention(nn.Module):
    """x + attention of every pixel to all pixels, of GroupNorm(x), with four heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        m, channels, *_ = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (m, pixels, channels)
        qkv = self.qkv(pixels).view(m, -1, 3, HEADS, channels // HEADS)
        mixed = self.attend(qkv)
        return x + self.out(mixed.reshape(m, -1, channels)).transpose(1, 2).view_as(x)

    def start_as_multihead_attention(self) -> None:
        """Give the first weights of torch.nn.MultiheadAttention."""
        nn.init.xavier_uniform_(self.qkv.weight)  # of the three matrices as one, as torch has it
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def attend(self, qkv: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(D)) v of each image and head: (m, pixels, 3, heads, D) to (m, pixels, heads, D)."""
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, the time embedding added between them, then attention where asked."""

    def __init__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: nn.Module, attention: bool
    ) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = nn.GroupNorm(GROUPS, channels_in), nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(embedding, channels_out)
        self.norm_2 = nn.GroupNorm(GROUPS, channels_out)
        self.conv_2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.dropout = dropout
        self.shortcut = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)
        self.attention = Attention(channels_out) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_1(F.silu(self.norm_1(x))) + self.time(embedding)[:, :, None, None]
        h = self.conv_2(self.dropout(F.silu(self.norm_2(h))))
        return self.attention(self.shortcut(x) + h)


class UNet(nn.Module):
    """Noise prediction eps(x, k) for images.

    With the frozen time table of T W numbers counted, as in the paper, p = 263 089, 1 026 657, 4 055 233, 9 085 729,
    16 118 145 at W = 8, 16, 32, 48, 64 with one channel and no classes.

    Parameters
    ----------
    width
        W, channels at the finest resolution; a multiple of 8.
    dropout
        Of whole channels, before the second convolution of a block.
    T
        Steps of the schedule.
    channels
        Of the images: 1 for grey, 3 for colour.
    classes
        Of the images; their embedding, learned, joins that of time. 0: images have no labels.
    variant
        "paper", the network of the paper's code, or "early", that of this companion's first runs, which differs in
        four things: the slowest frequency of the time table (1e4^(2/W - 1), for 1e-4), SiLU in the MLP of the time
        embedding (for GELU), dropout of single values, and the first weights of attention (those of torch's Linear,
        for those of its MultiheadAttention: Xavier's for q, k and v, and no bias).

    Raises
    ------
    ValueError
        For a width that the 8 groups of GroupNorm and the 4 heads of attention do not divide, and an unknown variant.

    Examples
    --------
    >>> import torch
    >>> net = UNet(width=8, channels=3)
    >>> net(torch.zeros(2, 3, 16, 24), torch.tensor([1, 999])).shape
    torch.Size([2, 3, 16, 24])
    """

    embedding: Tensor

    def __init__(
        self, width: int = 32, dropout: float = 0.1, T: int = 1000, channels: int = 1, classes: int = 0,
        variant: Variant = "paper",
    ) -> None:  # fmt: skip
        super().__init__()
        if width < GROUPS or width % GROUPS:
            raise ValueError(
                f"width = {width}: GroupNorm's {GROUPS} groups and the {HEADS} heads of attention divide multiples of "
                f"{GROUPS} only, such as 8, 16, 32, 48, 64"
            )
        if channels < 1 or classes < 0:
            raise ValueError(f"channels = {channels}, classes = {classes}: at least 1 channel, and 0 classes or more")
        if variant not in get_args(Variant):
            raise ValueError(f"variant = {variant!r}: choose one of {', '.join(get_args(Variant))}")
        paper, inner = variant == "paper", 4 * width

        def block(channels_in: int, channels_out: int, attention: bool) -> Block:
            drop = nn.Dropout2d(dropout) if paper else nn.Dropout(dropout)
            return Block(channels_in, channels_out, inner, drop, attention)

        self.channels = channels
        self.register_buffer("embedding", sinusoidal_table(T, width, to_the_end=paper), persistent=False)
        activation = nn.GELU() if paper else nn.SiLU()
        self.time = nn.Sequential(nn.Linear(width, inner), activation, nn.Linear(inner, inner), nn.SiLU())
        self.into = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        now, skipped = width, [width]  # channels here, and of what is kept for the way up
        for level, multiplier in enumerate(MULTIPLIERS):
            for _ in range(BLOCKS):
                self.down.append(block(now, multiplier * width, attention=level > 0))
                now = multiplier * width
                skipped.append(now)
            if level < len(MULTIPLIERS) - 1:
                self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                skipped.append(now)
        self.middle = nn.ModuleList(block(now, now, attention) for attention in (True, False))
        for level, multiplier in reversed(list(enumerate(MULTIPLIERS))):
            for _ in range(BLOCKS + 1):
                self.up.append(block(now + skipped.pop(), multiplier * width, attention=level > 0))
                now = multiplier * width
            if level > 0:
                self.grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm, self.out = nn.GroupNorm(GROUPS, now), nn.Conv2d(now, channels, 3, padding=1)
        self.label = nn.Embedding(classes + 1, inner) if classes else None  # row 0: no label
        if paper:
            for module in self.modules():
                if isinstance(module, Attention):
                    module.start_as_multihead_attention()

    def forward(self, x: Tensor, timestep: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the predicted noise.

        Parameters
        ----------
        x
            Noised images, (m, channels, height, width), both sides multiples of 4.
        timestep
            Their steps k, integers, (m,).
        label
            Classes 0 ..., or -1 for a label that is hidden, (m,); None hides all.

        Returns
        -------
        Tensor
            As x.

        Raises
        ------
        ValueError
            For images of another shape, and labels of a network without classes.
        """
        self._check(x, label)
        embedding, x = self.time(self.embedding[timestep]), self.into(x)
        if self.label is not None:
            embedding = embedding + self.label(torch.zeros_like(timestep) if label is None else label + 1)
        skips = [x]
        for i, block in enumerate(self.down):
            x = block(x, embedding)
            skips.append(x)
            if i % BLOCKS == BLOCKS - 1 and i // BLOCKS < len(self.shrink):
                x = self.shrink[i // BLOCKS](x)
                skips.append(x)
        for block in self.middle:
            x = block(x, embedding)
        for i, block in enumerate(self.up):
            x = block(torch.cat([x, skips.pop()], dim=1), embedding)
            if i % (BLOCKS + 1) == BLOCKS and i // (BLOCKS + 1) < len(self.grow):
                x = self.grow[i // (BLOCKS + 1)](F.interpolate(x, scale_factor=2.0))
        return self.out(F.silu(self.norm(x)))

    def _check(self, x: Tensor, label: Any) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % FACTOR or x.shape[3] % FACTOR:
            raise ValueError(
                f"images of shape {tuple(x.shape)}: this network takes (m, {self.channels}, height, width) with sides "
                f"that are multiples of {FACTOR}, for its {len(MULTIPLIERS)} resolutions"
            )
        if label is not None and self.label is None:
            raise ValueError("labels for a network without classes: make it with classes = their number")
