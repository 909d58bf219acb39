import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamseg.cli.free_memory import TRIM_SECONDS, FreeMemory, system_trim
from tests.support.run_stats import run_stats

MB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Trims:
    """Count trims, each of which takes some time."""

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self.count = 0
        self._clock = clock
        self._seconds = seconds

    def __call__(self) -> None:
        self.count += 1
        self._clock.now += self._seconds


@pytest.mark.parametrize(
    ("steps", "trim_seconds", "expected"),
    [
        pytest.param([0.0], 0.0, 0, id="not-at-the-start"),
        pytest.param([TRIM_SECONDS - 0.1], 0.0, 0, id="just-before"),
        pytest.param([TRIM_SECONDS], 0.0, 1, id="in-time"),
        pytest.param([TRIM_SECONDS, 0.0, 1.0], 0.0, 1, id="once"),
        pytest.param([TRIM_SECONDS] * 3, 0.0, 3, id="again-and-again"),
        pytest.param([10 * TRIM_SECONDS, 0.0], 0.0, 1, id="missed-ones-are-not-made-up-for"),
        pytest.param([TRIM_SECONDS, 1.0], 2 * TRIM_SECONDS, 1, id="slow-trim-is-not-followed-by-another"),
    ],
)
def test_trims_at_intervals(steps: list[float], trim_seconds: float, expected: int):
    clock = Clock()
    trims = Trims(clock, trim_seconds)
    memory = FreeMemory(trims, clock=clock)
    for step in steps:
        clock.now += step
        memory.poll()
    assert trims.count == expected


def test_system_without_a_trim():
    clock = Clock()
    memory = FreeMemory(None, clock=clock)
    clock.now += 10 * TRIM_SECONDS
    memory.poll()


def test_statistics_are_shown_first():
    clock = Clock()
    trims = Trims(clock)
    seen: list[int] = []
    callback = FreeMemory(trims, clock=clock).beside(lambda stats: seen.append(trims.count))
    for _ in range(2):
        clock.now += TRIM_SECONDS
        callback(run_stats())
    assert seen == [0, 1]
    assert trims.count == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the resident memory is read from /proc")
def test_free_memory_below_a_block_in_use_is_returned() -> None:
    trim = system_trim()
    if trim is None:
        pytest.skip("not the GNU C library")
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    # Blocks below the threshold of separate mappings.
    blocks = [libc.malloc(64 << 10) for _ in range(1024)]
    for block in blocks:
        ctypes.memset(block, 1, 64 << 10)
    for block in blocks[:-1]:
        libc.free(block)
    before = _resident_bytes()
    trim()
    after = _resident_bytes()
    libc.free(blocks[-1])
    assert after < before - 32 * MB


@pytest.mark.skipif(sys.platform.startswith("linux"), reason="Linux has it, except with other C libraries")
def test_other_systems_have_none() -> None:
    assert system_trim() is None


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


COUNT_HEAPS = """
import ctypes, sys, threading
from streamseg.cli.free_memory import share_one_heap
if sys.argv[1:] == ["shared"]:
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
addresses, barrier = [], threading.Barrier(4)
def allocate():
    barrier.wait()
    addresses.append(libc.malloc(100_000))
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len({address >> 26 for address in addresses}))
"""
"""Heaps of threads are aligned to 64 MiB. Blocks of 100 kB are smaller than those that get a mapping of their own."""


@pytest.mark.skipif(system_trim() is None, reason="not the GNU C library")
@pytest.mark.parametrize(
    ("arguments", "environment", "is_one"),
    [
        pytest.param([], {}, False, id="by-default-each-thread-has-one"),
        pytest.param(["shared"], {}, True, id="shared"),
        pytest.param(["shared"], {"MALLOC_ARENA_MAX": "8"}, False, id="the-environment-takes-precedence"),
    ],
)
def test_threads_share_one_heap(arguments: list[str], environment: dict[str, str], is_one: bool):
    kept = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_HEAPS, *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # The main heap may reach over a limit of 64 MiB.
    assert (int(done.stdout) <= 2) is is_one


COUNT_FAULTS = """
import ctypes, resource, sys
from streamseg.cli.free_memory import keep_large_blocks
if sys.argv[1:] == ["kept"]:
    keep_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use():
    blocks = [libc.malloc(number << 20) for number in (3, 24)]
    for block in blocks: ctypes.memset(block, 1, 3 << 20)
    for block in blocks: libc.free(block)
for _ in range(3): use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(system_trim() is None, reason="not the GNU C library")
@pytest.mark.parametrize(
    ("arguments", "environment", "is_kept"),
    [
        pytest.param(["kept"], {}, True, id="kept"),
        pytest.param(["kept"], {"MALLOC_TRIM_THRESHOLD_": "131072"}, False, id="the-environment-takes-precedence"),
    ],
)
def test_the_memory_of_images_is_kept(arguments: list[str], environment: dict[str, str], is_kept: bool):
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (int(done.stdout) < 100) is is_kept, "page faults"
