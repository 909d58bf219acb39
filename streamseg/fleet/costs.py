"""Rate and cost of the cameras of a worker, from counts at heartbeats. Pure: the caller supplies the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streamseg.telemetry import Histogram

__all__ = ["CostMeter"]

SEGMENT: Final = "segment"
"""Stage of the network's thread. A batch counts once for each of its frames."""
FINISHING: Final = ("track", "text", "memory", "quality", "select", "masks", "sinks")
"""Stages of the thread behind it."""
SMOOTHING: Final = 0.3
"""Weight of the latest heartbeat."""
WARM_FRAMES: Final = 5
"""The first frames of a camera, which are slower than the others, do not count."""
MIN_SECONDS: Final = 0.5
"""Shortest time between two updates: rates of shorter ones would be coarse."""


@dataclass
class _Camera:
    num_arrived: int = 0
    arrived_fps: float | None = None
    cost_ms: float | None = None
    num_values: int = 0
    sums_ms: dict[str, float] = field(default_factory=dict)


class CostMeter:
    """Measures what each camera costs: the busier one of the two threads that work on its frames.

    Args:
        now: monotonic time in seconds.
    """

    def __init__(self, now: float) -> None:
        self._since = now
        self._num_batches = 0
        self._cameras: dict[str, _Camera] = {}

    def update(
        self,
        num_arrived: Mapping[str, int],
        latencies: Mapping[tuple[str, str], Histogram],
        num_batches: int,
        now: float,
    ) -> None:
        """Add the counts at a heartbeat.

        Args:
            num_arrived: frames so far by camera, with those that were dropped; cameras that are missing here have gone.
            latencies: durations so far by stage and camera.
            num_batches: batches of the network so far.
            now: monotonic time in seconds.
        """
        seconds = now - self._since
        if seconds < MIN_SECONDS:
            return
        self._since = now
        num_new = {name: self._num_new(name, latencies) for name in num_arrived}
        # A mean, because batches do not say whose frames they hold.
        batch = max(sum(num_new.values()) / max(num_batches - self._num_batches, 1), 1.0)
        self._num_batches = num_batches
        self._cameras = {name: self._cameras.get(name, _Camera()) for name in num_arrived}
        for name, camera in self._cameras.items():
            rate = (num_arrived[name] - camera.num_arrived) / seconds
            camera.num_arrived, camera.arrived_fps = num_arrived[name], _smooth(camera.arrived_fps, rate)
            sums_ms = {stage: _of(latencies, stage, name).sum_ms for stage in (SEGMENT, *FINISHING)}
            if num_new[name] > 0:
                spent = {stage: sum_ms - camera.sums_ms.get(stage, 0.0) for stage, sum_ms in sums_ms.items()}
                busy_ms = max(spent[SEGMENT] / batch, sum(spent[stage] for stage in FINISHING))
                if camera.num_values >= WARM_FRAMES:
                    camera.cost_ms = _smooth(camera.cost_ms, busy_ms / num_new[name])
                camera.num_values += num_new[name]
                camera.sums_ms = sums_ms

    def forget(self, name: str) -> None:
        """Forget a camera."""
        self._cameras.pop(name, None)

    def arrived_fps(self, name: str) -> float:
        """Return the rate of arriving frames; 0 if it has not been measured."""
        camera = self._cameras.get(name)
        return 0.0 if camera is None or camera.arrived_fps is None else camera.arrived_fps

    def cost_ms(self, name: str) -> float | None:
        """Return the time of the busier thread per frame, in ms; None if it has not been measured."""
        camera = self._cameras.get(name)
        return None if camera is None else camera.cost_ms

    def _num_new(self, name: str, latencies: Mapping[tuple[str, str], Histogram]) -> int:
        camera = self._cameras.get(name)
        return _of(latencies, SEGMENT, name).num_values - (0 if camera is None else camera.num_values)


def _of(latencies: Mapping[tuple[str, str], Histogram], stage: str, name: str) -> Histogram:
    return latencies.get((stage, name), Histogram((), 0.0))


def _smooth(before: float | None, value: float) -> float:
    return value if before is None else before + SMOOTHING * (value - before)
