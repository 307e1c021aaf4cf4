"""From noise to samples: DDIM (Eq. 22) and Euler-Maruyama for the reversed diffusion (Eq. 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .diffusion import Schedule
from .randomness import SampleNoise

NoisePrediction = Callable[[Tensor, Tensor], Tensor]  # (x (m, ...), k (m,)) -> eps (m, ...)
SAMPLERS = ("ddim", "euler_maruyama")


def guided(net: Callable[..., Tensor], label: Tensor | int, strength: float = 0.0) -> NoisePrediction:
    """Classifier-free guidance: eps(x, k | y) + w (eps(x, k | y) - eps(x, k)), of a net that takes labels.

    label: y, (m,), or one class for all. strength: w (default 0, which is the conditional model itself).
    """

    def predict(x: Tensor, k: Tensor) -> Tensor:
        y = torch.full_like(k, label) if isinstance(label, int) else label
        conditional = net(x, k, y)
        return conditional + strength * (conditional - net(x, k)) if strength else conditional

    return predict


def sampling_grid(T: int, steps: int) -> Tensor:
    """The steps k that are visited: `steps` of them, evenly spaced from T-1 down to 1 (k = 0 is never trained)."""
    if not 1 <= steps <= T - 1:
        raise ValueError(f"steps = {steps}: a sampler takes 1 to T - 1 = {T - 1} steps")
    return torch.linspace(T - 1, 1, steps, dtype=torch.float64).round().long()


def ddim(
    predict: NoisePrediction, x: Tensor, schedule: Schedule, steps: int = 100, eta: float = 0.0,
    noise: Callable[[], Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """DDIM: x_{k'} = sqrt(abar_{k'}) x0_hat + sqrt(1 - abar_{k'} - s^2) eps + s z, and x0_hat at the end.

    predict: noise prediction. x: standard normal start at k = T-1, (m, ...). steps: 1 ... T-1 (default 100).
    eta: 0 deterministic (default, the paper) ... 1 ancestral. noise: source of z, needed where eta > 0.
    """
    if eta > 0 and noise is None:
        raise ValueError("eta > 0 adds noise at every step: give `noise`")
    grid = sampling_grid(schedule.T, steps)
    signal, sigma = schedule.signal.tolist(), schedule.noise.tolist()
    for here, there in zip(grid.tolist(), [*grid.tolist()[1:], None], strict=True):
        eps = predict(x, torch.full((len(x),), here, device=x.device))
        x0 = (x - sigma[here] * eps) / signal[here]
        if there is None:
            return x0
        s = eta * sigma[there] / sigma[here] * (1 - (signal[here] / signal[there]) ** 2) ** 0.5
        x = signal[there] * x0 + max(sigma[there] ** 2 - s**2, 0.0) ** 0.5 * eps
        if s > 0 and noise is not None:
            x = x + s * noise()
    raise AssertionError("unreachable: the grid has at least one step")


def euler_maruyama(
    predict: NoisePrediction, x: Tensor, schedule: Schedule, noise: Callable[[], Tensor], steps: int | None = None
) -> Tensor:
    """Reversed diffusion dx = (x + 2 s(x, t)) dt + sqrt(2) dB along steps k = T-1 ... 1 (Eq. 2).

    predict: noise prediction, s = -eps / sqrt(Delta_t). x: start, (m, ...). noise: source of (m, ...) normals.
    steps: how many (default all T-1). One from k to k' lasts t_k - t_k'; the last one, from t_1 = 1.1e-4, is the
    mean E[x_0 | x_1] alone, so that no fresh noise is left on the samples.
    """
    t, signal, sigma = schedule.t.tolist(), schedule.signal.tolist(), schedule.noise.tolist()
    grid = sampling_grid(schedule.T, schedule.T - 1 if steps is None else steps).tolist()
    if grid[-1] != 1:
        raise ValueError(f"steps = {steps}: Euler-Maruyama takes at least 2 steps")
    for k, there in zip(grid, [*grid[1:], None], strict=True):
        eps = predict(x, torch.full((len(x),), k, device=x.device))
        if there is None:
            break
        h = t[k] - t[there]
        x = x + h * (x - 2 / sigma[k] * eps) + (2 * h) ** 0.5 * noise()
    return (x - sigma[1] * eps) / signal[1]


@torch.no_grad()
def draw(
    predict: NoisePrediction, n: int, shape: Sequence[int], schedule: Schedule, seed: int,
    sampler: str = "ddim", steps: int | None = None, eta: float = 0.0, batch: int = 2500,
    device: torch.device | str = "cpu", labels: Tensor | None = None, guidance: float = 0.0,
) -> Tensor:  # fmt: skip
    """n samples of the given shape, (n, *shape) float32 on the CPU; sample i depends on (seed, i) only.

    sampler: "ddim" (100 steps unless told) or "euler_maruyama" (all T-1). batch: samples at once (memory). labels:
    classes of the samples, (n,), for a conditional net, with the strength of guidance (default 0, see `guided`).
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler = {sampler!r}: choose one of {', '.join(SAMPLERS)}")
    parts = []
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        noise = SampleNoise(seed, range(start, stop), shape, device)
        net = predict if labels is None else guided(predict, labels[start:stop].to(device), guidance)
        if sampler == "ddim":
            part = ddim(net, noise(), schedule, 100 if steps is None else steps, eta, noise)
        else:
            part = euler_maruyama(net, noise(), schedule, noise, steps)
        parts.append(part.float().cpu())
    return torch.cat(parts)
