"""Simulate a fleet of any size, with the same placement and plan as a real one. Pure: time is simulated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from streamseg.fleet.placement import Camera, Worker, loads_of, place
from streamseg.fleet.plan import plan
from streamseg.fleet.simulation_result import FailureResult, SimulationResult

__all__ = ["Failure", "SimulatedFleet", "num_workers_for", "simulate"]

STEPS_PER_HEARTBEAT: Final = 2


@dataclass(frozen=True)
class SimulatedFleet:
    """A fleet to simulate."""

    cameras: tuple[Camera, ...]
    workers: tuple[Worker, ...]
    hosts: Mapping[str, str]
    """Machine by worker."""
    heartbeat_seconds: float = 1.0
    lost_seconds: float = 4.0
    open_seconds: float = 1.0
    """Time from the assignment of a camera to its first frame."""
    restart_seconds: float = 30.0
    """Time from the return of a machine to the first heartbeat of its workers."""
    overload: Literal["share", "leave_out"] = "share"


@dataclass(frozen=True)
class Failure:
    """A machine that is lost for some time."""

    host: str
    at_seconds: float
    for_seconds: float


def num_workers_for(cameras: Sequence[Camera], worker: Worker, *, per_host: int = 1, num_spare_hosts: int = 0) -> int:
    """Return how many workers the cameras need, a whole number of machines.

    Args:
        cameras: the cameras.
        worker: speed and maximum load of each worker.
        per_host: workers per machine.
        num_spare_hosts: machines that may be lost without overload.
    """
    work = sum(camera.work for camera in cameras)
    # Sums of many floats are not exact.
    num_hosts = math.ceil(work / (worker.speed * worker.max_load * per_host) - 1e-9)
    return (max(num_hosts, 1) + num_spare_hosts) * per_host


def simulate(
    fleet: SimulatedFleet,
    failures: Sequence[Failure],
    seconds: float,
    *,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> SimulationResult:
    """Simulate a fleet from its start, with all workers ready, to the end.

    Each step, every worker reports what it holds, `placement.place` and `plan.plan` decide as in a real fleet, and the
    workers follow. A lost machine is noticed after `lost_seconds`, the worst case: processes that end are noticed at
    once. A worker that is busy all the time processes the same part of each of its cameras' frames.

    Args:
        fleet: the fleet.
        failures: machines that are lost, in order of time.
        seconds: simulated duration.
        clock_ns: clock that measures the duration of the placements.
    """
    return _Simulation(fleet, failures, clock_ns).run(seconds)


class _Simulation:
    """State of a simulation."""

    def __init__(self, fleet: SimulatedFleet, failures: Sequence[Failure], clock_ns: Callable[[], int]) -> None:
        self._fleet = fleet
        self._failures = list(failures)
        self._clock_ns = clock_ns
        self._cameras = {camera.name: camera for camera in fleet.cameras}
        self._workers = {worker.name: worker for worker in fleet.workers}
        self._held: dict[str, dict[str, float]] = {worker.name: {} for worker in fleet.workers}
        """Cameras of each worker, each with the time of its first frame."""
        self._heard = dict.fromkeys(self._held, 0.0)
        """Time of the last heartbeat of each worker."""
        self._placement: dict[str, str] = {}
        self._results: list[FailureResult] = []
        self._waiting: dict[str, FailureResult] = {}
        """Failure that interrupted each camera that is not back."""
        self._place_ms: list[float] = []
        self._num_moves = 0
        self._worst_load = 0.0

    def run(self, seconds: float) -> SimulationResult:
        """Run all steps."""
        fleet, step = self._fleet, self._fleet.heartbeat_seconds / STEPS_PER_HEARTBEAT
        processed = 0.0
        loads: tuple[float, ...] = ()
        for number in range(round(seconds / step)):
            now = number * step
            self._lose(now)
            self._decide(now)
            if not self._results:
                found = loads_of(fleet.cameras, fleet.workers, self._placement)
                loads = tuple(sorted(found.values()))
            processed += self._process(now, step)
        offered = sum(camera.fps for camera in fleet.cameras) * seconds
        return SimulationResult(
            len(self._cameras),
            len(self._workers),
            len(set(fleet.hosts.values())),
            seconds,
            sum(camera.work for camera in fleet.cameras),
            loads,
            self._worst_load,
            offered,
            processed,
            self._num_moves,
            tuple(self._results),
            tuple(self._place_ms),
        )

    def _is_lost(self, worker: str, now: float) -> bool:
        """Return whether the machine of a worker is away, or the worker still starts after its return."""
        host = self._fleet.hosts[worker]
        rest = self._fleet.restart_seconds
        return any(
            one.host == host and one.at_seconds <= now < one.at_seconds + one.for_seconds + rest
            for one in self._failures
        )

    def _lose(self, now: float) -> None:
        """Interrupt the cameras of the machines that are lost at this moment."""
        for failure in self._failures[len(self._results) :]:
            if failure.at_seconds > now:
                return
            lost = [name for name, host in self._fleet.hosts.items() if host == failure.host]
            cameras = [camera for worker in lost for camera in self._held[worker]]
            result = FailureResult(failure.host, failure.at_seconds, len(cameras))
            self._results.append(result)
            self._waiting.update(dict.fromkeys(cameras, result))
            for worker in lost:
                self._held[worker] = {}

    def _decide(self, now: float) -> None:
        """Let the workers report, decide as the controller does, and let the workers follow."""
        fleet = self._fleet
        for worker in self._held:
            if not self._is_lost(worker, now):
                self._heard[worker] = now
        # A lost worker has lost its cameras, which nobody knows until its heartbeats are overdue.
        alive = [worker for worker, heard in self._heard.items() if now - heard <= fleet.lost_seconds]
        before, started_ns = self._placement, self._clock_ns()
        workers = [self._workers[worker] for worker in alive]
        self._placement = place(fleet.cameras, workers, before, overload=fleet.overload)
        self._place_ms.append((self._clock_ns() - started_ns) / 1e6)
        self._num_moves += sum(
            before.get(camera, worker) != worker and before[camera] in alive
            for camera, worker in self._placement.items()
        )
        for worker, cameras in plan(self._placement, {worker: self._held[worker] for worker in alive}).items():
            if not self._is_lost(worker, now):
                held = self._held[worker]
                self._held[worker] = {name: held.get(name, now + fleet.open_seconds) for name in cameras}

    def _process(self, now: float, step: float) -> float:
        """Return the number of frames that are processed in a step."""
        frames = 0.0
        for worker, cameras in self._held.items():
            live = [self._cameras[name] for name, first in cameras.items() if first <= now]
            for camera in live:
                if (failure := self._waiting.pop(camera.name, None)) is not None:
                    failure.back_seconds.append(now - failure.at_seconds)
            load = sum(camera.work for camera in live) / self._workers[worker].speed
            self._worst_load = max(self._worst_load, load)
            frames += sum(camera.fps for camera in live) * min(1.0, 1.0 / load if load else 1.0) * step
        return frames
