"""What is made of one frame for those who watch: one packed message, one drawn picture, a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.drawing import draw_message
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.publish.picture import encode_jpeg
from streamseg.segmentation import instance_masks
from streamseg.structures.message import Message, MessageObject
from streamseg.wire import encode, pack_single

__all__ = ["Numbered", "drawn_jpeg", "drawn_png", "packed_frame", "shown_size", "whole_message"]

Picture = npt.NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Numbered:
    """One frame as it was handed in."""

    seq: int
    """Counts the source's frames since the viewer started, shown or not."""
    result: FrameResult


def packed_frame(numbered: Numbered, *, epoch: str, max_width: int, jpeg_quality: int) -> bytes:
    """The frame as one binary message: every instance with its mask, and the picture.

    Args:
        numbered: the frame.
        epoch: identifies the viewer's start.
        max_width: wider pictures are sent at this width; the header's `image` stays the source's, and the
            JPEG, whatever its own size, covers all of it.
        jpeg_quality: 1..100.
    """
    result = numbered.result
    picture = _at_size(result.frame.image, shown_size(result.frame.size, max_width))
    message = replace(
        whole_message(result, max_width=max_width),
        age_ms=(time.time_ns() - result.frame.captured_ns) / 1e6,
        jpeg=encode_jpeg(picture, jpeg_quality),
        epoch=epoch,
        seq=numbered.seq,
    )
    return pack_single(encode(message, mask_encoding="rle-crop-u32"))


def drawn_jpeg(numbered: Numbered, *, max_width: int, jpeg_quality: int) -> bytes:
    """The picture with what was asked for drawn on it."""
    result = numbered.result
    drawn = draw_message(result.frame.image, result.message)
    return encode_jpeg(_at_size(drawn, shown_size(result.frame.size, max_width)), jpeg_quality)


def drawn_png(result: FrameResult) -> bytes:
    """The same as PNG, at the size of the source."""
    drawn = draw_message(result.frame.image, result.message)
    is_encoded, body = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"a picture of {drawn.shape[1]}x{drawn.shape[0]} cannot be encoded as PNG")
    return body.tobytes()


def shown_size(image_size: Size, max_width: int) -> Size:
    """(H, W) at which a picture of `image_size` (H, W) is sent."""
    height, width = image_size
    if width <= max_width:
        return image_size
    return max(round(height * max_width / width), 1), max_width


def whole_message(result: FrameResult, *, max_width: int) -> Message:
    """The message of a frame with every instance, those that nobody asked for without prompt ids.

    Masks that the message has are kept unless they are wider than `max_width`; the others are made in
    the same mask space. Objects that are no instances, as the reference merges several, follow at the end.
    """
    message, instances = result.message, result.tracked.instances
    boxes, scores = instances.boxes.tolist(), instances.scores.tolist()
    track_ids = result.tracked.track_ids.tolist()
    # An object is its instance's row exactly where its box and score are the same floats.
    asked: dict[tuple[float, ...], list[MessageObject]] = {}
    for one in reversed(message.objects):
        asked.setdefault((one.track_id, one.score, *one.box), []).append(one)
    rows: list[MessageObject | None] = [
        found.pop() if (found := asked.get((track_id, score, *box))) else None
        for track_id, score, box in zip(track_ids, scores, boxes, strict=True)
    ]
    merged = [one for found in asked.values() for one in reversed(found)]
    size, to_image = message.mask_size, message.mask_to_image
    if not merged and size[1] > max_width:
        size = shown_size(size, max_width)
        to_image = (message.image_size[1] / size[1], message.image_size[0] / size[0], 0.0, 0.0)
        missing = list(range(len(rows)))
    else:
        missing = [row for row, one in enumerate(rows) if one is None]
    if to_image[2:] != (0.0, 0.0):  # a padded mask space, in which no instance is made but the message's own
        missing = []
    masks = dict(zip(missing, instance_masks(instances, missing, size=size) if missing else (), strict=True))
    objects: list[MessageObject] = []
    for row, known in enumerate(rows):
        mask = masks.get(row)
        if known is not None:
            objects.append(known if mask is None else replace(known, mask=mask, area=mask.area))
        elif mask is not None:
            x0, y0, x1, y1 = boxes[row]
            objects.append(MessageObject(track_ids[row], (), (x0, y0, x1, y1), scores[row], mask, mask.area))
    return replace(message, objects=(*objects, *merged), mask_size=size, mask_to_image=to_image)


def _at_size(image: Picture, size: Size) -> Picture:
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
