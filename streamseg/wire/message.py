"""Messages as ZeroMQ parts: `encode` and `decode` are pure functions and each other's inverse.

Frame message
    part 0    topic: `seg/1/<source>/`, or `pic/1/<source>/` if the image is included
    part 1    header, UTF-8 JSON (`header.py`, `assets/message.schema.json`)
    part 2…   buffers in the order of the header's table, little-endian (`masks.py`), then `jpeg` if any

The same message goes out on both topics. To receive the image with the masks of the same frame, subscribe to
`pic/` instead of `seg/`. A frame without an image may also be sent on `pic/`.

Status message, which lets a reader tell an idle publisher from a lost one and detect the loss of the last message
    part 0    `status/1/`
    part 1    {"schema": "streamseg.status", "version": [1, 1], "epoch": "5f0c…",
               "stamp": {"sec", "nanosec"}, "sources": {"cam0": 17},
               "states": {"cam0": {"state": "live", "seconds": 3.2, "error": null}}}

`sources` holds the last sequence number sent per source, and `states` the state of each source of the run, how long it
has been in it, and its last error (since version 1.1). The status travels the same way as the messages, so a
reader that has not received that number by then has lost it.

ZeroMQ filters by prefix. Each topic ends with a slash, so that `seg/1/cam1/` does not match camera `cam10`. The
number in a topic is the major version of the parts that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from streamseg.errors import WireError
from streamseg.structures.mask import MaskSpace
from streamseg.structures.message import Message
from streamseg.structures.source_status import SOURCE_STATES, SourceStatus
from streamseg.wire import json_fields
from streamseg.wire.buffers import Buffer, Compression, Part, pack_buffer, read_array
from streamseg.wire.header import (
    Header,
    parse_header,
    parse_object,
    parse_stamp,
    parse_version,
    stamp_to_json,
    write_header,
)
from streamseg.wire.json_fields import check_source_id
from streamseg.wire.masks import MaskEncoding, read_masks, write_masks

__all__ = [
    "IMAGE_TOPICS",
    "MASK_TOPICS",
    "STATUS_TOPIC",
    "Status",
    "assemble",
    "decode",
    "decode_status",
    "encode",
    "encode_status",
    "image_topic",
    "mask_buffers",
    "mask_topic",
    "read_header",
]

MASK_TOPICS: Final = b"seg/1/"
"""Prefix of the messages of all sources, without the image."""
IMAGE_TOPICS: Final = b"pic/1/"
"""Prefix of the messages of all sources, with the image."""
STATUS_TOPIC: Final = b"status/1/"
"""Status of the publisher, sent once a second and on each subscription to it."""

STATUS_SCHEMA: Final = "streamseg.status"
STATUS_VERSION: Final = (1, 1)
"""(major, minor); the minor version is independent of the header's."""
MAX_STATUS_BYTES: Final = 1 << 20
MAX_SOURCES: Final = 4096


def mask_topic(source_id: str) -> bytes:
    """Return the topic of a source's messages without the image."""
    return MASK_TOPICS + check_source_id(source_id).encode("ascii") + b"/"


def image_topic(source_id: str) -> bytes:
    """Return the topic of a source's messages with the image."""
    return IMAGE_TOPICS + check_source_id(source_id).encode("ascii") + b"/"


def encode(
    message: Message,
    *,
    mask_encoding: MaskEncoding = "rle-crop-u32",
    compression: Compression = "none",
    include_jpeg: bool = True,
) -> list[bytes]:
    """Encode a message to parts.

    Args:
        message: boxes are rounded to 1/100 px, scores to 1/10000, the age to 1/1000 ms.
        mask_encoding: format of the masks; `label-u16` loses pixels that other masks cover.
        compression: compression of the masks.
        include_jpeg: False omits the image; has no effect on a message without one.

    Returns:
        Topic, header and buffers.

    Raises:
        WireError: the message holds something that the format cannot represent: a mask outside the mask space, a
            number that is not finite, or a source id that is invalid in a topic.
    """
    return assemble(message, mask_buffers(message, mask_encoding, compression), include_jpeg=include_jpeg)


def mask_buffers(message: Message, mask_encoding: MaskEncoding, compression: Compression = "none") -> list[Buffer]:
    """Encode the masks: the expensive half of `encode`, shared by several variants of one message."""
    return write_masks([found.mask for found in message.objects], message.mask_size, mask_encoding, compression)


def assemble(message: Message, buffers: Sequence[Buffer], *, include_jpeg: bool = True) -> list[bytes]:
    """Add topic, header and image to encoded masks: the cheap half of `encode`."""
    topic = mask_topic(message.source_id)
    if include_jpeg and message.jpeg is not None:
        topic = image_topic(message.source_id)
        buffers = [*buffers, pack_buffer("jpeg", "jpeg", np.frombuffer(message.jpeg, dtype=np.uint8))]
    header = write_header(message, [buffer.entry for buffer in buffers])
    return [topic, header, *(buffer.body for buffer in buffers)]


def read_header(parts: Sequence[Part]) -> Header:
    """Read topic and header only, at a tenth of the cost of `decode`.

    Raises:
        WireError: see `decode`.
    """
    if len(parts) < 2:
        raise WireError(f"a message has a topic, a header and buffers, got {len(parts)} parts")
    header = parse_header(parts[1])
    if len(parts) != 2 + len(header.buffers):
        raise WireError(f"the header lists {len(header.buffers)} buffers, got {len(parts) - 2}")
    names = [entry.name for entry in header.buffers]
    if len(set(names)) != len(names):
        raise WireError(f"buffer names must differ, got {', '.join(names)[:80]}")
    topics = [image_topic(header.source_id)]
    if "jpeg" not in names:
        topics.append(mask_topic(header.source_id))
    if parts[0] not in topics:
        raise WireError(f"the topic must be {topics[-1]!r} for this header, got {bytes(parts[0])[:80]!r}")
    return header


def decode(parts: Sequence[Part], header: Header | None = None) -> Message:
    """Decode the message in parts from an untrusted peer.

    Args:
        parts: topic, header and buffers.
        header: result of `read_header` for the same parts, if it is known.

    Raises:
        WireError: a part contradicts the format, another part or the limits. No other error is raised, whatever
            the bytes.
    """
    header = read_header(parts) if header is None else header
    buffers = {entry.name: (entry, body) for entry, body in zip(header.buffers, parts[2:], strict=True)}
    space = MaskSpace(header.mask_size, header.image_size, header.mask_to_image)
    masks = [replace(mask, space=space) for mask in read_masks(buffers, len(header.objects), header.mask_size)]
    return Message(
        source_id=header.source_id,
        frame_index=header.frame_index,
        captured_ns=header.captured_ns,
        clock=header.clock,
        age_ms=header.age_ms,
        image_size=header.image_size,
        mask_size=header.mask_size,
        mask_to_image=header.mask_to_image,
        objects=tuple(
            parse_object(values, mask, header.mask_size) for values, mask in zip(header.objects, masks, strict=True)
        ),
        pts_seconds=header.pts_seconds,
        frame_id=header.frame_id,
        prompts=header.prompts,
        drops=header.drops,
        degradation=header.degradation,
        zones=header.zones,
        jpeg=read_array(*buffers["jpeg"], "|u1", (None,)).tobytes() if "jpeg" in buffers else None,
        epoch=header.epoch,
        seq=header.seq,
    )


@dataclass(frozen=True)
class Status:
    """State that a publisher reports about itself."""

    epoch: str
    """Identifies one run of the publisher."""
    stamp_ns: int
    """Wall clock (ns since the Unix epoch) of the report."""
    sources: dict[str, int]
    """Last sequence number sent, by source id."""
    states: dict[str, SourceStatus] = field(default_factory=dict)
    """State of each source of the run, by source id; empty if the publisher does not report them."""


def encode_status(status: Status) -> list[bytes]:
    """Encode a status to its two parts."""
    body = {
        "schema": STATUS_SCHEMA,
        "version": STATUS_VERSION,
        "epoch": status.epoch,
        "stamp": stamp_to_json(status.stamp_ns),
        "sources": status.sources,
        "states": {
            source_id: {"state": one.state, "seconds": round(one.seconds, 3), "error": _sendable(one.error)}
            for source_id, one in status.states.items()
        },
    }
    return [STATUS_TOPIC, json_fields.dump_json(body, "status")]


def decode_status(parts: Sequence[Part]) -> Status:
    """Decode the status in the parts; raise WireError, and no other error, if they are not one."""
    if len(parts) != 2 or parts[0] != STATUS_TOPIC:
        raise WireError(f"a status has the topic {STATUS_TOPIC!r} and one more part, got {len(parts)} parts")
    values = json_fields.parse_json(parts[1], "status", MAX_STATUS_BYTES)
    parse_version(values, STATUS_SCHEMA)
    sources, states = json_fields.mapping(values, "sources"), json_fields.mapping(values, "states", default={})
    for name, entries in (("sources", sources), ("states", states)):
        if len(entries) > MAX_SOURCES:
            raise WireError(f"{name!r} has {len(entries)} entries, at most {MAX_SOURCES} are allowed")
    return Status(
        epoch=json_fields.text(values, "epoch"),
        stamp_ns=parse_stamp(json_fields.mapping(values, "stamp")),
        sources={check_source_id(source_id): json_fields.integer(sources, source_id, low=-1) for source_id in sources},
        states={
            check_source_id(source_id): one
            for source_id in states
            if (one := _source_status(json_fields.mapping(states, source_id))) is not None
        },
    )


def _source_status(values: dict[str, Any]) -> SourceStatus | None:
    """Return the status of one source; None for a state that a later minor version has added."""
    state = json_fields.text(values, "state")
    seconds = json_fields.number(values, "seconds")
    error = json_fields.text(values, "error") if values.get("error") is not None else None
    return SourceStatus(state, seconds, error) if state in SOURCE_STATES else None


def _sendable(error: str | None) -> str | None:
    """Return an error of limited length, without the surrogates of undecodable file names."""
    return None if error is None else error[: json_fields.MAX_TEXT_CHARACTERS].encode("utf-8", "replace").decode()
