"""What a run survives: after each fault it goes on, and its result is bit for bit that of an unbroken run."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from diffmemlib import files as writing
from diffmemlib.experiments import gmm
from diffmemlib.experiments.gmm import GmmConfig
from diffmemlib.files import NumberedFiles, digest
from diffmemlib.runs.store import complete_result, read_result
from diffmemlib.training import loop

SETTINGS = {
    "tier": "smoke", "n": 16, "steps": 300, "samples": 100, "milestones": 6, "kept": 5, "sampler": "ddim",
    "sampling_steps": 10,
}  # fmt: skip
CONFIG = GmmConfig.from_parameters(SETTINGS)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict[str, bytes]:
    """The files of a run that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("unbroken")
        patch.setenv("DIFFMEM_RESULTS", str(place / "results"))
        patch.setenv("DIFFMEM_CHECKPOINTS", str(place / "checkpoints"))
        gmm.run(CONFIG, show_progress=False)
        return files()


def files(folder: Path | None = None) -> dict[str, bytes]:
    folder = folder or CONFIG.result_dir
    return {name: (folder / name).read_bytes() for name in ("config.json", "curves.parquet", "samples.npz")}


def goes_on(unbroken: dict[str, bytes]) -> None:
    """The same command completes the run as if nothing had happened, and leaves nothing half written."""
    result = gmm.run(CONFIG, show_progress=False)
    assert result.provenance["complete"]
    assert files() == unbroken
    nothing_half_written()


def nothing_half_written() -> None:
    left = [p for top in (CONFIG.result_dir.parent, CONFIG.checkpoint_dir) for p in top.rglob(".*")]
    assert left == [], "temporary files were left behind"


KILLER = """
import json, os, random, shutil, signal, sys, time
from diffmemlib.experiments import gmm
config = gmm.GmmConfig.from_parameters(json.loads(sys.argv[3]))
rng, kills, ended = random.Random(0), 0, 0
while kills < int(sys.argv[2]):  # a fork of a process that has imported everything: a kill costs no start
    child = os.fork()
    if child == 0:
        gmm.run(config, show_progress=False)
        os._exit(0)
    time.sleep(rng.uniform(0, float(sys.argv[1])))
    os.kill(child, signal.SIGKILL)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        kills += 1
    else:  # on a machine that has become faster the run ends before its last kill: kept, and once more
        config.result_dir.rename(config.result_dir.parent.parent / f"ended-{ended}")
        ended += 1
gmm.run(config, show_progress=False)
"""


@pytest.mark.slow
def test_fifty_kills_at_random_moments(unbroken):
    """SIGKILL while starting, training, measuring and writing; the pauses are short beside the run."""
    began = time.monotonic()
    gmm.run(CONFIG, show_progress=False)
    whole = time.monotonic() - began
    shutil.rmtree(CONFIG.result_dir)
    killer = subprocess.run(
        [sys.executable, "-c", KILLER, str(whole / 12), "50", json.dumps(SETTINGS)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert killer.returncode == 0, killer.stderr
    if torch.get_num_threads() == 1:  # sums in another order differ in the last bit
        for folder in (CONFIG.result_dir, *CONFIG.result_dir.parent.parent.glob("ended-*")):
            assert files(folder) == unbroken
    assert complete_result(CONFIG)
    nothing_half_written()


def test_what_a_kill_left_half_written_is_removed(unbroken):
    for kind, suffix in (("milestones", ".npz"), ("checkpoints", ".safetensors")):
        (CONFIG.checkpoint_dir / kind).mkdir(parents=True)
        (CONFIG.checkpoint_dir / kind / f".000000100-0123456789abcdef{suffix}.abc").write_bytes(b"half of it")
    (CONFIG.result_dir.parent / f".new-{CONFIG.id}").mkdir(parents=True)
    goes_on(unbroken)


RACE = """
import json, os, sys
from diffmemlib.experiments import gmm
from diffmemlib.files import RunBusyError
config = gmm.GmmConfig.from_parameters(json.loads(sys.argv[1]))
children = []
for _ in range(2):
    if (child := os.fork()) == 0:
        try:
            gmm.run(config, show_progress=False)
        except RunBusyError as error:
            print(error, flush=True)
            os._exit(3)
        os._exit(0)
    children.append(child)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def test_of_two_processes_at_one_run_the_second_leaves(unbroken):
    race = subprocess.run(
        [sys.executable, "-c", RACE, json.dumps(SETTINGS)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert race.returncode == 0, race.stderr
    assert f"another process is working on {CONFIG.id}: wait for it, or stop it" in race.stdout
    assert race.stdout.splitlines()[-1] == "[0, 3]"
    if torch.get_num_threads() == 1:
        assert files() == unbroken
    nothing_half_written()


def test_sigterm_saves_the_step_that_was_reached(unbroken, monkeypatch):
    """The signal that schedulers send before they kill: no step is lost, and the process ends by itself."""
    step, steps = loop.Trainer.step, []

    def counted(self, tau):
        steps.append(tau)
        if len(steps) == 137:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, tau)

    monkeypatch.setattr(loop.Trainer, "step", counted)
    handler = signal.getsignal(signal.SIGTERM)
    part = gmm.run(CONFIG, show_progress=False)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert part.provenance["complete"] is False
    assert next(reversed(NumberedFiles(CONFIG.checkpoint_dir / "checkpoints", ".safetensors").paths())) == 137
    goes_on(unbroken)
    assert steps == list(range(300))


FAULTS = {
    "a full disk": ("os.fsync", errno.ENOSPC, "No space left on device"),
    "a failing disk": ("os.replace", errno.EIO, "Input/output error"),
    "a read-only store": ("files.new_file", errno.EROFS, "Read-only file system"),
}


@pytest.mark.parametrize("moment", [1, 2, 7, 12, 13, 14, 16])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_that_fails_says_so_and_loses_nothing(fault: str, moment: int, unbroken, monkeypatch):
    """From its first checkpoint to the last file of its result; 12 writes come before the four of the result."""
    target, code, words = FAULTS[fault]
    module, name = target.split(".")
    home = {"os": os, "files": writing}[module]
    real, calls = getattr(home, name), []

    def failing(*arguments, **options):
        calls.append(arguments)
        if len(calls) >= moment:  # and stays so
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(home, name, failing)
        with pytest.raises(OSError, match=f"could not be written .{words}.*run the same again"):
            gmm.run(CONFIG, show_progress=False)
    assert len(calls) >= moment
    goes_on(unbroken)


@pytest.mark.parametrize("root", ["DIFFMEM_RESULTS", "DIFFMEM_CHECKPOINTS"])
def test_a_place_that_cannot_be_made_is_named(root: str, store, unbroken, monkeypatch):
    """Below a file, where no folder can be, whoever asks; what was trained before is kept."""
    (store / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setenv(root, str(store / "file" / "place"))
        with pytest.raises(OSError, match=r"file/place/.* could not be written .*run the same again"):
            gmm.run(CONFIG, show_progress=False)
    goes_on(unbroken)


def test_a_complete_run_is_read_where_nothing_can_be_written(store, unbroken, monkeypatch):
    goes_on(unbroken)
    (store / "file").write_text("")
    monkeypatch.setenv("DIFFMEM_CHECKPOINTS", str(store / "file" / "place"))
    monkeypatch.setattr(writing, "new_file", lambda _: pytest.fail("something was written"))
    assert gmm.run(CONFIG, show_progress=False).provenance["complete"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
@pytest.mark.parametrize("name", ["provenance.json", "config.json", "curves.parquet", "samples.npz"])
def test_a_damaged_result_is_made_again(name: str, damage: str, unbroken):
    gmm.run(CONFIG, show_progress=False)
    path = CONFIG.result_dir / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x80
    path.write_bytes({"cut": bytes(data[: len(data) // 2]), "flip": bytes(data), "empty": b""}[damage])
    assert complete_result(CONFIG) is None
    goes_on(unbroken)


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_jumps_changes_nothing(jump: float, unbroken, monkeypatch):
    """The clock on the wall plays no part; the one that only rises, if it leaps, only makes a checkpoint more."""
    real_time, real_monotonic = time.time, time.monotonic
    calls = []

    def leaping() -> float:
        calls.append(1)
        return real_monotonic() + (max(jump, 0.0) if len(calls) > 50 else 0.0)

    monkeypatch.setattr("time.time", lambda: real_time() + jump)
    monkeypatch.setattr("time.monotonic", leaping)
    goes_on(unbroken)
    finished = pd.Timestamp(read_result(CONFIG.result_dir).provenance["finished"])
    assert abs((finished - pd.Timestamp.now("UTC")).total_seconds()) < 3600  # pandas asks the system, not time.time


class Attack:
    def __reduce__(self):
        return os.system, ("touch executed-by-a-checkpoint",)


@pytest.mark.parametrize("maker", ["pickle", "torch"])
def test_a_checkpoint_from_someone_else_cannot_run_code(maker: str, store, monkeypatch):
    """A file with the right name and checksum that runs a command where it is unpickled."""
    monkeypatch.chdir(store)
    path = store / "payload"
    if maker == "pickle":
        path.write_bytes(pickle.dumps(Attack()))
    else:
        torch.save({"net": Attack()}, path)
    data = path.read_bytes()
    place = CONFIG.checkpoint_dir / "checkpoints"
    place.mkdir(parents=True)
    (place / f"{5:09d}-{digest(data)[:16]}.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="is not one of this library"):
        gmm.run(CONFIG, show_progress=False)
    assert not Path("executed-by-a-checkpoint").exists()
    if maker == "pickle":  # the trap is real
        pickle.loads(data)
        assert Path("executed-by-a-checkpoint").exists()


def test_moments_of_the_write_faults_cover_the_run(monkeypatch):
    """The numbers 12 and 16 above are counted, not guessed."""
    real, calls = os.fsync, []
    monkeypatch.setattr("os.fsync", lambda handle: (calls.append(handle), real(handle)))
    gmm.run(CONFIG, show_progress=False)
    assert len(calls) == 16
