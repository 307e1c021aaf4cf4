"""The loop against a plain one, resuming bit for bit, and what goes wrong."""

import io
import itertools

import pytest
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffmemlib.diffusion.losses import DenoisingLoss
from diffmemlib.diffusion.schedule import Schedule
from diffmemlib.files import NumberedFiles
from diffmemlib.nets.mlp import ResidualMLP
from diffmemlib.randomness import generator, seeded
from diffmemlib.training.checkpoints import restore
from diffmemlib.training.loop import DivergedError, batch_indices, log_milestones, make_optimizer, train
from diffmemlib.training.progress import Progress

S = Schedule()
LOSS = DenoisingLoss(S)
DATA = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))


def fresh(optimizer: str = "sgd", lr: float = 1e-2):
    net = seeded(0, lambda: ResidualMLP(2, 8, blocks=1))
    return net, make_optimizer(net, optimizer, lr)


def run(steps: int, optimizer: str = "sgd", batch: int = 24, lr: float = 1e-2, milestones=None, **options):
    net, opt = fresh(optimizer, lr)
    for _ in train(net, DATA, opt, LOSS, seed=3, milestones=milestones or [steps], batch=batch, **options):
        pass
    return net


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_loop_is_plain_denoising_score_matching(optimizer: str):
    net, _ = fresh()
    options = {"sgd": {"lr": 1e-2, "momentum": 0.95}, "adam": {"lr": 1e-2}}[optimizer]
    plain = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](net.parameters(), **options)
    for tau in range(20):
        g = generator(3, "noise", tau)
        k, xi = torch.randint(1, 1000, (24,), generator=g), torch.randn(24, 2, generator=g)
        x = S.signal[k].float()[:, None] * DATA + S.noise[k].float()[:, None] * xi
        plain.zero_grad()
        F.mse_loss(net(x, k), xi).backward()
        plain.step()
    for a, b in zip(net.parameters(), run(20, optimizer).parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_batches_pass_through_reshuffled_data():
    drawn = [batch_indices(tau, 10, 4, seed=1) for tau in range(5)]
    passes = torch.cat(drawn).view(2, 10)
    assert all(sorted(p.tolist()) == list(range(10)) for p in passes)
    assert not torch.equal(passes[0], passes[1])
    assert batch_indices(0, 10, 10, seed=1) is None
    assert torch.equal(batch_indices(3, 10, 4, seed=1), drawn[3])


@pytest.mark.parametrize(("optimizer", "batch"), [("sgd", 24), ("adam", 7)])
def test_stopping_anywhere_and_resuming_is_bitwise_the_same(tmp_path, optimizer: str, batch: int):
    whole = run(40, optimizer, batch)
    for stop in (1, 13, 39):
        files = NumberedFiles(tmp_path / f"{stop}", ".safetensors")
        calls = itertools.count(1)
        run(40, optimizer, batch, checkpoints=files, should_stop=lambda s=stop, c=calls: next(c) == s)
        assert list(files.paths()) == [stop]
        assert same(whole, run(40, optimizer, batch, checkpoints=files))


def test_dying_between_timed_checkpoints_loses_only_the_steps_since(tmp_path):
    whole, files = run(40), NumberedFiles(tmp_path, ".safetensors")
    calls = itertools.count(1)

    def die_at_13() -> bool:
        if next(calls) == 13:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(40, checkpoints=files, checkpoint_seconds=0.0, should_stop=die_at_13)
    assert list(files.paths()) == [11, 12]
    assert same(whole, run(40, checkpoints=files))


def test_a_milestone_is_yielded_again_after_resuming_there(tmp_path):
    files = NumberedFiles(tmp_path, ".safetensors")
    for expected in ([10, 20], [20]):
        net, opt = fresh()
        seen = list(train(net, DATA, opt, LOSS, seed=3, milestones=[10, 20], batch=24, checkpoints=files))
        assert seen == expected


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage: str):
    files = NumberedFiles(tmp_path, ".safetensors")
    whole = run(30, milestones=[10, 20, 30], checkpoints=files)
    path = files.paths()[30]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"truncate": data[: len(data) // 2], "flip": data, "empty": b""}[damage])
    net, opt = fresh()
    with pytest.warns(UserWarning, match="damaged"):
        assert restore(net, opt, files) == 20
    with pytest.warns(UserWarning, match="damaged"):
        assert same(whole, run(30, milestones=[10, 20, 30], checkpoints=files))


@pytest.mark.parametrize("lr", [1e30, float("nan")])
def test_divergence_stops_and_keeps_the_last_good_state(tmp_path, lr: float):
    files = NumberedFiles(tmp_path, ".safetensors")
    run(10, checkpoints=files)
    with pytest.raises(DivergedError, match=r"step 10, is kept\. Lower the learning rate"):
        run(20, lr=lr, checkpoints=files)
    net, opt = fresh()
    assert restore(net, opt, files) == 10
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_a_log_gets_lines_with_rate_and_remaining_time():
    log = io.StringIO()
    progress = Progress(total=100, label="x", every=0.0, stream=log)
    progress.show(50, 0.25)
    progress.show(100, 0.125)
    first, last = log.getvalue().splitlines()
    assert first.startswith("x step 50 of 100 (50%), ")
    assert "steps/s" in first
    assert "left, loss 0.2500" in first
    assert "0:00:00 left, loss 0.1250" in last
    progress.show(100, torch.tensor([0.25, 0.75, torch.nan]))  # of three runs together, one diverged
    assert log.getvalue().splitlines()[-1].endswith("loss 0.5000")
    quiet = io.StringIO()
    Progress(total=100, every=30.0, stream=quiet).show(50, 0.25)
    assert quiet.getvalue() == ""


def test_the_rate_after_a_resume_is_that_of_this_process(monkeypatch):
    now = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr("diffmemlib.training.progress.time.monotonic", lambda: next(now))
    log = io.StringIO()
    progress = Progress(total=2000, every=5.0, stream=log)
    progress.show(1001, 0.5)
    progress.show(1500, 0.5)
    assert "50 steps/s, 0:00:10 left" in log.getvalue()


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    progress = Progress(total=10, label="x", stream=terminal)
    progress.show(10, 0.5)
    progress.close()
    assert "10/10" in terminal.getvalue()


def test_milestones_are_spread_in_log_tau():
    assert log_milestones(1, 1000, 4) == [1, 10, 100, 1000]
    assert log_milestones(1, 3, 10) == [1, 2, 3]
    with pytest.raises(ValueError, match="first = 5, last = 2"):
        log_milestones(5, 2, 3)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer = 'lion'"):
        make_optimizer(fresh()[0], "lion", 1e-3)


def test_divergence_is_told_when_the_loss_is_checked_not_when_it_is_saved(tmp_path):
    """A hundred steps at most, though nothing is to be saved for a thousand."""
    with pytest.raises(DivergedError, match="at step 100 the loss is") as error:
        run(1000, lr=1e30, checkpoints=NumberedFiles(tmp_path, ".safetensors"), checkpoint_seconds=1e9)
    assert "step 0, is kept" in str(error.value)


class Dropping(torch.nn.Module):
    """A net with a dropout of some kind, by a layer or by a function."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, ResidualMLP(2, 8, blocks=1)
        layers = {"layer": torch.nn.Dropout(0.5), "alpha": torch.nn.AlphaDropout(0.5), "rrelu": torch.nn.RReLU(),
                  "channels": torch.nn.Dropout1d(0.5)}  # fmt: skip
        self.drop = layers.get(kind, torch.nn.Identity())

    def forward(self, x, timestep):
        x = F.dropout(x, 0.5, self.training) if self.kind == "function" else self.drop(x)
        return self.inner(x, timestep)


@pytest.mark.parametrize("kind", ["layer", "alpha", "rrelu", "channels", "function"])
def test_every_kind_of_dropout_resumes_bit_for_bit_and_leaves_the_callers_numbers(kind: str, tmp_path):
    def trained(steps: int, checkpoints=None):
        net = seeded(0, lambda: Dropping(kind))
        optimizer = make_optimizer(net, "sgd", 1e-2)
        for _ in train(net, DATA, optimizer, LOSS, seed=3, milestones=[steps], batch=8, checkpoints=checkpoints):
            torch.rand(5)  # what the caller draws must not matter, nor be disturbed
        return net

    torch.manual_seed(11)
    torch.rand(5)
    expected = torch.rand(3)
    torch.manual_seed(11)
    whole = trained(12)
    assert torch.equal(torch.rand(3), expected), "training moved the caller's generator"
    files = NumberedFiles(tmp_path, ".safetensors")
    trained(5, files)
    torch.manual_seed(99)
    assert same(whole, trained(12, files))
    plain = seeded(0, lambda: Dropping("none"))
    list(train(plain, DATA, make_optimizer(plain, "sgd", 1e-2), LOSS, seed=3, milestones=[12], batch=8))
    assert not same(whole, plain), "nothing was dropped"


def averaged(decay: float, steps: int, checkpoints=None):
    net, optimizer = fresh("adam")
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay))
    list(train(net, DATA, optimizer, LOSS, seed=3, milestones=[steps], batch=8, ema=ema, checkpoints=checkpoints))
    return net, ema


def test_averaged_weights_are_the_exponential_mean_and_survive_a_stop(tmp_path):
    net, ema = averaged(0.9, 12)
    copies = []
    for steps in range(1, 13):
        copies.append([p.detach().clone() for p in run(steps, "adam", batch=8).parameters()])
    expected = copies[0]  # torch's average starts at the first weights it is given
    for weights in copies[1:]:
        expected = [0.9 * mean + 0.1 * w for mean, w in zip(expected, weights, strict=True)]
    for mean, ours in zip(expected, ema.module.parameters(), strict=True):
        torch.testing.assert_close(ours, mean, rtol=1e-5, atol=1e-7)
    files = NumberedFiles(tmp_path, ".safetensors")
    averaged(0.9, 5, files)
    again, ema_again = averaged(0.9, 12, files)
    assert same(net, again)
    assert same(ema, ema_again)
    assert int(ema_again.n_averaged) == 12
    plain, optimizer = fresh("adam")
    (step,) = train(plain, DATA, optimizer, LOSS, seed=3, milestones=[12], checkpoints=files)
    assert step == 12, "what the run does not ask for is passed over"
    with pytest.raises(ValueError, match=r"has no scheduler: start afresh"):
        list(train(*fresh("adam")[:1], DATA, fresh("adam")[1], LOSS, milestones=[12], checkpoints=files,
                   extra={"scheduler": ema}))  # fmt: skip


def test_a_state_that_a_safe_file_cannot_hold_is_refused_by_name(tmp_path):
    class Stubborn:
        def state_dict(self):
            return {"history": [1, 2]}

        def load_state_dict(self, state):
            raise AssertionError

    net, optimizer = fresh()
    with pytest.raises(ValueError, match="log keeps 'history' as a list: a checkpoint holds tensors and numbers only"):
        list(train(net, DATA, optimizer, LOSS, milestones=[2], extra={"log": Stubborn()},
                   checkpoints=NumberedFiles(tmp_path, ".safetensors")))  # fmt: skip


def test_weights_that_are_shared_are_kept_and_stay_shared(tmp_path):
    def tied():
        net = seeded(0, lambda: ResidualMLP(2, 8, blocks=1))
        net.blocks[0].second.weight = net.blocks[0].first.weight
        return net

    def trained(steps: int, files=None):
        net = tied()
        optimizer = make_optimizer(net, "adam", 1e-2)
        list(train(net, DATA, optimizer, LOSS, seed=3, milestones=[steps], batch=8, checkpoints=files))
        return net

    files = NumberedFiles(tmp_path, ".safetensors")
    trained(4, files)
    again = trained(9, files)
    assert same(trained(9), again)
    assert again.blocks[0].second.weight is again.blocks[0].first.weight


def test_a_checkpoint_under_another_steps_name_is_refused(tmp_path):
    files = NumberedFiles(tmp_path, ".safetensors")
    run(6, checkpoints=files)
    _, data = files.latest()
    files.write(9, data)
    with pytest.raises(ValueError, match=r"the checkpoint of step 9 .* \(it holds step 6\); remove it"):
        run(12, checkpoints=files)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"batch": 0}, "batch = 0"), ({"batch": -1}, "batch = -1"), ({"data": torch.zeros(0, 2)}, "0 training points"),
     ({"milestones": [2.5]}, "milestones hold 2.5"), ({"milestones": [-1, 5]}, "milestones hold -1")],
)  # fmt: skip
def test_a_training_that_cannot_be_is_refused_before_its_first_step(change, sentence: str):
    net = ResidualMLP(d=2, width=8)
    options = {"data": torch.zeros(8, 2), "milestones": [2], "batch": 4} | change
    with pytest.raises(ValueError, match=sentence):
        list(train(net, options.pop("data"), make_optimizer(net, "sgd", 0.1), **options))
