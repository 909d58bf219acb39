"""Reading JSON of unknown origin: one typed getter per kind of value, each failing in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

from streamseg.errors import WireError
from streamseg.wire.limits import MAX_SEQ, MAX_TEXT_CHARACTERS

__all__ = ["REQUIRED", "dump_json", "integer", "items", "mapping", "number", "numbers", "parse_json", "text"]

Default = TypeVar("Default")
REQUIRED: Final[Any] = object()
"""Default of a key that must be there."""


def dump_json(value: Any, what: str) -> bytes:
    """Compact UTF-8 JSON, without NaN and Infinity, which JSON does not have.

    Raises:
        WireError: the value holds a number that is not finite, or something that JSON cannot hold.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise WireError(f"the {what} cannot be written as JSON: {error}") from error


def parse_json(body: bytes | memoryview, what: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        WireError: too long, not UTF-8, not JSON, nested too deep, NaN or Infinity, or no object.
    """
    if len(body) > max_bytes:
        raise WireError(f"the {what} has {len(body)} bytes, at most {max_bytes} are allowed")
    try:
        value = json.loads(bytes(body).decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the {what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise WireError(f"the {what} must be a JSON object, got {_shown(value)}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."


def text(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> str | Default:
    """A string of at most `MAX_TEXT_CHARACTERS` that UTF-8 can hold."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise WireError(f"{key!r} must be a string of at most {MAX_TEXT_CHARACTERS} characters, got {_got(value)}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise WireError(f"{key!r} holds half a surrogate pair, which is no text")
    return value


def integer(values: Mapping[str, Any], key: str, *, low: int = 0, high: int = MAX_SEQ) -> int:
    """An integer within [low, high]; 3.0 and true are none."""
    value = values.get(key, REQUIRED)
    if type(value) is not int or not low <= value <= high:
        raise WireError(f"{key!r} must be an integer from {low} to {high}, got {_got(value)}")
    return value


def number(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> float | Default:
    """A finite number."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not _is_finite(value):
        raise WireError(f"{key!r} must be a finite number, got {_got(value)}")
    return float(value)


def numbers(values: Mapping[str, Any], key: str, count: int) -> tuple[float, ...]:
    """A list of exactly `count` finite numbers."""
    value = items(values, key, count)
    if len(value) != count or not all(map(_is_finite, value)):
        raise WireError(f"{key!r} must be a list of {count} finite numbers, got {_got(value)}")
    return tuple(map(float, value))


def items(values: Mapping[str, Any], key: str, max_items: int) -> list[Any]:
    """A list of at most `max_items`."""
    value = values.get(key, REQUIRED)
    if not isinstance(value, list):
        raise WireError(f"{key!r} must be a list, got {_got(value)}")
    if len(value) > max_items:
        raise WireError(f"{key!r} has {len(value)} items, at most {max_items} are allowed")
    return value


def mapping(values: Mapping[str, Any], key: str, default: Default = REQUIRED) -> dict[str, Any] | Default:
    """A JSON object."""
    value = values.get(key, default)
    if value is default and default is not REQUIRED:
        return default
    if not isinstance(value, dict):
        raise WireError(f"{key!r} must be a JSON object, got {_got(value)}")
    return value


def _got(value: Any) -> str:
    return "nothing" if value is REQUIRED else _shown(value)


def _is_finite(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    # Integers beyond this do not fit a double.
    return type(value) is int and -(1 << 1000) < value < 1 << 1000
