"""The node in a real ROS 2, with a robot in another process; docs/robots.md says how to install one by pip."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY
from tests.support.stages import small_settings

PYTHON = os.environ.get("STREAMSEG_ROS_PYTHON", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs ROS 2: set STREAMSEG_ROS_PYTHON to a Python with rclpy and streamseg"),
]

CONFIG = """\
sources:
  - {type: ros, id: cam, topic: /camera/image_raw/compressed, depth_topic: /camera/depth,
     camera_info_topic: /camera/camera_info}
prompts: [{id: ball, points: [[64, 48]]}]
"""


def test_a_robot_gets_masks_with_its_own_stamps(tmp_path: Path):
    config = tmp_path / "node.yaml"
    config.write_text(CONFIG)
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "ROS_DOMAIN_ID": str(os.getpid() % 90 + 10),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    settings = [word for setting in small_settings() for word in ("--set", setting)]
    node = subprocess.Popen(
        [
            PYTHON,
            "-m",
            "streamseg",
            "ros",
            str(config),
            *settings,
            "--duration",
            "100",
            "--ros-args",
            "-p",
            "output_depth:=5",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        robot = subprocess.run(
            [PYTHON, "-m", "tests.support.ros_robot", "80"],
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=100,
        )
    finally:
        node.terminate()
        output = node.communicate(timeout=60)[0]
    assert robot.returncode == 0, robot.stderr
    found = json.loads(robot.stdout.splitlines()[-1])
    assert min(found["received"].values()) >= 3, output
    assert found["stamps_are_those_sent"]
    assert found["frame_ids"] == ["camera_optical"]
    assert found["size"] == [[128, 96, "mono16"]]
    assert found["namespaces"] == ["ball"]
    assert "Traceback" not in output
