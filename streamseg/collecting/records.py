"""Images and annotations of a collected data set, as lines of its journal, and its `instances.json`.

An image is `partly_labelled`: only the objects that it was saved for have labels. A mask that no click has confirmed
is a region (`iscrowd`), which the training ignores, until somebody has reviewed it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from streamseg.collecting.occasions import Occasion
from streamseg.datasets.coco_writer import mask_entry
from streamseg.structures.frame import Frame
from streamseg.wire import prompt_to_json

__all__ = ["DESCRIPTION", "Record", "image_record", "instances_json"]

DESCRIPTION: Final = "Collected by streamseg run"
CATEGORY: Final = {"id": 1, "name": "object", "supercategory": ""}


@dataclass(frozen=True)
class Record:
    """One image with its annotations, without their ids."""

    image: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]
    is_click: bool
    """Whether somebody's click is the reason, and not the run itself."""


def image_record(frame: Frame, occasions: Sequence[Occasion]) -> Record:
    """Return the record of a frame.

    Args:
        frame: the frame.
        occasions: the occasions in it, at least one.
    """
    height, width = frame.size
    captured = datetime.fromtimestamp(frame.captured_ns / 1e9, UTC)
    image: dict[str, Any] = {
        "width": width,
        "height": height,
        "source": frame.source_id,
        "frame_index": frame.index,
        "date_captured": captured.isoformat(timespec="milliseconds"),
        "partly_labelled": True,
    }
    unmatched = [_without_mask(one) for one in occasions if one.mask is None]
    if unmatched:
        image["unmatched_prompts"] = unmatched
    annotations = tuple(_annotation(one) for one in occasions if one.mask is not None)
    is_click = any(one.reason in ("corrected", "removed") for one in occasions)
    return Record(image, annotations, is_click)


def instances_json(records: Iterable[tuple[dict[str, Any], Sequence[dict[str, Any]]]], version: str) -> Iterator[str]:
    """Yield `instances.json` in parts, so that it never is in memory as a whole.

    Args:
        records: the images and their annotations, with ids; may be read twice as slowly as they are written.
        version: version of this program.
    """
    head = {"info": {"description": DESCRIPTION, "version": version}, "licenses": [], "categories": [CATEGORY]}
    yield json.dumps(head, separators=(",", ":"))[:-1] + ',"images":['
    annotations: list[str] = []
    is_first = True
    for image, labels in records:
        yield ("" if is_first else ",") + json.dumps(image, separators=(",", ":"))
        is_first = False
        annotations += [json.dumps(one, separators=(",", ":")) for one in labels]
    yield '],"annotations":[' + ",".join(annotations) + "]}\n"


def _annotation(occasion: Occasion) -> dict[str, Any]:
    assert occasion.mask is not None
    return {
        "category_id": CATEGORY["id"],
        **mask_entry(occasion.mask, occasion.frame.size),
        "iscrowd": 0 if occasion.is_confirmed else 1,
        "reviewed": False,
        "source": occasion.status.mask_source or "last",
        "mask_frame_index": occasion.mask_frame_index,
        **_without_mask(occasion),
    }


def _without_mask(occasion: Occasion) -> dict[str, Any]:
    status = occasion.status
    values: dict[str, Any] = {
        "reason": occasion.reason,
        "prompt": prompt_to_json(occasion.prompt),
        "state": status.state,
        "confidence": round(status.confidence, 4),
        "track_id": status.track_id,
    }
    if status.mask_quality is not None:
        values["mask_quality"] = round(status.mask_quality, 4)
    if occasion.before is not None:
        values["previous_prompt"] = prompt_to_json(occasion.before)
    return values
