"""Workers as processes of this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from streamseg.config import FleetConfig
from streamseg.fleet.link import Order, RemoteWorker
from streamseg.fleet.process import WorkerProcess
from streamseg.fleet.workers import PlannedWorker

__all__ = ["LocalWorker", "local_workers"]

HOST = "127.0.0.1"


class LocalWorker:
    """A worker in a process of its own.

    Args:
        environment: variables of the process.
        create: returns the worker, in the process.
        arguments: for `create`, before the host.
    """

    def __init__(self, environment: Mapping[str, str], create: Callable[..., Any], *arguments: Any) -> None:
        self._process = WorkerProcess(create, *arguments, HOST, environment=dict(environment))

    def exchange(self, order: Order, timeout_seconds: float) -> Mapping[str, Any]:
        """See `RemoteWorker`."""
        reply: Mapping[str, Any] = self._process.call("exchange", *order, timeout_seconds=timeout_seconds)
        return reply

    def kill(self) -> None:
        """See `RemoteWorker`."""
        self._process.kill()

    def close(self) -> bool:
        """See `RemoteWorker`."""
        self._process.close()
        return self._process.has_ended


def local_workers(
    config: FleetConfig, workers: Sequence[PlannedWorker], create: Callable[..., Any], *arguments: Any
) -> dict[PlannedWorker, Callable[[], RemoteWorker]]:
    """Return the functions that create the workers, each with its share of the cores and GPUs.

    Args:
        config: configuration of the fleet.
        workers: the workers, with their GPUs.
        create: `CameraWorker`, or a class like it.
        arguments: its arguments after the configuration's values and before the host.
    """
    values = config.model_dump(mode="json")
    return {
        worker: partial(LocalWorker, _environment(worker, environment=os.environ), create, values, *arguments)
        for worker in workers
    }


def _environment(worker: PlannedWorker, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that limit a process to its share."""
    threads = str(max(math.floor(worker.section.cpus), 1))
    variables = {"OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS", threads)}
    if worker.gpu_ids is not None:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, worker.gpu_ids))
    return variables
