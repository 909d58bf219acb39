"""Topics: what a subscriber's prefix is matched against.

ZeroMQ filters by prefix, so each topic ends with a slash: `seg/1/cam1/` does not match camera `cam10`.
The number is the major version of what follows.
"""

from __future__ import annotations

import re
from typing import Final

from streamseg.errors import WireError

__all__ = [
    "MASK_TOPICS",
    "PICTURE_TOPICS",
    "SOURCE_ID_PATTERN",
    "STATUS_TOPIC",
    "check_source_id",
    "image_topic",
    "mask_topic",
]

SOURCE_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""The same as in the configuration, which cannot be imported without pydantic; a test compares them."""

MASK_TOPICS: Final = b"seg/1/"
"""Prefix of every source's messages without the picture."""
PICTURE_TOPICS: Final = b"pic/1/"
"""Prefix of every source's messages with the picture."""
STATUS_TOPIC: Final = b"status/1/"
"""The publisher's own state, once a second and whenever somebody subscribes to it."""

_SOURCE_ID = re.compile(SOURCE_ID_PATTERN[:-1] + r"\Z")


def check_source_id(source_id: str) -> str:
    """The id itself; raises WireError where it cannot be part of a topic."""
    if not _SOURCE_ID.match(source_id):
        raise WireError(
            f"source id {source_id[:80]!r}: letters, digits, '_', '.' and '-' are allowed, 64 at most,"
            " a letter or digit first"
        )
    return source_id


def mask_topic(source_id: str) -> bytes:
    """Topic of a source's messages without the picture."""
    return MASK_TOPICS + check_source_id(source_id).encode("ascii") + b"/"


def image_topic(source_id: str) -> bytes:
    """Topic of a source's messages with the picture."""
    return PICTURE_TOPICS + check_source_id(source_id).encode("ascii") + b"/"
