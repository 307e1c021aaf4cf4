"""The network that a probe trains on data of either kind, and what it measures at a milestone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..diffusion.losses import DenoisingLoss, loss_at, loss_interval
from ..diffusion.samplers import sample
from ..diffusion.schedule import Schedule
from ..metrics.digit_features import untrained_features
from ..metrics.frechet import frechet_interval
from ..metrics.memorization import NeighbourIndex, wilson
from ..nets.cpu import use_cpu_layers
from ..nets.mlp import ResidualMLP
from ..nets.unet import UNet
from ..randomness import derive_seed, generator, seeded
from ..runs.config import Metrics
from ..runs.measurements import Arrays
from ..training.loop import make_optimizer
from .data import Data, Kind

FEATURES = 32  # behind the distance of samples to held-out data
KEPT = {"images": 12, "vectors": 200}  # samples that the report shows
LOSS_POINTS = 256  # at most, for the losses
T_LOSS = 0.01
FAR = 1e6  # standard deviations of the data, at which a network has diverged


@dataclass(frozen=True)
class Model:
    """Network and training of a probe; with the data, all that decides its runs.

    Parameters
    ----------
    kind : str
        Of the data.
    width : int
        W of the U-Net, or of the residual MLP.
    batch : int
        Draws of a point, a time and a noise in each step, the same at every n, since their noise is part of the clock:
        where n is less, every point is drawn several times.
    lr : float
        Of Adam. There is no dropout, with which copies come later.
    smallest : int
        n of the smallest training set.
    samples : int
        At a milestone.
    sampler : str
        See `samplers.sample`. It is one that draws fresh noise on the way, and pictures are kept between black and
        white: deterministic DDIM carries the errors of a small network to the end, so that brightness and colours
        drift, and copies are seen long after the network can make them.
    sampling_steps : int
        Of it.
    eta : float
        Of it.
    first, a_decade : int
        Milestones: the first step, and how many in each decade from there on.
    """

    kind: Kind
    width: int
    batch: int
    lr: float
    smallest: int
    samples: int
    sampler: str
    sampling_steps: int
    eta: float
    first: int
    a_decade: int

    def milestones(self, last: int = 10**7) -> list[int]:
        """Return the steps at which a run is measured, up to one."""
        count = int(np.log10(last / self.first) * self.a_decade) + 1
        return sorted({round(self.first * 10 ** (i / self.a_decade)) for i in range(count)})

    def optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """Return Adam."""
        return make_optimizer(net, "adam", self.lr)

    def loss(self) -> DenoisingLoss:
        """Return the paper's loss."""
        return DenoisingLoss(Schedule())

    def network(self, data: Data, seed: int, device: str) -> nn.Module:
        """Return a new network for the data."""
        if self.kind == "images":
            net = seeded(seed, lambda: UNet(self.width, dropout=0.0, channels=data.shape[0]))
            net.to(memory_format=torch.channels_last)
            if device == "cpu":
                use_cpu_layers(net)
            return net.to(device)
        return seeded(seed, lambda: ResidualMLP(data.shape[0], self.width)).to(device)


# Small, so that copies come within minutes of a CPU core; a GPU has a network of the paper's size. Half the width is no
# way to fewer minutes: its steps take half as long, and copies need twice as many or more (see the sweep images-width).
MODELS: dict[tuple[Kind, str], Model] = {
    ("images", "cpu"): Model("images", 16, 16, 2e-3, 16, 120, "ddim", 25, 1.0, 100, 6),
    ("vectors", "cpu"): Model("vectors", 128, 128, 6e-4, 32, 400, "euler_maruyama", 999, 0.0, 100, 6),
    ("images", "cuda"): Model("images", 32, 128, 5e-4, 128, 500, "ddim", 50, 1.0, 100, 8),
    ("vectors", "cuda"): Model("vectors", 128, 128, 6e-4, 64, 1000, "euler_maruyama", 999, 0.0, 100, 8),
}


def choose_model(kind: Kind, device: str, pool: int) -> Model:
    """Return the model for data and device; of small data sets the smallest n is less.

    Parameters
    ----------
    kind
        Of the data.
    device
        As torch calls it.
    pool
        Points to train on: four sizes, each twice the one before, should fit.
    """
    model = MODELS[kind, "cuda" if device.startswith("cuda") else "cpu"]
    smallest = model.smallest
    while smallest > 16 and 8 * smallest > pool:
        smallest //= 2
    return Model(**{**vars(model), "smallest": smallest})


class Measure:
    """Measures a network at a milestone: copies, distance to held-out data, losses.

    Parameters
    ----------
    model, data
        Of the probe.
    train
        The n points of the run, in the units of the network.
    seed
        Of the run.
    device
        Where it is computed.

    Attributes
    ----------
    baseline : float
        Share of the held-out data that meet the criterion of copies for these training points.
    landmarks : dict
        Distances to the held-out data: of as many draws from the n training points as there are samples ("copies"), and
        from the Gaussian with the mean and covariance of the pool ("gaussian").
    """

    def __init__(self, model: Model, data: Data, train: Tensor, seed: int, device: str = "cpu") -> None:
        self.model, self.data, self.train, self.seed, self.device = model, data, train, seed, device
        self.index = NeighbourIndex(train.to(device))
        self.baseline = float(self.index.two_nearest(data.held_out).memorized().mean())
        self.features = features_of(data)
        self.reference = self.features(data.held_out)
        drawn = torch.randint(len(train), (model.samples,), generator=generator(seed, "copies"))
        self.landmarks = {
            "copies": self._distance(train[drawn])[0],
            "gaussian": self._distance(gaussian(data, model.samples, seed=0))[0],
        }

    def _distance(self, x: Tensor) -> tuple[float, float, float]:
        return frechet_interval(self.features(x), self.reference)

    @torch.no_grad()
    def __call__(self, net: nn.Module, tau: int) -> tuple[Metrics, Arrays]:
        """Return f_mem, distance, loss_train and loss_test with intervals, and a few samples with their neighbours."""
        schedule, seed, model = Schedule(), derive_seed(self.seed, "measure", tau), self.model
        x = sample(
            net, model.samples, self.data.shape, schedule, seed, model.sampler,
            steps=model.sampling_steps, eta=model.eta, clip=self.data.bounds, device=self.device,
            batch_size=256 if self.device == "cpu" else 4096,
        )  # fmt: skip
        if not float(x.abs().max()) < FAR:  # or no number
            raise FloatingPointError(f"what the network makes at step {tau} is far from all data")
        near = self.index.two_nearest(x)
        metrics: Metrics = {"f_mem": wilson(near.memorized()), "distance": self._distance(x)}
        k_loss = schedule.timestep_at(T_LOSS)
        for name, points in (("train", self.train), ("test", self.data.held_out)):
            losses = loss_at(net, points[:LOSS_POINTS].to(self.device), k_loss, schedule, derive_seed(seed, name))
            metrics["loss_" + name] = loss_interval(losses)
        kept = slice(KEPT[model.kind])
        arrays: Arrays = {
            "samples": self.data.in_file_units(x[kept]).numpy().astype(np.float32),
            "nearest": near.index[kept, 0].astype(np.int64),
            "copy": near.memorized()[kept],
        }
        return metrics, arrays


def features_of(data: Data) -> Callable[[Tensor], np.ndarray]:
    """Return what distances are taken between, 32 features: of an untrained network, or random Fourier features."""
    if data.kind == "images":
        net = untrained_features(data.in_file_units(data.held_out))
        return lambda x: np.concatenate([net(data.in_file_units(part)).double().numpy() for part in x.split(256)])
    g = generator(0, "features")
    # Random Fourier features: bounded, so that a few samples far away do not decide.
    into = torch.randn(data.shape[0], FEATURES, generator=g) / data.shape[0] ** 0.5
    phase = 2 * torch.pi * torch.rand(FEATURES, generator=g)
    return lambda x: torch.cos(x @ into + phase).double().numpy()


def gaussian(data: Data, count: int, seed: int) -> Tensor:
    """Return points of the Gaussian with the pool's mean and covariance, in the units of the network.

    They are what a model makes that has learned two moments of the data.

    Parameters
    ----------
    data
        Of the probe.
    count
        How many.
    seed
        Of the points.
    """
    flat = data.pool.flatten(1).double()
    weights = torch.randn(count, len(flat), generator=generator(seed, "gaussian"), dtype=torch.float64)
    x = flat.mean(0) + weights @ (flat - flat.mean(0)) / (len(flat) - 1) ** 0.5
    return x.view(count, *data.shape).float()
