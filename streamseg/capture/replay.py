"""Replay of a recording: its frames with their original ids, indices, capture times and pace."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import av
import av.error

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.decoder import RgbConverter, open_video
from streamseg.capture.pacing import Playback
from streamseg.capture.recording_folder import RecordingIndex, Segment, find_segments
from streamseg.config import RecordingSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Clock, Frame
from streamseg.telemetry import DropCounter

__all__ = ["Replay"]

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


class Replay:
    """Source that delivers the frames of one recorded source (`recording_folder`).

    Indices, times and clocks are the original ones; a message about a replayed frame differs from the original one
    only in what the pipeline finds. Its age is the time since the frame was replayed. Frames that were not recorded are
    counted as drops. A segment that ends early, because its process was killed, ends with its last intact frame.
    """

    def __init__(self, config: RecordingSource) -> None:
        """Check that the folder holds at least one segment.

        Raises:
            SourceError: the folder is no recording, or an empty one.
        """
        self._folder = Path(config.path)
        index = RecordingIndex.read(self._folder)
        self.source_id = config.id
        self.frame_id = config.frame_id or index.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self._delay_seconds = config.delay_seconds if self.is_live else 0.0
        self._converter = RgbConverter()
        self._stopped = threading.Event()
        self._playback = Playback(self._stopped) if self.is_live else None
        self._next_index: int | None = None
        self._segments = find_segments(self._folder)
        if not self._segments:
            raise SourceError(f"{self._folder} holds no recorded segment")

    def frames(self) -> Iterator[Frame]:
        """Yield the recorded frames, in real time (mode live) or as fast as they are read.

        Raises:
            SourceError: no frame can be read.
        """
        self._stopped.wait(self._delay_seconds)
        num_frames = 0
        first_ns: int | None = None
        for segment in self._segments:
            for line, decoded in self._read(segment):
                if self._stopped.is_set():
                    return
                num_frames += 1
                self._count_missing(line.frame_index)
                first_ns = line.captured_ns if first_ns is None else first_ns
                since_first = (line.captured_ns - first_ns) / NS_PER_SECOND
                if self._playback is not None and not self._playback.wait_until_due(since_first):
                    self.drops.count("capture", "late")
                    continue
                yield self._frame(line, decoded)
        if not num_frames:
            raise SourceError(f"{self._folder}: no frame can be read")

    def stop(self) -> None:
        """End `frames()`, immediately if it is waiting."""
        self._stopped.set()

    def _frame(self, line: _Line, decoded: av.VideoFrame) -> Frame:
        height, width = line.size
        return Frame(
            image=self._converter.convert(decoded)[:height, :width],
            source_id=self.source_id,
            index=line.frame_index,
            pts_seconds=line.pts_seconds,
            captured_ns=line.captured_ns,
            clock=line.clock,
            received_ns=time.monotonic_ns(),
        )

    def _count_missing(self, index: int) -> None:
        """Count the frames between the previous one and this one as drops."""
        if self._next_index is not None and index > self._next_index:
            self.drops.count("capture", "not_recorded", index - self._next_index)
        self._next_index = index + 1

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
            logger.warning("%s: %s ends early: %s", self.source_id, segment.video.name, error.strerror)
        except OSError as error:
            logger.warning("%s: %s cannot be read: %s", self.source_id, segment.video.name, error.strerror or error)


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
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if line.clock not in _CLOCKS or line.frame_index < 0:
        raise SourceError(f"{path} is damaged: clock {line.clock[:40]!r}, index {line.frame_index}")
    return line
