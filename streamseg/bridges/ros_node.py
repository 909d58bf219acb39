"""The ROS 2 node of a run: image topics are sources, results are topics, prompts are services."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from streamseg.bridges.ros_api import Qos, RosApi, RosPublisher
from streamseg.bridges.ros_images import RosImages
from streamseg.capture import Source
from streamseg.config import RosSource, SourceConfig
from streamseg.errors import ConfigError, DataError
from streamseg.pipeline import FrameResult
from streamseg.ros.frame_encoder import FrameEncoder
from streamseg.ros.incoming import Camera, camera_of, depth_of, image_of, stamp_ns
from streamseg.ros.services import SERVICES, Operation, call
from streamseg.ros.targets import MARKERS_TYPE, POINT_TYPE, markers, point, target_places
from streamseg.ros.topics import namespace, ros_name
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message

__all__ = ["RosNode"]

logger = logging.getLogger(__name__)

IMAGE_TYPE: Final = "sensor_msgs/msg/Image"
COMPRESSED_TYPE: Final = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE: Final = "sensor_msgs/msg/CameraInfo"
LATCHED: Final = Qos(depth=1, durability="transient_local")

NUM_DEPTH_IMAGES: Final = 16
"""Number of depth images of a source that wait for their colour image: half a second at 30 per second."""

RELIABILITY: Final = ("reliable", "best_effort")


class _Depth:
    """The latest depth images of one source, and the projection of its camera. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Any]] = deque(maxlen=NUM_DEPTH_IMAGES)
        self._camera: Camera | None = None
        self._lock = threading.Lock()

    def add(self, message: Any) -> None:
        with self._lock:
            self._waiting.append((stamp_ns(message), message))

    def set_camera(self, camera: Camera | None) -> None:
        self._camera = camera

    def nearest(self, captured_ns: int, longest_ns: int) -> tuple[npt.NDArray[np.float32], Camera] | None:
        """Return the depth image that is nearest in time, with the camera; None if there is none in reach."""
        with self._lock:
            waiting, camera = list(self._waiting), self._camera
        if camera is None or not waiting:
            return None
        stamp, message = min(waiting, key=lambda one: abs(one[0] - captured_ns))
        return None if abs(stamp - captured_ns) > longest_ns else (depth_of(message), camera)


class RosNode:
    """Sink that publishes each frame, and opener of the sources that are image topics.

    Below `streamseg/<source id>` in the node's namespace: the topics of `ros.topics`, of which only those with a
    subscriber are built, and for sources with a depth topic `targets/<prompt id>` (PointStamped) and `markers`.

    Parameters of the node:
        image_reliability, image_depth      of the subscriptions to images and depth: best_effort, 1
        output_reliability, output_depth    of the published topics: reliable, 10; `label_info` is transient local
        depth_max_offset_ms                 maximum time between a colour and its depth image: 50

    Args:
        api: the node.
        encode_image: returns an image as JPEG, for the topic `image/compressed`.

    Raises:
        ConfigError: rosbags is not installed, or a parameter is invalid.
    """

    policy = SinkPolicy("ros", keep="newest", capacity=2)

    def __init__(self, api: RosApi, encode_image: Callable[[ImageArray], bytes]) -> None:
        self._api = api
        self._encode_image = encode_image
        self._encoder = FrameEncoder()
        self._image_qos = self._qos("image", Qos(depth=1, reliability="best_effort"))
        self._output_qos = self._qos("output", Qos())
        self._longest_ns = round(api.parameter("depth_max_offset_ms", 50.0) * 1e6)
        self._publishers: dict[str, RosPublisher | None] = {}
        self._depths: dict[str, _Depth] = {}
        self._frame_ids: dict[str, str] = {}
        self._name_frame: Callable[[str, str], None] = lambda source_id, frame_id: None
        self._complaints: set[str] = set()

    def open_source(self, section: SourceConfig, opening: Callable[[SourceConfig], Source]) -> Source:
        """Subscribe to the topics of a section of type `ros`; open any other source by `opening`."""
        if not isinstance(section, RosSource):
            return opening(section)
        source = RosImages(section.id, section.frame_id)
        type_name = COMPRESSED_TYPE if section.is_compressed else IMAGE_TYPE
        self._api.subscribe(type_name, section.topic, self._image_qos, partial(self._receive, source, type_name))
        if section.depth_topic is not None and section.camera_info_topic is not None:
            depth = self._depths[section.id] = _Depth()
            self._api.subscribe(IMAGE_TYPE, section.depth_topic, self._image_qos, partial(self._receive_depth, depth))
            self._api.subscribe(
                CAMERA_INFO_TYPE, section.camera_info_topic, self._image_qos, partial(self._receive_camera, depth)
            )
        return source

    def attach(self, operations: Mapping[str, Operation], name_frame: Callable[[str, str], None]) -> None:
        """Offer the services, and report the names of coordinate frames.

        Args:
            operations: operations of the control channel.
            name_frame: called with the id of a source and the frame_id of its messages, when it is known.
        """
        self._name_frame = name_frame
        for source_id, frame_id in self._frame_ids.items():
            name_frame(source_id, frame_id)
        missing = [
            name
            for name, (type_name, _, _) in SERVICES.items()
            if not self._api.serve(type_name, name, partial(_answer, name, operations))
        ]
        if missing:
            logger.warning(
                "no services %s: build the package ros/streamseg_ros with colcon and source its setup file",
                ", ".join(missing),
            )

    def write(self, result: FrameResult) -> None:
        """Publish one frame."""
        message = result.message
        for one in self._encoder.encode(
            message, lambda: self._encode_image(result.frame.image), is_wanted=self._has_subscribers
        ):
            publisher = self._publisher(one.topic, one.type_name)
            if publisher is not None:
                publisher.publish(one.data)
        if message.source_id in self._depths and message.prompts:
            self._publish_places(message)

    def close(self) -> None:
        """Nothing to do: whoever opened the node closes it."""

    def _publish_places(self, message: Message) -> None:
        try:
            found = self._depths[message.source_id].nearest(message.captured_ns, self._longest_ns)
        except DataError as error:
            self._complain(f"{message.source_id}: {error}")
            found = None
        places = {} if found is None else target_places(message, *found)
        prefix = namespace(message.source_id)
        for prompt_id, place in places.items():
            self._publish(f"{prefix}/targets/{ros_name(prompt_id)}", POINT_TYPE, point(message, place))
        self._publish(f"{prefix}/markers", MARKERS_TYPE, markers(message, places))

    def _publish(self, topic: str, type_name: str, message: dict[str, Any]) -> None:
        publisher = self._publisher(topic, type_name)
        if publisher is not None:
            publisher.publish(self._encoder.types.serialize(type_name, message))

    def _has_subscribers(self, topic: str, type_name: str) -> bool:
        """Return whether a topic has to be built: latched ones always, for later subscribers."""
        publisher = self._publisher(topic, type_name)
        return publisher is not None and (topic.endswith("/label_info") or publisher.has_subscribers())

    def _publisher(self, topic: str, type_name: str) -> RosPublisher | None:
        if topic not in self._publishers:
            qos = LATCHED if topic.endswith("/label_info") else self._output_qos
            publisher = self._publishers[topic] = self._api.publisher(type_name, topic.removeprefix("/"), qos)
            if publisher is None:
                package = type_name.partition("/")[0].replace("_", "-")
                self._complain(
                    f"topics of the type {type_name} are not published; run: apt install ros-$ROS_DISTRO-{package}"
                )
        return self._publishers[topic]

    def _receive(self, source: RosImages, type_name: str, data: bytes) -> None:
        message = self._encoder.types.deserialize(type_name, data)
        try:
            image = image_of(message)
        except DataError as error:
            source.drops.count("capture", "unreadable")
            self._complain(f"{source.source_id}: {error}")
            return
        frame_id = str(message.header.frame_id)
        if not source.frame_id and frame_id != self._frame_ids.get(source.source_id, ""):
            self._frame_ids[source.source_id] = frame_id
            self._name_frame(source.source_id, frame_id)
        source.offer(image, stamp_ns(message))

    def _receive_depth(self, depth: _Depth, data: bytes) -> None:
        depth.add(self._encoder.types.deserialize(IMAGE_TYPE, data))

    def _receive_camera(self, depth: _Depth, data: bytes) -> None:
        depth.set_camera(camera_of(self._encoder.types.deserialize(CAMERA_INFO_TYPE, data)))

    def _qos(self, prefix: str, default: Qos) -> Qos:
        reliability = self._api.parameter(f"{prefix}_reliability", cast(str, default.reliability))
        depth = self._api.parameter(f"{prefix}_depth", default.depth)
        if reliability not in RELIABILITY:
            raise ConfigError(f"{prefix}_reliability must be {' or '.join(RELIABILITY)}, got {reliability[:40]!r}")
        if not 1 <= depth <= 1000:
            raise ConfigError(f"{prefix}_depth must be 1..1000, got {depth}")
        return Qos(depth=depth, reliability=cast(Literal["reliable", "best_effort"], reliability))

    def _complain(self, text: str) -> None:
        """Log a fault once, because it is likely to repeat with every frame."""
        if text not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(text)
            logger.warning("%s", text)


def _answer(name: str, operations: Mapping[str, Operation], request: Any, response: Any) -> Any:
    response.ok, response.message = call(name, request, operations)
    return response
