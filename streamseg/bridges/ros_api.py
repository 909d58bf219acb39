"""The part of ROS 2 that the node uses, and its implementation by rclpy. Messages are passed in CDR."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar

from streamseg.errors import ConfigError
from streamseg.resources import Resource

__all__ = ["Qos", "RclpyApi", "RosApi", "RosPublisher"]

logger = logging.getLogger(__name__)

P = TypeVar("P", bool, int, float, str)

JOIN_SECONDS = 1.0
"""Maximum wait for the node's thread at the end."""


@dataclass(frozen=True)
class Qos:
    """Quality of service of a topic; history is keep-last."""

    depth: int = 10
    reliability: Literal["reliable", "best_effort"] = "reliable"
    durability: Literal["volatile", "transient_local"] = "volatile"


class RosPublisher(Protocol):
    """Publisher of one topic."""

    def publish(self, data: bytes) -> None:
        """Send a message in CDR."""
        ...

    def has_subscribers(self) -> bool:
        """Return whether anybody receives the topic."""
        ...


class RosApi(Protocol):
    """A node. Callbacks run in a thread of the node, one at a time."""

    def parameter(self, name: str, default: P) -> P:
        """Declare a parameter and return its value; raises ConfigError if it has another type."""
        ...

    def publisher(self, type_name: str, topic: str, qos: Qos) -> RosPublisher | None:
        """Return a publisher; None if the type is not installed."""
        ...

    def subscribe(self, type_name: str, topic: str, qos: Qos, receive: Callable[[bytes], None]) -> None:
        """Receive a topic, in CDR; raises ConfigError if the type is not installed."""
        ...

    def serve(self, type_name: str, name: str, answer: Callable[[Any, Any], Any]) -> bool:
        """Offer a service, whose `answer(request, response)` returns the response; False if its type is missing."""
        ...


class _Publisher:
    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    def publish(self, data: bytes) -> None:
        """Send a message in CDR."""
        self._publisher.publish(data)

    def has_subscribers(self) -> bool:
        """Return whether anybody receives the topic."""
        return int(self._publisher.get_subscription_count()) > 0


class RclpyApi(Resource):
    """A node of rclpy, with a thread of its own from `start` on.

    Args:
        name: name of the node.
        ros_args: arguments as ROS programs take them: --ros-args -r from:=to -p name:=value.

    Raises:
        ConfigError: rclpy is not installed, or rejects the arguments.
    """

    def __init__(self, name: str, ros_args: Sequence[str] = ()) -> None:
        self._rclpy = _import_rclpy()
        self._context = self._rclpy.context.Context()
        try:
            self._context.init(args=list(ros_args))
            self._node = self._rclpy.create_node(name, context=self._context)
        except Exception as error:  # rclpy's errors have no common base
            self._context.try_shutdown()
            raise ConfigError(f"ROS 2 cannot start the node {name!r}: {' '.join(str(error).split())}") from error
        self._executor = self._rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="ros", daemon=True)

    def start(self) -> None:
        """Call callbacks from now on."""
        self._thread.start()

    def parameter(self, name: str, default: P) -> P:
        """Declare a parameter and return its value."""
        try:
            return type(default)(self._node.declare_parameter(name, default).value)
        except Exception as error:
            raise ConfigError(f"parameter {name}: {' '.join(str(error).split())}") from error

    def publisher(self, type_name: str, topic: str, qos: Qos) -> RosPublisher | None:
        """Return a publisher; None if the type is not installed."""
        kind = _find_type(type_name)
        return None if kind is None else _Publisher(self._node.create_publisher(kind, topic, self._profile(qos)))

    def subscribe(self, type_name: str, topic: str, qos: Qos, receive: Callable[[bytes], None]) -> None:
        """Receive a topic, in CDR."""
        kind = _find_type(type_name)
        if kind is None:
            raise ConfigError(f"{topic}: the message type {type_name} is not installed")
        self._node.create_subscription(kind, topic, receive, self._profile(qos), raw=True)

    def serve(self, type_name: str, name: str, answer: Callable[[Any, Any], Any]) -> bool:
        """Offer a service in the namespace of the node; False if its type is not installed."""
        kind = _find_type(type_name)
        if kind is not None:
            self._node.create_service(kind, f"~/{name}", answer)
        return kind is not None

    def close(self) -> None:
        """Destroy the node. Idempotent."""
        if not self._context.ok():
            return
        self._executor.shutdown(timeout_sec=JOIN_SECONDS)
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _profile(self, qos: Qos) -> Any:
        module = self._rclpy.qos
        return module.QoSProfile(
            depth=qos.depth,
            reliability=getattr(module.ReliabilityPolicy, qos.reliability.upper()),
            durability=getattr(module.DurabilityPolicy, qos.durability.upper()),
        )


def _import_rclpy() -> Any:
    try:
        module = import_module("rclpy")
        for name in ("context", "executors", "qos"):
            import_module(f"rclpy.{name}")
    except ImportError as error:  # also a missing shared library: the setup file was not sourced
        raise ConfigError(
            f"the node needs ROS 2's Python library rclpy ({error}); run: source /opt/ros/$ROS_DISTRO/setup.bash, and"
            " install streamseg for the Python of ROS"
        ) from error
    return module


def _find_type(type_name: str) -> Any:
    """Return the class of a type such as "sensor_msgs/msg/Image"; None if its package is not installed."""
    package, kind, name = type_name.split("/")
    try:
        return getattr(import_module(f"{package}.{kind}"), name, None)
    except ImportError as error:
        logger.debug("%s: %s", type_name, error)
        return None
