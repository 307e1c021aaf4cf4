"""From noise to samples: DDIM (Eq. 22), and Euler-Maruyama for the reversed diffusion (Eq. 2)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..randomness import SampleNoise
from .guidance import NetOutput, classifier_free_guidance
from .schedule import Prediction, Schedule, sampling_grid, x0_and_eps

StepCallback = Callable[[int, int, Tensor], None]  # steps made, timestep k reached (-1: clean), x there
SAMPLERS = ("ddim", "ddim_paper", "euler_maruyama")
DDIM_STEPS = 100  # of `sample` unless told; the paper's


def ddim(
    predict: NetOutput, x: Tensor, schedule: Schedule, steps: int = DDIM_STEPS, eta: float = 0.0,
    noise: Callable[[], Tensor] | None = None, prediction: Prediction = "eps", callback: StepCallback | None = None,
    to_zero: bool = False, clip: tuple[float, float] | None = None,
) -> Tensor:  # fmt: skip
    """Return samples by DDIM: x_k' = signal_k' x0 + sqrt(noise_k'^2 - s^2) eps + s z, and x0 at the end (Eq. 22).

    x0 and eps are those that the network predicts at x_k, and s^2 = eta^2 (noise_k'/noise_k)^2 (1 - abar_k/abar_k').

    Parameters
    ----------
    predict
        The network, (x, timestep) -> prediction.
    x
        Start at k = T - 1: standard normal, (m, ...).
    schedule
        The forward process.
    steps
        1 ... T - 1.
    eta
        0, deterministic (the default, and the paper's), to 1, which is ancestral sampling of DDPM.
    noise
        Source of z, needed where eta > 0.
    prediction
        What the network predicts, "eps", "x0", "v" or "flow".
    callback
        Called after every step with the number of steps made, the k reached (-1: clean) and x.
    to_zero
        As the paper's code does it: the grid ends at k = 0, where the network is not asked, so that there is one
        evaluation less than there are steps, and what is returned is the state there, with 0.01 of the noise left.
    clip
        Bounds of the data: x0 is brought between them, and eps is what then leads to x_k, as ``clip_sample`` of the
        DDPMScheduler of diffusers does. None, the default and the paper's: nothing is cut.

    Raises
    ------
    ValueError
        For steps, eta or clip out of range, and eta > 0 without noise.

    References
    ----------
    Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta}: between 0, deterministic, and 1, ancestral")
    if eta > 0 and noise is None:
        raise ValueError("eta > 0 adds noise at every step: give `noise`")
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(f"clip = {clip}: the first bound must be below the second")
    grid = sampling_grid(schedule.T, steps, to_zero)
    signal, sigma = schedule.signal.tolist(), schedule.noise.tolist()
    for step, (k, k_next) in enumerate(itertools.pairwise(grid if to_zero else [*grid, -1]), 1):
        output = predict(x, torch.full((len(x),), k, device=x.device))
        x0, eps = x0_and_eps(output, x, signal[k], sigma[k], prediction)
        if clip is not None:
            x0 = x0.clamp(*clip)
            eps = (x - signal[k] * x0) / sigma[k]
        if k_next < 0:
            x = x0
        else:
            ratio = signal[k] / signal[k_next]
            s = eta * sigma[k_next] / sigma[k] * (1 - ratio**2) ** 0.5
            x = signal[k_next] * x0 + max(sigma[k_next] ** 2 - s**2, 0.0) ** 0.5 * eps
            if s > 0 and noise is not None:
                x = x + s * noise()
        if callback:
            callback(step, k_next, x)
    return x


def euler_maruyama(
    predict: NetOutput, x: Tensor, schedule: Schedule, noise: Callable[[], Tensor], steps: int | None = None,
    prediction: Prediction = "eps", callback: StepCallback | None = None,
) -> Tensor:  # fmt: skip
    """Return samples of the reversed diffusion dx = (x + 2 s(x, t)) dt + sqrt(2) dB, along k = T-1 ... 1 (Eq. 2).

    The score is s = -eps/noise_k. A step from k to k' lasts t_k - t_k'. The last one, from t_1 = 1.1e-4, is the mean
    E[x_0 | x_1] alone, so that no fresh noise remains on the samples.

    Parameters
    ----------
    predict
        The network, (x, timestep) -> prediction.
    x
        Start at k = T - 1: standard normal, (m, ...).
    schedule
        The forward process; it must preserve variance.
    noise
        Source of standard normal numbers, (m, ...).
    steps
        2 ... T - 1 (default all T - 1).
    prediction, callback
        As of `ddim`.

    Raises
    ------
    ValueError
        For steps out of range, and a schedule that is not of an Ornstein-Uhlenbeck process.
    """
    if not schedule.preserves_variance:
        raise ValueError(f"{schedule} does not preserve variance: Euler-Maruyama needs an Ornstein-Uhlenbeck process")
    if steps == 1:
        raise ValueError("steps = 1: Euler-Maruyama takes at least 2 steps")
    t, signal, sigma = schedule.t.tolist(), schedule.signal.tolist(), schedule.noise.tolist()
    grid = sampling_grid(schedule.T, schedule.T - 1 if steps is None else steps)
    for step, (k, k_next) in enumerate(zip(grid, [*grid[1:], -1], strict=True), 1):
        output = predict(x, torch.full((len(x),), k, device=x.device))
        x0, eps = x0_and_eps(output, x, signal[k], sigma[k], prediction)
        if k_next < 0:
            x = x0
        else:
            h = t[k] - t[k_next]
            x = x + h * (x - 2 / sigma[k] * eps) + (2 * h) ** 0.5 * noise()
        if callback:
            callback(step, k_next, x)
    return x


@torch.no_grad()
def sample(
    net: nn.Module | Callable[..., Tensor], n: int, shape: Sequence[int], schedule: Schedule | None = None,
    seed: int = 0, sampler: str = "ddim", steps: int | None = None, eta: float = 0.0, batch_size: int = 2500,
    device: torch.device | str = "cpu", labels: Tensor | None = None, guidance: float = 0.0,
    prediction: Prediction = "eps", callback: StepCallback | None = None, clip: tuple[float, float] | None = None,
) -> Tensor:  # fmt: skip
    """Return n samples of a network; sample i depends on (seed, i) only, whatever the batch.

    A module is put into eval mode meanwhile, and back.

    Parameters
    ----------
    net
        (x, timestep) -> prediction; with labels, (x, timestep, label) -> prediction.
    n
        How many samples.
    shape
        Of one sample, such as (1, 32, 32).
    schedule
        The forward process; the paper's unless given.
    seed
        Of all samples.
    sampler
        "ddim" (100 steps unless told), "ddim_paper" (the same as the paper's code has it, see ``to_zero`` of `ddim`),
        or "euler_maruyama" (all T - 1).
    steps
        Steps of the sampler.
    eta
        Of DDIM, 0 to 1; see `ddim`.
    batch_size
        Samples at once, for the memory.
    device
        Of the network.
    labels
        Classes of the samples, (n,), for a conditional network.
    guidance
        Strength w of `classifier_free_guidance`; needs labels.
    prediction
        What the network predicts, "eps", "x0", "v" or "flow".
    callback
        Called after every step of every batch; see `ddim`.
    clip
        Bounds of the data, of DDIM; see `ddim`.

    Returns
    -------
    Tensor
        (n, *shape), float32, on the CPU.

    Raises
    ------
    ValueError
        For an unknown sampler, and for an argument that the sampler would ignore.

    Examples
    --------
    >>> from diffmemlib import UNet, sample
    >>> sample(UNet(width=8), 2, (1, 16, 16), steps=3).shape
    torch.Size([2, 1, 16, 16])
    """
    schedule = Schedule() if schedule is None else schedule
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler = {sampler!r}: choose one of {', '.join(SAMPLERS)}")
    if eta != 0 and sampler == "euler_maruyama":
        raise ValueError(f"eta = {eta}: {sampler} has no eta; use ddim")
    if clip is not None and sampler == "euler_maruyama":
        raise ValueError(f"clip = {clip}: {sampler} does not clip; use ddim")
    if guidance != 0 and labels is None:
        raise ValueError(f"guidance = {guidance}: guidance needs labels")
    if labels is not None and len(labels) != n:
        raise ValueError(f"{len(labels)} labels for {n} samples: give one for each")
    if n < 1 or batch_size < 1:
        raise ValueError(f"n = {n}, batch_size = {batch_size}: both are at least 1")
    parts = []
    with eval_mode(net):
        for start in range(0, n, batch_size):
            stop = min(start + batch_size, n)
            noise = SampleNoise(seed, range(start, stop), shape, device)
            predict = net
            if labels is not None:
                predict = classifier_free_guidance(net, labels[start:stop].to(device), guidance)
            if sampler == "euler_maruyama":
                part = euler_maruyama(predict, noise(), schedule, noise, steps, prediction, callback)
            else:
                ddim_steps, to_zero = DDIM_STEPS if steps is None else steps, sampler == "ddim_paper"
                part = ddim(predict, noise(), schedule, ddim_steps, eta, noise, prediction, callback, to_zero, clip)
            parts.append(part.float().cpu())
    return torch.cat(parts)


@contextmanager
def eval_mode(net: Any) -> Iterator[None]:
    """Put a module into eval mode within the block, and each part of it back; anything else is left alone."""
    modes = [(module, module.training) for module in net.modules()] if isinstance(net, nn.Module) else []
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
