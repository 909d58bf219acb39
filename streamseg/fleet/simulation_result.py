"""What a simulation of a fleet found."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

__all__ = ["FailureResult", "SimulationResult"]


@dataclass
class FailureResult:
    """What a failure did."""

    host: str
    at_seconds: float
    num_cameras: int
    """Cameras that it interrupted."""
    back_seconds: list[float] = field(default_factory=list)
    """Time until each of them delivered frames again; those that did not are missing."""

    @property
    def num_missing(self) -> int:
        """Cameras that did not come back before the end."""
        return self.num_cameras - len(self.back_seconds)


@dataclass(frozen=True)
class SimulationResult:
    """Result of a simulation."""

    num_cameras: int
    num_workers: int
    num_hosts: int
    seconds: float
    work: float
    """Work of all cameras: workers of speed 1 that they would keep busy all the time."""
    loads: tuple[float, ...]
    """Load of each worker before the first failure, sorted."""
    worst_load: float
    """Highest load of a worker at any time."""
    offered_frames: float
    """Frames that all cameras would deliver."""
    processed_frames: float
    """Frames that were processed, in spite of failures and overload."""
    num_moves: int
    """Cameras that left a worker which was not lost."""
    failures: tuple[FailureResult, ...]
    place_ms: tuple[float, ...]
    """Duration of each placement on this machine."""

    def as_json(self) -> dict[str, object]:
        """Return plain JSON values; times rounded."""
        return {
            "cameras": self.num_cameras,
            "workers": self.num_workers,
            "hosts": self.num_hosts,
            "seconds": self.seconds,
            "work": round(self.work, 3),
            "load": {
                "min": round(min(self.loads), 3),
                "median": round(median(self.loads), 3),
                "max": round(max(self.loads), 3),
                "worst": round(self.worst_load, 3),
            },
            "frames": {
                "offered": round(self.offered_frames),
                "processed": round(self.processed_frames),
                "share": round(self.processed_frames / self.offered_frames, 5) if self.offered_frames else None,
            },
            "moves_without_need": self.num_moves,
            "failures": [
                {
                    "host": one.host,
                    "at_seconds": one.at_seconds,
                    "cameras": one.num_cameras,
                    "back_median_seconds": round(median(one.back_seconds), 2) if one.back_seconds else None,
                    "back_max_seconds": round(max(one.back_seconds), 2) if one.back_seconds else None,
                    "missing": one.num_missing,
                }
                for one in self.failures
            ],
            "place_ms": {"median": round(median(self.place_ms), 2), "max": round(max(self.place_ms), 2)},
        }
