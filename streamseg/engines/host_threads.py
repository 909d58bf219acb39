"""Threads of the processor: how many the network takes, and how many are left to the work around it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import torch
from threadpoolctl import threadpool_limits

from streamseg.engines.engine import Engine

__all__ = ["has_free_core", "leave_core_for_sources", "leave_cores"]

SOURCES_PER_CORE: Final = 2
"""Live sources per core from which one core is left to decoding, tracking and encoding. With 4 and 8 RTSP cameras of
640x360 on 2 cores, one thread of the network gives 1.03 and 1.07 times the frames of two, and 1.3 times as many per
second of CPU time: the second thread waits for a core that other work holds."""


def leave_core_for_sources(num_live: int, environment: Mapping[str, str] = os.environ) -> None:
    """Give networks that are loaded afterwards one thread less if many live sources share the processor with them.

    Args:
        num_live: number of live sources.
        environment: variables; `OMP_NUM_THREADS` says how many threads there are in any case.
    """
    num_threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in environment and num_threads > 1 and num_live >= SOURCES_PER_CORE * num_threads:
        torch.set_num_threads(num_threads - 1)


def has_free_core(engine: Engine, num_cores: int | None) -> bool:
    """Return whether a network on the CPU has fewer threads than there are cores. Call it before `leave_cores`.

    Args:
        engine: the network.
        num_cores: number of cores; None if unknown.
    """
    return engine.device == "cpu" and torch.get_num_threads() < (num_cores or 1)


def leave_cores(engine: Engine) -> None:
    """Limit torch and NumPy to one thread for the rest of the process, unless torch runs the network on the CPU.

    The work that remains for them is small: more threads gain nothing, and spin on cores that the network, capture and
    encoding need. On 2 cores, a frame with 30 objects took 83 ms with two torch threads and 68 ms with one. On busy
    cores, a NumPy product of 40 microseconds took 30 ms.
    """
    if engine.name != "torch" or engine.device != "cpu":
        torch.set_num_threads(1)
        threadpool_limits(1, user_api="blas")
