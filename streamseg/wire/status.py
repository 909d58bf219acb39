"""The publisher's own state: how a reader tells a quiet publisher from a lost one, and a lost last message.

    part 0    `status/1/`
    part 1    {"schema": "streamseg.status", "version": [1, 0], "epoch": "5f0c…",
               "stamp": {"sec", "nanosec"}, "sources": {"cam0": 17}}

`sources` holds the last sequence number that was sent for each source. It travels the same way as
the messages, so that whoever has not received that number by then has lost it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamseg.errors import WireError
from streamseg.wire import fields
from streamseg.wire.header import MAX_UNIX_SECONDS, NS_PER_SECOND, parse_version
from streamseg.wire.topics import STATUS_TOPIC, check_source_id

__all__ = ["Status", "decode_status", "encode_status"]

STATUS_SCHEMA: Final = "streamseg.status"
STATUS_VERSION: Final = (1, 0)
"""(major, minor); the header has its own minor."""
MAX_STATUS_BYTES: Final = 1 << 20
MAX_SOURCES: Final = 4096


@dataclass(frozen=True)
class Status:
    """What a publisher says about itself."""

    epoch: str
    """Identifies one run of the publisher."""
    stamp_ns: int
    """Wall clock (ns since the Unix epoch) when it said so."""
    sources: dict[str, int]
    """Last sequence number sent, by source id."""


def encode_status(status: Status) -> list[bytes]:
    """The two parts of a status."""
    seconds, nanoseconds = divmod(status.stamp_ns, NS_PER_SECOND)
    body = {
        "schema": STATUS_SCHEMA,
        "version": STATUS_VERSION,
        "epoch": status.epoch,
        "stamp": {"sec": seconds, "nanosec": nanoseconds},
        "sources": status.sources,
    }
    return [STATUS_TOPIC, fields.dump_json(body, "status")]


def decode_status(parts: Sequence[bytes | memoryview]) -> Status:
    """The status in the parts; raises WireError, and nothing else, for what is none."""
    if len(parts) != 2 or parts[0] != STATUS_TOPIC:
        raise WireError(f"a status has the topic {STATUS_TOPIC!r} and one part, got {len(parts)} parts")
    values = fields.parse_json(parts[1], "status", MAX_STATUS_BYTES)
    parse_version(values, STATUS_SCHEMA)
    stamp = fields.mapping(values, "stamp")
    sources = fields.mapping(values, "sources")
    if len(sources) > MAX_SOURCES:
        raise WireError(f"'sources' has {len(sources)} entries, at most {MAX_SOURCES} are allowed")
    return Status(
        epoch=fields.text(values, "epoch"),
        stamp_ns=fields.integer(stamp, "sec", high=MAX_UNIX_SECONDS) * NS_PER_SECOND
        + fields.integer(stamp, "nanosec", high=NS_PER_SECOND - 1),
        sources={check_source_id(source_id): fields.integer(sources, source_id, low=-1) for source_id in sources},
    )
