"""Serialisation of ROS 2 messages to CDR, the encoding on the wire and in bags, by rosbags."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from streamseg.errors import ConfigError
from streamseg.ros.definitions import DEFINITIONS
from streamseg.ros.frame_cdr import FRAME_TYPES
from streamseg.ros.messages import RosMessage

__all__ = ["CdrTypes"]

Convert = Callable[[Any], Any]


class CdrTypes:
    """Types of ROS 2 Jazzy with vision_msgs and foxglove_msgs. Their encodings are the same in later distributions.

    Raises:
        ConfigError: rosbags is not installed.
    """

    def __init__(self) -> None:
        self._store = _typestore()
        self._builders: dict[str, Convert] = {}

    def serialize(self, type_name: str, message: RosMessage) -> bytes:
        """Return a message in CDR.

        Args:
            type_name: such as "sensor_msgs/msg/Image".
            message: all fields of the type; see `messages`.

        Raises:
            KeyError: a field is missing.
        """
        if (serialize := FRAME_TYPES.get(type_name)) is not None:
            return serialize(message)
        return self.serialize_by_fields(type_name, message)

    def serialize_by_fields(self, type_name: str, message: RosMessage) -> bytes:
        """Return a message in CDR, for each type by rosbags; raise KeyError if a field is missing."""
        return bytes(self._store.serialize_cdr(self._builder(type_name)(message), type_name))

    def deserialize(self, type_name: str, data: bytes) -> Any:
        """Return rosbags' object of a message in CDR; fields of numbers are NumPy arrays."""
        return self._store.deserialize_cdr(data, type_name)

    def schema(self, type_name: str) -> str:
        """Return the definition of a type with those of its fields, in the notation of .msg files."""
        text, _ = self._store.generate_msgdef(type_name, ros_version=2)
        return str(text)

    def _builder(self, type_name: str) -> Convert:
        """Return the function that turns a dictionary into rosbags' object of a type."""
        if type_name not in self._builders:
            message_type = self._store.types[type_name]
            fields = [(name, self._converter(kind)) for name, kind in self._store.fielddefs[type_name][1]]

            def build(message: RosMessage) -> Any:
                return message_type(*(message[name] if to is None else to(message[name]) for name, to in fields))

            self._builders[type_name] = build
        return self._builders[type_name]

    def _converter(self, kind: Any) -> Convert | None:
        """Return the conversion of a field's value: of nested messages, also in sequences; None for anything else."""
        node, detail = kind
        if _is_message(node):
            return self._builder(detail)
        if isinstance(detail[0], tuple) and _is_message(detail[0][0]):
            build, names = self._builder(detail[0][1]), [name for name, _ in self._store.fielddefs[detail[0][1]][1]]
            return lambda values: [
                build(dict(zip(names, one, strict=True)) if isinstance(one, np.ndarray) else one) for one in values
            ]
        return None


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
