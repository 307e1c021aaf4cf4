import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from diffmemlib.training.allocator import keep_freed_memory
assert {keep}() is {told}
for round in range(20):
    if round == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    sum(torch.ones(2**e).mean() for e in range(10, 24))  # up to 64 MiB, each freed before the next is taken
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: str, told: bool | None) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(keep=keep, told=told)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc: it cannot be told")
def test_memory_that_was_freed_is_taken_again_without_asking_the_system():
    assert page_faults("keep_freed_memory", True) < 0.02 * page_faults("(lambda: None)", None)
