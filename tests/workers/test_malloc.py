"""What glibc's malloc does in a server, by the counters of the system: in a process of its own, which nothing else touches."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc is left as it is")

#: Pages that are faulted in while batches of 4 MB come and go; MB of a crowd at the most, and MB resident when it is gone.
MEASURE = """
import resource, sys
from autonomousai.workers.malloc import tune_malloc

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

if sys.argv[1] == "tuned":
    tune_malloc()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    batches = [b"x" * 400_000 for _ in range(10)]
    del batches
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
resident()
start = resident()
crowd = [None] * 1_000
for index in range(1_000):
    crowd[index] = b"x" * 256_000
for index in range(1_000):
    crowd[index] = None
print(faults, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - start, resident() - start)
"""


def measure(how: str) -> tuple[float, float, float]:
    """What `MEASURE` prints."""
    done = subprocess.run([sys.executable, "-c", MEASURE, how], capture_output=True, text=True, check=True)
    faults, peak, rest = map(float, done.stdout.split())
    return faults, peak, rest


def test_large_batches_cost_no_pages() -> None:
    """By default, each of them is returned to the system and faulted in again."""
    assert measure("tuned")[0] < measure("default")[0] / 10


def test_the_memory_of_a_crowd_is_returned() -> None:
    """What is kept for the next batches is little."""
    _, peak, rest = measure("tuned")

    assert 200 < peak
    assert rest < 16
