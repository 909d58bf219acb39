"""Places of targets in space."""

import numpy as np
import pytest

from streamseg.ros.incoming import Camera
from streamseg.ros.targets import ADD, DELETE, MARKERS_TYPE, POINT_TYPE, markers, point, target_places
from streamseg.structures.message import PromptStatus
from tests.support.messages import make_message, make_object

BLOCK = np.ones((10, 20), np.bool_)
CUP, PEN = PromptStatus("cup", "bound", 0.9, 5), PromptStatus("pen", "lost", 0.0, 3)
CAMERA = Camera(fx=100.0, fy=50.0, cx=32.0, cy=24.0, size=(48, 64))
"""Of the test's messages: 64x48."""


def cup_message(**changes):
    """A cup with its centroid at (52, 29), 20 right and 5 below the principal point."""
    return make_message(make_object(BLOCK, 42, 24, track_id=5, prompt_ids=("cup",)), prompts=(CUP, PEN), **changes)


def depth_image(metres: float, size=(48, 64)) -> np.ndarray:
    return np.full(size, metres, np.float32)


@pytest.mark.parametrize("size", [(48, 64), (24, 32), (96, 128)])
def test_the_centroid_at_the_median_depth(size):
    depth = depth_image(9.0, size)
    rows, columns = (np.arange(length) * 64 // size[1] for length in size)
    inside = ((rows >= 24) & (rows < 34))[:, None] & (columns >= 42)
    depth[inside] = 2.0
    assert target_places(cup_message(), depth, CAMERA) == {"cup": pytest.approx((0.4, 0.2, 2.0))}


def test_unknown_depth_does_not_count():
    depth = depth_image(np.nan)
    depth[24:30, 42:52] = 0.0
    depth[31, 45], depth[32, 45:48] = np.inf, (1.0, 3.0, 4.0)
    assert target_places(cup_message(), depth, CAMERA)["cup"][2] == 3.0
    assert target_places(cup_message(), depth_image(0.0), CAMERA) == {}


def test_a_camera_of_another_resolution_has_the_same_view():
    twice = Camera(fx=200.0, fy=100.0, cx=64.0, cy=48.0, size=(96, 128))
    depth = depth_image(2.0)
    assert target_places(cup_message(), depth, twice) == target_places(cup_message(), depth, CAMERA)


def test_markers_of_found_and_of_lost_targets():
    built = markers(cup_message(frame_id="optical"), {"cup": (0.4, 0.2, 2.0)})["markers"]
    assert [(one["ns"], one["id"], one["action"]) for one in built] == [
        ("cup", 0, ADD),
        ("cup", 1, ADD),
        ("pen", 0, DELETE),
        ("pen", 1, DELETE),
    ]
    assert built[0]["header"]["frame_id"] == "optical"
    assert (built[0]["pose"]["position"], built[1]["text"]) == ({"x": 0.4, "y": 0.2, "z": 2.0}, "cup")


def test_the_types_are_those_of_ros():
    pytest.importorskip("rosbags", reason="needs the extra ros")
    from streamseg.ros.cdr import CdrTypes

    types, message = CdrTypes(), cup_message()
    for type_name, built in (
        (POINT_TYPE, point(message, (0.4, 0.2, 2.0))),
        (MARKERS_TYPE, markers(message, {"cup": (0.4, 0.2, 2.0)})),
    ):
        data = types.serialize(type_name, built)
        assert types.deserialize(type_name, data) is not None
    assert types.deserialize(POINT_TYPE, types.serialize(POINT_TYPE, point(message, (1.0, 2.0, 3.0)))).point.z == 3.0
