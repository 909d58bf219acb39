"""ROS 2 in this process: a bus, a node on it as the bridges see it, and modules with rclpy's interface."""

from __future__ import annotations

import enum
import sys
import threading
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamseg.bridges.ros_api import Qos


@dataclass
class Bus:
    """Topics by absolute name; messages are delivered in the thread of their sender, as CDR."""

    receivers: dict[str, list[Callable[[bytes], None]]] = field(default_factory=lambda: defaultdict(list))
    received: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    changed: threading.Condition = field(default_factory=threading.Condition)

    def listen(self, topic: str) -> list[bytes]:
        """Subscribe; return the list that messages are added to."""
        self.receivers[topic].append(self.received[topic].append)
        return self.received[topic]

    def send(self, topic: str, data: bytes) -> None:
        for receive in self.receivers[topic]:
            receive(data)
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, is_reached: Callable[[], bool], seconds: float = 60.0) -> None:
        with self.changed:
            assert self.changed.wait_for(is_reached, seconds)


@dataclass
class _Publisher:
    bus: Bus
    topic: str

    def publish(self, data: bytes) -> None:
        self.bus.send(self.topic, data)

    def has_subscribers(self) -> bool:
        return bool(self.bus.receivers[self.topic])


class BusApi:
    """A node on a bus (`bridges.ros_api.RosApi`).

    Args:
        bus: connects the nodes.
        parameters: values given at the start.
        missing: names of packages that are not installed.
    """

    def __init__(self, bus: Bus, parameters: dict[str, Any] | None = None, missing: Sequence[str] = ()) -> None:
        self.bus = bus
        self.qos: dict[str, Qos] = {}
        self.services: dict[str, Callable[[Any, Any], Any]] = {}
        self._parameters = parameters or {}
        self._missing = missing

    def parameter(self, name: str, default: Any) -> Any:
        return type(default)(self._parameters.get(name, default))

    def publisher(self, type_name: str, topic: str, qos: Qos) -> _Publisher | None:
        if type_name.partition("/")[0] in self._missing:
            return None
        self.qos[f"/{topic}"] = qos
        return _Publisher(self.bus, f"/{topic}")

    def subscribe(self, type_name: str, topic: str, qos: Qos, receive: Callable[[bytes], None]) -> None:
        self.qos[topic] = qos
        self.bus.receivers[topic].append(receive)

    def serve(self, type_name: str, name: str, answer: Callable[[Any, Any], Any]) -> bool:
        if type_name.partition("/")[0] in self._missing:
            return False
        self.services[name] = answer
        return True


class _Node:
    """rclpy.node.Node, as far as the bridges use it."""

    def __init__(self, name: str, bus: Bus, parameters: dict[str, Any]) -> None:
        if not name.isidentifier():
            raise ValueError(f"Invalid node name: {name}")
        self.name = name
        self.calls: list[tuple[Any, ...]] = []
        self.is_destroyed = False
        self._bus = bus
        self._parameters = parameters

    def declare_parameter(self, name: str, default: Any) -> Any:
        value = self._parameters.get(name, default)
        if type(value) is not type(default):
            raise TypeError(f"Trying to set parameter '{name}' to '{value}' of type '{type(value).__name__}'")
        return types.SimpleNamespace(value=value)

    def create_publisher(self, kind: type, topic: str, profile: Any) -> Any:
        self.calls.append(("publisher", kind, topic, profile))
        publisher = _Publisher(self._bus, f"/{topic}")
        return types.SimpleNamespace(
            publish=publisher.publish, get_subscription_count=lambda: int(publisher.has_subscribers())
        )

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[bytes], None], profile: Any, *, raw: bool
    ) -> None:
        assert raw
        self.calls.append(("subscription", kind, topic, profile))
        self._bus.receivers[topic].append(callback)

    def create_service(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        self.calls.append(("service", kind, name, callback))

    def destroy_node(self) -> None:
        self.is_destroyed = True


class _Context:
    def __init__(self) -> None:
        self._is_ok = False
        self.args: list[str] = []

    def init(self, *, args: list[str]) -> None:
        if "--bad" in args:
            raise RuntimeError("Found unknown ROS arguments:\n '--bad'")
        self.args, self._is_ok = args, True

    def ok(self) -> bool:
        return self._is_ok

    def try_shutdown(self) -> None:
        self._is_ok = False


class _Executor:
    def __init__(self, *, context: _Context) -> None:
        self._ended = threading.Event()

    def add_node(self, node: _Node) -> None:
        pass

    def spin(self) -> None:
        self._ended.wait()

    def shutdown(self, timeout_sec: float) -> None:
        self._ended.set()


class _Reliability(enum.Enum):
    RELIABLE = 1
    BEST_EFFORT = 2


class _Durability(enum.Enum):
    TRANSIENT_LOCAL = 1
    VOLATILE = 2


@contextmanager
def installed_rclpy(bus: Bus, packages: dict[str, Sequence[str]], **parameters: Any) -> Iterator[list[_Node]]:
    """Install modules with rclpy's interface while the block runs; yields the nodes that are created.

    Args:
        bus: connects them.
        packages: names of types by module, such as {"sensor_msgs.msg": ("Image",)}.
        parameters: values of parameters given at the start.
    """
    nodes: list[_Node] = []

    def create_node(name: str, *, context: _Context) -> _Node:
        nodes.append(_Node(name, bus, parameters))
        return nodes[-1]

    rclpy = types.ModuleType("rclpy")
    rclpy.create_node = create_node  # type: ignore[attr-defined]
    modules: dict[str, Any] = {"rclpy": rclpy}
    for name, values in {
        "context": {"Context": _Context},
        "executors": {"SingleThreadedExecutor": _Executor},
        "qos": {
            "QoSProfile": types.SimpleNamespace,
            "ReliabilityPolicy": types.SimpleNamespace(**{one.name: one for one in _Reliability}),
            "DurabilityPolicy": types.SimpleNamespace(**{one.name: one for one in _Durability}),
        },
    }.items():
        module = types.ModuleType(f"rclpy.{name}")
        for key, value in values.items():
            setattr(module, key, value)
        setattr(rclpy, name, module)
        modules[module.__name__] = module
    for name, kinds in packages.items():
        package = modules.setdefault(name.partition(".")[0], types.ModuleType(name.partition(".")[0]))
        module = modules[name] = types.ModuleType(name)
        setattr(package, name.partition(".")[2], module)
        for kind in kinds:
            setattr(module, kind, type(kind, (), {}))
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield nodes
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
