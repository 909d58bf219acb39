"""Configuration of a fleet: cameras that are distributed over workers on one or several machines."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from streamseg.config.address import is_network
from streamseg.config.sections import Config, PublishConfig, StageSections
from streamseg.config.sources import (
    SOURCE_ID_PATTERN,
    ImagesSource,
    RecordingSource,
    RosSource,
    SceneSource,
    Section,
    SourceConfig,
    StreamSource,
)

__all__ = ["STANDBY_ID", "FleetConfig", "PlacementConfig", "WorkerConfig", "reads_every_frame"]

STANDBY_ID: Final = "fleet.standby"
"""Id of the source that keeps a worker without cameras ready; no camera may have it."""

MAX_CAMERAS: Final = 10_000


class WorkerConfig(Section):
    """Workers of one kind. Each is a process with its own network."""

    name: str = Field(pattern=SOURCE_ID_PATTERN)
    """Name of the workers; with `count` other than 1 they are NAME0, NAME1, …."""
    count: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = 1
    """Number of workers; auto: as many as the GPUs, or without `gpus` the CPU cores, of the machines permit."""
    gpus: float = Field(default=0.0, ge=0, le=64)
    """GPUs per worker; 0.5: two workers share one. 0: the network runs on the CPU."""
    cpus: float = Field(default=1.0, gt=0, le=1024)
    """CPU cores per worker."""
    host: str | None = Field(default=None, min_length=1, max_length=255)
    """Ray: IP address of the machine that must run the workers; None: any machine with room."""
    speed: float = Field(default=1.0, gt=0, le=1000)
    """Speed relative to a worker of speed 1: a frame that costs 20 ms there costs 10 ms at speed 2."""
    max_load: float = Field(default=0.8, gt=0, le=1)
    """Fraction of the time that a worker may be busy with its cameras."""

    @model_validator(mode="after")
    def _whole_gpus(self) -> WorkerConfig:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus must be a fraction of one GPU or a whole number, got {self.gpus:g}")
        return self


class PlacementConfig(Section):
    """Which worker gets which camera."""

    cost_ms: float = Field(default=40.0, gt=0, le=60000)
    """Expected cost of a frame on a worker of speed 1, until it has been measured."""
    fps: float = Field(default=25.0, gt=0, le=1000)
    """Expected rate of a camera without `max_fps`, until it has been measured."""
    overload: Literal["share", "leave_out"] = "share"
    """Cameras that exceed the capacity of all workers. share: they are placed nevertheless, and frame rates fall;
    leave_out: they wait for a worker with room."""
    pins: dict[str, str] = Field(default_factory=dict, max_length=MAX_CAMERAS)
    """Cameras that only one worker can open, such as a webcam: worker by camera."""


class _FleetCameras(Section):
    """The first keys of a fleet."""

    workers: tuple[WorkerConfig, ...] = Field(default=(WorkerConfig(name="worker"),), min_length=1, max_length=100)
    cameras: tuple[SourceConfig, ...] = Field(min_length=1, max_length=MAX_CAMERAS)
    """Sections as `sources` of a run has."""
    placement: PlacementConfig = PlacementConfig()
    ray_address: str = Field(default="auto", min_length=1, max_length=255)
    """Ray cluster to use, HOST:PORT of its head; auto: the one of this machine. Unused with `--local`."""
    heartbeat_seconds: float = Field(default=1.0, gt=0, le=60)
    """Time between two heartbeats of a worker."""
    lost_seconds: float = Field(default=4.0, gt=0, le=600)
    """Time without a heartbeat after which a worker is lost, and its cameras move to others. A worker that the fleet
    does not reach closes them shortly before."""
    start_seconds: float = Field(default=120.0, gt=0, le=3600)
    """Maximum time to wait for all workers before the cameras are placed on those that are ready."""


class FleetConfig(StageSections, _FleetCameras):
    """The configuration of a fleet; `StageSections` are those of every worker."""

    publish: PublishConfig = PublishConfig()
    """Endpoints of the whole fleet, at the machine that runs `streamseg fleet`."""

    @model_validator(mode="after")
    def _as_of_a_run(self) -> FleetConfig:
        """Check ids, prompts, zones and mode as those of a run."""
        if any(isinstance(camera, RosSource) for camera in self.cameras):
            raise ValueError("a fleet has no ROS topics as cameras; use streamseg ros for them")
        ids = self.camera_ids()
        twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise ValueError(f"camera ids must be unique, these occur twice: {', '.join(twice)}")
        if STANDBY_ID in ids:
            raise ValueError(f"no camera may be called {STANDBY_ID}; choose another id")
        for kind, name, source in [
            *(("prompt", prompt.id, prompt.source) for prompt in self.prompts),
            *(("zone", zone.id, zone.source) for zone in self.zones),
        ]:
            if source is not None and source not in ids:
                raise ValueError(f"{kind} {name!r} refers to the unknown camera {source!r}")
        anywhere = tuple(prompt for prompt in self.prompts if prompt.source is None)
        Config(mode=self.mode, quality=self.quality, follow=self.follow, prompts=anywhere)
        return self

    @model_validator(mode="after")
    def _names_of_workers(self) -> FleetConfig:
        names = [worker.name for worker in self.workers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names of workers must be unique, these occur twice: {', '.join(twice)}")
        unknown = sorted(set(self.placement.pins) - set(self.camera_ids()))
        if unknown:
            raise ValueError(f"placement.pins names unknown cameras: {', '.join(unknown[:10])}")
        for camera, worker in self.placement.pins.items():
            if not any(_may_be(worker, section) for section in self.workers):
                raise ValueError(
                    f"placement.pins: {camera} has the unknown worker {worker!r}; workers are {', '.join(names)},"
                    " with a number if there are several"
                )
        if self.lost_seconds < 3 * self.heartbeat_seconds:
            raise ValueError(
                f"lost_seconds must be at least three times heartbeat_seconds, got {self.lost_seconds:g} and"
                f" {self.heartbeat_seconds:g}"
            )
        if self.publish.endpoint is None:
            raise ValueError("publish.endpoint is required: a fleet without it would publish nothing")
        if self.publish.single_endpoint is not None:
            raise ValueError("publish.single_endpoint is not available in a fleet; remove it")
        return self

    def camera_ids(self) -> list[str]:
        """Return the ids of the cameras; those without one get their type and position, such as `stream3`."""
        return [camera.id or f"{camera.type}{position}" for position, camera in enumerate(self.cameras)]

    def named_cameras(self) -> tuple[SourceConfig, ...]:
        """Return the cameras, each with an id."""
        named = zip(self.cameras, self.camera_ids(), strict=True)
        return tuple(camera if camera.id else camera.model_copy(update={"id": name}) for camera, name in named)


def reads_every_frame(section: SourceConfig) -> bool:
    """Return whether a source delivers every frame as fast as it is read, by its section, instead of live video."""
    if isinstance(section, StreamSource):
        return section.mode == "every_frame" or (section.mode == "auto" and not is_network(section.url))
    if isinstance(section, SceneSource | RecordingSource):
        return section.mode == "every_frame"
    return isinstance(section, ImagesSource)


def _may_be(name: str, section: WorkerConfig) -> bool:
    """Return whether a worker of a section can have this name."""
    if section.count == 1:
        return name == section.name
    number = name.removeprefix(section.name)
    is_number = name.startswith(section.name) and number.isdecimal() and str(int(number)) == number
    return is_number and (section.count == "auto" or int(number) < section.count)
