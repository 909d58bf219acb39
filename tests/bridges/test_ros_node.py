"""The node, on a bus in this process: messages go through rosbags' CDR, as in ROS."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streamseg.config import RosSource, SceneSource
from streamseg.errors import ConfigError
from streamseg.pipeline import Pipeline
from streamseg.publish.jpeg import SharedJpeg
from tests.support.ros_world import Bus, BusApi
from tests.support.stages import AT_ONCE, SquareSegmenter, make_result, point

pytest.importorskip("rosbags", reason="needs the extra ros")

from streamseg.bridges.ros_node import CAMERA_INFO_TYPE, COMPRESSED_TYPE, IMAGE_TYPE, RosNode
from streamseg.ros.cdr import CdrTypes

TYPES = CdrTypes()
NOW_NS = 1_700_000_000_250_000_000
HEADER = {"stamp": {"sec": 1_700_000_000, "nanosec": 250_000_000}, "frame_id": "camera_optical"}


def raw_image(pixels: np.ndarray, encoding: str = "rgb8", *, late_sec: int = 0) -> bytes:
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    values = {"height": pixels.shape[0], "width": pixels.shape[1], "encoding": encoding, "is_bigendian": 0}
    header = {**HEADER, "stamp": {**HEADER["stamp"], "sec": HEADER["stamp"]["sec"] + late_sec}}
    return TYPES.serialize(IMAGE_TYPE, {"header": header, **values, "step": rows.shape[1], "data": rows.reshape(-1)})


def camera_info(size=(48, 64)) -> bytes:
    k = np.array([100.0, 0, 32, 0, 100, 24, 0, 0, 1])
    p = np.array([100.0, 0, 32, 0, 0, 100, 24, 0, 0, 0, 1, 0])
    roi = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    values = {"height": size[0], "width": size[1], "distortion_model": "plumb_bob", "d": np.zeros(5), "k": k}
    binning = {"binning_x": 0, "binning_y": 0, "roi": roi}
    return TYPES.serialize(CAMERA_INFO_TYPE, {"header": HEADER, **values, "r": np.eye(3).ravel(), "p": p, **binning})


def make_node(**settings) -> tuple[RosNode, Bus, BusApi]:
    bus = Bus()
    api = BusApi(bus, **settings)
    return RosNode(api, SharedJpeg(80)), bus, api


def no_opening(section):
    raise AssertionError(section)


@pytest.mark.parametrize("topic", ["/camera/image_raw", "/camera/image_raw/compressed"])
def test_images_become_frames_with_stamp_and_frame_id(topic):
    node, bus, api = make_node()
    source = node.open_source(RosSource(id="cam", topic=topic), no_opening)
    names = []
    pixels = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    if topic.endswith("compressed"):
        data = cv2.imencode(".png", pixels[:, :, ::-1])[1].reshape(-1)
        sent = TYPES.serialize(COMPRESSED_TYPE, {"header": HEADER, "format": "png", "data": data})
    else:
        sent = raw_image(pixels)
    bus.send(topic, sent)
    node.attach({}, lambda *name: names.append(name))
    frame = next(source.frames())
    assert (frame.captured_ns, frame.source_id, frame.clock) == (NOW_NS, "cam", "driver")
    np.testing.assert_array_equal(frame.image, pixels)
    assert names == [("cam", "camera_optical")]
    assert (api.qos[topic].reliability, api.qos[topic].depth) == ("best_effort", 1)


def test_an_image_that_cannot_be_read_is_counted_and_reported_once(caplog):
    node, bus, _ = make_node()
    source = node.open_source(RosSource(id="cam", topic="/camera"), no_opening)
    for _ in range(3):
        bus.send("/camera", raw_image(np.zeros((4, 4, 2), np.uint8), "yuv422"))
    assert source.drops.snapshot() == {"capture": {"unreadable": 3}}
    assert [record.message for record in caplog.records if "yuv422" in record.message] == [caplog.messages[0]]


def test_other_sources_are_opened_as_usual():
    node, _, _ = make_node()
    section = SceneSource(id="scene")
    assert node.open_source(section, lambda given: given) is section


def test_topics_with_a_subscriber_are_published_and_labels_always():
    node, bus, api = make_node()
    received = bus.listen("/streamseg/cam/instances")
    labels = bus.received["/streamseg/cam/label_info"]
    node.write(make_result())
    assert [len(received), len(labels)] == [1, 0]
    assert api.qos["/streamseg/cam/label_info"].durability == "transient_local"
    found = TYPES.deserialize(IMAGE_TYPE, received[0])
    assert (found.encoding, found.height, found.width) == ("mono16", 48, 64)
    assert set(np.unique(found.data.view("<u2"))) == {0, 1}
    image = bus.listen("/streamseg/cam/image/compressed")
    node.write(make_result(1))
    assert TYPES.deserialize(COMPRESSED_TYPE, image[0]).format == "jpeg"


def test_types_that_are_not_installed_are_left_out_and_named(caplog):
    node, bus, api = make_node(missing=("vision_msgs", "streamseg_ros"))
    node.attach({}, lambda *name: None)
    received = [bus.listen(f"/streamseg/cam/{name}") for name in ("instances", "detections")]
    node.write(make_result())
    assert [len(one) for one in received] == [1, 0]
    assert "apt install ros-$ROS_DISTRO-vision-msgs" in caplog.text
    assert "no services add_prompt, remove_prompt, step: build the package" in caplog.text
    assert not api.services


def test_services_call_the_operations():
    node, _, api = make_node()
    node.attach({"prompts.step": lambda args: {"prompts": [{"id": args["id"]}]}}, lambda *name: None)
    response = api.services["step"](SimpleNamespace(id="cup"), SimpleNamespace(ok=None, message=None))
    assert (response.ok, response.message) == (True, "cup")


FLAT = np.full((48, 64), 2.0, "<f4")
"""A depth image: everything at two metres."""


def depth_node(depth: bytes):
    """A node with a depth camera, and the result of a frame with a prompt on its square."""
    node, bus, _ = make_node()
    section = RosSource(id="cam", topic="/rgb", depth_topic="/depth", camera_info_topic="/info")
    source = node.open_source(section, no_opening)
    pipeline = Pipeline(SquareSegmenter(), tracking=AT_ONCE, prompts=[point("cup 1", 10, 16)])
    bus.send("/rgb", raw_image(np.full((48, 64, 3), 4, np.uint8)))
    frame = next(source.frames())
    result = pipeline.finish(frame, pipeline.segment([frame])[0])
    assert result.message.prompts[0].state == "bound"
    bus.send("/info", camera_info())
    bus.send("/depth", depth)
    return node, bus, result


def test_targets_are_points_in_the_camera_s_frame():
    node, bus, result = depth_node(raw_image(FLAT, "32FC1"))
    targets, found = bus.listen("/streamseg/cam/targets/cup_1"), bus.listen("/streamseg/cam/markers")
    node.write(result)
    target = TYPES.deserialize("geometry_msgs/msg/PointStamped", targets[0])
    x, y = result.message.objects[0].centroid
    place = [target.point.x, target.point.y, target.point.z]
    assert place == pytest.approx([(x - 32) / 100 * 2, (y - 24) / 100 * 2, 2.0])
    assert (target.header.stamp.sec, target.header.stamp.nanosec) == divmod(NOW_NS, 10**9)
    assert len(TYPES.deserialize("visualization_msgs/msg/MarkerArray", found[0]).markers) == 2


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (raw_image(np.zeros((48, 64, 3), np.uint8)), "depth encoding 'rgb8'"),
        (raw_image(FLAT, "32FC1", late_sec=-1), ""),
        (raw_image(np.full((48, 64), np.nan, "<f4"), "32FC1"), ""),
    ],
    ids=["encoding", "old", "unknown"],
)
def test_without_a_usable_depth_image_the_markers_vanish(depth, words, caplog):
    node, bus, result = depth_node(depth)
    targets, found = bus.listen("/streamseg/cam/targets/cup_1"), bus.listen("/streamseg/cam/markers")
    node.write(result)
    assert (len(targets), len(found)) == (0, 1)
    assert {one.action for one in TYPES.deserialize("visualization_msgs/msg/MarkerArray", found[0]).markers} == {2}
    assert words in caplog.text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"image_reliability": "sometimes"}, "image_reliability must be reliable or best_effort, got 'sometimes'"),
        ({"output_depth": 0}, "output_depth must be 1..1000, got 0"),
    ],
)
def test_invalid_parameters_are_one_line(parameters, words):
    with pytest.raises(ConfigError, match=words):
        make_node(parameters=parameters)


def test_quality_of_service_by_parameters():
    node, bus, api = make_node(parameters={"output_reliability": "best_effort", "output_depth": 2})
    bus.listen("/streamseg/cam/instances")
    node.write(make_result())
    assert (api.qos["/streamseg/cam/instances"].reliability, api.qos["/streamseg/cam/instances"].depth) == (
        "best_effort",
        2,
    )
