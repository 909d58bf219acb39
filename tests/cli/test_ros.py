"""`streamseg ros` with modules that have rclpy's interface, and the mistakes that are one line."""

import sys
import threading

import numpy as np
import pytest

from streamseg.cli.main import main
from tests.support.ros_world import Bus, installed_rclpy
from tests.support.stages import small_settings

pytest.importorskip("rosbags", reason="needs the extra ros")

from streamseg.ros.cdr import CdrTypes

IMAGE = "sensor_msgs/msg/Image"
TYPES = {
    "sensor_msgs.msg": ("Image", "CompressedImage"),
    "vision_msgs.msg": ("LabelInfo", "Detection2DArray"),
    "streamseg_ros.srv": ("AddPrompt", "RemovePrompt", "Step"),
}


def image(index: int) -> bytes:
    header = {"stamp": {"sec": 1_700_000_000, "nanosec": index * 1_000_000}, "frame_id": "optical"}
    pixels = np.full((96, 128, 3), index % 256, np.uint8)
    values = {"height": 96, "width": 128, "encoding": "rgb8", "is_bigendian": 0, "step": 384}
    return CdrTypes().serialize(IMAGE, {"header": header, **values, "data": pixels.reshape(-1)})


@pytest.mark.slow
def test_a_topic_becomes_topics_with_stamp_and_frame_id(capsys):
    bus = Bus()
    instances, detections = (bus.listen(f"/streamseg/ros0/{name}") for name in ("instances", "detections"))
    settings = [word for setting in small_settings() for word in ("--set", setting)]
    ended = threading.Event()

    def robot() -> None:
        """Send images until the node has answered three, as fast as they may be."""
        for index in range(5000):
            bus.send("/camera/image_raw", image(index))
            if ended.wait(0.02):
                return

    thread = threading.Thread(target=robot)
    with installed_rclpy(bus, TYPES) as nodes:
        thread.start()
        try:
            words = ["ros", "ros:/camera/image_raw", *settings, "--node", "eye", "--duration", "4"]
            assert main([*words, "--ros-args", "-p", "image_depth:=1"]) == 0
        finally:
            ended.set()
            thread.join()
    (node,) = nodes
    assert (node.name, node.is_destroyed) == ("eye", True)
    assert [call[2] for call in node.calls if call[0] == "service"] == ["~/add_prompt", "~/remove_prompt", "~/step"]
    assert instances
    assert len(instances) == len(detections)
    for data in instances:
        found = CdrTypes().deserialize(IMAGE, data)
        assert (found.header.frame_id, found.header.stamp.sec) == ("optical", 1_700_000_000)
    assert "frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["ros", "scene", "--node", "my node"], "--node must be letters, digits and _, got 'my node'"),
        (["ros", "scene", "--duration", "0"], "--duration must be more than 0 seconds, got 0"),
        (["ros", "ros:/a b"], "'/a b' is not the name of a ROS topic; write one such as /camera/image_raw"),
        (["run", "ros:/camera", "--no-publish"], "is the ROS topic /camera; receive it with: streamseg ros"),
        (["run", "scene", "--no-publish", "--foxglove", "8765"], "'8765' is not HOST:PORT"),
        (["run", "scene", "--no-publish", "--rerun", "run.mp4"], "rerun logs to a file *.rrd or to the address"),
    ],
)
def test_mistakes_are_one_line(words, text, capsys):
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


def test_without_ros_one_line_says_what_to_source(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert main(["ros", "scene"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "source /opt/ros/$ROS_DISTRO/setup.bash" in line
