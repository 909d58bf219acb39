"""Replay of a recording: its frames with their original ids, indices, capture times and pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from streamseg.capture.clock import NS_PER_SECOND
from streamseg.capture.folder_recording import FolderRecording
from streamseg.capture.mcap_recording import McapRecording
from streamseg.capture.pacing import Playback
from streamseg.capture.recorded_frame import RecordedFrame
from streamseg.config import MCAP_SUFFIX, RecordingSource
from streamseg.errors import SourceError
from streamseg.structures.frame import Frame
from streamseg.telemetry import DropCounter

__all__ = ["Replay"]


class Replay:
    """Source that delivers the frames of one recorded source: of a folder (`recording_folder`), or of an MCAP file.

    Indices, times and clocks are the original ones; a message about a replayed frame differs from the original one
    only in what the pipeline finds. Its age is the time since the frame was replayed. Frames that were not recorded are
    counted as drops.
    """

    def __init__(self, config: RecordingSource) -> None:
        """Check that there is something to replay.

        Raises:
            SourceError: the path is no recording, or an empty one.
        """
        path = Path(config.path)
        with_objects = config.instances == "recorded"
        self._recording: FolderRecording | McapRecording
        if path.suffix.lower() == MCAP_SUFFIX and not path.is_dir():
            self._recording = McapRecording(path, config.topic, config.id, with_objects=with_objects)
        elif config.topic is not None:
            raise SourceError(f"{path} is a folder, which has no topics; remove topic")
        else:
            self._recording = FolderRecording(path, config.id, with_objects=with_objects)
        self._path = path
        self.source_id = config.id
        self.frame_id = config.frame_id or self._recording.frame_id
        self.is_live = config.mode == "live"
        self.drops = DropCounter()
        self._delay_seconds = config.delay_seconds if self.is_live else 0.0
        self._stopped = threading.Event()
        self._playback = Playback(self._stopped) if self.is_live else None
        self._next_index: int | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield the recorded frames, in real time (mode live) or as fast as they are read.

        Raises:
            SourceError: no frame can be read.
        """
        self._stopped.wait(self._delay_seconds)
        num_frames = 0
        first_ns: int | None = None
        for recorded in self._recording.frames():
            if self._stopped.is_set():
                return
            num_frames += 1
            self._count_missing(recorded.frame_index)
            first_ns = recorded.captured_ns if first_ns is None else first_ns
            since_first = (recorded.captured_ns - first_ns) / NS_PER_SECOND
            if self._playback is not None and not self._playback.wait_until_due(since_first):
                self.drops.count("capture", "late")
                continue
            yield self._frame(recorded)
        if not num_frames:
            raise SourceError(f"{self._path}: no frame can be read")

    def stop(self) -> None:
        """End `frames()`, immediately if it is waiting."""
        self._stopped.set()

    def _frame(self, recorded: RecordedFrame) -> Frame:
        return Frame(
            image=recorded.image(),
            source_id=self.source_id,
            index=recorded.frame_index,
            pts_seconds=recorded.pts_seconds,
            captured_ns=recorded.captured_ns,
            clock=recorded.clock,
            received_ns=time.monotonic_ns(),
            instances=None if recorded.instances is None else recorded.instances(),
        )

    def _count_missing(self, index: int) -> None:
        """Count the frames between the previous one and this one as drops."""
        if self._next_index is not None and index > self._next_index:
            self.drops.count("capture", "not_recorded", index - self._next_index)
        self._next_index = index + 1
