"""A robot for tests in a real ROS 2: publishes a camera and prints what the node returns, as one line of JSON.

Runs in the Python of ROS: python -m tests.support.ros_robot SECONDS
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np
import rclpy  # type: ignore[import-not-found,unused-ignore]
from rclpy.qos import qos_profile_sensor_data  # type: ignore[import-not-found,unused-ignore]
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # type: ignore[import-not-found,unused-ignore]
from visualization_msgs.msg import MarkerArray  # type: ignore[import-not-found,unused-ignore]

PERIOD_SECONDS = 0.2
NUM_WANTED = 3


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("robot")
    types = {"image_raw/compressed": CompressedImage, "depth": Image, "camera_info": CameraInfo}
    senders = {
        name: node.create_publisher(kind, f"/camera/{name}", qos_profile_sensor_data) for name, kind in types.items()
    }
    received: dict[str, list[object]] = {"instances": [], "image/compressed": [], "markers": []}
    for name, kind in (("instances", Image), ("image/compressed", CompressedImage), ("markers", MarkerArray)):
        node.create_subscription(kind, f"/streamseg/cam/{name}", received[name].append, 10)
    pixels = np.full((96, 128, 3), 128, np.uint8)
    cv2.circle(pixels, (64, 48), 25, (20, 40, 230), -1)
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    sent = set()
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end and min(map(len, received.values())) < NUM_WANTED:
        stamp = node.get_clock().now().to_msg()
        sent.add((stamp.sec, stamp.nanosec))
        image, depth, camera = CompressedImage(), Image(), CameraInfo()
        for message in (image, depth, camera):
            message.header.stamp, message.header.frame_id = stamp, "camera_optical"
        image.format, image.data = "jpeg", jpeg
        depth.height, depth.width, depth.encoding, depth.step = 96, 128, "16UC1", 256
        depth.data = np.full((96, 128), 1500, "<u2").tobytes()
        camera.height, camera.width, camera.k = 96, 128, [100.0, 0, 64, 0, 100.0, 48, 0, 0, 1]
        for name, message in (("camera_info", camera), ("depth", depth), ("image_raw/compressed", image)):
            senders[name].publish(message)
        pause = time.monotonic() + PERIOD_SECONDS
        while time.monotonic() < pause:
            rclpy.spin_once(node, timeout_sec=0.02)
    headers = [message.header for name in ("instances", "image/compressed") for message in received[name]]
    report = {
        "received": {name: len(messages) for name, messages in received.items()},
        "stamps_are_those_sent": all((one.stamp.sec, one.stamp.nanosec) in sent for one in headers),
        "frame_ids": sorted({one.frame_id for one in headers}),
        "size": [(one.width, one.height, one.encoding) for one in received["instances"]][:1],
        "namespaces": sorted({one.ns for message in received["markers"] for one in message.markers}),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
