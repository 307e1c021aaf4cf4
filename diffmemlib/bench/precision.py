"""How precisely must samples be drawn? Their copies and their quality in float32, TF32 and bfloat16."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._version import __version__
from ..data.images import images
from ..diffusion.losses import DenoisingLoss, loss_at
from ..diffusion.samplers import sample
from ..diffusion.schedule import Schedule
from ..metrics.digit_features import digit_features
from ..metrics.frechet import frechet_interval
from ..metrics.memorization import NeighbourIndex, wilson
from ..nets.unet import Attention, UNet
from ..randomness import seeded
from ..training.loop import make_optimizer, train

N, SIDE, WIDTH, SCALE, LEARNING_RATE = 16, 16, 8, 4.0, 2e-3
MILESTONES = (400, 1600, 3200)  # before copies, at some, at many
SAMPLING_STEPS = 50
HELD_OUT = 128  # images behind the loss
DROPPED = 13  # of the 23 digits of float32, that TF32 lacks


def precision_study(samples: int = 500, milestones: tuple[int, ...] = MILESTONES) -> dict[str, Any]:
    """Return what the samples of a small network, drawn from the same noise in three precisions, measure.

    TF32 is that of a GPU, imitated: what enters a product is rounded to ten digits, the sums are float32.

    Parameters
    ----------
    samples
        Of each.
    milestones
        Steps of the training, of 16 digits, at which they are drawn.

    Returns
    -------
    dict
        For each milestone and precision: f_mem and fd with their intervals, ``moved``, the root mean square distance to
        the samples in float32 over the standard deviation of these, ``changed``, the share of samples that count as
        copies in one and not in the other, and the losses at t = 0.01; settings.
    """
    data = images("digits", SIDE, SCALE)
    chosen = data.centred(data.training_set(N, 0))
    index, features = NeighbourIndex(chosen), digit_features()
    held_out, k_loss = data.centred(data.test)[:HELD_OUT], Schedule().timestep_at(0.01)
    reference = _features(features, data.test.float() / 255)
    net = seeded(0, lambda: UNet(WIDTH))
    rows = []
    optimizer = make_optimizer(net, "adam", LEARNING_RATE)
    for tau in train(net, chosen, optimizer, DenoisingLoss(Schedule()), milestones=milestones, batch=N):
        exact: tuple[Tensor, np.ndarray] | None = None
        for name, predict in precisions(net.eval()).items():
            x = sample(predict, samples, chosen.shape[1:], seed=tau, steps=SAMPLING_STEPS, batch_size=250)
            copied = index.two_nearest(x).memorized()
            losses = [
                float(np.mean(loss_at(predict, points, k_loss, Schedule(), tau))) for points in (chosen, held_out)
            ]
            exact = exact or (x, copied)
            rows.append({
                "step": tau, "precision": name, "f_mem": wilson(copied),
                "fd": frechet_interval(_features(features, data.pixels(x)), reference),
                "moved": float((x - exact[0]).square().mean().sqrt() / exact[0].std()),
                "changed": float((copied != exact[1]).mean()), "loss_train": losses[0], "loss_test": losses[1],
            })  # fmt: skip
        net.train()
    return {"rows": rows, "samples": samples, "n": N, "side": SIDE, "width": WIDTH, "version": __version__}


def _features(features: nn.Module | Any, pixels: Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(features(pixels))


def precisions(net: nn.Module) -> dict[str, Any]:
    """Return the predictions of a network in eval mode in float32, TF32 and bfloat16."""

    def half(x: Tensor, timestep: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return net(x, timestep).float()

    return {"float32": net, "TF32": in_tf32(net), "bfloat16": half}


def in_tf32(net: nn.Module) -> nn.Module:
    """Return a copy of a U-Net whose products are those of TF32: of convolutions, linear layers and attention."""
    rounded = copy.deepcopy(net)
    for module in rounded.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = to_tf32(module.weight.data)
            module.register_forward_pre_hook(lambda _, inputs: tuple(map(to_tf32, inputs)))
        elif isinstance(module, Attention):
            module.__class__ = TF32Attention
    return rounded


class TF32Attention(Attention):
    """Attention as two products in TF32."""

    def attend(self, qkv: Tensor) -> Tensor:
        q, k, v = to_tf32(qkv).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
        return (to_tf32(weights) @ v).transpose(1, 2)


def to_tf32(x: Tensor) -> Tensor:
    """Return float32 numbers rounded to ten binary digits after the point, ties to even."""
    bits = x.contiguous().view(torch.int32)
    half = (1 << (DROPPED - 1)) - 1 + ((bits >> DROPPED) & 1)
    return ((bits + half) & ~((1 << DROPPED) - 1)).view(torch.float32)


def precision_report(found: dict[str, Any]) -> str:
    """Return the outcome as lines of text."""
    heads = f"{'f_mem':>22} {'fd':>22} {'moved':>8} {'changed':>8} {'loss, train':>12} {'and test':>9}"
    lines = [f"{'step':>6} {'precision':>10} {heads}"]
    for row in found["rows"]:
        intervals = ["{:.3f} [{:.3f}, {:.3f}]".format(*row[name]) for name in ("f_mem", "fd")]
        lines.append(
            f"{row['step']:>6} {row['precision']:>10} {intervals[0]:>22} {intervals[1]:>22} {row['moved']:>8.1e} "
            f"{row['changed']:>8.3f} {row['loss_train']:>12.5f} {row['loss_test']:>9.5f}"
        )
    return "\n".join(lines)
