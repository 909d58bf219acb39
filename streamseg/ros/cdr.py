"""Serialisation of ROS 2 messages to CDR, the encoding on the wire and in bags, by rosbags."""

from __future__ import annotations

from functools import cache
from typing import Any

from streamseg.errors import ConfigError
from streamseg.ros.definitions import DEFINITIONS
from streamseg.ros.messages import RosMessage

__all__ = ["CdrTypes"]


class CdrTypes:
    """Types of ROS 2 Jazzy with vision_msgs and foxglove_msgs. Their encodings are the same in later distributions.

    Raises:
        ConfigError: rosbags is not installed.
    """

    def __init__(self) -> None:
        self._store = _typestore()

    def serialize(self, type_name: str, message: RosMessage) -> bytes:
        """Return a message in CDR.

        Args:
            type_name: such as "sensor_msgs/msg/Image".
            message: all fields of the type; see `messages`.

        Raises:
            KeyError: a field is missing.
        """
        return bytes(self._store.serialize_cdr(self._build(type_name, message), type_name))

    def schema(self, type_name: str) -> str:
        """Return the definition of a type with those of its fields, in the notation of .msg files."""
        text, _ = self._store.generate_msgdef(type_name, ros_version=2)
        return str(text)

    def _build(self, type_name: str, message: RosMessage) -> Any:
        fields = self._store.fielddefs[type_name][1]
        return self._store.types[type_name](**{name: self._value(kind, message[name]) for name, kind in fields})

    def _value(self, kind: Any, value: Any) -> Any:
        """Convert a value of a field: nested messages, also in sequences; everything else remains as it is."""
        node, detail = kind
        if _is_message(node):
            return self._build(detail, value)
        if isinstance(value, list) and _is_message(detail[0][0]):
            return [self._build(detail[0][1], one) for one in value]
        return value


def _is_message(node: Any) -> bool:
    from rosbags.interfaces import Nodetype

    return bool(node == Nodetype.NAME)


@cache
def _typestore() -> Any:
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ModuleNotFoundError as error:
        if error.name != "rosbags":
            raise
        raise ConfigError("ROS messages need the package rosbags; run: pip install 'streamseg[record]'") from error
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for name, definition in DEFINITIONS.items():
        types |= get_types_from_msg(definition, name)
    store.register(types)
    return store
