"""Where pictures come from: one section per kind of source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "IMAGE_SUFFIXES",
    "SOURCE_ID_PATTERN",
    "ImagesSource",
    "SceneSource",
    "Section",
    "SourceConfig",
    "StreamSource",
    "WebcamSource",
    "parse_source",
]

SOURCE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Source ids become part of a ZeroMQ topic and of file names."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Source(Section):
    id: str = Field(default="", pattern=rf"^$|{SOURCE_ID_PATTERN}")
    """Name in topics and files; empty: made from the kind and the position, such as `webcam0`."""
    frame_id: str = ""
    """Name of the coordinate frame, for robots."""


class SceneSource(_Source):
    """The built-in rendered scene, with exact ground truth."""

    type: Literal["scene"] = "scene"
    width: int = Field(default=1280, ge=64, le=7680)
    height: int = Field(default=720, ge=64, le=4320)
    fps: float = Field(default=30.0, gt=0, le=1000)
    num_objects: int = Field(default=10, ge=0, le=200)
    num_frames: int | None = Field(default=None, ge=1)
    """None: endless."""
    seed: int = Field(default=0, ge=0)
    mode: Literal["live", "every_frame"] = "live"
    """live: paced at `fps`, the newest frame wins; every_frame: as fast as it is read, none dropped."""


class WebcamSource(_Source):
    """A camera that OpenCV opens by index (or by device path)."""

    type: Literal["webcam"] = "webcam"
    device: int | str = 0
    width: int | None = Field(default=1280, ge=1)
    height: int | None = Field(default=720, ge=1)
    fps: float | None = Field(default=30.0, gt=0)
    fourcc: str = Field(default="MJPG", min_length=4, max_length=4)


class StreamSource(_Source):
    """A video file or an RTSP/HTTP stream, read by PyAV."""

    type: Literal["stream"] = "stream"
    url: str
    mode: Literal["auto", "live", "every_frame"] = "auto"
    """auto: live for a network stream, every_frame for a file. A live file is paced by its timestamps."""
    loop: bool = False
    """Start a file again when it ends."""
    vid_stride: int = Field(default=1, ge=1)
    """Take every n-th frame."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """No packet for so long means that the connection is lost."""
    reconnect: bool = True
    """Network streams only: try again with back-off, for ever once it has been seen."""
    open_timeout_seconds: float = Field(default=10.0, gt=0)
    """A network stream that has never answered for so long fails."""


class ImagesSource(_Source):
    """A picture, a folder of pictures or a glob pattern, in natural order."""

    type: Literal["images"] = "images"
    path: str
    fps: float | None = Field(default=None, gt=0)
    """None: as fast as they are read."""


SourceConfig = Annotated[SceneSource | WebcamSource | StreamSource | ImagesSource, Field(discriminator="type")]


def parse_source(text: str) -> SourceConfig:
    """Make a source from one word of the command line.

    A number or `/dev/video…` is a webcam, `scene` the rendered scene, `scheme://…` a stream; a
    folder, a glob pattern or a picture file are images, and any other path is a video file.
    """
    if text == "scene":
        return SceneSource()
    if text.isdecimal():
        return WebcamSource(device=int(text))
    if text.startswith("/dev/video"):
        return WebcamSource(device=text)
    if re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return StreamSource(url=text)
    path = Path(text)
    if path.is_dir() or any(sign in text for sign in "*?[") or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImagesSource(path=text)
    return StreamSource(url=text)
