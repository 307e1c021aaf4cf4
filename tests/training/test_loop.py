"""The loop against a plain one, resuming bit for bit, and what goes wrong."""

import io
import itertools

import pytest
import torch
from torch.nn import functional as F

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
