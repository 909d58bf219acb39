"""Writer of video files that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from streamseg.drawing.partial_file import PartialFile
from streamseg.drawing.yuv import yuv420
from streamseg.errors import DataError, reason_of
from streamseg.structures.arrays import ImageArray

__all__ = ["VideoWriter", "check_video_name"]

FORMATS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Container format by the suffix of the file name: H.264, and VP9 in WebM, which does not hold H.264."""

TIME_BASE = Fraction(1, 30_000)
"""Time base in seconds: exact for the usual frame rates, including 30000/1001, and coarse enough for gaps of hours."""

MATRIX: Final = Colorspace.ITU601
"""Colour matrix."""

X264_WORST, VP9_WORST = 51, 63
"""Largest constant rate factors of the two encoders."""

FRAGMENT_MS = 500
"""Length of the parts in which a recoverable file grows, unless frames are further apart."""

LONGEST_STEP_TICKS = 2**31 - 30_000
"""Maximum time between two frames, one second less than MP4's limit of 19.9 hours.
In longer gaps, the last frame is repeated."""


def check_video_name(path: Path) -> str:
    """Return the container format for a file name.

    Raises:
        DataError: the suffix names no format that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        received = f"a name that ends in {suffix}" if suffix else "a name without a suffix"
        raise DataError(f"cannot write the video {path}: {received}; use one that ends in {', '.join(FORMATS)}")
    return FORMATS[suffix]


def _fitted(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Scale an image to (H, W)."""
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


class VideoWriter:
    """Writer of videos with an individual time per frame; use it as a context manager.

    The file has a partial name until `close` (`PartialFile`). An exception inside the block deletes it.

    Args:
        path: path of the video, whose suffix selects the format, see `FORMATS`; its folder is created.
        fps: nominal frame rate, for players and for frames without a time.
        quality: x264's constant rate factor, 0 (best) to 51; for WebM, the equivalent of VP9.
        is_recoverable: for live recordings: the file grows in parts of half a second (fragments, or clusters of .mkv
            and .webm) without delay of the encoder, so that it can be played after the process was killed.

    Raises:
        DataError: the file cannot be written, or its suffix names no format.
    """

    def __init__(self, path: str | Path, *, fps: float = 30.0, quality: int = 23, is_recoverable: bool = False) -> None:
        self.path = Path(path)
        self.num_frames = 0
        self._fps = fps
        self._quality = quality
        self._is_recoverable = is_recoverable
        self._last_ticks = -1
        self._first_seconds: float | None = None
        self._stream: VideoStream | None = None
        self._last_frame: av.VideoFrame | None = None
        self._format = check_video_name(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = PartialFile(self.path)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._container = av.open(self._file, "w", format=self._format, options=self._container_options())

    def write(self, image: ImageArray, *, seconds: float | None = None) -> None:
        """Append a frame.

        Args:
            image: (H, W, 3); an image of a different size is scaled to the size of the first one.
            seconds: capture time in seconds on any clock; None: one frame period after the last frame.

        Raises:
            DataError: the file cannot be written.
        """
        if self._stream is None:
            self._stream = self._open_stream(image.shape[0], image.shape[1])
        size = (self._stream.height, self._stream.width)
        frame = av.VideoFrame.from_ndarray(yuv420(_fitted(image, size)), format="yuv420p")
        last_ticks = self._last_ticks
        ticks = self._ticks(seconds)
        while self._last_frame is not None and ticks - last_ticks > LONGEST_STEP_TICKS:
            last_ticks += LONGEST_STEP_TICKS
            self._encode(self._stream, self._last_frame, last_ticks)
        self._encode(self._stream, frame, ticks)
        self._last_frame = frame
        self.num_frames += 1

    def close(self) -> None:
        """Complete the file and move it to its path; without any frame, no file is created.

        Raises:
            DataError: the file cannot be written. What was written before is kept, see `salvage`.
        """
        if not self.num_frames:
            self.discard()
            return
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            self._file.commit()
        except OSError as error:
            self.salvage()
            raise self._cannot_write(error) from error

    def salvage(self) -> bool:
        """After an error, keep the parts of a recoverable file that are complete, under its path.

        Returns:
            False if there are none, or if the file is not recoverable; no file is left then. Also if the file cannot
            be moved to its path; it keeps its partial name then.
        """
        try:
            if not self._file.closed:
                if not self._is_recoverable or not self._file.has_grown:
                    self.discard()
                    return False
                self._abandon()
            self._file.commit()
        except OSError:  # the disk is gone; the first error is the one to report
            return False
        return True

    def discard(self) -> None:
        """Close and delete the file. Idempotent."""
        if not self._file.closed:
            self._abandon()
        self._file.discard()

    def _abandon(self) -> None:
        """Close the container without completing the file."""
        self._file.freeze()
        with contextlib.suppress(av.error.FFmpegError):  # the muxer repeats the error of a failed write
            self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _encode(self, stream: VideoStream, frame: av.VideoFrame, ticks: int) -> None:
        frame.pts, frame.time_base = ticks, TIME_BASE
        try:
            self._container.mux(stream.encode(frame))
            self._file.mark()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot write the video {self.path}: {reason_of(error)}")

    def _container_options(self) -> dict[str, str]:
        if not self._is_recoverable:
            return {}
        options = {"flush_packets": "1"}
        if self._format in ("mp4", "mov"):
            # Fragments while the file grows; complete, it becomes an ordinary file.
            return {**options, "movflags": "+hybrid_fragmented", "frag_duration": str(FRAGMENT_MS * 1000)}
        return {**options, "cluster_time_limit": str(FRAGMENT_MS)}

    def _open_stream(self, height: int, width: int) -> VideoStream:
        codec = "libvpx-vp9" if self._format == "webm" else "libx264"
        stream = self._container.add_stream(codec, rate=Fraction(self._fps).limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        # 4:2:0 halves the chroma resolution in both directions: sizes must be even.
        stream.width, stream.height = max(width // 2 * 2, 2), max(height // 2 * 2, 2)
        stream.pix_fmt = "yuv420p"
        # Declared, because players guess the matrix of large images to be another one.
        stream.codec_context.colorspace, stream.codec_context.color_range = MATRIX, ColorRange.MPEG
        stream.time_base = TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        if self._format == "webm":
            # Constant quality without a limit of the bit rate, as fast as libvpx can.
            stream.bit_rate = 0
            crf = round(self._quality * VP9_WORST / X264_WORST)
            stream.options = {"crf": str(crf), "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
            if self._is_recoverable:
                stream.options |= {"lag-in-frames": "0"}
            return stream
        # B-frames are delayed by frames, and MP4 limits this delay to 2**28 ticks: less than the gaps of a recording.
        stream.options = {"crf": str(self._quality), "preset": "veryfast", "bf": "0"}
        if self._is_recoverable:
            # Otherwise the encoder holds back a dozen frames, which would be lost.
            stream.options |= {"tune": "zerolatency"}
        return stream

    def _ticks(self, seconds: float | None) -> int:
        """Return a time in ticks that increases strictly, whatever the clock of the source does."""
        if seconds is None:
            ticks = self._last_ticks + round(1 / self._fps / TIME_BASE) if self._last_ticks >= 0 else 0
        else:
            if self._first_seconds is None:
                self._first_seconds = seconds
            ticks = round((seconds - self._first_seconds) / TIME_BASE)
        self._last_ticks = max(ticks, self._last_ticks + 1)
        return self._last_ticks
