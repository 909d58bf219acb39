"""ROS 2 messages of one frame, as plain dictionaries: field name -> value, nested as the message type is.

instances    sensor_msgs/Image, mono16: track id of each pixel, 0 where there is no object
label_info   vision_msgs/LabelInfo: class name of each track id, for a latched topic
detections   vision_msgs/Detection2DArray: boxes, scores, labels; `id` is the track id
prompts      vision_msgs/Detection2DArray: one per prompt with a target; `class_id` is its state, `score` its confidence
image        sensor_msgs/CompressedImage, JPEG
annotations  foxglove_msgs/ImageAnnotations: outlines and labels, which Foxglove draws over the image

All have the time of the capture and the source's `frame_id` (its id, if it has none), so that they match the camera's
other topics. Coordinates are continuous pixels of the source image.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np

from streamseg.drawing import colour_of
from streamseg.ros.id_image import IdPainter, pixel_id
from streamseg.structures.arrays import Float64Array
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject, PromptStatus

__all__ = [
    "UNKNOWN_POSE",
    "RosMessage",
    "detections",
    "header",
    "image",
    "image_annotations",
    "instances",
    "label_info",
    "prompts",
    "stamp",
]

RosMessage = dict[str, Any]
"""One ROS message: fields in the order of its definition; arrays of numbers are NumPy arrays, of points (N, 2)."""

MAX_SECONDS: Final = 2**31 - 1
"""Largest number of seconds of builtin_interfaces/Time, in 2038. A camera's clock may be wrong."""

OUTLINE_TOLERANCE_PX = 1.0
LINE_LOOP = 2
"""PointsAnnotation.LINE_LOOP."""

UNKNOWN_POSE: Final[RosMessage] = {
    "pose": {"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}},
    "covariance": np.zeros(36),
}
"""The geometry_msgs/PoseWithCovariance that vision_msgs requires, where there is none."""

NO_LABEL: Final = "object"
"""Class of an object without a label."""


def stamp(message: Message) -> RosMessage:
    """Return the time of the capture as builtin_interfaces/Time; later times than its 32 bits can hold are the last."""
    sec, nanosec = divmod(message.captured_ns, 10**9)
    return {"sec": min(sec, MAX_SECONDS), "nanosec": nanosec}


def header(message: Message) -> RosMessage:
    """Return the std_msgs/Header: time of the capture and name of the coordinate frame."""
    return {"stamp": stamp(message), "frame_id": message.frame_id or message.source_id}


def instances(message: Message, paint: IdPainter) -> RosMessage:
    """Return the id image as sensor_msgs/Image, valid until `paint` is called again."""
    height, width = message.image_size
    data = paint(message).astype("<u2", copy=False)
    return {
        "header": header(message),
        "height": height,
        "width": width,
        "encoding": "mono16",
        "is_bigendian": 0,
        "step": 2 * width,
        "data": data.view(np.uint8).reshape(-1),
    }


def label_info(message: Message) -> RosMessage:
    """Return the vision_msgs/LabelInfo of the frame's tracks, by ascending pixel value; empty without objects."""
    names = {pixel_id(one.track_id): one.label or NO_LABEL for one in message.objects if one.track_id > 0}
    return {
        "header": header(message),
        "class_map": [{"class_id": value, "class_name": name} for value, name in sorted(names.items())],
        "threshold": 0.0,
    }


def detections(message: Message) -> RosMessage:
    """Return the objects as vision_msgs/Detection2DArray, in the message's order; `id` is "" for a tentative object."""
    shared = header(message)
    return {
        "header": shared,
        "detections": [
            _detection(
                shared,
                one.box,
                class_id=one.label or NO_LABEL,
                score=one.score,
                name=str(one.track_id) if one.track_id > 0 else "",
            )
            for one in message.objects
        ],
    }


def prompts(message: Message) -> RosMessage:
    """Return the prompts that target specific objects as vision_msgs/Detection2DArray.

    `id` is the prompt, `class_id` its state (bound, lost, reacquired, none), `score` its confidence. The box's centre
    is the centroid of the mask, the place to aim at, and its size that of the object's box; both are 0 without an
    object.
    """
    shared = header(message)
    found = {status.prompt_id: message.of(status.prompt_id) for status in message.prompts}
    return {
        "header": shared,
        "detections": [_prompt(shared, status, found[status.prompt_id]) for status in message.prompts],
    }


def image(message: Message, jpeg: bytes) -> RosMessage:
    """Return the frame as sensor_msgs/CompressedImage."""
    return {"header": header(message), "format": "jpeg", "data": np.frombuffer(jpeg, dtype=np.uint8)}


def image_annotations(message: Message) -> RosMessage:
    """Return outlines and labels as foxglove_msgs/ImageAnnotations, in the colours of the overlays.

    Each part and each hole of a mask is one line, through the centres of its outermost pixels; its `points` are float64
    (N, 2) xy.
    """
    time = stamp(message)
    points, texts = [], []
    scale, offset = np.array(message.mask_to_image[:2]), np.array(message.mask_to_image[2:])
    for one in message.objects:
        colour = _colour(one)
        area = {**colour, "a": 0.25}
        for outline in _outlines(one.mask):
            points.append(_line(time, outline * scale + offset, colour, area))
        words = " ".join(text for text in (str(one.track_id) if one.track_id > 0 else "", one.label) if text)
        if words:
            texts.append(_text(time, one, words, colour))
    return {"circles": [], "points": points, "texts": texts}


def _prompt(shared: RosMessage, status: PromptStatus, found: tuple[MessageObject, ...]) -> RosMessage:
    if not found:
        return _detection(
            shared, (0.0, 0.0, 0.0, 0.0), class_id=status.state, score=status.confidence, name=status.prompt_id
        )
    best = found[0]
    return _detection(
        shared,
        best.box,
        class_id=status.state,
        score=status.confidence,
        name=status.prompt_id,
        centre=best.centroid,
    )


def _detection(
    shared: RosMessage,
    box: tuple[float, float, float, float],
    *,
    class_id: str,
    score: float,
    name: str,
    centre: tuple[float, float] | None = None,
) -> RosMessage:
    x0, y0, x1, y1 = map(float, box)
    x, y = centre if centre is not None else ((x0 + x1) / 2, (y0 + y1) / 2)
    return {
        "header": shared,
        "results": [{"hypothesis": {"class_id": class_id, "score": float(score)}, "pose": UNKNOWN_POSE}],
        "bbox": {
            "center": {"position": {"x": float(x), "y": float(y)}, "theta": 0.0},
            "size_x": x1 - x0,
            "size_y": y1 - y0,
        },
        "id": name,
    }


def _outlines(mask: CropMask) -> list[Float64Array]:
    """Return the outlines (N, 2) xy of the parts and holes of a mask, in pixels of the mask space.

    `datasets.polygons` is exact, but takes ten times as long; `cv2.findContours` twice.
    """
    if not mask.crop.size:
        return []
    contours, _ = cv2.findContoursLinkRuns(mask.crop.view(np.uint8))
    origin = np.array((mask.x + 0.5, mask.y + 0.5))
    return [
        cv2.approxPolyDP(contour, OUTLINE_TOLERANCE_PX, closed=True).reshape(-1, 2) + origin for contour in contours
    ]


def _line(time: RosMessage, places: Float64Array, colour: RosMessage, area: RosMessage) -> RosMessage:
    return {
        "timestamp": time,
        "type": LINE_LOOP,
        "points": places,
        "outline_color": colour,
        "outline_colors": [],
        "fill_color": area,
        "thickness": 2.0,
    }


def _text(time: RosMessage, one: MessageObject, words: str, colour: RosMessage) -> RosMessage:
    return {
        "timestamp": time,
        "position": {"x": float(one.box[0]), "y": float(one.box[1])},
        "text": words,
        "font_size": 14.0,
        "text_color": {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0},
        "background_color": colour,
    }


def _colour(one: MessageObject) -> RosMessage:
    red, green, blue = (channel / 255 for channel in colour_of(one.track_id))
    return {"r": red, "g": green, "b": blue, "a": 1.0}
