"""Encodings of one frame for browsers: a packed message, an image with overlays, a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cv2

from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.publish.jpeg import EncodeImage
from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message, MessageObject
from streamseg.wire import encode, pack_single

__all__ = ["NumberedFrame", "complete_message", "display_size", "drawn_jpeg", "drawn_png", "packed_frame"]

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class NumberedFrame:
    """One frame with its sequence number."""

    seq: int
    """Number of the source's frame since the viewer started; frames that were not displayed count, too."""
    result: FrameResult


def packed_frame(frame: NumberedFrame, *, epoch: str, max_width: int, encode_image: EncodeImage) -> bytes:
    """Pack a frame into one binary message: every instance with its mask, and the image.

    Args:
        frame: the frame.
        epoch: identifies the viewer's start.
        max_width: wider images are sent at this width, in pixels; the header's `image` remains the source's size,
            and the JPEG, whatever its own size, covers all of it.
        encode_image: returns an image as JPEG.
    """
    result = frame.result
    image = _resize(result.shown_image, display_size(result.frame.size, max_width))
    message = replace(
        complete_message(result, max_width=max_width),
        age_ms=result.frame.age_ns(time.monotonic_ns()) / 1e6,
        jpeg=encode_image(image),
        epoch=epoch,
        seq=frame.seq,
    )
    return pack_single(encode(message, mask_encoding="rle-crop-u32"))


def drawn_jpeg(frame: NumberedFrame, *, max_width: int, encode_image: EncodeImage) -> bytes:
    """Encode the image as JPEG with the effect or, without one, with the prompted objects drawn on it."""
    result = frame.result
    return encode_image(_resize(result.drawn_image(), display_size(result.frame.size, max_width)))


def drawn_png(result: FrameResult) -> bytes:
    """Encode the image as PNG, with the effect or the prompted objects drawn on it, at the size of the source."""
    drawn = result.drawn_image()
    is_encoded, body = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"an image of {drawn.shape[1]}x{drawn.shape[0]} cannot be encoded as PNG")
    return body.tobytes()


def display_size(image_size: Size, max_width: int) -> Size:
    """Return the size (H, W) at which an image of `image_size` (H, W) is sent."""
    height, width = image_size
    if width <= max_width:
        return image_size
    return max(round(height * max_width / width), 1), max_width


def complete_message(result: FrameResult, *, max_width: int) -> Message:
    """Return the message of a frame with every instance; those that match no prompt have no prompt ids.

    Masks in the message are kept unless they are wider than `max_width`; the others are computed in
    the same mask space. Objects that are not instances, such as FastSAM's merged masks, follow at the end.
    """
    message, instances = result.message, result.tracked.instances
    boxes, scores = instances.boxes.tolist(), instances.scores.tolist()
    track_ids = result.tracked.track_ids.tolist()
    # An object belongs to an instance's row if and only if its box and score are the same floats.
    prompted: dict[tuple[float, ...], list[MessageObject]] = {}
    for one in reversed(message.objects):
        prompted.setdefault((one.track_id, one.score, *one.box), []).append(one)
    rows: list[MessageObject | None] = [
        found.pop() if (found := prompted.get((track_id, score, *box))) else None
        for track_id, score, box in zip(track_ids, scores, boxes, strict=True)
    ]
    merged = [one for found in prompted.values() for one in reversed(found)]
    size, to_image = message.mask_size, message.mask_to_image
    if not merged and size[1] > max_width:
        size = display_size(size, max_width)
        to_image = (message.image_size[1] / size[1], message.image_size[0] / size[0], 0.0, 0.0)
        missing = list(range(len(rows)))
    else:
        missing = [row for row, one in enumerate(rows) if one is None]
    if to_image[2:] != (0.0, 0.0):  # a padded mask space, for which only the message's own masks are available
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


def _resize(image: ImageArray, size: Size) -> ImageArray:
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
