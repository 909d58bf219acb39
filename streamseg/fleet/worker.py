"""A worker: one run whose cameras come and go. The same class in a local process and in a Ray actor."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from streamseg import __version__
from streamseg.capture import Source
from streamseg.config import Config, FleetConfig, SceneSource, SourceConfig, parse_source_section
from streamseg.config.fleet import STANDBY_ID
from streamseg.config.sections import StageSections
from streamseg.errors import PublishError, StreamsegError
from streamseg.fleet.costs import CostMeter
from streamseg.fleet.lease import Lease
from streamseg.fleet.report import CameraReport, WorkerReport
from streamseg.fleet.standby import Standby
from streamseg.fleet.status import ENDED
from streamseg.fleet.worker_prompts import WorkerPrompts
from streamseg.pipeline.mode import Mode
from streamseg.publish.keys import load_public_key_of
from streamseg.resources import Resource
from streamseg.runtime import SourceStats
from streamseg.runtime.session import OpenSource, Session, open_runtime
from streamseg.structures.message import PromptStatus
from streamseg.wire.prompt_statuses import prompt_statuses_to_json

__all__ = ["CameraWorker", "OpenMode"]

logger = logging.getLogger(__name__)

OpenMode = Callable[[Literal["streamseg", "fastsam"]], Mode]
"""Returns a mode by its name."""

STOP_SECONDS = 5.0
"""Time limit for a run to end."""


class CameraWorker(Resource):
    """Runs the cameras that it is given, and publishes their messages at an address of its own.

    The run starts at once, without a camera, and never ends by itself: see `Standby`.

    Args:
        values: the configuration of the fleet, as JSON values.
        open_mode: opens the stages whose behaviour depends on `mode`.
        host: address of this machine at which the messages can be received.

    Raises:
        StreamsegError: the run cannot start.
    """

    def __init__(self, values: Mapping[str, Any], open_mode: OpenMode, host: str = "127.0.0.1") -> None:
        fleet = FleetConfig.model_validate(values)
        self._refused: dict[str, str] = {}
        self._sections: dict[str, SourceConfig] = {}
        self._meter = CostMeter(time.monotonic())
        self._failure: BaseException | None = None
        self._stack = ExitStack()
        self._session: Session = self._stack.enter_context(
            open_runtime(worker_config(fleet, host), open_mode(fleet.mode), open_section=_open_section)
        )
        self._prompts = self._stack.enter_context(WorkerPrompts(self._session.runtime.pipeline.set_prompts))
        self._lease = self._stack.enter_context(Lease(fleet.lost_seconds, self._give_up))
        self._thread = threading.Thread(target=self._run, name="streamseg worker", daemon=True)
        self._thread.start()

    def exchange(
        self,
        heard: Sequence[Any] | None = None,
        cameras: Sequence[Mapping[str, Any]] | None = None,
        prompts: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """Hold exactly these cameras from now on, and report the state of all.

        A camera whose section is the same continues undisturbed. One that cannot be opened disturbs no other; it is
        tried again with the next call that names it. Without calls, all cameras are closed: see `Lease`.

        Args:
            heard: incarnation and number of the last report that arrived; None, or the incarnation of another lease:
                the rest is not for this one, and has no effect.
            cameras: sections with ids; None: no change.
            prompts: revision and JSON of all prompts; None: no change.

        Returns:
            A `WorkerReport` as JSON values.

        Raises:
            PublishError: the run has ended; the worker is of no more use.
        """
        if self._failure is not None or not self._thread.is_alive():
            raise PublishError(f"the run of this worker has ended: {self._failure}") from self._failure
        with self._lease.heartbeat(heard) as is_accepted:
            if is_accepted and prompts is not None:
                revision, values = prompts
                self._prompts.want(revision, values, list(self._sections))
            if is_accepted and cameras is not None:
                self._apply([parse_source_section(values) for values in cameras])
            return self._report().as_json()

    def close(self) -> None:
        """End the run. Idempotent."""
        self._lease.close()  # it would close cameras of a run that ends
        self._session.runtime.stop()
        self._thread.join(STOP_SECONDS)
        self._stack.close()

    def _run(self) -> None:
        try:
            self._session.runtime.run()
        except BaseException as error:  # reported by the next `exchange`
            self._failure = error

    def _give_up(self) -> None:
        """Close all cameras, because another worker may get them now."""
        if self._sections and self._thread.is_alive():
            logger.error("the fleet cannot be reached: closing %s", ", ".join(self._sections))
            try:
                self._apply(())
            except StreamsegError as error:  # the run ends just now
                logger.error("%s", error)

    def _apply(self, sections: Sequence[SourceConfig]) -> None:
        wanted = {section.id: section for section in sections}
        for camera in [name for name, section in self._sections.items() if wanted.get(name) != section]:
            self._session.sources.remove(camera)
            del self._sections[camera]
            self._meter.forget(camera)
        refused: dict[str, str] = {}
        for camera, section in wanted.items():
            if camera in self._sections:
                continue
            try:
                self._session.sources.add(section)
            except StreamsegError as error:
                refused[camera] = str(error)
                if self._refused.get(camera) != str(error):
                    logger.error("%s", error, extra={"source": camera})
            else:
                self._sections[camera] = section
        self._refused = refused

    def _report(self) -> WorkerReport:
        runtime = self._session.runtime
        stats = {one.source_id: one for one in runtime.stats().sources if one.source_id in self._sections}
        sizes, statuses = runtime.pipeline.image_sizes, runtime.prompt_statuses
        segment = runtime.pipeline.timer.stages.get("segment")
        self._meter.update(
            {name: one.num_frames + _num_drops(one) for name, one in stats.items()},
            self._session.latencies(),
            segment.num_values if segment is not None else 0,
            time.monotonic(),
        )
        endpoint = self._session.endpoint
        assert endpoint is not None  # worker_config has set one
        return WorkerReport(
            self._lease.incarnation,
            self._lease.next_number(),
            endpoint,
            __version__,
            os.getpid(),
            socket.gethostname(),
            {name: self._camera_report(one, sizes.get(name), statuses.get(name, ())) for name, one in stats.items()},
            dict(self._refused),
            self._prompts.reply,
        )

    def _camera_report(
        self, stats: SourceStats, image_size: tuple[int, int] | None, prompts: Sequence[PromptStatus]
    ) -> CameraReport:
        is_finishing = stats.state in ENDED and stats.source_id not in self._session.runtime.finished_sources
        cost_ms, age = self._meter.cost_ms(stats.source_id), stats.ages.p95_ms
        return CameraReport(
            state="finishing" if is_finishing else stats.state,
            fps=round(stats.fps, 3),
            arrived_fps=round(self._meter.arrived_fps(stats.source_id), 3),
            cost_ms=None if cost_ms is None else round(cost_ms, 3),
            num_frames=stats.num_frames,
            num_drops=_num_drops(stats),
            age_p95_ms=None if math.isnan(age) else round(age, 3),
            error=stats.error,
            image_size=image_size,
            prompts=prompt_statuses_to_json(prompts),
        )


def _num_drops(stats: SourceStats) -> int:
    return sum(sum(reasons.values()) for reasons in stats.drops.values())


def worker_config(fleet: FleetConfig, host: str) -> Config:
    """Return the configuration of a worker's run: the fleet's sections, an endpoint of its own, and no camera.

    With keys, a worker has the key pair of the fleet, and admits only its owner: the proxy.

    Args:
        fleet: configuration of the fleet.
        host: address of the machine.

    Raises:
        PublishError: the key cannot be read.
    """
    curve = fleet.publish.curve
    if curve.secret_key is not None:
        own = load_public_key_of(curve.secret_key)
        curve = curve.model_copy(update={"read": (own,), "control": ()})
    publish = fleet.publish.model_copy(update={"endpoint": f"tcp://{host}:0", "control_endpoint": None, "curve": curve})
    shared = [name for name in StageSections.model_fields if name not in ("prompts", "zones")]
    config = Config(
        sources=(SceneSource(id=STANDBY_ID),), publish=publish, **{name: getattr(fleet, name) for name in shared}
    )
    # Not validated: their cameras come later.
    return config.model_copy(update={"prompts": fleet.prompts, "zones": fleet.zones})


def _open_section(section: SourceConfig, open_source: OpenSource) -> Source:
    return Standby(section.id) if section.id == STANDBY_ID else open_source(section)
