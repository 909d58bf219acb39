"""A video file as a source of frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.address import local_path
from streamseg.capture.container import open_video, start_seconds
from streamseg.capture.decoder import ImageDecoder, RgbConverter
from streamseg.capture.numbering import Numbering
from streamseg.capture.pacing import Playback
from streamseg.capture.truncation import num_missing_bytes
from streamseg.config import StreamSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["VideoFile"]

MAX_READ_ERRORS = 100
"""In a row. A damaged place is skipped; a file of nothing else is given up."""


class VideoFile:
    """Delivers every picture of a file, or plays it at its own pace as if it were a camera (mode live).

    A file that was cut off delivers what can be decoded and then raises SourceError. After a damaged
    place reading goes on; what is lost there is counted as "corrupt". `Frame.captured_ns` is the time
    of arrival: of reading, or of the moment at which a live file shows the picture.
    """

    def __init__(self, config: StreamSource) -> None:
        """Open the file once, to see that it holds video.

        Raises:
            SourceError: it does not, or it is not there.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self.num_missing_bytes = 0
        """At least so many bytes are missing: more than 0 for a file that was cut off."""
        self.num_frames: int | None = None
        """How many pictures the container declares; None where it does not say."""
        self.fps: float | None = None
        """Average pictures per second; None where it is not known."""
        self._path = local_path(config.url)
        self._loop = config.loop
        self._numbering = Numbering(self.drops, vid_stride=config.vid_stride)
        self._converter = RgbConverter()
        self._stopped = threading.Event()
        self._playback = Playback(self._stopped) if self.is_live else None
        if self._path.is_fifo():
            return  # what is read from a pipe to look at it is gone
        if not self._path.exists():
            raise SourceError(f"{self._path}: there is no such file")
        if not self._path.is_file():
            raise SourceError(f"{self._path} is no file; a folder of pictures is a source of type images")
        try:
            self.num_missing_bytes = num_missing_bytes(self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from error
        container, stream = self._open()
        with closing(container):
            self.num_frames = stream.frames or None
            self.fps = float(stream.average_rate) if stream.average_rate else None

    def frames(self) -> Iterator[Frame]:
        """Yield pictures to the end of the file, over and over if it loops.

        Raises:
            SourceError: the file was cut off, can no longer be read, or holds no picture at all.
        """
        offset_seconds = 0.0
        while not self._stopped.is_set():
            num_pictures, end_seconds = 0, offset_seconds
            with closing(self._pictures()) as pictures:
                for picture, pts_seconds in pictures:
                    num_pictures += 1
                    if pts_seconds is not None:
                        pts_seconds += offset_seconds
                        end_seconds = max(end_seconds, pts_seconds + self._duration_seconds(picture))
                    frame = self._frame(picture, pts_seconds)
                    if frame is not None:
                        yield frame
                    if self._stopped.is_set():
                        return
            if not num_pictures:
                raise SourceError(f"{self._path}: not one of its pictures can be decoded")
            if not self._loop:
                return
            offset_seconds = end_seconds

    def stop(self) -> None:
        """End `frames()` before its next picture."""
        self._stopped.set()

    def _frame(self, picture: av.VideoFrame, pts_seconds: float | None) -> Frame | None:
        """Number a picture, wait until it is due, and convert it; None for one that is left out."""
        index = self._numbering.take()
        if index is None:
            return None
        if self._playback is not None and not self._playback.show(pts_seconds):
            self.drops.count("capture", "late")
            return None
        received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        return Frame(
            image=self._converter.convert(picture),
            source_id=self.source_id,
            index=index,
            pts_seconds=pts_seconds,
            captured_ns=wall_ns,
            clock="arrival",
            received_ns=received_ns,
        )

    def _duration_seconds(self, picture: av.VideoFrame) -> float:
        if picture.duration and picture.time_base:
            return float(picture.duration * picture.time_base)
        return 1 / self.fps if self.fps else 0.0

    def _pictures(self) -> Generator[tuple[av.VideoFrame, float | None]]:
        """One run through the file: pictures and their time from its start."""
        container, stream = self._open()
        with closing(container):
            decoder = ImageDecoder(stream, self._numbering, live=False)
            first_seconds = start_seconds(stream)
            for packet in self._packets(container, stream):
                for picture in decoder.decode(packet, 0.0):
                    if first_seconds is None:
                        first_seconds = picture.time
                    yield picture, None if picture.time is None else picture.time - (first_seconds or 0.0)
        if self.num_missing_bytes or decoder.ended_damaged:
            raise SourceError(f"{self._path} {self._cut_off()}; the pictures before that are whole")

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        """The packets of the file, past damaged places."""
        packets = container.demux(stream)
        num_errors = 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                num_errors += 1
                self._numbering.drop("corrupt")
                if num_errors == MAX_READ_ERRORS:
                    raise SourceError(f"{self._path} cannot be read on: {error.strerror}") from error
                packets = container.demux(stream)
                continue
            num_errors = 0
            yield packet

    def _open(self) -> tuple[InputContainer, VideoStream]:
        try:
            # With its protocol, so that a colon in a name is not taken for one.
            return open_video(f"file:{self._path}", name=str(self._path), options={})
        except av.error.FFmpegError as error:
            if self.num_missing_bytes:
                raise SourceError(f"{self._path} {self._cut_off()}, and without them none of it can be read") from error
            if isinstance(error, OSError):
                raise SourceError(f"{self._path} cannot be read: {error.strerror}") from error
            raise SourceError(f"{self._path} is not a video that can be read: {error.strerror}") from error

    def _cut_off(self) -> str:
        missing = (
            f": at least {self.num_missing_bytes} bytes are missing"
            if self.num_missing_bytes
            else " inside its last picture"
        )
        return f"was cut off{missing}"
