"""Serialisation to CDR, there and back by rosbags."""

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs the extra record")

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from streamseg.ros.cdr import CdrTypes
from streamseg.ros.definitions import DEFINITIONS
from streamseg.ros.messages import detections, header
from tests.support.messages import make_message, make_object


def test_messages_survive_cdr():
    types = CdrTypes()
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register({k: v for name, text in DEFINITIONS.items() for k, v in get_types_from_msg(text, name).items()})
    message = make_message(
        make_object(np.ones((4, 6), np.bool_), 2, 3, track_id=12, label="Tässchen ☕"),
        make_object(np.ones((1, 1), bool), 0, 0),
    )
    name = "vision_msgs/msg/Detection2DArray"
    found = store.deserialize_cdr(types.serialize(name, detections(message)), name)
    assert found.header.frame_id == "cam0"
    assert found.header.stamp.nanosec == 250_000_000
    assert [one.id for one in found.detections] == ["12", "7"]
    assert found.detections[0].results[0].hypothesis.class_id == "Tässchen ☕"
    assert found.detections[0].bbox.size_x == 6.0


def test_schemas_contain_the_definitions_of_their_fields():
    schema = CdrTypes().schema("vision_msgs/msg/Detection2DArray")
    assert schema.startswith("std_msgs/Header header")
    for name in ("vision_msgs/Detection2D", "geometry_msgs/PoseWithCovariance", "builtin_interfaces/Time"):
        assert f"MSG: {name}\n" in schema


@pytest.mark.parametrize("missing", ["stamp", "frame_id"])
def test_a_missing_field_is_an_error(missing):
    incomplete = {name: value for name, value in header(make_message()).items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        CdrTypes().serialize("std_msgs/msg/Header", incomplete)
