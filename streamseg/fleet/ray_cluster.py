"""Workers as actors of a Ray cluster (extra `fleet`)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import ray
import ray.exceptions
import ray.util

from streamseg.config import FleetConfig
from streamseg.errors import ConfigError, StreamsegError
from streamseg.fleet.link import Order, RemoteWorker, Unavailable
from streamseg.fleet.process import ProcessError
from streamseg.fleet.workers import Machine, PlannedWorker

__all__ = ["RayWorker", "joined_cluster", "machines", "ray_workers"]

NODE_SHARE: Final = 0.001
"""Amount of the resource that binds a worker to a machine; each machine has 1."""
LOOPBACK: Final = "127.0.0.1"

Create = Callable[..., Any]
_RAY: Any = ray
"""Some of its functions have no types."""


@contextlib.contextmanager
def joined_cluster(address: str) -> Iterator[None]:
    """Join a Ray cluster; leave it at the end, which ends the actors of this process.

    Args:
        address: HOST:PORT of its head; `auto`: the cluster of this machine.

    Raises:
        ConfigError: there is none.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, namespace="streamseg", log_to_driver=True, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"no Ray cluster at {address}: {reason}; start one with ray start --head, or use --local"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process without closing anything
    try:
        yield
    finally:
        ray.shutdown()


def machines() -> list[Machine]:
    """Return the machines of the cluster that are alive."""
    nodes = [node for node in _RAY.nodes() if node["Alive"]]
    return [
        Machine(node["NodeManagerAddress"], node["Resources"].get("CPU", 0.0), int(node["Resources"].get("GPU", 0)))
        for node in nodes
    ]


def check_reachable(config: FleetConfig, found: Sequence[Machine]) -> None:
    """Raise ConfigError if messages would cross machines without encryption and without permission."""
    publish = config.publish
    hosts = {machine.host for machine in found}
    if hosts - {LOOPBACK} and publish.curve.secret_key is None and not publish.allow_public:
        raise ConfigError(
            "the messages of workers on other machines would be readable by everyone in the network; set up keys"
            " (streamseg keys new, publish.curve), or set publish.allow_public"
        )


def ray_workers(
    config: FleetConfig, workers: Sequence[PlannedWorker], create: Create, *arguments: Any
) -> dict[PlannedWorker, Callable[[], RemoteWorker]]:
    """Return the functions that create the workers on machines with room.

    Args:
        config: configuration of the fleet.
        workers: the workers.
        create: `CameraWorker`, or a class like it.
        arguments: its arguments after the configuration's values and before the host.
    """
    values = config.model_dump(mode="json")
    return {worker: partial(RayWorker, worker, create, values, *arguments) for worker in workers}


class RayWorker:
    """A worker on a machine that Ray chooses, and chooses again if the machine is lost.

    Args:
        worker: the resources that it needs.
        create: returns the worker, in the actor.
        arguments: for `create`, before the address of the machine.
    """

    def __init__(self, worker: PlannedWorker, create: Create, *arguments: Any) -> None:
        section = worker.section
        resources = {} if section.host is None else {f"node:{section.host}": NODE_SHARE}
        self._name = worker.name
        # Its state is a decision of the controller, which makes it again: a restarted actor needs no memory, and a call
        # that was lost no repetition.
        self._actor = _ACTOR.options(
            num_cpus=section.cpus,
            num_gpus=section.gpus,
            resources=resources,
            scheduling_strategy="SPREAD",
            max_restarts=-1,
            max_task_retries=0,
        ).remote(create, *arguments)

    def exchange(self, order: Order, timeout_seconds: float) -> Mapping[str, Any]:
        """See `RemoteWorker`."""
        try:
            reply = ray.get(self._actor.exchange.remote(*order), timeout=timeout_seconds)
        except ray.exceptions.GetTimeoutError as error:
            raise ProcessError(f"actor {self._name} did not answer within {timeout_seconds:g} s") from error
        except ray.exceptions.ActorUnavailableError as error:
            raise Unavailable(f"actor {self._name} is unavailable; Ray starts it again") from error
        except ray.exceptions.RayError as error:
            raise ProcessError(f"actor {self._name} has ended: {' '.join(str(error).split())[:300]}") from error
        if "error" in reply:
            raise StreamsegError(reply["error"])
        result: Mapping[str, Any] = reply["result"]
        return result

    def kill(self) -> None:
        """See `RemoteWorker`."""
        ray.kill(self._actor)

    def close(self) -> bool:
        """See `RemoteWorker`. On a machine out of reach, the process runs on until it notices."""
        self.kill()
        return False


class _Actor:
    """Holds a worker on its machine. Errors are replies, because Ray's own contain whole tracebacks."""

    def __init__(self, create: Create, *arguments: Any) -> None:
        self._subject: Any = None
        self._failure: str | None = None
        try:
            self._subject = create(*arguments, _RAY.util.get_node_ip_address())
        except StreamsegError as error:
            self._failure = str(error)

    def exchange(self, *order: Any) -> dict[str, Any]:
        """Return the result of `CameraWorker.exchange`, or its error."""
        if self._failure is not None:
            return {"error": self._failure}
        try:
            return {"result": self._subject.exchange(*order)}
        except StreamsegError as error:
            return {"error": str(error)}


_ACTOR: Any = ray.remote(_Actor)
