"""Places of prompts' targets in space, from a depth image that is aligned with the colour image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamseg.drawing import colour_of
from streamseg.ros.incoming import Camera
from streamseg.ros.messages import RosMessage, header, stamp
from streamseg.structures.message import Message

__all__ = ["MARKERS_TYPE", "POINT_TYPE", "Place", "markers", "point", "target_places"]

POINT_TYPE: Final = "geometry_msgs/msg/PointStamped"
MARKERS_TYPE: Final = "visualization_msgs/msg/MarkerArray"

Place = tuple[float, float, float]
"""(x, y, z) in metres in the camera's optical frame: right, down, forward."""

SPHERE, TEXT_VIEW_FACING = 2, 9
ADD, DELETE = 0, 2
"""Constants of visualization_msgs/Marker."""

DIAMETER_M: Final = 0.1
TEXT_HEIGHT_M: Final = 0.08


def target_places(message: Message, depth: npt.NDArray[np.float32], camera: Camera) -> dict[str, Place]:
    """Return the place of each prompt's best object: the mask's centroid at the median depth of the mask.

    Args:
        message: the frame's objects and prompts.
        depth: depth in metres, float32 (h, w), of the same view as the colour image, at any resolution; pixels that are
            not positive and finite are unknown.
        camera: pinhole of the colour image, at any resolution.

    Returns:
        By prompt id; prompts without an object, and those whose mask has no known depth, are missing.
    """
    places: dict[str, Place] = {}
    height, width = message.image_size
    for status in message.prompts:
        found = message.of(status.prompt_id)
        if not found:
            continue
        mask = replace(found[0].mask, space=message.mask_space)
        inside = depth[mask((depth.shape[0], depth.shape[1]))]
        known = inside[np.isfinite(inside) & (inside > 0)]
        centre = mask.centroid
        if not known.size or centre is None:
            continue
        z = float(np.median(known))
        x = (centre[0] * camera.size[1] / width - camera.cx) / camera.fx * z
        y = (centre[1] * camera.size[0] / height - camera.cy) / camera.fy * z
        places[status.prompt_id] = (x, y, z)
    return places


def point(message: Message, place: Place) -> RosMessage:
    """Return a place as geometry_msgs/PointStamped."""
    return {"header": header(message), "point": dict(zip("xyz", place, strict=True))}


def markers(message: Message, places: Mapping[str, Place]) -> RosMessage:
    """Return a visualization_msgs/MarkerArray with a sphere and the id of each prompt; those without a place vanish."""
    built = []
    for status in message.prompts:
        place = places.get(status.prompt_id)
        for number, kind in enumerate((SPHERE, TEXT_VIEW_FACING)):
            built.append(_marker(message, status.prompt_id, status.track_id, number, kind, place))
    return {"markers": built}


def _marker(message: Message, name: str, track_id: int, number: int, kind: int, place: Place | None) -> RosMessage:
    x, y, z = place if place is not None else (0.0, 0.0, 0.0)
    size = DIAMETER_M if kind == SPHERE else TEXT_HEIGHT_M
    red, green, blue = (channel / 255 for channel in colour_of(track_id))
    empty: list[Any] = []
    return {
        "header": header(message),
        "ns": name,
        "id": number,
        "type": kind,
        "action": ADD if place is not None else DELETE,
        "pose": {
            "position": {"x": x, "y": y - (DIAMETER_M if kind != SPHERE else 0.0), "z": z},
            "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
        },
        "scale": {"x": size, "y": size, "z": size},
        "color": {"r": red, "g": green, "b": blue, "a": 1.0},
        "lifetime": {"sec": 0, "nanosec": 0},
        "frame_locked": False,
        "points": empty,
        "colors": empty,
        "texture_resource": "",
        "texture": {
            "header": {"stamp": stamp(message), "frame_id": ""},
            "format": "",
            "data": np.zeros(0, dtype=np.uint8),
        },
        "uv_coordinates": empty,
        "text": name if kind != SPHERE else "",
        "mesh_resource": "",
        "mesh_file": {"filename": "", "data": np.zeros(0, dtype=np.uint8)},
        "mesh_use_embedded_materials": False,
    }
