"""A video file as a source of frames."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.capture.decoder import RgbConverter, VideoDecoder, open_video
from streamseg.capture.display import sample_aspect_ratio
from streamseg.capture.hardware import hardware_decoder
from streamseg.capture.pacing import Playback
from streamseg.capture.recording import Recording, TimedFrame
from streamseg.capture.source import FrameCounter, Unwanted, wanted
from streamseg.capture.truncation import num_missing_bytes
from streamseg.config import StreamSource
from streamseg.config.address import local_path
from streamseg.errors import SourceError, reason_of
from streamseg.structures.arrays import ImageArray
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["VideoFile"]

MAX_READ_ERRORS = 100
"""Maximum number of consecutive read errors. A damaged section is skipped; a file of nothing else is rejected."""


class VideoFile:
    """Source that delivers every frame of a file, or plays it in real time like a camera (mode live).

    A truncated file delivers its decodable frames and then raises SourceError. Reading continues after a
    damaged section, and the lost frames are counted as "corrupt". `Frame.captured_ns` is the time of
    arrival: when the frame is read, or when a live file plays it.
    """

    def __init__(self, config: StreamSource) -> None:
        """Open the file once to check that it contains video.

        Raises:
            SourceError: the file does not exist or contains no video, or `decode` requests a GPU that cannot be opened.
        """
        self.source_id = config.id
        self.frame_id = config.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self.unwanted: Unwanted = wanted
        self.num_missing_bytes = 0
        """Minimum number of missing bytes; more than 0 for a truncated file."""
        self.num_frames: int | None = None
        """Number of frames that the container declares; None if it declares none."""
        self.fps: float | None = None
        """Average frame rate in frames per second; None if unknown."""
        self._path = local_path(config.url)
        self._hardware = hardware_decoder(config.decode, name=str(self._path))
        self._loop = config.loop
        self._counter = FrameCounter(self.drops, vid_stride=config.vid_stride)
        self._converter = RgbConverter()
        self._stopped = threading.Event()
        self._playback = Playback(self._stopped) if self.is_live else None
        self._recording = Recording(config.id, self._counter, can_wait=not self._path.is_fifo())
        if self._path.is_fifo():
            return  # data read from a pipe for inspection would be lost
        if not self._path.exists():
            raise SourceError(f"{self._path}: no such file")
        if not self._path.is_file():
            raise SourceError(f"{self._path} is not a file; for a folder of images use a source of type images")
        if not self._path.stat().st_size:
            raise SourceError(f"{self._path} is not a readable video: the file is empty")
        try:
            self.num_missing_bytes = num_missing_bytes(self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {reason_of(error)}") from error
        container, stream = self._open()
        with closing(container):
            self.num_frames = stream.frames or None
            self.fps = float(stream.average_rate) if stream.average_rate else None

    def frames(self) -> Iterator[Frame]:
        """Yield frames to the end of the file, or repeatedly if it loops.

        Raises:
            SourceError: the file is truncated, can no longer be read, or contains no decodable frame.
        """
        while not self._stopped.is_set():
            num_decoded = 0
            with closing(self._timed_frames()) as timed_frames:
                for timed, aspect_ratio in timed_frames:
                    num_decoded += 1
                    frame = self._frame(timed, aspect_ratio)
                    if frame is not None:
                        yield frame
                    if self._stopped.is_set():
                        return
            if not num_decoded:
                raise SourceError(f"{self._path}: no frame can be decoded")
            if not self._loop:
                return

    @property
    def mended(self) -> Counter[str]:
        """Number of discontinuities of the time stamps that were mended so far, by kind."""
        return self._recording.mended

    def stop(self) -> None:
        """End `frames()` before its next frame."""
        self._stopped.set()

    def _frame(self, timed: TimedFrame, aspect_ratio: float) -> Frame | None:
        """Wait until a frame is due, and convert it; None if it is dropped."""
        if self._playback is not None:
            reason = self.unwanted() if self._playback.wait_until_due(timed.pts_seconds) else "late"
            if reason is not None:
                self.drops.count("capture", reason)
                return None
        received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        return Frame(
            image=cast(ImageArray, self._converter.image(timed.decoded, sample_aspect_ratio=aspect_ratio)),
            source_id=self.source_id,
            index=timed.frame_index,
            pts_seconds=timed.pts_seconds,
            captured_ns=wall_ns,
            clock="arrival",
            received_ns=received_ns,
        )

    def _timed_frames(self) -> Generator[tuple[TimedFrame, float]]:
        """Yield the frames of one pass through the file, with their sample aspect ratio."""
        container, stream = self._open()
        with closing(container):
            decoder = VideoDecoder(stream.codec_context, self._counter, live=False)
            for timed in self._recording.frames(container, stream, decoder, self._packets(container, stream)):
                yield timed, sample_aspect_ratio(stream)
        if self.num_missing_bytes or decoder.ended_damaged:
            raise SourceError(f"{self._path} {self._truncated()}; the frames before that are intact")

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        """Yield the packets of the file, skipping damaged sections."""
        packets = container.demux(stream)
        num_errors = 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                num_errors += 1
                self._counter.drop("corrupt")
                if num_errors == MAX_READ_ERRORS:
                    raise SourceError(f"{self._path} can no longer be read: {error.strerror}") from error
                packets = container.demux(stream)
                continue
            num_errors = 0
            yield packet

    def _open(self) -> tuple[InputContainer, VideoStream]:
        try:
            # The explicit protocol keeps a colon in the file name from being parsed as one.
            return open_video(f"file:{self._path}", name=str(self._path), options={}, hardware=self._hardware)
        except av.error.FFmpegError as error:
            if self.num_missing_bytes:
                raise SourceError(f"{self._path} {self._truncated()}, and it cannot be read without them") from error
            if isinstance(error, OSError):
                raise SourceError(f"{self._path} cannot be read: {reason_of(error)}") from error
            raise SourceError(f"{self._path} is not a readable video: {error.strerror}") from error

    def _truncated(self) -> str:
        missing = (
            f": at least {self.num_missing_bytes} bytes are missing"
            if self.num_missing_bytes
            else " inside its last frame"
        )
        return f"is truncated{missing}"
