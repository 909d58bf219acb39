"""Messages for tests, and their comparison."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.structures.degradation import Degradation
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject, PromptStatus
from streamseg.structures.zone import ZoneStatus


def make_object(crop: np.ndarray, x: int, y: int, **changes: Any) -> MessageObject:
    """Return an object whose box equals its crop."""
    height, width = crop.shape
    found = MessageObject(
        track_id=7,
        prompt_ids=("everything",),
        box=(float(x), float(y), float(x + width), float(y + height)),
        score=0.5,
        mask=CropMask(crop, x, y),
        area=int(np.count_nonzero(crop)),
    )
    return replace(found, **changes)


def make_message(*objects: MessageObject, size: tuple[int, int] = (48, 64), **changes: Any) -> Message:
    """Return a message whose mask size equals its image size."""
    message = Message(
        source_id="cam0",
        frame_index=42,
        captured_ns=1_700_000_000_250_000_000,
        clock="camera",
        age_ms=21.5,
        image_size=size,
        mask_size=size,
        mask_to_image=(1.0, 1.0, 0.0, 0.0),
        objects=objects,
    )
    return replace(message, **changes)


def disc(diameter: int) -> np.ndarray:
    """Return a filled circle, bool (diameter, diameter)."""
    offsets = np.arange(diameter) - (diameter - 1) / 2
    return np.hypot(offsets[:, None], offsets[None, :]) <= diameter / 2


def comparable(message: Message) -> dict[str, Any]:
    """Return the fields of a message as values that `==` can compare, with masks as pixels."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    values["objects"] = [
        {
            **{field.name: getattr(found, field.name) for field in fields(found)},
            "mask": (found.mask.x, found.mask.y, found.mask.crop.dtype, found.mask.crop.tolist()),
            "size": found.mask.crop.shape,
        }
        for found in message.objects
    ]
    return values


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
HUNDREDTHS = st.integers(-1_000_000, 10_000_000).map(lambda hundredths: hundredths / 100)


DEGRADATIONS = st.builds(
    Degradation,
    st.integers(0, 1000),
    st.booleans(),
    st.integers(1, 10_000).map(lambda share: share / 10_000),
    st.integers(1, 1000),
)
COUNTS = st.integers(0, 2**53 - 1)
TRACK_IDS = st.lists(COUNTS, max_size=3).map(tuple)
ZONES = st.builds(ZoneStatus, TEXT, TRACK_IDS, TRACK_IDS, TRACK_IDS, COUNTS, COUNTS)
STATUSES = st.builds(
    PromptStatus,
    TEXT,
    st.sampled_from(["bound", "lost", "reacquired", "none"]),
    st.integers(0, 10_000).map(lambda share: share / 10_000),
    st.integers(-1, 2**53 - 1),
    st.none() | st.integers(0, 10_000).map(lambda share: share / 10_000),
)


@st.composite
def objects_within(draw: st.DrawFn, size: tuple[int, int]) -> MessageObject:
    """Draw an object whose crop lies on a canvas of `size` (H, W); the crop may have no pixels."""
    y, x = draw(st.integers(0, size[0])), draw(st.integers(0, size[1]))
    shape = draw(st.integers(0, size[0] - y)), draw(st.integers(0, size[1] - x))
    crop = draw(hnp.arrays(np.bool_, shape))
    return MessageObject(
        track_id=draw(st.integers(-1, 2**53 - 1)),
        prompt_ids=tuple(draw(st.lists(TEXT, max_size=3))),
        box=tuple(draw(st.lists(HUNDREDTHS, min_size=4, max_size=4))),
        score=draw(st.integers(0, 10_000)) / 10_000,
        mask=CropMask(crop, x, y),
        area=draw(st.integers(0, size[0] * size[1])),
        label=draw(st.none() | TEXT),
    )


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Draw a message whose numbers are already rounded to the precision of the wire format."""
    size = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    return Message(
        source_id=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)),
        frame_index=draw(st.integers(0, 2**53 - 1)),
        captured_ns=draw(st.integers(0, 253_402_300_800 * 10**9 - 1)),
        clock=draw(st.sampled_from(["camera", "driver", "arrival"])),
        age_ms=draw(st.integers(-(10**6), 10**9)) / 1000,
        image_size=(draw(st.integers(0, 32768)), draw(st.integers(0, 32768))),
        mask_size=size,
        mask_to_image=tuple(draw(st.lists(finite, min_size=4, max_size=4))),
        objects=tuple(draw(st.lists(objects_within(size), max_size=4))),
        pts_seconds=draw(st.none() | finite),
        frame_id=draw(TEXT),
        prompts=tuple(draw(st.lists(STATUSES, max_size=3))),
        degradation=draw(DEGRADATIONS),
        zones=tuple(draw(st.lists(ZONES, max_size=2))),
        drops=draw(st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers(0, 2**53 - 1), max_size=2), max_size=2)),
        jpeg=draw(st.none() | st.binary(max_size=20)),
        epoch=draw(TEXT),
        seq=draw(st.integers(-1, 2**53 - 1)),
    )


def in_image_space(message: Message) -> Message:
    """Return a drawn message as if its mask space were the source image, whose size and transform are arbitrary."""
    return replace(message, image_size=message.mask_size, mask_to_image=(1.0, 1.0, 0.0, 0.0))
