"""Which worker gets which camera. Pure functions of costs and capacities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["MAX_PER_WORKER", "Camera", "Worker", "loads_of", "place"]

MAX_PER_WORKER: Final = 255
"""Maximum number of cameras of a worker: a run has at most 256 sources, and one is the standby."""
RELIEF: Final = 1.1
"""A worker is relieved of cameras above this multiple of its maximum load."""
ROOM: Final = 0.9
"""They move to workers that stay below this multiple of theirs: measured costs vary, and a move interrupts a camera."""


@dataclass(frozen=True)
class Camera:
    """A camera and what it costs."""

    name: str
    fps: float
    """Rate of the frames to process, in frames per second."""
    cost_ms: float
    """Time of a worker of speed 1 per frame, in ms."""
    pin: str | None = None
    """The only worker that can open it; None: any."""
    is_movable: bool = True
    """False: only the loss of its worker moves it; a file would begin anew."""

    @property
    def work(self) -> float:
        """Fraction of the time of a worker of speed 1."""
        return self.fps * self.cost_ms / 1000.0


@dataclass(frozen=True)
class Worker:
    """A worker that is ready for cameras."""

    name: str
    speed: float = 1.0
    max_load: float = 0.8
    """Maximum sum of the work of its cameras, divided by its speed."""


def place(
    cameras: Iterable[Camera],
    workers: Sequence[Worker],
    present: Mapping[str, str],
    *,
    overload: Literal["share", "leave_out"] = "share",
    relieves: bool = True,
) -> dict[str, str]:
    """Return the worker of each camera.

    A camera stays where it is, unless its worker is gone or overloaded while another one has room. Cameras without a
    worker are placed in order of their work, the largest first, each on the worker that is least loaded then, relative
    to its maximum.

    Args:
        cameras: all cameras, with different names.
        workers: the workers that are ready, with different names.
        present: worker by camera, as it is now; other names are ignored.
        overload: cameras that no worker has room for: `share`: the least loaded worker gets them nevertheless;
            `leave_out`: they have no worker.
        relieves: move cameras away from overloaded workers.

    Returns:
        Name of the worker by camera, sorted by camera; cameras that must wait are missing.
    """
    state = _State(workers)
    pending = []
    for camera in sorted(cameras, key=lambda one: (-one.work, one.name)):
        worker = present.get(camera.name)
        if worker is not None and worker in state.workers and camera.pin in (None, worker):
            state.put(camera, worker)
        else:
            pending.append(camera)
    for camera in pending:
        worker = state.best(camera, 1.0) or (state.least_loaded(camera) if overload == "share" else None)
        if worker is not None:
            state.put(camera, worker)
    for worker in sorted(state.workers) if relieves else ():
        state.relieve(worker)
    return {name: worker for name, (worker, _) in sorted(state.placed.items())}


def loads_of(cameras: Iterable[Camera], workers: Iterable[Worker], placed: Mapping[str, str]) -> dict[str, float]:
    """Return the load of each worker: the sum of the work of its cameras, divided by its speed."""
    speeds = {worker.name: worker.speed for worker in workers}
    loads = dict.fromkeys(speeds, 0.0)
    for camera in cameras:
        worker = placed.get(camera.name)
        if worker in speeds:
            loads[worker] += camera.work / speeds[worker]
    return loads


class _State:
    """A placement in progress."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = {worker.name: worker for worker in workers}
        self.placed: dict[str, tuple[str, Camera]] = {}
        """Worker and record of each placed camera, by its name."""
        self._loads = dict.fromkeys(self.workers, 0.0)
        self._counts = dict.fromkeys(self.workers, 0)

    def put(self, camera: Camera, worker: str) -> None:
        """Place a camera, or move it."""
        if camera.name in self.placed:
            before = self.placed[camera.name][0]
            self._loads[before] -= camera.work / self.workers[before].speed
            self._counts[before] -= 1
        self.placed[camera.name] = (worker, camera)
        self._loads[worker] += camera.work / self.workers[worker].speed
        self._counts[worker] += 1

    def best(self, camera: Camera, part: float, *, without: str | None = None) -> str | None:
        """Return the least loaded worker that has room in this part of its maximum load; None if there is none."""
        able = [name for name in self._able(camera) if name != without and self._relative(name, camera) <= part]
        return self._least(able, camera)

    def least_loaded(self, camera: Camera) -> str | None:
        """Return the least loaded worker, which may become overloaded; None if no worker can open the camera."""
        return self._least(self._able(camera), camera)

    def relieve(self, worker: str) -> None:
        """Move cameras away from an overloaded worker, as few as possible, while others have room."""
        limit = self.workers[worker].max_load
        mine = [
            camera
            for name, camera in self.placed.values()
            if name == worker and camera.pin is None and camera.is_movable
        ]
        while self._loads[worker] > RELIEF * limit and mine:
            excess = (self._loads[worker] - limit) * self.workers[worker].speed
            # The smallest one that suffices; if none does, the largest.
            enough = [camera for camera in mine if camera.work >= excess]
            camera = min(enough, key=_size) if enough else max(mine, key=_size)
            mine.remove(camera)
            target = self.best(camera, ROOM, without=worker)
            if target is not None:
                self.put(camera, target)

    def _able(self, camera: Camera) -> list[str]:
        names = self.workers if camera.pin is None else [name for name in self.workers if name == camera.pin]
        return [name for name in names if self._counts[name] < MAX_PER_WORKER]

    def _relative(self, worker: str, camera: Camera) -> float:
        """Return the load of a worker with one more camera, relative to its maximum."""
        section = self.workers[worker]
        return (self._loads[worker] + camera.work / section.speed) / section.max_load

    def _least(self, workers: Iterable[str], camera: Camera) -> str | None:
        return min(workers, key=lambda name: (self._relative(name, camera), name), default=None)


def _size(camera: Camera) -> tuple[float, str]:
    return camera.work, camera.name
