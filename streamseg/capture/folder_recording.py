"""The frames of a recording folder (`recording_folder`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import av
import av.error

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.decoder import RgbConverter, open_video
from streamseg.capture.recorded_frame import RecordedFrame
from streamseg.capture.recording_folder import RecordingIndex, Segment, find_segments
from streamseg.errors import DataError, SourceError, reason_of
from streamseg.rle import coco_to_crop
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Clock
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["FolderRecording"]

logger = logging.getLogger(__name__)

_CLOCKS = frozenset(get_args(Clock))


class _Line(NamedTuple):
    """The part of a recorded message that belongs to its frame."""

    frame_index: int
    captured_ns: int
    clock: Clock
    pts_seconds: float | None
    size: tuple[int, int]
    """(H, W) of the image; the recorded one may have one row or column more."""
    values: dict[str, Any]
    """The whole message."""


class FolderRecording:
    """Reads one recorded source. A segment that ends early, because its process was killed, ends with its last frame.

    Args:
        folder: folder with `recording.json`.
        source_id: id of the source, for the log.
        with_objects: also read the objects of each frame.

    Raises:
        SourceError: the folder is no recording, or an empty one.
    """

    def __init__(self, folder: Path, source_id: str, *, with_objects: bool = False) -> None:
        self.frame_id = RecordingIndex.read(folder).frame_id
        self._source_id = source_id
        self._with_objects = with_objects
        self._converter = RgbConverter()
        self._segments = find_segments(folder)
        if not self._segments:
            raise SourceError(f"{folder} holds no recorded segment")

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the frames; raises SourceError if a line is damaged."""
        for segment in self._segments:
            for line, decoded in self._read(segment):
                instances = partial(_instances, line, segment.lines) if self._with_objects else None
                yield RecordedFrame(
                    line.frame_index,
                    line.captured_ns,
                    line.clock,
                    line.pts_seconds,
                    image=self._image(line, decoded),
                    instances=instances,
                )

    def _image(self, line: _Line, decoded: av.VideoFrame) -> Callable[[], ImageArray]:
        height, width = line.size
        return lambda: self._converter.convert(decoded)[:height, :width]

    def _read(self, segment: Segment) -> Iterator[tuple[_Line, av.VideoFrame]]:
        """Yield the frames of a segment with their lines, up to the first that is damaged; the rest is reported."""
        try:
            with segment.lines.open(encoding="utf-8") as lines, closing(_open(segment.video)) as container:
                for text, decoded in zip(lines, container.decode(video=0), strict=False):
                    if not text.endswith("\n"):
                        return  # the line that a killed process was writing
                    yield _parse_line(text, segment.lines), decoded
        except SourceError:  # an OSError, too
            raise
        except av.error.FFmpegError as error:
            logger.warning("%s: %s ends early: %s", self._source_id, segment.video.name, error.strerror)
        except OSError as error:
            logger.warning("%s: %s cannot be read: %s", self._source_id, segment.video.name, reason_of(error))


def _open(path: Path) -> av.container.InputContainer:
    return open_video(f"file:{path}", name=str(path), options={})[0]


def _parse_line(text: str, path: Path) -> _Line:
    """Return the fields of a frame; raise SourceError if the line is not one of a recording."""
    try:
        values: Any = json.loads(text)
        stamp, image = values["stamp"], values["image"]
        line = _Line(
            frame_index=int(values["index"]),
            captured_ns=int(stamp["sec"]) * NS_PER_SECOND + int(stamp["nanosec"]),
            clock=cast(Clock, str(values["clock"])),
            pts_seconds=None if values.get("pts_seconds") is None else float(values["pts_seconds"]),
            size=(int(image["h"]), int(image["w"])),
            values=values,
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if line.clock not in _CLOCKS or line.frame_index < 0:
        raise SourceError(f"{path} is damaged: clock {line.clock[:40]!r}, index {line.frame_index}")
    return line


def _instances(line: _Line, path: Path) -> Any:
    """Return the recorded objects; raise SourceError if they are damaged."""
    from streamseg.capture.recorded_objects import RecordedObject, instances_from

    try:
        space = line.values["mask_space"]
        to_image = tuple(float(value) for value in space["to_image"])
        mask_space = MaskSpace((int(space["h"]), int(space["w"])), line.size, cast(Any, to_image))
        objects = []
        for one in line.values["objects"]:
            crop = coco_to_crop(one["segmentation"])
            mask = CropMask(crop.crop, crop.x, crop.y, mask_space)
            x0, y0, x1, y1 = (float(value) for value in one["box"])
            objects.append(RecordedObject(CropMask.of(mask()), (x0, y0, x1, y1), float(one["score"])))
    except (ValueError, LookupError, TypeError, DataError) as error:
        raise SourceError(f"{path} is damaged: objects: {type(error).__name__}: {error}") from error
    return instances_from(objects, line.size)
