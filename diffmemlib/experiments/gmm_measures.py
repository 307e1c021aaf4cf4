"""What is measured of a network in training on the mixture, at every milestone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..data.gmm import GaussianMixture
from ..diffusion.guidance import away_from, classifier_free_guidance
from ..diffusion.losses import loss_at, loss_interval, noise_prediction
from ..diffusion.samplers import sample
from ..diffusion.schedule import Prediction, Schedule, forward_noise
from ..metrics.kl import MonteCarloEstimate, forward_path, kl_along, score_gap_along
from ..metrics.memorization import two_nearest, wilson
from ..metrics.neighbour_kl import kl_nearest_neighbour
from ..randomness import derive_seed, generator
from ..runs.config import Metrics
from ..runs.measurements import Arrays, require_finite
from ..training.fixed_batch import FixedBatch

if TYPE_CHECKING:
    from .gmm import GmmConfig

LEVELS = 0.003, 3.0  # first and last time of `levels`, from hardly any noise to hardly any signal
LEVEL_DRAWS = 20  # noises of a loss at one of them
PROBES = 32  # points at each of them


def measurement(
    config: GmmConfig,
    truth: GaussianMixture,
    schedule: Schedule,
    data: Tensor,
    labels: Tensor,
    device: str,
    replayed: bool = False,
) -> Callable[[nn.Module, int], tuple[Metrics, Arrays]]:
    """Return what measures a network at a step, (net, tau) -> metrics and arrays; see `gmm.job`.

    Parameters
    ----------
    config
        Of the run.
    truth
        The distribution of its data.
    schedule
        Of its process.
    data, labels
        The training set, (n, d), and its classes, (n,).
    device
        As torch calls it.
    replayed
        Whether the work of the network is recorded and replayed, in batches of ``samples`` points; see `FixedBatch`.
    """
    test, test_labels = truth.labelled(2048, derive_seed(config.seed, "test"))
    k_loss = schedule.timestep_at(0.01)
    sample_labels = torch.arange(config.samples) % 2 if config.conditional else None
    classes = {"": truth}
    if config.conditional:
        classes = {f"_class_{label}": truth.given(label) for label in (0, 1)}
    prediction = cast(Prediction, config.prediction)
    ks = levels(schedule, config.noise_levels)
    probe = probes(truth, schedule, config.noise_levels)[0].float().to(device)

    @cache
    def predictor(net: nn.Module) -> Callable[..., Tensor]:
        return FixedBatch(net, config.samples, replayed=True, tf32=False) if replayed else net

    @torch.no_grad()
    def measure(net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        seed = derive_seed(config.seed, "measure", tau)
        predict_net = sampled = predictor(net)
        if config.away:
            sampled = away_from(predict_net, data.to(device), config.away, schedule, prediction)
        x = sample(
            sampled, config.samples, (config.d,), schedule, seed, config.sampler, config.sampling_steps or None,
            device=device, labels=sample_labels, guidance=config.guidance, prediction=prediction,
        )  # fmt: skip
        require_finite(x, tau, config)
        eps = noise_prediction(predict_net, schedule, prediction)
        near = two_nearest(x, data)
        metrics: Metrics = {"f_mem": wilson(near.memorized())}
        metrics |= {f"f_mem_1/{j}": wilson(near.memorized(1 / j)) for j in (2, 4)}
        for label, (name, of_class) in enumerate(classes.items()):
            chosen = slice(None) if sample_labels is None else sample_labels == label
            predict = eps if sample_labels is None else classifier_free_guidance(eps, label)
            x_class = x[chosen].to(device)
            if config.conditional:
                metrics["f_mem" + name] = wilson(near.memorized()[chosen])
            if config.guidance == 0 and schedule.preserves_variance:
                path = forward_path(predict, x_class, schedule, seed)
                metrics["kl" + name] = _interval(kl_along(path, x_class, of_class.log_prob))
                metrics["kl_fisher" + name] = _interval(score_gap_along(path, of_class.score, schedule))
            metrics["kl_nn" + name] = _neighbours(x_class, of_class)
        for name, points, their_labels in (("train", data, labels), ("test", test.float(), test_labels)):
            predict = classifier_free_guidance(eps, their_labels.to(device)) if config.conditional else eps
            losses = loss_at(predict, points.to(device), k_loss, schedule, derive_seed(seed, name))
            metrics["loss_" + name] = loss_interval(losses)
            for k in ks:
                at_level = loss_at(eps, points.to(device), k, schedule, derive_seed(seed, name, k), LEVEL_DRAWS)
                metrics[f"loss_{name}_{k}"] = loss_interval(at_level)
        kept = slice(config.kept)
        arrays: Arrays = {
            "samples": x[kept].numpy().astype(np.float16),
            "neighbours": near.index[kept].astype(np.int32),
            "distances": near.distance[kept].astype(np.float32),
        }
        if ks:
            predicted = [eps(x_k, torch.full((PROBES,), k, device=device)) for x_k, k in zip(probe, ks, strict=True)]
            arrays["predicted"] = torch.stack(predicted).cpu().numpy().astype(np.float16)
        return metrics, arrays

    return measure


def levels(schedule: Schedule, count: int) -> list[int]:
    """Return ``count`` steps k of a schedule, whose times are evenly spaced in log t over `LEVELS`."""
    return [schedule.timestep_at(t) for t in np.geomspace(*LEVELS, count)] if count else []


def probes(truth: GaussianMixture, schedule: Schedule, count: int) -> tuple[Tensor, Tensor]:
    """Return points of the diffused distribution that are the same for every run, and the exact noise prediction there.

    Parameters
    ----------
    truth
        The distribution of the data.
    schedule
        Of the process.
    count
        How many of `levels`.

    Returns
    -------
    tuple
        x_k and -noise_k times the exact score there, (count, PROBES, d) each, float64.
    """
    ks = levels(schedule, count)
    if not ks:
        return torch.empty(0), torch.empty(0)
    x0 = truth.sample(PROBES, derive_seed(0, "probes"))
    g = generator(0, "probes")
    steps = [torch.full((PROBES,), k) for k in ks]
    noised = [forward_noise(x0, k, torch.randn(x0.shape, generator=g, dtype=x0.dtype), schedule) for k in steps]
    exact = [-schedule.noise[k] * truth.score(x, float(schedule.t[k])) for x, k in zip(noised, ks, strict=True)]
    return torch.stack(noised), torch.stack(exact)


def _neighbours(x: Tensor, law: GaussianMixture) -> tuple[float, float, float]:
    """KL by nearest neighbours; infinite where samples coincide, as those of a network that has collapsed do."""
    if len(torch.unique(x, dim=0)) < len(x):
        return inf, inf, inf
    e = kl_nearest_neighbour(x, law)
    return e.value, e.low, e.high


def _interval(e: MonteCarloEstimate) -> tuple[float, float, float]:
    return e.value, e.value - 1.96 * e.error, e.value + 1.96 * e.error
