"""Open a fleet from a configuration: workers, proxy, control channel and controller."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamseg.config import FleetConfig
from streamseg.errors import DataError
from streamseg.fleet.controller import Controller
from streamseg.fleet.link import Link, RemoteWorker
from streamseg.fleet.prompts import FleetPrompts
from streamseg.fleet.status import CameraStatus, FleetStatus
from streamseg.fleet.workers import Machine, PlannedWorker, plan_workers, share_gpus
from streamseg.publish import ClientKeys, ControlServer, ServerKeys
from streamseg.publish.control import Op
from streamseg.publish.prompt_operations import prompt_operations
from streamseg.publish.proxy import Proxy
from streamseg.wire import prompts_from_json

__all__ = ["FleetSession", "open_fleet", "planned_local_workers"]

CreateWorker = Callable[[], RemoteWorker]


@dataclass(frozen=True)
class FleetSession:
    """A fleet whose workers are starting."""

    controller: Controller
    endpoint: str
    """Actual address of the messages of all cameras."""
    control_endpoint: str | None
    """Actual address of the control channel; None if there is none."""
    operations: Mapping[str, Op]
    """Operations of the control channel. Thread-safe."""


def planned_local_workers(config: FleetConfig) -> list[PlannedWorker]:
    """Return the workers of this machine alone.

    Raises:
        ConfigError: it has too few GPUs or cores.
    """
    num_gpus = 0
    if any(section.gpus for section in config.workers):
        import torch  # seconds, and memory, which this process does not need otherwise

        num_gpus = torch.cuda.device_count()
    machine = Machine("127.0.0.1", len(os.sched_getaffinity(0)), num_gpus)
    return share_gpus(plan_workers(config, [machine]), num_gpus)


@contextlib.contextmanager
def open_fleet(config: FleetConfig, workers: Mapping[PlannedWorker, CreateWorker]) -> Iterator[FleetSession]:
    """Start the workers, and bind the addresses of the fleet; on leaving, end everything.

    Args:
        config: configuration of the fleet.
        workers: the functions that create the workers.

    Raises:
        PublishError: an endpoint cannot be bound, or a key cannot be read.
    """
    with contextlib.ExitStack() as stack:
        publish = config.publish
        keys = None
        if (curve := publish.curve).secret_key is not None:
            keys = ServerKeys.load(curve.secret_key, read=curve.read, control=curve.control)
        assert publish.endpoint is not None  # FleetConfig requires it
        proxy = stack.enter_context(
            Proxy(
                publish.endpoint,
                keys=keys,
                # The workers have the key pair of the fleet, too.
                publisher_keys=None if keys is None else ClientKeys(keys.public, keys.secret, keys.public),
                allow_public=publish.allow_public,
            )
        )
        newest = _Newest()
        links = {
            worker.name: Link(
                worker.name,
                create,
                heartbeat_seconds=config.heartbeat_seconds,
                lost_seconds=config.lost_seconds,
                start_seconds=config.start_seconds,
            )
            for worker, create in workers.items()
        }
        stack.enter_context(_closing_all(list(links.values())))
        by_placement = {worker.placement: links[worker.name] for worker in workers}
        controller = Controller(config, by_placement, proxy.set_publishers, newest.put)
        given = [prompt.model_dump(mode="json", exclude_defaults=True) for prompt in config.prompts]
        prompts = FleetPrompts(prompts_from_json(given), links, lambda: controller.config.camera_ids(), newest.cameras)
        operations = {"fleet.status": newest.op, **prompt_operations(prompts)}
        control = None
        if publish.control_endpoint is not None:
            control = stack.enter_context(
                ControlServer(publish.control_endpoint, operations, keys=keys, allow_public=publish.allow_public)
            )
        yield FleetSession(controller, proxy.endpoint, control.endpoint if control is not None else None, operations)


class _Newest:
    """The newest status, for the control channel."""

    def __init__(self) -> None:
        self._status: FleetStatus | None = None

    def put(self, status: FleetStatus) -> None:
        self._status = status

    def cameras(self) -> Mapping[str, CameraStatus]:
        """Return the status of every camera, by its id; raises DataError before the first status."""
        return {camera.name: camera for camera in self._known().cameras}

    def op(self, args: Mapping[str, Any]) -> Any:
        """fleet.status   {} -> {"workers": […], "cameras": […]}, see `FleetStatus`."""
        if args:
            raise DataError(f"unknown argument {str(next(iter(args)))[:40]!r}; fleet.status has none")
        return self._known().as_json()

    def _known(self) -> FleetStatus:
        if self._status is None:
            raise DataError("the fleet is starting; try again")
        return self._status


@contextlib.contextmanager
def _closing_all(links: list[Link]) -> Iterator[None]:
    """Close all links at the end, at the same time: each takes as long as its worker."""
    try:
        yield
    finally:
        for link in links:
            link.begin_closing()
        for link in links:
            link.close()
