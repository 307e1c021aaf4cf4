"""The built wheel in an empty environment, outside the checkout: a stranger trains, samples, measures and resumes."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from diffmemlib.places import checkout

ROOT = checkout()
SCRIPT = """\
import torch
from diffmemlib import NumberedFiles, UNet, log_milestones, make_optimizer, memorized_fraction, sample, train

images = torch.rand(16, 3, 8, 12, generator=torch.Generator().manual_seed(0))
net = UNet(width=8, channels=3)
optimizer = make_optimizer(net, "adam", 1e-3)
states = NumberedFiles(HERE, ".safetensors")
for step in train(net, images, optimizer, milestones=log_milestones(1, 6, 3), batch=8, checkpoints=states):
    samples = sample(net, 4, (3, 8, 12), steps=5)
    print(step, memorized_fraction(samples, images).value, samples.double().sum().item())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", place, "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (built,) = place.glob("diffmemlib-*.whl")
    return built


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory):
    """Runs a command with an environment's Python: the wheel, and of this environment only the other packages."""
    home = tmp_path_factory.mktemp("stranger")
    venv.create(home / "env", with_pip=False)
    (site,) = (home / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (home / "work").mkdir()

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DIFFMEM_", "PYTHON"))}
        return subprocess.run(
            # Of a path in this variable the .pth files are not read: not that of the editable install.
            [home / "env" / "bin" / "python", *arguments], cwd=home / "work",
            env={**kept, "PYTHONPATH": sysconfig.get_path("purelib"), **variables},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    run.home = home
    return run


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"diffmemlib"}
    assert {"diffmemlib/py.typed", "diffmemlib/metrics/digit_features.safetensors"} <= set(names)


@pytest.mark.slow
def test_ten_lines_train_sample_measure_and_resume(stranger, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("HERE", f"__import__('pathlib').Path({str(tmp_path / 'states')!r})"))
    first = stranger(str(script))
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "6"]
    again = stranger(str(script))  # starts from the last checkpoint, and measures the same there
    assert again.stdout.splitlines() == lines[-1:]


def test_the_library_is_that_of_the_wheel(stranger):
    where = stranger("-c", "import diffmemlib; print(diffmemlib.__file__, diffmemlib.__version__)")
    assert str(stranger.home) in where.stdout, where.stderr
    assert str(ROOT) not in where.stdout


@pytest.mark.slow
def test_a_run_of_ones_own_settings_lands_in_the_current_folder(stranger):
    options = ["-p", "tier=smoke", "-p", "n=16", "-p", "samples=100", "-p", "kept=4", "-p", "sampler=ddim"]
    for _ in range(2):  # made, then read
        done = stranger("-m", "diffmemlib", "run", "gmm", *options)
        assert done.returncode == 0, done.stderr
    (record,) = (stranger.home / "work" / "results" / "smoke" / "gmm").glob("*/provenance.json")
    told = json.loads(record.read_text())
    assert told["complete"]
    assert (told["commit"], told["changed_since_commit"]) == (None, None), "an installed library has no commit"
    assert told["command"].startswith("diffmem run gmm -p tier=smoke -p seed=0")


def test_data_of_ones_own_are_prepared_in_the_current_folder(stranger):
    drawn = stranger("-m", "diffmemlib", "data", "letters", "pictures")
    assert drawn.returncode == 0, drawn.stderr
    made = stranger("-m", "diffmemlib", "data", "images", "pictures", "--name", "mine", "--size", "8")
    assert made.returncode == 0, made.stderr
    assert (stranger.home / "work" / "data" / "mine-8.npy").exists()


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (["claims"], "The claims table"),
        (["picture"], "The picture of the README"),
        (["costs"], r"A table of runs (config/<tier>.toml)"),
        (["sweep", "mixture-n"], r"A table of runs (config/<tier>.toml)"),
        (["run", "838e15c3e13d"], r"A table of runs (config/<tier>.toml)"),
    ],
)
def test_what_needs_the_checkout_says_so_in_one_sentence(stranger, command: list[str], what: str):
    done = stranger("-m", "diffmemlib", *command)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {what} needs a checkout of the repository: clone it, and run the same command at its root\n"
    )


def test_a_table_of_ones_own_needs_no_checkout(stranger, tmp_path):
    (tmp_path / "smoke.toml").write_text('[mine]\nexperiment = "gmm"\nfigures = []\nruns = [{ n = 16 }]\n')
    listed = stranger("-m", "diffmemlib", "costs", "--tier", "smoke", "--list", DIFFMEM_CONFIG=str(tmp_path))
    assert listed.returncode == 0, listed.stderr
    assert "diffmem run gmm -p tier=smoke -p seed=0 -p n=16" in listed.stdout


def test_the_console_script_is_the_command_line(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        assert "diffmem = diffmemlib.__main__:app" in archive.read(entry).decode()
