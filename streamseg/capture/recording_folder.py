"""Layout of a recording on disk, for its writer (`runtime.recorder`) and its reader (`capture.replay`).

    recordings/                              output.recording
      20261129T164012Z/                      one folder per run, in UTC
        cam0/                                one folder per source: a recording
          recording.json                     {"format": 1, "source": "cam0", "frame_id": ""}
          000001-20261129T164012Z.mp4        a segment: the images, without overlays, and
          000001-20261129T164012Z.jsonl      one line per frame: its message, with index, times and clock
          000002-20261129T164112Z.partial-4f3a9c21.mp4     the segment that grows, or that a killed process has left

The n-th line belongs to the n-th image. A segment may end with lines whose images were lost with the process.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from streamseg.config import RECORDING_INDEX_NAME, SOURCE_ID_PATTERN
from streamseg.errors import SourceError, reason_of

__all__ = ["INDEX_NAME", "RecordingIndex", "Segment", "find_segments", "time_name"]

INDEX_NAME: Final = RECORDING_INDEX_NAME
FORMAT: Final = 1
"""Version of the layout; another one is rejected."""
_SEGMENT = re.compile(r"(?P<stem>(?P<number>\d{6,})-\d{8}T\d{6}Z)(?P<partial>\.partial-[0-9a-f]+)?\.mp4")


def time_name(wall_ns: int) -> str:
    """Return a wall clock time (ns since the Unix epoch) as part of a name: 20261129T164012Z."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True)
class RecordingIndex:
    """Content of `recording.json`."""

    source_id: str
    frame_id: str = ""

    def write(self, folder: Path) -> None:
        """Write the file; raises OSError."""
        values = {"format": FORMAT, "source": self.source_id, "frame_id": self.frame_id}
        (folder / INDEX_NAME).write_text(json.dumps(values) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> RecordingIndex:
        """Read the file.

        Raises:
            SourceError: it is missing, damaged or of another version.
        """
        path = folder / INDEX_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SourceError(f"{folder} is not a recording: {INDEX_NAME}: {reason_of(error)}") from error
        except ValueError as error:
            raise SourceError(f"{path} is damaged: {error}") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise SourceError(f"{path} is no recording of format {FORMAT}; replay it with the version that wrote it")
        source_id, frame_id = values.get("source"), values.get("frame_id", "")
        if not isinstance(source_id, str) or not re.fullmatch(SOURCE_ID_PATTERN, source_id):
            raise SourceError(f'{path} is damaged: "source" is not the id of a source')
        if not isinstance(frame_id, str):
            raise SourceError(f'{path} is damaged: "frame_id" is not a text')
        return cls(source_id, frame_id)


@dataclass(frozen=True)
class Segment:
    """One segment of a recording: a video and its lines."""

    number: int
    """Number within the recording, from 1."""
    video: Path
    is_partial: bool
    """True if the video was never completed."""

    @property
    def lines(self) -> Path:
        """File with one line of JSON per image."""
        return self.video.with_name(f"{self.video.name.partition('.')[0]}.jsonl")


def find_segments(folder: Path) -> list[Segment]:
    """Return the segments of a recording in order; empty if there are none.

    Raises:
        SourceError: the folder cannot be read.
    """
    try:
        found = [(match, path) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {reason_of(error)}") from error
    segments = [Segment(int(match["number"]), path, match["partial"] is not None) for match, path in found]
    return sorted(segments, key=lambda segment: (segment.number, segment.video.name))
