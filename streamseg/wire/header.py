"""Header of a frame message: everything except the masks and the image, as JSON.

    {"schema": "streamseg.frame", "version": [1, 4],
     "source": "cam0", "epoch": "5f0c…", "seq": 17, "index": 42,
     "stamp": {"sec": 1700000000, "nanosec": 250000000}, "clock": "camera", "age_ms": 21.5,
     "pts_seconds": 1.4, "frame_id": "",
     "image": {"w": 1280, "h": 720},
     "mask_space": {"w": 1280, "h": 720, "to_image": [sx, sy, tx, ty]},
     "objects": [{"track_id": 3, "prompt_ids": ["everything"], "box": [x0, y0, x1, y1], "score": 0.91,
                  "area": 5120, "label": "cup"}],
     "prompts": [{"id": "cup", "state": "bound", "confidence": 0.97, "mask_quality": 0.84, "track_id": 3,
                  "mask_source": "proposal"}],
     "drops": {"capture": {"newer_frame": 3}}, "degradation": {"step": 2, "plain_masks": true, "imgsz_scale": 0.75},
     "zones": [{"id": "door", "track_ids": [3, 8], "entered": [8], "num_entered": 5, "num_left": 3}],
     "buffers": [{"name": "masks", "encoding": "rle-crop-u32", "dtype": "<u4", "shape": [n], "compression": "none"}]}

Time is {sec, nanosec}, as in ROS, because nanoseconds since 1970 exceed JavaScript's exact integers. `pts_seconds`,
`frame_id`, `prompts` (added in 1.1), their `mask_quality` and `mask_source` (added in 1.2), `degradation` (added in
1.3), `zones` (added in 1.4), `drops` and an object's `label` are optional. Unknown keys are ignored; another major
version is rejected. Boxes are rounded to 1/100 px, scores, confidences and qualities to 1/10000, ages to 1/1000 ms:
finer than their accuracy, and short enough that 60 objects take 7 kB.

`prompts` holds the status of prompts that target specific objects. Their `state` is `bound`, `lost`, `reacquired` or
`none`. A later minor version may add states; a reader treats an unknown state as `none`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamseg.errors import WireError
from streamseg.structures.degradation import Degradation
from streamseg.structures.frame import Clock
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject, PromptStatus
from streamseg.structures.zone import ZoneStatus
from streamseg.wire import json_fields
from streamseg.wire.buffers import BufferEntry, parse_entry
from streamseg.wire.degradation import degradation_to_json, parse_degradation
from streamseg.wire.json_fields import (
    MAX_BUFFERS,
    MAX_HEADER_BYTES,
    MAX_OBJECTS,
    MAX_SEQ,
    MAX_SIDE_PX,
    check_source_id,
)
from streamseg.wire.prompt_statuses import parse_prompt_statuses, prompt_statuses_to_json
from streamseg.wire.zones import parse_zones, zones_to_json

__all__ = [
    "SCHEMA",
    "VERSION",
    "Header",
    "parse_header",
    "parse_object",
    "parse_stamp",
    "parse_version",
    "stamp_to_json",
    "write_header",
]

SCHEMA: Final = "streamseg.frame"
VERSION: Final = (1, 4)
"""(major, minor). A new key with a default raises the minor version; a change that an old reader would misread raises
the major version."""

CLOCKS: Final[dict[str, Clock]] = {"camera": "camera", "driver": "driver", "arrival": "arrival"}
NS_PER_SECOND: Final = 1_000_000_000
MAX_UNIX_SECONDS: Final = 253_402_300_799
"""End of the year 9999."""
MAX_DROP_KEYS: Final = 64


@dataclass(frozen=True)
class Header:
    """A parsed and validated header, except for its objects, which are validated when the masks are read."""

    source_id: str
    epoch: str
    seq: int
    frame_index: int
    captured_ns: int
    clock: Clock
    age_ms: float
    pts_seconds: float | None
    frame_id: str
    image_size: tuple[int, int]
    mask_size: tuple[int, int]
    mask_to_image: tuple[float, float, float, float]
    objects: tuple[Any, ...]
    prompts: tuple[PromptStatus, ...]
    drops: dict[str, dict[str, int]]
    degradation: Degradation
    zones: tuple[ZoneStatus, ...]
    buffers: tuple[BufferEntry, ...]


def write_header(message: Message, buffers: Sequence[BufferEntry]) -> bytes:
    """Serialise the header of a message with these buffers, in this order.

    Raises:
        WireError: the message holds a value that JSON cannot represent.
    """
    image_height, image_width = message.image_size
    mask_height, mask_width = message.mask_size
    return json_fields.dump_json(
        {
            "schema": SCHEMA,
            "version": VERSION,
            "source": check_source_id(message.source_id),
            "epoch": message.epoch,
            "seq": message.seq,
            "index": message.frame_index,
            "stamp": stamp_to_json(message.captured_ns),
            "clock": message.clock,
            "age_ms": round(float(message.age_ms), 3),
            "pts_seconds": message.pts_seconds,
            "frame_id": message.frame_id,
            "image": {"w": image_width, "h": image_height},
            "mask_space": {"w": mask_width, "h": mask_height, "to_image": message.mask_to_image},
            "objects": [_object_to_json(found) for found in message.objects],
            "prompts": prompt_statuses_to_json(message.prompts),
            "drops": message.drops,
            "degradation": degradation_to_json(message.degradation),
            **({"zones": zones_to_json(message.zones)} if message.zones else {}),
            "buffers": [entry.to_json() for entry in buffers],
        },
        "header",
    )


def stamp_to_json(stamp_ns: int) -> dict[str, int]:
    """Return a wall clock time (ns since the Unix epoch) as {sec, nanosec}."""
    seconds, nanoseconds = divmod(stamp_ns, NS_PER_SECOND)
    return {"sec": seconds, "nanosec": nanoseconds}


def _object_to_json(found: MessageObject) -> dict[str, Any]:
    values: dict[str, Any] = {
        "track_id": int(found.track_id),
        "prompt_ids": found.prompt_ids,
        "box": [round(float(side), 2) for side in found.box],
        "score": round(float(found.score), 4),
        "area": int(found.area),
    }
    if found.label is not None:
        values["label"] = found.label
    return values


def parse_version(values: dict[str, Any], schema: str) -> None:
    """Check `schema` and `version`; raise WireError for another schema or another major version."""
    if json_fields.text(values, "schema") != schema:
        raise WireError(f"'schema' must be {schema!r}, got {values['schema'][:40]!r}")
    version = json_fields.items(values, "version", max_items=2)
    if len(version) != 2 or any(type(part) is not int or part < 0 for part in version):
        raise WireError(f"'version' must be [major, minor], got {str(version)[:40]}")
    if version[0] != VERSION[0]:
        raise WireError(
            f"version {version[0]}.{version[1]} is not supported, only {VERSION[0]}.x is; update the reader"
        )


def parse_header(body: bytes | memoryview) -> Header:
    """Parse a header from an untrusted peer.

    Raises:
        WireError: a value is missing, out of range or of the wrong type.
    """
    values = json_fields.parse_json(body, "header", MAX_HEADER_BYTES)
    parse_version(values, SCHEMA)
    mask_space = json_fields.mapping(values, "mask_space")
    scale_x, scale_y, offset_x, offset_y = json_fields.numbers(mask_space, "to_image", 4)
    return Header(
        source_id=check_source_id(json_fields.text(values, "source")),
        epoch=json_fields.text(values, "epoch"),
        seq=json_fields.integer(values, "seq", low=-1),
        frame_index=json_fields.integer(values, "index"),
        captured_ns=parse_stamp(json_fields.mapping(values, "stamp")),
        clock=_parse_clock(json_fields.text(values, "clock")),
        age_ms=json_fields.number(values, "age_ms"),
        pts_seconds=json_fields.number(values, "pts_seconds", default=None),
        frame_id=json_fields.text(values, "frame_id", default=""),
        image_size=_parse_size(json_fields.mapping(values, "image")),
        mask_size=_parse_size(mask_space),
        mask_to_image=(scale_x, scale_y, offset_x, offset_y),
        objects=tuple(json_fields.items(values, "objects", MAX_OBJECTS)),
        prompts=parse_prompt_statuses(values),
        drops=_parse_drops(json_fields.mapping(values, "drops", default={})),
        degradation=parse_degradation(values),
        zones=parse_zones(values),
        buffers=tuple(parse_entry(entry) for entry in json_fields.items(values, "buffers", MAX_BUFFERS)),
    )


def parse_object(values: Any, mask: CropMask, mask_size: tuple[int, int]) -> MessageObject:
    """Parse one of the header's objects and attach its mask; raise WireError if it is invalid."""
    if not isinstance(values, dict):
        raise WireError(f"each of 'objects' must be a JSON object, got {type(values).__name__}")
    prompt_ids = json_fields.items(values, "prompt_ids", max_items=1024)
    x0, y0, x1, y1 = json_fields.numbers(values, "box", 4)
    return MessageObject(
        track_id=json_fields.integer(values, "track_id", low=-1),
        prompt_ids=tuple(json_fields.text({"prompt_ids": prompt_id}, "prompt_ids") for prompt_id in prompt_ids),
        box=(x0, y0, x1, y1),
        score=json_fields.number(values, "score"),
        mask=mask,
        area=json_fields.integer(values, "area", high=mask_size[0] * mask_size[1]),
        label=json_fields.text(values, "label", default=None),
    )


def parse_stamp(values: dict[str, Any]) -> int:
    """Parse {sec, nanosec} to ns since the Unix epoch; raise WireError if it is out of range."""
    seconds = json_fields.integer(values, "sec", high=MAX_UNIX_SECONDS)
    return seconds * NS_PER_SECOND + json_fields.integer(values, "nanosec", high=NS_PER_SECOND - 1)


def _parse_clock(name: str) -> Clock:
    if name not in CLOCKS:
        raise WireError(f"'clock' must be one of {', '.join(CLOCKS)}, got {name[:40]!r}")
    return CLOCKS[name]


def _parse_size(values: dict[str, Any]) -> tuple[int, int]:
    return json_fields.integer(values, "h", high=MAX_SIDE_PX), json_fields.integer(values, "w", high=MAX_SIDE_PX)


def _parse_drops(values: dict[str, Any]) -> dict[str, dict[str, int]]:
    if len(values) > MAX_DROP_KEYS:
        raise WireError(f"'drops' has {len(values)} stages, at most {MAX_DROP_KEYS} are allowed")
    drops: dict[str, dict[str, int]] = {}
    for stage in values:
        reasons = json_fields.mapping(values, stage)
        if len(reasons) > MAX_DROP_KEYS:
            raise WireError(f"'drops' has {len(reasons)} reasons, at most {MAX_DROP_KEYS} are allowed")
        drops[stage] = {reason: json_fields.integer(reasons, reason, high=MAX_SEQ) for reason in reasons}
    return drops
