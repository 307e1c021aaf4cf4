"""A Slurm of one node on this machine, for as long as a test needs it; as root."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONF = Path("/etc/slurm/slurm.conf")  # job steps read it there, whatever SLURM_CONF says
NAME = "ClusterName=of-diffmemlib-tests"
NEEDED = ("munged", "slurmctld", "slurmd", "sinfo")
LOCK = Path(tempfile.gettempdir()) / "diffmemlib-test-slurm.lock"  # of tests that run side by side, one has the Slurm


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[None]:
    """A Slurm for one test, which waits for that of another; without one the test is skipped, but not in CI."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if CONF.exists() and NAME in CONF.read_text():  # of a test that was killed: no other is running now
            subprocess.run(["pkill", "-KILL", "-x", "munged|slurmctld|slurmd"])
            CONF.unlink()
        if reason := why_not():
            if os.environ.get("DIFFMEM_CI"):
                pytest.fail(f"in CI this test may not be skipped: {reason}")
            pytest.skip(reason)
        with one_node(tmp_path / "slurm"):
            yield


def why_not() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "a Slurm for the test is started as root only"
    if CONF.exists():
        return f"{CONF} exists: this machine has a Slurm of its own"
    return None


@contextmanager
def one_node(folder: Path) -> Iterator[None]:
    """Start munged, slurmctld and slurmd with everything of theirs under folder; stop them by their process."""
    folder.mkdir(parents=True, exist_ok=True)
    key, munge = folder / "munge.key", folder / "munge.socket"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host, state, spool = socket.gethostname().split(".")[0], folder / "state", folder / "spool"
    for place in (state, spool, CONF.parent):
        place.mkdir(parents=True, exist_ok=True)
    CONF.write_text(
        f"""{NAME}
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={munge}
SlurmUser=root
StateSaveLocation={state}
SlurmdSpoolDir={spool}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MailProg=/bin/true
MinJobAge=3600
ReturnToService=2
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
KillWait=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=16000
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
    )
    commands = (
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}",
         f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    )  # fmt: skip
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("wb")
            daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True))
            time.sleep(0.5)
        _wait_until_idle(folder)
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        CONF.unlink(missing_ok=True)


def _wait_until_idle(folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True).stdout
        if "idle" in state:
            return
        time.sleep(0.3)
    logs = "\n".join(p.read_text(errors="replace")[-500:] for p in folder.glob("*.out"))
    raise RuntimeError(f"Slurm did not come up: {logs}")
