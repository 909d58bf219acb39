"""The fleet as a whole: place the cameras, watch the workers, connect the proxy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from streamseg.config import FleetConfig, SourceConfig
from streamseg.config.fleet import reads_every_frame
from streamseg.fleet.placement import Camera, Worker, loads_of, place
from streamseg.fleet.plan import plan
from streamseg.fleet.report import CameraReport, WorkerReport
from streamseg.fleet.status import CameraStatus, FleetStatus, WorkerStatus
from streamseg.fleet.suspects import Suspects

__all__ = ["Controller", "Heartbeats"]

logger = logging.getLogger(__name__)

HELD_BACK = "held back, because each of its last workers was lost"
RELIEF_SECONDS = 10.0
"""Time after a change of the placement before an overloaded worker is relieved: costs must be measured anew first."""
END_SECONDS = 3.0
"""Time without a finished frame after the end of all cameras: the last frames of files are still in the workers."""
TICKS_PER_HEARTBEAT = 4
"""Decisions per heartbeat: a report waits for the next one."""


class Heartbeats(Protocol):
    """One worker as the controller sees it, such as `Link`."""

    name: str
    num_starts: int
    error: str | None

    @property
    def was_ready(self) -> bool:
        """Whether it has reported since it was last started."""
        ...

    def report(self, now: float, max_seconds: float) -> WorkerReport | None:
        """Return its last report; None if that is older."""
        ...

    def want(self, sections: Sequence[Mapping[str, Any]]) -> None:
        """Let it hold exactly these cameras."""
        ...

    def kill(self) -> None:
        """Start it again by force."""
        ...


class Controller:
    """Decides which worker holds which camera, again and again, from what the workers report.

    Nothing is remembered that the reports do not tell, except costs: a decision that was lost on its way is made again
    with the next tick.

    Args:
        config: configuration of the fleet.
        links: the workers, each with its section of the placement.
        set_publishers: connects the proxy to the workers' addresses.
        on_status: called with the status after each tick.
    """

    def __init__(
        self,
        config: FleetConfig,
        links: Mapping[Worker, Heartbeats],
        set_publishers: Callable[[Sequence[str]], None],
        on_status: Callable[[FleetStatus], None] = lambda status: None,
    ) -> None:
        self._config = config
        self._links = {worker.name: link for worker, link in links.items()}
        self._workers = {worker.name: worker for worker in links}
        self._set_publishers = set_publishers
        self._on_status = on_status
        self._sections: dict[str, SourceConfig] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._use(config)
        self._measured: dict[str, CameraReport] = {}
        self._costs: dict[str, float] = {}
        """Measured cost per frame at speed 1, by camera."""
        self._placement: dict[str, str] = {}
        self._suspects = Suspects()
        self._held_back: frozenset[str] = frozenset()
        self._changed_at = 0.0
        """Monotonic time of the last change of the placement."""
        self._started_at: float | None = None
        self._has_settled = False
        self._ready: set[str] = set()
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @property
    def links(self) -> Mapping[str, Heartbeats]:
        """The workers, by name."""
        return self._links

    @property
    def config(self) -> FleetConfig:
        """The configuration in force."""
        return self._config

    def apply(self, config: FleetConfig) -> list[str]:
        """Use other cameras, pins and expected costs from now on; everything else needs a restart. Thread-safe.

        Cameras whose sections are the same continue where they are.

        Returns:
            One line per change; empty if nothing has changed.
        """
        with self._lock:
            return self._apply(config)

    def _apply(self, config: FleetConfig) -> list[str]:
        before, after = self._json, {one.id: one.model_dump(mode="json") for one in config.named_cameras()}
        changes = [f"added {name}" for name in after if name not in before]
        changes += [f"removed {name}" for name in before if name not in after]
        changes += [f"changed {name}" for name in after if name in before and before[name] != after[name]]
        if config.placement != self._config.placement:
            changes.append("changed placement")
        kept = ("cameras", "placement")
        restart = [
            name
            for name in type(config).model_fields
            if name not in kept and getattr(config, name) != getattr(self._config, name)
        ]
        self._use(self._config.model_copy(update={name: getattr(config, name) for name in kept}))
        for name in before:
            if before[name] != after.get(name):
                self._costs.pop(name, None)
                self._suspects.forget(name)
        return [*changes, *(f"{name} needs a restart" for name in restart)]

    def tick(self, now: float) -> FleetStatus:
        """Decide once, at a monotonic time, and return the state of the fleet."""
        with self._lock:
            status = self._tick(now)
        self._on_status(status)
        return status

    def _tick(self, now: float) -> FleetStatus:
        if self._started_at is None:
            self._started_at = now
        reports = self._fresh_reports(now)
        self._measure(reports)
        self._hold_back(now)
        cameras = [camera for camera in self._cameras() if camera.name not in self._held_back]
        workers = [self._workers[name] for name in reports]
        waited = now - self._started_at
        self._has_settled = self._has_settled or len(reports) == len(self._links) or waited > self._config.start_seconds
        if self._has_settled:
            before = self._placement
            self._placement = place(
                cameras,
                workers,
                before,
                overload=self._config.placement.overload,
                relieves=now - self._changed_at >= RELIEF_SECONDS,
            )
            if self._placement != before:
                self._changed_at = now
            self._log_moves(before)
            for name, mine in plan(self._placement, {name: one.cameras for name, one in reports.items()}).items():
                self._links[name].want([self._json[camera] for camera in mine])
        self._set_publishers(sorted(report.endpoint for report in reports.values()))
        return self._status(cameras, workers, reports)

    def run(self, on_status: Callable[[FleetStatus], None], *, duration_seconds: float | None = None) -> None:
        """Tick until `stop` is called, the duration is over, or every camera has ended and its frames are finished.

        Args:
            on_status: called after each tick.
            duration_seconds: None: no limit.
        """
        end = None if duration_seconds is None else time.monotonic() + duration_seconds
        num_frames, progress_at = 0, time.monotonic()
        while not self._stopped.wait(self._config.heartbeat_seconds / TICKS_PER_HEARTBEAT):
            status, now = self.tick(time.monotonic()), time.monotonic()
            on_status(status)
            if status.num_frames != num_frames or not status.has_ended:
                num_frames, progress_at = status.num_frames, now
            if now - progress_at >= END_SECONDS or (end is not None and now >= end):
                return

    def stop(self) -> None:
        """End `run`. Thread-safe and idempotent."""
        self._stopped.set()

    def _use(self, config: FleetConfig) -> None:
        self._config = config
        self._sections = {section.id: section for section in config.named_cameras()}
        self._json = {name: section.model_dump(mode="json") for name, section in self._sections.items()}

    def _fresh_reports(self, now: float) -> dict[str, WorkerReport]:
        """Return the reports of the workers that are alive; those that do not report any more are started again."""
        reports = {}
        for name, link in self._links.items():
            report = link.report(now, self._config.lost_seconds)
            if report is not None:
                reports[name] = report
            elif link.was_ready:
                logger.error("worker %s: lost, no heartbeat for %.1f s", name, self._config.lost_seconds)
                link.kill()
        for name in self._ready - set(reports):
            mine = [camera for camera, worker in self._placement.items() if worker == name]
            self._suspects.lost(mine, now)
            logger.warning("worker %s: its %d cameras move to other workers", name, len(mine))
        self._ready = set(reports)
        return reports

    def _hold_back(self, now: float) -> None:
        """Update the cameras that are suspected of ending their workers."""
        suspects = self._suspects.at(now)
        for name in suspects - self._held_back:
            logger.error(
                "%s: held back, because each of its last workers was lost; change or remove it, and reload",
                name,
                extra={"source": name},
            )
        self._held_back = suspects

    def _measure(self, reports: Mapping[str, WorkerReport]) -> None:
        self._measured = {}
        for worker, report in reports.items():
            for name, camera in report.cameras.items():
                if self._placement.get(name, worker) != worker:
                    continue  # it is on its way to another worker
                self._measured[name] = camera
                if camera.cost_ms is not None:
                    self._costs[name] = camera.cost_ms * self._workers[worker].speed

    def _cameras(self) -> list[Camera]:
        expected = self._config.placement
        found = []
        for name, section in self._sections.items():
            report = self._measured.get(name)
            fps = report.arrived_fps if report is not None and report.arrived_fps > 0 else expected.fps
            fps = fps if section.max_fps is None else min(fps, section.max_fps)
            cost_ms, pin = self._costs.get(name, expected.cost_ms), expected.pins.get(name)
            found.append(Camera(name, fps, cost_ms, pin, is_movable=not reads_every_frame(section)))
        return found

    def _log_moves(self, before: Mapping[str, str]) -> None:
        for name, worker in self._placement.items():
            if name in before and before[name] != worker:
                logger.warning("%s: moves from worker %s to %s", name, before[name], worker, extra={"source": name})

    def _status(
        self, cameras: Sequence[Camera], workers: Sequence[Worker], reports: Mapping[str, WorkerReport]
    ) -> FleetStatus:
        loads = loads_of(cameras, workers, self._placement)
        refused = {name: error for report in reports.values() for name, error in report.refused.items()}
        return FleetStatus(
            workers=tuple(
                WorkerStatus(
                    name,
                    "ready" if name in reports else "starting",
                    loads.get(name, 0.0),
                    self._workers[name].max_load,
                    sum(worker == name for worker in self._placement.values()),
                    max(link.num_starts - 1, 0),
                    link.error,
                )
                for name, link in self._links.items()
            ),
            cameras=tuple(
                CameraStatus(
                    name,
                    self._placement.get(name),
                    self._measured.get(name),
                    HELD_BACK if name in self._held_back else refused.get(name),
                )
                for name in self._sections
            ),
        )
