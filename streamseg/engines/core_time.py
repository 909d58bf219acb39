"""Whether threads of this process had to wait for cores during a measurement, which says little of an idle machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["CoreTime", "core_time", "waiting_share"]

_TASKS: Final = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class CoreTime:
    """A reading of the clock, and of what the threads of the process did until then."""

    elapsed: float
    """Seconds, which never decrease."""

    cpu: float
    """Seconds of CPU time of all threads."""

    waits: Mapping[int, float] = field(default_factory=dict)
    """Seconds that each thread was ready to run and had no core, by its id; empty if the system does not count them."""


def core_time(tasks: Path = _TASKS) -> CoreTime:
    """Read the clocks of this process.

    Args:
        tasks: folder with a folder for each thread, in which `schedstat` is (Linux).
    """
    waits = {}
    for path in tasks.glob("*/schedstat"):
        try:
            waits[int(path.parent.name)] = int(path.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # the thread has ended, or this system counts no waits
            continue
    return CoreTime(time.perf_counter(), time.process_time(), waits)


def waiting_share(before: CoreTime, after: CoreTime, num_threads: int) -> float:
    """Return the share of the time in which a computation of this process was denied its cores, 0..1.

    The load average is not used: it follows the load by minutes, and in a container it is that of the host. Two signs
    count, and the greater one is returned: the waits of all threads, as a share of the time of the threads that
    compute, and the time in which not even one thread ran, which also shows a host that gives its cores to others.

    Args:
        before: the reading at the start of the computation.
        after: the reading at its end.
        num_threads: number of threads that compute, 1 or more.
    """
    elapsed = after.elapsed - before.elapsed
    if elapsed <= 0:
        return 0.0
    waited = sum(seconds - before.waits.get(thread, 0.0) for thread, seconds in after.waits.items())
    without_core = 1 - (after.cpu - before.cpu) / elapsed
    return min(max(waited / (elapsed * num_threads), without_core, 0.0), 1.0)
