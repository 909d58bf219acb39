"""State of a fleet as records: for the status line, the control channel and tests."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from streamseg.fleet.report import CameraReport

__all__ = ["CameraStatus", "FleetStatus", "WorkerStatus"]

ENDED = ("ended", "failed")


@dataclass(frozen=True)
class WorkerStatus:
    """State of one worker."""

    name: str
    state: Literal["ready", "starting"]
    """starting: it has not reported yet, or has been lost."""
    load: float
    """Fraction of its time that its cameras take; above 1, frames are dropped."""
    max_load: float
    num_cameras: int
    num_restarts: int
    error: str | None
    """Why it is not ready; None if it is."""


@dataclass(frozen=True)
class CameraStatus:
    """State of one camera."""

    name: str
    worker: str | None
    """The worker that holds it, or will; None: it waits for one with room."""
    report: CameraReport | None
    """As its worker reports it; None before the first report, and while it moves."""
    refusal: str | None
    """Why its worker could not open it, or why it has none; None if it is open."""

    @property
    def state(self) -> str:
        """State of the source; `refused`, `moving` or `waiting for a worker` if it has none."""
        if self.refusal is not None:
            return "refused"
        if self.report is not None:
            return self.report.state
        return "moving" if self.worker is not None else "waiting for a worker"


@dataclass(frozen=True)
class FleetStatus:
    """State of a fleet at one moment."""

    workers: tuple[WorkerStatus, ...]
    cameras: tuple[CameraStatus, ...]

    @property
    def has_ended(self) -> bool:
        """Whether every camera has ended or failed, as the cameras of files do; refused ones do not keep it running."""
        has_any = any(camera.state in ENDED for camera in self.cameras)
        return has_any and all(camera.state in ENDED or camera.refusal is not None for camera in self.cameras)

    @property
    def num_frames(self) -> int:
        """Number of frames that the present workers of the cameras have finished."""
        return sum(camera.report.num_frames for camera in self.cameras if camera.report is not None)

    @property
    def fps(self) -> float:
        """Output frame rate of all cameras."""
        return sum(camera.report.fps for camera in self.cameras if camera.report is not None)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "workers": [asdict(worker) for worker in self.workers],
            "cameras": [
                {
                    "id": camera.name,
                    "worker": camera.worker,
                    "state": camera.state,
                    "error": camera.refusal,
                    **(_without_prompts(camera.report) if camera.report is not None else {}),
                    **({"error": camera.refusal} if camera.refusal is not None else {}),
                }
                for camera in self.cameras
            ],
        }

    def __str__(self) -> str:
        ready = [worker for worker in self.workers if worker.state == "ready"]
        num_live = sum(camera.state == "live" for camera in self.cameras)
        top = max((worker.load / worker.max_load for worker in ready), default=0.0)
        return (
            f"{num_live}/{len(self.cameras)} cameras live, {len(ready)}/{len(self.workers)} workers,"
            f" {self.fps:.1f} fps, highest load {top:.0%}"
        )


def _without_prompts(report: CameraReport) -> dict[str, Any]:
    """Return a report without its prompt statuses, which `prompts.list` has: many of them would exceed a reply."""
    return {name: value for name, value in asdict(replace(report, prompts=())).items() if name != "prompts"}
