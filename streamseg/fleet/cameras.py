"""The cameras of a fleet: their sections, and what they cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamseg.config import FleetConfig, SourceConfig
from streamseg.config.fleet import reads_every_frame
from streamseg.fleet.placement import Camera
from streamseg.fleet.report import CameraReport, WorkerReport

__all__ = ["Cameras"]


class Cameras:
    """The cameras of the configuration in force.

    Args:
        config: configuration of the fleet.
    """

    def __init__(self, config: FleetConfig) -> None:
        self._costs: dict[str, float] = {}
        """Measured cost per frame at speed 1, by camera."""
        self._sections: dict[str, SourceConfig] = {}
        self.json: dict[str, dict[str, Any]] = {}
        """Section of each camera, as JSON values."""
        self.measured: dict[str, CameraReport] = {}
        """Newest report of each camera, from the worker that is to hold it."""
        self.use(config)

    def use(self, config: FleetConfig) -> dict[str, str]:
        """Use the cameras of a configuration from now on; those that changed are measured anew.

        Returns:
            `added`, `removed` or `changed` by camera.
        """
        before = self.json
        self._expected = config.placement
        self._sections = {section.id: section for section in config.named_cameras()}
        self.json = {name: section.model_dump(mode="json") for name, section in self._sections.items()}
        changes = {name: "added" for name in self.json if name not in before}
        changes |= {name: "removed" for name in before if name not in self.json}
        changes |= {name: "changed" for name in self.json if name in before and before[name] != self.json[name]}
        for name in changes:
            self._costs.pop(name, None)
        return changes

    def measure(
        self, reports: Mapping[str, WorkerReport], placement: Mapping[str, str], speeds: Mapping[str, float]
    ) -> None:
        """Keep the reports and costs of the cameras.

        Args:
            reports: newest report by worker.
            placement: worker by camera; a camera that another one reports is on its way.
            speeds: speed by worker.
        """
        self.measured = {}
        for worker, report in reports.items():
            for name, camera in report.cameras.items():
                if placement.get(name, worker) != worker:
                    continue
                self.measured[name] = camera
                if camera.cost_ms is not None:
                    self._costs[name] = camera.cost_ms * speeds[worker]

    def to_place(self) -> list[Camera]:
        """Return all cameras with their rates and costs: measured, or expected until then."""
        expected = self._expected
        found = []
        for name, section in self._sections.items():
            report = self.measured.get(name)
            fps = report.arrived_fps if report is not None and report.arrived_fps > 0 else expected.fps
            fps = fps if section.max_fps is None else min(fps, section.max_fps)
            cost_ms, pin = self._costs.get(name, expected.cost_ms), expected.pins.get(name)
            found.append(Camera(name, fps, cost_ms, pin, is_movable=not reads_every_frame(section)))
        return found
