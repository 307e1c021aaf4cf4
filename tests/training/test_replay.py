"""Steps that are recorded and replayed are the steps themselves: on a CPU by a tape, which fails as a CUDA graph would.

The same is asked of CUDA graphs by the checks of a campaign, on a GPU.
"""

import itertools
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffmemlib.data.gmm import GaussianMixture
from diffmemlib.diffusion.losses import DenoisingLoss, FrozenNoiseLoss, freeze_noise
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.files import NumberedFiles
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.nets.unet import UNet
from diffmemlib.randomness import derive_seed, generator, seeded
from diffmemlib.training import compiling
from diffmemlib.training.compiling import compile_static
from diffmemlib.training.ensemble import EnsembleTrainer, train_ensemble
from diffmemlib.training.fixed_batch import FixedBatch
from diffmemlib.training.loop import OptimizerSettings, Trainer, TrainState, make_optimizer, train
from diffmemlib.training.replay import WARM_UP, Replay, Tape

S = Schedule()
STEPS = 20
OPTIMIZERS = [("sgd", 1e-2, 0.95), ("adam", 1e-2, 0.0)]


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


def trained(make, data, loss, replayed, *, batch=7, labels=None, optimizer=OPTIMIZERS[1], steps=STEPS, **options):
    net = seeded(0, make)
    moved = [p.clone() for p in net.parameters()]
    cls = partial(Trainer, replayed=replayed)
    list(train(net, data, make_optimizer(net, *optimizer), loss, milestones=[steps], batch=batch, labels=labels,
               trainer_cls=cls, **options))  # fmt: skip
    assert any(float((p - q).detach().abs().max()) > 1e-3 for p, q in zip(moved, net.parameters(), strict=True))
    return net


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [7, 24])
@pytest.mark.parametrize("labelled", [False, True])
def test_replayed_steps_of_a_vector_network_are_the_steps_themselves(optimizer, batch: int, labelled: bool):
    x, y = GaussianMixture(d=3).labelled(24, 0)
    both = [
        trained(lambda: ResidualMLP(3, 8, blocks=1, classes=2 if labelled else 0), x.float(), DenoisingLoss(S, 0.3), r,
                optimizer=optimizer, batch=batch, labels=y if labelled else None)
        for r in (False, True)
    ]  # fmt: skip
    assert_equal(*both)


@pytest.mark.parametrize("weighting", ["low_noise", "uniform"])
def test_so_are_those_of_a_network_of_images_with_dropout(weighting):
    data = torch.randn(12, 1, 8, 8, generator=generator(0, "images"))
    both = [
        trained(lambda: UNet(8, 0.3), data, DenoisingLoss(S, weighting=weighting), r, steps=8) for r in (False, True)
    ]
    assert_equal(*both)


def test_so_are_those_with_averaged_weights_and_frozen_noise():
    x, fresh = GaussianMixture(d=3).sample(24, 0).float(), DenoisingLoss(S)
    data, averages = freeze_noise(x, 3, fresh, 0), []
    for replayed in (False, True):
        net = seeded(0, lambda: ResidualMLP(3, 8, blocks=1))
        averages.append(AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9)))
        list(train(net, data, make_optimizer(net, *OPTIMIZERS[1]), FrozenNoiseLoss(fresh), milestones=[STEPS], batch=9,
                   ema=averages[-1], trainer_cls=partial(Trainer, replayed=replayed)))  # fmt: skip
    assert_equal(*averages)


def test_a_replayed_training_that_stops_goes_on_to_the_same_end(tmp_path):
    x = GaussianMixture(d=3).sample(24, 0).float()

    def parts(folder, stops):
        for stop in stops:
            net = trained(lambda: ResidualMLP(3, 8, blocks=1), x, DenoisingLoss(S), True, steps=stop,
                          checkpoints=NumberedFiles(folder, ".safetensors"))  # fmt: skip
        return net

    assert_equal(parts(tmp_path / "a", [3, 4, 11, STEPS]), parts(tmp_path / "b", [STEPS]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_networks_trained_together_may_be_replayed(optimizer):
    teams = []
    for replayed in (False, True):
        x = [GaussianMixture(d=2).sample(16, seed).float() for seed in range(3)]
        team = [TrainState(seeded(i, lambda: ResidualMLP(2, 8, blocks=1)), each, i) for i, each in enumerate(x)]
        list(train_ensemble(team, optimizer, DenoisingLoss(S), milestones=[5, STEPS], batch=5, failed={},
                            replayed=replayed, compiled=False))  # fmt: skip
        teams.append(team)
    for a, b in zip(*teams, strict=True):
        assert_equal(a.net, b.net)


def test_numbers_of_python_in_the_work_are_those_of_the_recording():
    """What makes a recording a recording, so that the tests above can fail."""
    total, tau = torch.zeros(2), [0]

    def work() -> torch.Tensor:
        total.add_(tau[0])
        return total * 2

    replay = Replay(work, "cpu")
    for tau[0] in range(WARM_UP + 3):
        out = replay()
    assert total.tolist() == [0 + 1 + 2 + 3 + 3 + 3] * 2, "the fourth call is recorded, with the number 3"
    assert out.tolist() == [24.0, 24.0], "the result is that of the last call"


def test_work_that_waits_for_a_number_cannot_be_recorded():
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="reads a number from a tensor"):
        Tape.record(lambda: x.sum().item())


def test_random_numbers_of_a_replay_are_those_of_its_seed():
    g = torch.Generator()
    replay = Replay(lambda: torch.randn(3, generator=g), "cpu", [g])
    for tau in range(WARM_UP + 3):
        g.manual_seed(derive_seed(0, tau))
        assert torch.equal(replay(), torch.randn(3, generator=generator(0, tau)))


def test_the_points_of_a_step_stay_where_they_were():
    """A recording reads them there; and the shuffle that they are copied from is left alone."""
    states = [TrainState(nn.Identity(), torch.arange(10.0)[:, None], 0) for _ in range(2)]
    seen, place = [], None
    for tau in range(10):
        states[0].prepare_step(tau, 4)
        place = place or states[0].index.data_ptr()
        assert states[0].index.data_ptr() == place
        seen.append(states[0].points()[0].flatten().tolist())
    for tau, points in enumerate(seen):
        states[1].prepare_step(tau, 4)
        assert states[1].points()[0].flatten().tolist() == points
    assert sorted(itertools.chain(*seen[:5])) == sorted(list(range(10)) * 2), "two passes over the data"


@pytest.mark.parametrize("replayed", [False, True])
def test_a_network_is_asked_in_batches_of_one_size(replayed: bool):
    net, sizes = seeded(0, lambda: UNet(8, 0.5)), []
    net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    fixed = FixedBatch(net, 4, replayed)
    for tau, m in enumerate((3, 4, 11, 4, 9)):
        g = generator(0, tau)
        x, k = torch.randn(m, 1, 8, 8, generator=g), torch.randint(1, 1000, (m,), generator=g)
        ours = fixed(x, k)
        with torch.no_grad():
            torch.testing.assert_close(ours, net.eval()(x, k), rtol=1e-4, atol=1e-5)
        assert not ours.requires_grad and net.train().training
        sizes = [size for size in sizes if size != m or m == 4]
        with torch.no_grad():
            net.out.weight.mul_(1.5)  # later weights are seen
    assert set(sizes) == {4}


def test_many_shapes_are_all_compiled(monkeypatch):
    """torch stops at eight without a word, and later networks would be as slow as if none had been asked for."""
    compiled: list[int] = []

    def backend(graph, inputs):
        compiled.append(len(inputs))
        return graph.forward

    compiling = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda net, **how: compiling(net, backend=backend, **how))
    torch._dynamo.reset()
    for width in (4, 8, 12):
        net = ResidualMLP(2, width, blocks=1)
        compile_static(net, "cpu")
        for m in range(1, 6):
            net(torch.zeros(m, 2), torch.ones(m, dtype=torch.long))
    assert len(compiled) == 15


@pytest.fixture
def fresh():
    """What is known of compilers is asked again, before and after."""
    compiling.why_not.cache_clear()
    yield
    compiling.why_not.cache_clear()


def test_without_a_compiler_nothing_is_compiled_and_that_is_said(monkeypatch, fresh):
    monkeypatch.setattr(compiling, "has_compiler", lambda: False)
    monkeypatch.setattr(nn.Module, "compile", lambda *_, **__: pytest.fail("nothing is to be compiled"))
    with pytest.warns(UserWarning, match="no C compiler is found here, so the network is not compiled: it is slower"):
        assert compile_static(ResidualMLP(2, 4), "cpu") is False


def test_a_compiler_that_fails_on_a_gpu_is_found_by_trying(monkeypatch, fresh):
    def broken(*_, **__):
        raise RuntimeError("Python.h: No such file\nand more")

    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    monkeypatch.setattr(torch, "compile", broken)
    assert compiling.why_not("cuda") == "torch.compile fails here (RuntimeError: Python.h: No such file)"
    assert compiling.why_not("cpu") == "", "there it is not tried, which takes long"


def test_a_graph_on_a_gpu_knows_the_generators_and_is_replayed_at_once(monkeypatch):
    """The order of calls to CUDA, told by stand-ins: what is recorded is not done, so it is replayed at once."""
    told: list[str] = []

    class Graph:
        def register_generator_state(self, g) -> None:
            told.append(f"register {g}")

        def replay(self) -> None:
            told.append("replay")

    @contextmanager
    def graph(made, stream):
        told.append("begin")
        yield
        told.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    replay = Replay(lambda: told.append("work"), "cpu", ["g", "h"])
    replay.device = torch.device("cuda:0")
    again, _ = replay._graph()
    again()
    assert told == ["register g", "register h", "begin", "work", "end", "replay", "replay"]


def test_trainers_tell_a_recording_all_that_they_draw_from():
    x = GaussianMixture(d=2).sample(8, 0).float()
    states = [TrainState(ResidualMLP(2, 8, blocks=1), x, seed) for seed in range(3)]
    alone = Trainer(states[0], make_optimizer(states[0].net, *OPTIMIZERS[0]), DenoisingLoss(S), 4, replayed=True)
    assert alone.run.generators == [states[0].noise]
    team = EnsembleTrainer(states, [{}] * 3, OptimizerSettings(*OPTIMIZERS[0]), DenoisingLoss(S), 4, 0, replayed=True)
    assert team.run.generators == [state.noise for state in states]
