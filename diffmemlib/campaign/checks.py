"""What must hold on a device before runs on it count: each check compares it with the CPU, or a way with the plain one.

A check returns a sentence with what it measured, and raises AssertionError beyond its tolerance. Differences that only
rounding makes are told and pass: what fails forbids runs.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..data.gmm import GaussianMixture
from ..diffusion.losses import DenoisingLoss
from ..diffusion.samplers import sample
from ..diffusion.schedule import Schedule
from ..experiments.registry import EXPERIMENTS, run
from ..files import NumberedFiles, first_line
from ..metrics.digit_features import digit_features
from ..metrics.frechet import frechet_interval
from ..metrics.kl import kl_score_gap
from ..metrics.memorization import two_nearest
from ..nets.mlp import ResidualMLP
from ..nets.unet import UNet
from ..precision import tensor_float_32
from ..randomness import generator, seeded
from ..rfnn.gradient_flow import GradientFlow
from ..runs.config import Config
from ..training.compiling import compile_static, why_not
from ..training.determinism import deterministic
from ..training.distributed import DDPTrainer
from ..training.ensemble import EnsembleTrainer, check_memory
from ..training.loop import Learner, OptimizerSettings, Trainer, TrainState, make_optimizer

ADAM = OptimizerSettings("adam", 1e-3)
# Adam makes a whole step of a gradient that is rounding alone, as that of a bias before a normalisation is.
SGD = OptimizerSettings("sgd", 1e-2)
STEPS = 20


def apart(a: Tensor, b: Tensor) -> float:
    """Return the largest difference over the largest size."""
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    return float((a - b).abs().max() / b.abs().max())


def within(what: str, found: float, limit: float) -> str:
    """Return a sentence; AssertionError where a difference is above its limit, or no number."""
    sentence = f"{what}: apart by {found:.1e}, at most {limit:g}"
    if not found <= limit:
        raise AssertionError(sentence)
    return sentence


def _image_net(device: str, dropout: float = 0.1) -> nn.Module:
    net = seeded(0, lambda: UNet(8, dropout)).to(device)
    return net.to(memory_format=torch.channels_last)


def networks(device: str) -> str:
    """Both networks predict on the device what they do on the CPU, in float32."""
    k, found = torch.tensor([1, 40, 999, 500]), 0.0
    for make, shape in ((lambda: UNet(8), (1, 16, 16)), (lambda: ResidualMLP(8, 32), (8,))):
        x = torch.randn(4, *shape, generator=generator(0, "check"))
        nets = [seeded(0, make).to(where).eval() for where in ("cpu", device)]
        with torch.no_grad(), tensor_float_32(False):
            found = max(found, apart(nets[1](x.to(device), k.to(device)), nets[0](x, k)))
    return within("predictions", found, 1e-4)


def losses_and_gradients(device: str) -> str:
    """The loss and its gradient for the same times and noises."""
    x, loss = torch.randn(4, 1, 16, 16, generator=generator(0, "check")), DenoisingLoss(Schedule())
    noise, gradients = loss.draw_noise(x, generator(0, "noise"), None), []
    for where in ("cpu", device):
        net = _image_net(where, dropout=0.0)
        with tensor_float_32(False):
            loss.per_sample(net, x.to(where), None, *(z.to(where) for z in noise)).mean().backward()
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in net.parameters() if p.grad is not None]))
    return within("gradients", apart(gradients[1], gradients[0]), 1e-3)


def samplers(device: str) -> str:
    """DDIM and Euler-Maruyama from the same noise."""
    found = 0.0
    for sampler, steps in (("ddim", 10), ("euler_maruyama", 30)):
        nets = [seeded(0, lambda: ResidualMLP(8, 32)).to(where) for where in ("cpu", device)]
        with tensor_float_32(False):
            samples = [
                sample(net, 20, (8,), seed=1, sampler=sampler, steps=steps, device=where)
                for net, where in zip(nets, ("cpu", device), strict=True)
            ]
        found = max(found, apart(samples[1], samples[0]))
    return within("samples", found, 1e-3)


def neighbours(device: str) -> str:
    """The two nearest training points: the same, at the same distance."""
    g = generator(0, "check")
    x, train = torch.rand(500, 256, generator=g), torch.rand(4096, 256, generator=g)
    here, there = two_nearest(x, train), two_nearest(x.to(device), train.to(device))
    if (here.index != there.index).any():
        raise AssertionError(f"{int((here.index != there.index).sum())} of 1000 neighbours are others")
    return within(
        "distances to neighbours", apart(torch.as_tensor(there.distance), torch.as_tensor(here.distance)), 1e-12
    )


def frechet_distance(device: str) -> str:
    """The Frechet distance between features, computed where the images are."""
    g, values = generator(0, "check"), []
    images = torch.rand(500, 1, 16, 16, generator=g)
    for where in ("cpu", device):
        features = copy.deepcopy(digit_features()).to(where)
        with torch.no_grad(), tensor_float_32(False):
            found = features(images.to(where)).double().cpu().numpy()
        values.append(torch.tensor(frechet_interval(found[:200], found[200:])))
    return within("distances", apart(values[1], values[0]), 1e-3)


def lower_precision(device: str) -> str:
    """Predictions in TF32, which samples are drawn with, and in bfloat16, which training computes in."""
    net, k = _image_net(device, dropout=0.0).eval(), torch.tensor([1, 40, 500, 999], device=device)
    x = torch.randn(4, 1, 16, 16, generator=generator(0, "check")).to(device)

    @torch.no_grad()
    def predict(tf32: bool, half: bool) -> Tensor:
        with tensor_float_32(tf32), torch.autocast(device.split(":")[0], torch.bfloat16, enabled=half):
            return net(x, k)

    exact = predict(False, False)
    said = within("predictions in TF32", apart(predict(True, False), exact), 5e-3)
    return f"{said}; {within('in bfloat16', apart(predict(False, True), exact), 5e-2)}"


def divergence(device: str) -> str:
    """The score gap of the mixture, of the same points and noises."""
    mixture, schedule, found = GaussianMixture(8, 1.0), Schedule(), []
    for where in ("cpu", device):
        net = seeded(0, lambda: ResidualMLP(8, 32)).to(where)
        x = mixture.sample(2000, 0).float().to(where)
        with tensor_float_32(False), torch.no_grad():
            found.append(kl_score_gap(net, x, mixture.score, schedule, seed=0).value)
    return within("score gaps", abs(found[1] / found[0] - 1), 1e-3)


def gradient_flow(device: str) -> str:
    """The exact dynamics of random features."""
    rows = np.random.default_rng(0)
    W, X = rows.standard_normal((320, 20)), rows.standard_normal((80, 20))
    curves = [GradientFlow(W, X, 0.1, device=where).losses([1.0, 100.0, 1e4]).test for where in ("cpu", device)]
    return within("test losses", apart(torch.as_tensor(curves[1]), torch.as_tensor(curves[0])), 1e-10)


def replayed_steps(device: str) -> str:
    """Steps that are recorded and replayed are the plain steps, dropout included."""
    return within(f"weights after {STEPS} steps", apart(*(_weights(device, replayed=r) for r in (True, False))), 1e-5)


def compiled_steps(device: str) -> str:
    """Compiled steps go where the plain ones go: in float32 nearly exactly, in bfloat16, as runs are, roughly."""
    if reason := why_not(device.split(":")[0]):
        return f"{reason}: steps are not compiled, and apart by nothing"
    plain = _weights(device, dropout=0.0)
    start = torch.cat([p.flatten() for p in _image_net("cpu").parameters()]).detach()
    said = []
    for bf16, name, limit in ((False, "float32", 1e-2), (True, "bfloat16", 0.1)):
        torch._dynamo.reset()
        compiled = _weights(device, compiled=True, dropout=0.0, bf16=bf16)
        found = float((compiled - plain).norm() / (plain - start).norm())
        said.append(within(f"movement in {STEPS} steps in {name}", found, limit))
    return "; ".join(said)


def compiled_steps_resumed(device: str) -> str:
    """Steps as runs make them, on a GPU replayed, agree with those resumed by a network compiled anew."""
    replayed = device.startswith("cuda")
    way = {"compiled": True, "bf16": True}
    whole, broken = _weights(device, replayed, **way), _weights(device, replayed, broken=STEPS // 2, **way)
    said = within(f"weights after {STEPS} steps, resumed", apart(broken, whole), 1e-4)
    if not replayed:
        return said
    return f"{said}; {within('not replayed', apart(_weights(device, **way), whole), 1e-4)}"


def _weights(
    device: str, replayed: bool = False, compiled: bool = False, dropout: float = 0.1, bf16: bool = False,
    broken: int = 0,
) -> Tensor:  # fmt: skip
    data = torch.randn(12, 1, 16, 16, generator=generator(0, "data")).to(device)

    def begin() -> Trainer:
        net = _image_net(device, dropout)
        if compiled:
            compile_static(net, device)
        return Trainer(
            TrainState(net, data, 0), make_optimizer(net, *SGD), DenoisingLoss(Schedule(), bf16=bf16), 8, replayed
        )

    learner = begin()
    for tau in range(STEPS):
        if tau == broken > 0:
            torch._dynamo.reset()  # or what was compiled before would be used again
            before, learner = learner, begin()
            learner.state.net.load_state_dict(before.state.net.state_dict())
            learner.optimizer.load_state_dict(before.optimizer.state_dict())
        learner.step(tau)
    return torch.cat([p.detach().flatten().cpu() for p in learner.state.net.parameters()])


def together_and_alone(device: str) -> str:
    """Networks that are trained as one, replayed, are those trained alone."""

    def states() -> list[TrainState]:
        return [
            TrainState(seeded(i, lambda: ResidualMLP(8, 32)).to(device),
                       GaussianMixture(8, 1.0).sample(64, i).float().to(device), i)
            for i in range(4)
        ]  # fmt: skip

    loss, team, alone = DenoisingLoss(Schedule()), states(), states()
    learners: list[Learner] = [EnsembleTrainer(team, [{}] * 4, ADAM, loss, 32, 0, replayed=True)]
    learners += [Trainer(s, make_optimizer(s.net, *ADAM), loss, 32) for s in alone]
    with tensor_float_32(False):
        for learner in learners:
            for tau in range(STEPS):
                learner.step(tau)
    learners[0].save(STEPS)
    pairs = zip(team, alone, strict=True)
    found = max(apart(p, q) for a, b in pairs for p, q in zip(a.net.parameters(), b.net.parameters(), strict=True))
    return within(f"weights after {STEPS} steps", found, 1e-2)


def one_process_of_several(device: str) -> str:
    """A process that shares a network with others, of whom there are none, trains as one that does not.

    Such a group is what torchrun makes with one process; several are tried on CPUs alone.
    """
    meeting = tempfile.TemporaryDirectory()
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, init_method=f"file://{meeting.name}/all", rank=0, world_size=1)
    try:
        weights = []
        for kind in (DDPTrainer, Trainer):
            net = _image_net(device, dropout=0.0)
            data = torch.randn(12, 1, 16, 16, generator=generator(0, "data")).to(device)
            learner = kind(TrainState(net, data, 0), make_optimizer(net, *SGD), DenoisingLoss(Schedule()), 8)
            for tau in range(5):
                learner.step(tau)
            weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    finally:
        dist.destroy_process_group()
        meeting.cleanup()
    return within("weights after 5 steps", apart(*weights), 1e-5)


# Settings of runs that are killed: long enough to be hit, with checkpoints often.
KILLED: dict[str, dict[str, Any]] = {
    "gmm": {"tier": "smoke", "n": 16, "steps": 400, "first": 200, "milestones": 3, "sampler": "ddim"},
    "unet": {"tier": "smoke", "steps": 24, "first": 8, "milestones": 4, "graphs": True},
}


def killed_and_gone_on_with(device: str) -> str:
    """A run that is killed by SIGKILL and gone on with is the unbroken one to the last digit: mixture and U-Net."""
    with tempfile.TemporaryDirectory() as temporary:
        for experiment, given in KILLED.items():
            config = EXPERIMENTS[experiment].config.from_parameters(given)
            ended = []
            for broken in (True, False):
                with _places(Path(temporary) / str(broken)):
                    if broken:
                        _kill_after_a_milestone(config, device)
                    result = run(config, device, show_progress=False)
                    if not result.provenance["complete"]:  # it was asked to end: nothing is known, and nothing failed
                        raise SystemExit
                    ended.append(result.curves)
            if not ended[0].equals(ended[1]):
                raise AssertionError(f"the curves of a {experiment} run that was killed are others")
    return "a mixture run and an image run, killed and gone on with, ended as the unbroken ones"


def _kill_after_a_milestone(config: Config, device: str) -> None:
    """Begin a run in another process and kill it when its first measurement is there."""
    code = (
        "import json, sys; from diffmemlib.experiments.registry import EXPERIMENTS, run;"
        "name, given, device = sys.argv[1:];"
        "run(EXPERIMENTS[name].config.from_parameters(json.loads(given)), device, show_progress=False)"
    )
    given = json.dumps(KILLED[config.experiment])
    log = NumberedFiles(config.checkpoint_dir / "milestones", ".npz", config.id)
    with subprocess.Popen([sys.executable, "-c", code, config.experiment, given, device]) as process:
        while process.poll() is None and not log.paths():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    if process.returncode != -signal.SIGKILL:
        raise AssertionError(f"the {config.experiment} run had ended before it was killed, with {process.returncode}")


@contextmanager
def _places(folder: Path) -> Iterator[None]:
    """Let results and checkpoints lie there meanwhile."""
    before = dict(os.environ)
    os.environ["DIFFMEM_RESULTS"], os.environ["DIFFMEM_CHECKPOINTS"] = str(folder / "r"), str(folder / "c")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def too_large(device: str) -> str:
    """What does not fit into memory ends in one sentence: networks together, and one allocation."""
    states = [TrainState(ResidualMLP(8, 256).to(device), torch.zeros(256, 8, device=device), 0)] * 2_000_000
    try:
        check_memory(states, DenoisingLoss(Schedule()), 256)
    except MemoryError as error:
        refused = f"refused: {error}"
    else:
        raise AssertionError("networks of terabytes were not refused")
    if device.startswith("cuda"):
        try:
            torch.empty(2**46, device=device)
        except torch.OutOfMemoryError:
            return f"{refused}; torch refuses an allocation in its own words, which commands turn into a sentence"
        raise AssertionError("256 TiB were not refused")
    return refused


# Parts are made at once, each in a process of its own; within one, the quick ones come first.
PARTS: tuple[tuple[Callable[[str], str], ...], ...] = (
    (networks, losses_and_gradients, samplers, lower_precision, frechet_distance, neighbours, divergence, gradient_flow,
     replayed_steps, together_and_alone, one_process_of_several, too_large),
    (compiled_steps, compiled_steps_resumed),
    (killed_and_gone_on_with,),
)  # fmt: skip
CHECKS: dict[str, Callable[[str], str]] = {check.__name__: check for part in PARTS for check in part}
NOT_REACHED = {"outcome": "not reached", "said": "", "seconds": 0.0}


def check_all(
    device: str, seconds: float, save: Callable[[dict[str, Any]], None], names: Collection[str] | None = None
) -> dict[str, Any]:
    """Make checks in order until so many seconds have passed; return, and save before and after each, what they said.

    Parameters
    ----------
    device
        As torch calls it.
    seconds
        When so many have passed, no other check is begun.
    save
        Called with what is known.
    names
        Of the checks that are made; all unless given.

    Returns
    -------
    dict
        For each check: outcome ("passed", "failed", "begun" or "not reached"), what it said, and its seconds.
    """
    began = time.monotonic()
    chosen = {name: check for name, check in CHECKS.items() if names is None or name in names}
    found: dict[str, Any] = {name: dict(NOT_REACHED) for name in chosen}
    for name, check in chosen.items():
        start = time.monotonic()
        if start - began > seconds:
            break
        found[name] = NOT_REACHED | {"outcome": "begun"}
        save(found)
        try:
            with deterministic(device):
                outcome, said = "passed", check(device)
        except Exception as error:  # whatever it is, it is told, and the next check is made
            outcome, said = "failed", first_line(error)
        found[name] = {"outcome": outcome, "said": said, "seconds": round(time.monotonic() - start, 2)}
        save(found)
        if "CUDA error" in said:  # after which every operation of this process fails
            break
    return found
