"""The process that measures: a failure, a hang or a broken CUDA context costs one measurement, not the run."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, Literal, Protocol

from benchmarks.gpu.plan import Measurement

__all__ = ["Measure", "Outcome", "ProcessWorker", "Request", "Unavailable", "Worker"]

STOP_SECONDS: Final = 5.0
"""Time for the process to end by itself."""

State = Literal["measured", "failed", "unavailable", "out of time"]


class Unavailable(Exception):
    """A mode that this machine lacks; the message is one line."""


@dataclass(frozen=True)
class Request:
    """What to measure, and how."""

    measurement: Measurement
    device: str
    num_objects: int
    seconds: float
    """Time for it, without preparations."""
    num_runs: int
    """Maximum number of runs of `frames` and `stages`."""
    limit_seconds: float
    """Time, with preparations, after which the process is ended."""


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended."""

    state: State
    values: dict[str, Any] = field(default_factory=dict)
    """JSON values; dataclasses in place of objects."""
    reason: str = ""
    """One line; empty if measured."""


Measure = Callable[[Request], dict[str, Any]]
"""Makes a measurement; raises `Unavailable`, or any other exception for a failure."""


class Worker(Protocol):
    """Makes measurements, one at a time."""

    def measure(self, request: Request) -> Outcome:
        """Make a measurement; it has failed if that takes longer than its limit."""

    @property
    def is_usable(self) -> bool:
        """Whether another measurement can be made. Not after a failure: it may have left the GPU's context broken."""

    def stop(self) -> None:
        """End the process, by force if necessary. Idempotent."""


class ProcessWorker:
    """A worker in a process of its own.

    Args:
        measure: a function of a module, which the process imports.
    """

    def __init__(self, measure: Measure) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(measure, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.is_usable = True

    def measure(self, request: Request) -> Outcome:
        """See `Worker.measure`."""
        try:
            self._connection.send(request)
            if not self._connection.poll(request.limit_seconds):
                return self._failed(f"no result within {request.limit_seconds:.0f} s; its process was ended")
            outcome: Outcome = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(STOP_SECONDS)
            return self._failed(f"its process ended with exit code {self._process.exitcode}")
        if outcome.state == "failed":
            return self._failed(outcome.reason)
        return outcome

    def stop(self) -> None:
        """See `Worker.stop`."""
        self.is_usable = False
        self._connection.close()  # an idle process ends by itself
        if self._process.is_alive():
            self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _failed(self, reason: str) -> Outcome:
        self.is_usable = False
        self._process.kill()
        return Outcome("failed", reason=reason)


def _serve(measure: Measure, connection: Connection) -> None:
    """Serve requests until the other end of the connection is closed."""
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        try:
            outcome = Outcome("measured", measure(request))
        except Unavailable as error:
            outcome = Outcome("unavailable", reason=str(error))
        except Exception as error:  # reported with the measurement, which the others do not depend on
            traceback.print_exc()
            outcome = Outcome("failed", reason=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        connection.send(outcome)
