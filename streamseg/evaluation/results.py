"""JSON fields of result files.

Fields renamed since the first release keep their JSON keys, so that old and new result files can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["result_fields"]

JSON_KEYS = {"num_images": "num_pictures", "num_sequences": "num_films", "sequences": "films"}
"""JSON key of each field whose key is not its name."""


def result_fields(scores: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by JSON key, in the order of the fields; nested dataclasses become dicts."""
    return {JSON_KEYS.get(field.name, field.name): _plain(getattr(scores, field.name)) for field in fields(scores)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return result_fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
