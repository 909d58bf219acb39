"""Recordings of a run: per source a folder with segments of video and messages (`capture.recording_folder`)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from streamseg.capture.recording_folder import RecordingIndex, find_segments, time_name
from streamseg.drawing.video import VideoWriter
from streamseg.errors import DataError, reason_of
from streamseg.pipeline import FrameResult
from streamseg.pipeline.stream import SourceTime
from streamseg.runtime.line_file import LineFile
from streamseg.runtime.recording_limit import prune
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.runtime.sinks import message_line
from streamseg.structures.arrays import ImageArray

__all__ = ["Recorder", "SourceRecorder"]

QUALITY: Final = 20
"""x264's constant rate factor: a replay must find the same objects."""


class Recorder:
    """Sinks that record the images and messages of a run, one per source.

    Each run has a folder of its own, so that several runs can share one output folder.

    Args:
        folder: folder of all recordings; created.
        segment_seconds: length of a segment.
        keep_bytes: total size of the folder above which the oldest segments are deleted; None: no limit.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, *, segment_seconds: float, keep_bytes: int | None = None) -> None:
        self.folder = Path(folder)
        self.segment_seconds = segment_seconds
        self._keep_bytes = keep_bytes
        self._lock = threading.Lock()
        self._run_folder: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_record(self.folder, error) from error
        if not os.access(self.folder, os.W_OK):
            raise DataError(f"cannot record to {folder}: no permission")

    def open_sink(self, source_id: str) -> SourceRecorder:
        """Return the sink of one source."""
        return SourceRecorder(self, source_id)

    def run_folder(self) -> Path:
        """Return the folder of this run, created with its first frame; raises OSError. Thread-safe."""
        with self._lock:
            name, number = time_name(time.time_ns()), 1
            while self._run_folder is None:
                folder = self.folder / (name if number == 1 else f"{name}-{number}")
                try:
                    folder.mkdir()
                    self._run_folder = folder
                except FileExistsError:  # of another run that started in the same second
                    number += 1
            return self._run_folder

    def limit(self) -> None:
        """Delete the oldest segments of the folder if it is too large; raises OSError."""
        if self._keep_bytes is not None:
            with self._lock:
                prune(self.folder, self._keep_bytes, now_seconds=time.time())

    def close(self) -> None:
        """Nothing is held: the sinks close their files."""


class SourceRecorder:
    """Recording of one source. A segment ends after its length, when the image size changes, and after an error.

    Args:
        recorder: the run's recorder.
        source_id: id of the source.
    """

    def __init__(self, recorder: Recorder, source_id: str) -> None:
        self.policy = SinkPolicy(f"recording {source_id}")
        self._recorder = recorder
        self._source_id = source_id
        self._time = SourceTime()
        self._number = 0
        self._size: tuple[int, int] | None = None
        self._started_seconds = 0.0
        self._video: VideoWriter | None = None
        self._lines: LineFile | None = None

    def write(self, result: FrameResult) -> None:
        """Record one frame."""
        frame = result.frame
        seconds = self._time.at(frame)
        is_over = seconds - self._started_seconds >= self._recorder.segment_seconds
        try:
            if self._video is not None and (is_over or frame.size != self._size):
                self._end_segment()
            if self._video is None or self._lines is None:
                self._video, self._lines = self._open_segment(result)
                self._size, self._started_seconds = frame.size, seconds
            # The line first: an image without a line could not be replayed.
            self._lines.write(message_line(result.message).encode())
            self._video.write(_even(frame.image), seconds=seconds)
        except (OSError, DataError) as error:
            self._salvage()
            raise error if isinstance(error, DataError) else _cannot_record(self._recorder.folder, error) from error

    def close(self) -> None:
        """Finish the last segment. Idempotent."""
        try:
            self._end_segment()
        except (OSError, DataError) as error:
            self._salvage()
            raise error if isinstance(error, DataError) else _cannot_record(self._recorder.folder, error) from error

    def _open_segment(self, result: FrameResult) -> tuple[VideoWriter, LineFile]:
        """Open the files of the next segment; raises OSError or DataError."""
        folder = self._recorder.run_folder() / self._source_id
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            RecordingIndex(self._source_id, result.message.frame_id).write(folder)
        self._recorder.limit()
        if not self._number:  # of a source that was removed and added again, there are segments
            self._number = max((segment.number for segment in find_segments(folder)), default=0)
        self._number += 1
        name = f"{self._number:06d}-{time_name(result.frame.captured_ns)}"
        lines = LineFile(folder / f"{name}.jsonl")
        try:
            return VideoWriter(folder / f"{name}.mp4", quality=QUALITY, is_recoverable=True), lines
        except DataError:
            lines.close()
            lines.path.unlink()
            raise

    def _end_segment(self) -> None:
        """Complete the segment, if one is open; raises OSError or DataError."""
        if self._lines is not None:
            self._lines.close()
        if self._video is not None:
            self._video.close()
        self._video = self._lines = None

    def _salvage(self) -> None:
        """After an error, keep what was completely written; the next frame begins a new segment."""
        video, lines, self._video, self._lines = self._video, self._lines, None, None
        if lines is None:
            return
        lines.close()
        is_kept = video is not None and video.salvage()
        # A disk that is full for days is tried again and again: attempts leave nothing.
        with contextlib.suppress(OSError):  # the first error is the one to report
            if not is_kept and not any(lines.path.parent.glob(f"{lines.path.stem}*.mp4")):
                lines.path.unlink()


def _even(image: ImageArray) -> ImageArray:
    """Return the image with its last row or column repeated, if needed for the even size that H.264 requires."""
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _cannot_record(folder: Path, error: OSError) -> DataError:
    return DataError(f"cannot record to {folder}: {reason_of(error)}")
