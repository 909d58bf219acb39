"""What a worker reports with each heartbeat, as records and JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CameraReport", "WorkerReport"]


@dataclass(frozen=True)
class CameraReport:
    """One camera of a worker."""

    state: str
    """State of the source, see `SourceState`."""
    fps: float
    """Output frame rate over the last 3 s."""
    arrived_fps: float
    """Rate of all frames that arrived since the last heartbeat, with those that were dropped."""
    cost_ms: float | None
    """Time of the network's thread per frame, in ms; None before the first frame."""
    num_frames: int
    """Number of finished frames on this worker."""
    num_drops: int
    """Number of dropped frames on this worker."""
    age_p95_ms: float | None
    """95th percentile of the age of its messages; None before the first frame."""
    error: str | None = None
    """Last error; None if there was none."""


@dataclass(frozen=True)
class WorkerReport:
    """State of a worker at one heartbeat."""

    incarnation: str
    """Identifies the process: another one has forgotten its cameras."""
    endpoint: str
    """Address of its messages."""
    version: str
    """Version of streamseg."""
    pid: int
    host: str
    cameras: Mapping[str, CameraReport] = field(default_factory=dict)
    """The cameras that it holds, by id."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Cameras that it was given and could not open, with the error."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> WorkerReport:
        """Return the report that `as_json` gave."""
        cameras = {name: CameraReport(**camera) for name, camera in values["cameras"].items()}
        return cls(**{**values, "cameras": cameras})
