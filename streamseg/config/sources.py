"""Configuration of the sources: one section per type."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from streamseg.config.address import address_fault
from streamseg.errors import ConfigError

__all__ = [
    "ADDRESS_FAULT",
    "IMAGE_SUFFIXES",
    "MCAP_SUFFIX",
    "RECORDING_INDEX_NAME",
    "SOURCE_ID_PATTERN",
    "ImagesSource",
    "RecordingSource",
    "RosSource",
    "SceneSource",
    "Section",
    "SourceConfig",
    "StreamSource",
    "WebcamSource",
    "parse_source",
]

SOURCE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Pattern of source ids, which become part of ZeroMQ topics and file names."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MAX_ADDRESS_CHARACTERS = 4096
"""Limit of addresses and paths: sections come from the control channel, too, and all of them fit into one reply."""

MAX_CAMERA = 255
"""Largest number of a webcam: Linux has at most 256."""

ROS_PREFIX = "ros:"
"""Prefix of a topic on the command line."""

ROS_TOPIC_PATTERN = r"^/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*\Z"
"""Pattern of the names of ROS topics."""

MCAP_SUFFIX = ".mcap"

RECORDING_INDEX_NAME = "recording.json"
"""File that makes a folder a recording."""

ADDRESS_FAULT = "address_fault"
"""Type of the validation error of an address; its message does not need the value, which may contain a password."""


class Section(BaseModel):
    """Base class of all sections: immutable, rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Source(Section):
    id: str = Field(default="", pattern=rf"^$|{SOURCE_ID_PATTERN}")
    """Name in topics and files; empty: derived from type and position, e.g. `webcam0`."""
    frame_id: str = Field(default="", max_length=256)
    """Name of the coordinate frame, for robots (ROS `header.frame_id`)."""
    deadline_ms: float | None = Field(default=None, gt=0)
    """Live sources: maximum age of a frame when its message is published; frames that will miss it are dropped before
    the network, and those that have missed it before publishing. None: `batching.max_age_ms`."""
    max_fps: float | None = Field(default=None, gt=0)
    """Live sources: maximum rate of processed frames; None: no limit."""
    weight: float = Field(default=1.0, gt=0, le=100)
    """Live sources: share of the network's time relative to other sources, if not every frame can be processed."""


class SceneSource(_Source):
    """The built-in rendered scene, with exact ground truth."""

    type: Literal["scene"] = "scene"
    width: int = Field(default=1280, ge=64, le=7680)
    height: int = Field(default=720, ge=64, le=4320)
    fps: float = Field(default=30.0, gt=0, le=1000)
    num_objects: int = Field(default=10, ge=0, le=200)
    num_frames: int | None = Field(default=None, ge=1)
    """Length of the scene in frames; None: endless."""
    seed: int = Field(default=0, ge=0)
    mode: Literal["live", "every_frame"] = "live"
    """live: paced at `fps`, the newest frame wins; every_frame: as fast as frames are read, none dropped."""


class _Camera(_Source):
    frozen_seconds: float | None = Field(default=30.0, gt=0)
    """Time without any change of the image after which a live source is reported as frozen; None: never."""


class WebcamSource(_Camera):
    """A camera that OpenCV opens by index or device path."""

    type: Literal["webcam"] = "webcam"
    device: int | Annotated[str, Field(max_length=MAX_ADDRESS_CHARACTERS)] = 0
    width: int | None = Field(default=1280, ge=1)
    height: int | None = Field(default=720, ge=1)
    fps: float | None = Field(default=30.0, gt=0)
    fourcc: str = Field(default="MJPG", min_length=4, max_length=4)

    @field_validator("device")
    @classmethod
    def _is_possible(cls, device: int | str) -> int | str:
        """Reject numbers that no camera has; OpenCV's own message of some has several lines."""
        if isinstance(device, int) and not 0 <= device <= MAX_CAMERA:
            raise PydanticCustomError(
                "camera",
                "{device} is no camera; numbers are 0 to {limit}",
                {"device": str(device), "limit": MAX_CAMERA},
            )
        return device


class StreamSource(_Camera):
    """A video file or an RTSP/HTTP stream, read by PyAV."""

    type: Literal["stream"] = "stream"
    url: str = Field(max_length=MAX_ADDRESS_CHARACTERS)
    mode: Literal["auto", "live", "every_frame"] = "auto"
    """auto: live for a network stream, every_frame for a file. A live file is paced by its timestamps."""
    loop: bool = False
    """Restart a file when it ends."""
    vid_stride: int = Field(default=1, ge=1)
    """Use every n-th frame."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """Time without a packet after which the connection counts as lost."""
    transport: Literal["auto", "tcp", "udp"] = "auto"
    """RTSP only: transport of the video; auto: TCP, or UDP if the camera does not support TCP."""
    reader: Literal["rtp", "ffmpeg"] = "rtp"
    """RTSP only. rtp: H.264 and H.265 are decoded as soon as they are complete, and never with lost packets; FFmpeg
    reads other codecs and `rtsps`. ffmpeg: FFmpeg reads everything, one frame period later."""
    decode: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where video is decoded; cuda: on an NVIDIA GPU, and copied to the host; auto: there, if FFmpeg can open one."""
    reconnect: bool = True
    """Network streams only: reconnect with back-off, forever."""
    open_timeout_seconds: float = Field(default=10.0, gt=0)
    """With `exit_on_failure`: time after which a network stream fails if it has never been received."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        """Reject an address that cannot be opened, before anything else is opened."""
        url = url.strip()
        fault = address_fault(url)
        if fault is not None:
            # The message is a template in which braces are special.
            raise PydanticCustomError(ADDRESS_FAULT, "{fault}", {"fault": fault})
        return url


class ImagesSource(_Source):
    """An image, a folder of images or a glob pattern, in natural order."""

    type: Literal["images"] = "images"
    path: str = Field(max_length=MAX_ADDRESS_CHARACTERS)
    fps: float | None = Field(default=None, gt=0)
    """Images per second; None: as fast as they are read."""


class RecordingSource(_Source):
    """A recording of one source, made with `output.recording` or `output.mcap`; replayed with its original times."""

    type: Literal["recording"] = "recording"
    path: str = Field(max_length=MAX_ADDRESS_CHARACTERS)
    """Folder of the recorded source, which holds `recording.json`, or an MCAP file, also one of another program."""
    topic: str | None = Field(default=None, max_length=256)
    """MCAP file only: topic of the images (sensor_msgs/CompressedImage); None: the only one."""
    instances: Literal["network", "recorded"] = "network"
    """recorded: prompts are answered from the recorded objects, without the network; frames without any go to it."""
    mode: Literal["live", "every_frame"] = "live"
    """live: at the original pace, the newest frame wins; every_frame: as fast as frames are read, none dropped."""
    delay_seconds: float = Field(default=0.0, ge=0, le=86400)
    """Wait of a live replay before its first frame, for sources that did not start together."""


class RosSource(_Source):
    """Images of a ROS 2 topic; only in `streamseg ros`. An empty `frame_id` stands for that of the messages."""

    type: Literal["ros"] = "ros"
    topic: str = Field(max_length=256)
    """Topic of type sensor_msgs/Image, or CompressedImage if its last level is `compressed`."""
    depth_topic: str | None = Field(default=None, max_length=256)
    """Topic of depth images (sensor_msgs/Image, 16UC1 in mm or 32FC1 in m) aligned with the images; None: no depth."""
    camera_info_topic: str | None = Field(default=None, max_length=256)
    """Topic of the camera's calibration (sensor_msgs/CameraInfo), which depth requires."""

    @field_validator("topic", "depth_topic", "camera_info_topic")
    @classmethod
    def _check_topic(cls, topic: str | None) -> str | None:
        if topic is not None and not re.match(ROS_TOPIC_PATTERN, topic):
            fault = f"{topic[:100]!r} is not the name of a ROS topic; write one such as /camera/image_raw"
            raise PydanticCustomError("topic_fault", "{fault}", {"fault": fault})
        return topic

    @model_validator(mode="after")
    def _depth_requires_calibration(self) -> RosSource:
        if (self.depth_topic is None) != (self.camera_info_topic is None):
            raise ValueError("depth_topic and camera_info_topic require each other; set both or neither")
        return self

    @property
    def is_compressed(self) -> bool:
        """Whether the topic has compressed images, by image_transport's convention."""
        return self.topic.rpartition("/")[2] == "compressed"


SourceConfig = Annotated[
    SceneSource | WebcamSource | StreamSource | ImagesSource | RecordingSource | RosSource,
    Field(discriminator="type"),
]


def parse_source(text: str) -> SourceConfig:
    """Parse a source from one command-line argument.

    A number or `/dev/video…` is a webcam, `scene` the rendered scene, `ros:/topic` a ROS topic, `scheme://…` a stream;
    a folder, a glob pattern or an image file are images, an MCAP file is a recording, and any other path is a video
    file. A folder with a recording is replayed, under the id of the recorded source.

    Raises:
        ConfigError: the text is empty, or the address of a stream cannot be opened.
    """
    if not text.strip():
        raise ConfigError("a source is empty; if it is a variable, set it")  # as a path, it would be the current folder
    try:
        return _parse_source(text.strip())
    except ValidationError as error:
        message = "; ".join(problem["msg"] for problem in error.errors())
    raise ConfigError(f"source {message}")  # outside `except`: the cause contains the whole address


def _parse_source(text: str) -> SourceConfig:
    if text == "scene":
        return SceneSource()
    if text.isdecimal() and len(text) <= MAX_ADDRESS_CHARACTERS:
        return WebcamSource(device=int(text))
    if text.startswith("/dev/video"):
        return WebcamSource(device=text)
    if text.startswith(ROS_PREFIX):
        return RosSource(topic=text.removeprefix(ROS_PREFIX))
    if re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return StreamSource(url=text)
    path = Path(text)
    if (recorded_id := _recorded_id(path)) is not None:
        return RecordingSource(id=recorded_id, path=text)
    if path.suffix.lower() == MCAP_SUFFIX and not path.is_dir():
        return RecordingSource(path=text)
    if path.is_dir() or any(wildcard in text for wildcard in "*?[") or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImagesSource(path=text)
    return StreamSource(url=text)


def _recorded_id(folder: Path) -> str | None:
    """Return the id of the source that a folder has recorded; "" if it is damaged, None if it is no recording."""
    try:
        values = json.loads((folder / RECORDING_INDEX_NAME).read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        return ""  # reported when it is opened
    source_id = values.get("source") if isinstance(values, dict) else None
    return source_id if isinstance(source_id, str) and re.fullmatch(SOURCE_ID_PATTERN, source_id) else ""
