"""Parse JSON from untrusted peers: one typed getter per kind of value, and the limits a reader enforces.

A peer controls every byte, so everything that costs memory has a limit. Each getter raises `WireError` with a
one-line message.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

from streamseg.errors import WireError

__all__ = [
    "MAX_BUFFERS",
    "MAX_BUFFER_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_MASK_PIXELS",
    "MAX_OBJECTS",
    "MAX_PROMPTS",
    "MAX_PROMPT_STATUSES",
    "MAX_SEQ",
    "MAX_SIDE_PX",
    "MAX_TEXT_CHARACTERS",
    "REQUIRED",
    "SOURCE_ID_PATTERN",
    "check_source_id",
    "dump_json",
    "integer",
    "items",
    "mapping",
    "number",
    "numbers",
    "parse_json",
    "text",
]

MAX_HEADER_BYTES: Final = 4 << 20
"""Several thousand objects; 60 objects take 7 kB."""
MAX_OBJECTS: Final = 4096
"""Objects per message."""
MAX_PROMPTS: Final = 1024
"""Prompts in force at a time, and prompts per request."""
MAX_PROMPT_STATUSES: Final = 4096
"""Prompt statuses per header. Exceeds `MAX_PROMPTS`, to leave room for later versions."""
MAX_BUFFERS: Final = 16
"""Buffers per message."""
MAX_BUFFER_BYTES: Final = 256 << 20
"""Bytes per buffer, after decompression."""
MAX_MASK_PIXELS: Final = 1 << 29
"""Pixels of all crops of a message, one byte each once decoded: 300 objects at 4K, each a fifth of the image."""
MAX_SIDE_PX: Final = 1 << 15
"""Width or height of an image or a mask space."""
MAX_TEXT_CHARACTERS: Final = 1024
"""Characters per string."""
MAX_SEQ: Final = (1 << 53) - 1
"""Largest integer that every JSON parser represents exactly."""

SOURCE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Same pattern as in `streamseg.config`, which a subscriber cannot import (pydantic); a test compares the two."""
_SOURCE_ID = re.compile(SOURCE_ID_PATTERN[:-1] + r"\Z")

Default = TypeVar("Default")
REQUIRED: Final[Any] = object()
"""Default of a key that must be present."""


def dump_json(value: Any, what: str) -> bytes:
    """Serialise to compact UTF-8 JSON, without NaN and Infinity, which JSON does not have.

    Raises:
        WireError: the value holds a number that is not finite, or a type that JSON does not have.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise WireError(f"the {what} cannot be written as JSON: {error}") from error


def parse_json(body: bytes | memoryview, what: str, max_bytes: int) -> dict[str, Any]:
    """Parse the JSON object in `body`.

    Raises:
        WireError: too long, not UTF-8, not JSON, nested too deeply, NaN or Infinity, or not an object.
    """
    if len(body) > max_bytes:
        raise WireError(f"the {what} has {len(body)} bytes, at most {max_bytes} are allowed")
    try:
        value = json.loads(bytes(body).decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the {what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WireError(f"the {what} must be a JSON object, got {_shorten(value)}")
    return value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_source_id(source_id: str) -> str:
    """Return the id unchanged; raise WireError if it cannot be part of a topic."""
    if not _SOURCE_ID.match(source_id):
        raise WireError(
            f"invalid source id {source_id[:80]!r}: use letters, digits, '_', '.' and '-', at most 64 characters,"
            " starting with a letter or digit"
        )
    return source_id


def text(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> str | Default:
    """Return a string of at most `MAX_TEXT_CHARACTERS` that UTF-8 can encode."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise WireError(f"{key!r} must be a string of at most {MAX_TEXT_CHARACTERS} characters, got {_received(value)}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise WireError(f"{key!r} contains an unpaired surrogate, which is not valid text")
    return value


def integer(values: Mapping[str, Any], key: str, *, low: int = 0, high: int = MAX_SEQ) -> int:
    """Return an integer within [low, high]; reject 3.0 and true."""
    value = values.get(key, REQUIRED)
    if type(value) is not int or not low <= value <= high:
        raise WireError(f"{key!r} must be an integer from {low} to {high}, got {_received(value)}")
    return value


def number(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> float | Default:
    """Return a finite number."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not _is_finite(value):
        raise WireError(f"{key!r} must be a finite number, got {_received(value)}")
    return float(value)


def numbers(values: Mapping[str, Any], key: str, count: int) -> tuple[float, ...]:
    """Return a list of exactly `count` finite numbers, as a tuple."""
    value = items(values, key, count)
    if len(value) != count or not all(map(_is_finite, value)):
        raise WireError(f"{key!r} must be a list of {count} finite numbers, got {_received(value)}")
    return tuple(map(float, value))


def items(values: Mapping[str, Any], key: str, max_items: int) -> list[Any]:
    """Return a list of at most `max_items`."""
    value = values.get(key, REQUIRED)
    if not isinstance(value, list):
        raise WireError(f"{key!r} must be a list, got {_received(value)}")
    if len(value) > max_items:
        raise WireError(f"{key!r} has {len(value)} items, at most {max_items} are allowed")
    return value


def mapping(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> dict[str, Any] | Default:
    """Return a JSON object."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not isinstance(value, dict):
        raise WireError(f"{key!r} must be a JSON object, got {_received(value)}")
    return value


def _received(value: Any) -> str:
    return "nothing" if value is REQUIRED else _shorten(value)


def _is_finite(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    # Larger integers do not fit a double.
    return type(value) is int and -(1 << 1000) < value < 1 << 1000
