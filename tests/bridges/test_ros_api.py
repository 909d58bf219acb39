"""The adapter of rclpy, against modules with rclpy's interface; and against rclpy itself where it is installed."""

import importlib.util

import pytest

from streamseg.bridges.ros_api import Qos, RclpyApi
from streamseg.errors import ConfigError
from tests.support.ros_world import Bus, installed_rclpy

TYPES = {"sensor_msgs.msg": ("Image",), "streamseg_ros.srv": ("Step",)}


def test_topics_have_types_and_quality_of_service():
    bus = Bus()
    with installed_rclpy(bus, TYPES) as nodes, RclpyApi("eye", ["--ros-args"]) as api:
        publisher = api.publisher("sensor_msgs/msg/Image", "streamseg/cam/instances", Qos(depth=3))
        assert publisher is not None
        assert not publisher.has_subscribers()
        received = bus.listen("/streamseg/cam/instances")
        assert publisher.has_subscribers()
        publisher.publish(b"cdr")
        assert received == [b"cdr"]
        found = []
        api.subscribe("sensor_msgs/msg/Image", "/camera/image_raw", Qos(1, "best_effort"), found.append)
        bus.send("/camera/image_raw", b"image")
        assert found == [b"image"]
        (node,) = nodes
        assert [(call[0], call[1].__name__, call[2]) for call in node.calls] == [
            ("publisher", "Image", "streamseg/cam/instances"),
            ("subscription", "Image", "/camera/image_raw"),
        ]
        profile = node.calls[1][3]
        assert (profile.depth, profile.reliability.name, profile.durability.name) == (1, "BEST_EFFORT", "VOLATILE")
    assert node.is_destroyed


def test_what_is_not_installed_is_missing():
    with installed_rclpy(Bus(), {"streamseg_ros.srv": ("Step",)}) as nodes, RclpyApi("eye") as api:
        assert api.publisher("vision_msgs/msg/LabelInfo", "x", Qos()) is None
        assert not api.serve("streamseg_ros/srv/AddPrompt", "add_prompt", print)
        assert api.serve("streamseg_ros/srv/Step", "step", print)
        assert nodes[0].calls[0][2] == "~/step"
        with pytest.raises(ConfigError, match="sensor_msgs/msg/Nothing is not installed"):
            api.subscribe("sensor_msgs/msg/Nothing", "/x", Qos(), print)


def test_parameters():
    with installed_rclpy(Bus(), {}, image_depth=5, output_depth="ten"), RclpyApi("eye") as api:
        assert api.parameter("image_depth", 1) == 5
        assert api.parameter("depth_max_offset_ms", 50.0) == 50.0
        with pytest.raises(ConfigError, match="parameter output_depth: Trying to set"):
            api.parameter("output_depth", 10)


@pytest.mark.parametrize(("name", "args", "words"), [("0", [], "Invalid node name"), ("eye", ["--bad"], "unknown ROS")])
def test_a_node_that_ros_rejects_is_one_line(name, args, words):
    with installed_rclpy(Bus(), {}), pytest.raises(ConfigError, match=words) as caught:
        RclpyApi(name, args)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("rclpy") is not None, reason="rclpy is installed")
def test_without_ros_one_line_says_what_to_source():
    with pytest.raises(ConfigError, match=r"source /opt/ros/\$ROS_DISTRO/setup.bash"):
        RclpyApi("eye")


def test_closing_twice_and_after_the_start():
    with installed_rclpy(Bus(), {}):
        api = RclpyApi("eye")
        api.start()
        api.close()
        api.close()


@pytest.mark.slow
def test_a_message_goes_through_ros_itself():
    """Needs a ROS 2 installation; bytes arrive as they were sent."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    import threading

    from streamseg.ros.cdr import CdrTypes

    arrived, received = threading.Event(), []

    def receive(data: bytes) -> None:
        received.append(data)
        arrived.set()

    data = CdrTypes().serialize("std_msgs/msg/String", {"data": "hello"})
    with RclpyApi("sender") as sender, RclpyApi("receiver") as receiver:
        receiver.subscribe("std_msgs/msg/String", "/streamseg_test", Qos(durability="transient_local"), receive)
        publisher = sender.publisher("std_msgs/msg/String", "streamseg_test", Qos(durability="transient_local"))
        assert publisher is not None
        receiver.start()
        sender.start()
        publisher.publish(data)
        assert arrived.wait(20)
    assert received[0][: len(data)] == data
