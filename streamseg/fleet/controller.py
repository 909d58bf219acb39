"""The fleet as a whole: place the cameras, watch the workers, connect the proxy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from streamseg.config import FleetConfig
from streamseg.fleet.cameras import Cameras
from streamseg.fleet.placement import Camera, Worker, loads_of, place
from streamseg.fleet.plan import plan
from streamseg.fleet.report import WorkerReport
from streamseg.fleet.status import CameraStatus, FleetStatus, WorkerStatus
from streamseg.fleet.suspects import Suspects

__all__ = ["Controller", "Heartbeats"]

logger = logging.getLogger(__name__)

HELD_BACK = "held back, because each of its last workers was lost"
RELIEF_SECONDS = 10.0
"""Time after a change of the placement before an overloaded worker is relieved: costs must be measured anew first."""
TICKS_PER_HEARTBEAT = 4
"""Decisions per heartbeat: a report waits for the next one."""
APPLIED = ("cameras", "placement", "prompts")
"""Sections that can change without a restart. The control channel changes prompts: the caller does the same."""


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
        """Return its last report; None if that is older: then it is lost, and holds nothing until `want` is called."""
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
        self._speeds = {worker.name: worker.speed for worker in links}
        self._cameras = Cameras(config)
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
        changes = self._cameras.use(config)
        lines = [f"{change} {name}" for name, change in changes.items()]
        if config.placement != self._config.placement:
            lines.append("changed placement")
        restart = [
            name
            for name in type(config).model_fields
            if name not in APPLIED and getattr(config, name) != getattr(self._config, name)
        ]
        self._config = self._config.model_copy(update={name: getattr(config, name) for name in APPLIED})
        for name in changes:
            self._suspects.forget(name)
        return [*lines, *(f"{name} needs a restart" for name in restart)]

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
        self._cameras.measure(reports, self._placement, self._speeds)
        self._hold_back(now)
        cameras = [camera for camera in self._cameras.to_place() if camera.name not in self._held_back]
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
                self._links[name].want([self._cameras.json[camera] for camera in mine])
        self._set_publishers(sorted(report.endpoint for report in reports.values()))
        return self._status(cameras, workers, reports)

    def run(self, on_status: Callable[[FleetStatus], None], *, duration_seconds: float | None = None) -> None:
        """Tick until `stop` is called, the duration is over, or every camera has ended and its frames are finished.

        Args:
            on_status: called after each tick.
            duration_seconds: None: no limit.
        """
        end = None if duration_seconds is None else time.monotonic() + duration_seconds
        while not self._stopped.wait(self._config.heartbeat_seconds / TICKS_PER_HEARTBEAT):
            status = self.tick(time.monotonic())
            on_status(status)
            if status.has_ended or (end is not None and time.monotonic() >= end):
                return

    def stop(self) -> None:
        """End `run`. Thread-safe and idempotent."""
        self._stopped.set()

    def _fresh_reports(self, now: float) -> dict[str, WorkerReport]:
        """Return the reports of the workers that are alive; those that do not report any more are started again."""
        reports, silent = {}, set()
        for name, link in self._links.items():
            report = link.report(now, self._config.lost_seconds)
            if report is not None:
                reports[name] = report
            elif link.was_ready:
                logger.error("worker %s: lost, no heartbeat for %.1f s", name, self._config.lost_seconds)
                link.kill()
                silent.add(name)
        for name in self._ready - set(reports):
            mine = [camera for camera, worker in self._placement.items() if worker == name]
            if name not in silent:  # silence is rather that of a busy machine, which says nothing about its cameras
                self._suspects.lost(mine, now)
            logger.warning("worker %s: cameras that move to other workers: %s", name, ", ".join(mine) or "none")
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
                    self._cameras.measured.get(name),
                    HELD_BACK if name in self._held_back else refused.get(name),
                )
                for name in self._cameras.json
            ),
        )
