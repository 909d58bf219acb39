"""What a worker reports with each heartbeat, as records and JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CameraReport", "PromptReply", "WorkerReport"]


@dataclass(frozen=True)
class CameraReport:
    """One camera of a worker."""

    state: str
    """State of the source, see `SourceState`; `finishing`: it has ended, its last frames are still in work."""
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
    image_size: tuple[int, int] | None = None
    """(H, W) of the latest image; None before the first frame."""
    prompts: Sequence[Mapping[str, Any]] = ()
    """Prompt statuses in the latest frame, as in a header."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CameraReport:
        """Return the report of these JSON values."""
        size = values["image_size"]
        return cls(**{**values, "image_size": None if size is None else (size[0], size[1])})


@dataclass(frozen=True)
class PromptReply:
    """What became of the newest prompts that a worker was given."""

    revision: int
    """Their number; 0: those of the configuration."""
    error: str | None = None
    """Why they were refused; None if they are in force."""


@dataclass(frozen=True)
class WorkerReport:
    """State of a worker at one heartbeat."""

    incarnation: str
    """Name of the process and of its lease, see `Lease`: another one has forgotten its cameras."""
    number: int
    """Number of the report."""
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
    prompts: PromptReply = PromptReply(0)
    """What became of the prompts that it was given."""

    @property
    def process(self) -> str:
        """Identifies the process."""
        return self.incarnation.partition(".")[0]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> WorkerReport:
        """Return the report that `as_json` gave."""
        cameras = {name: CameraReport.from_json(camera) for name, camera in values["cameras"].items()}
        return cls(**{**values, "cameras": cameras, "prompts": PromptReply(**values["prompts"])})
