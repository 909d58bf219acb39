"""The size limit of a folder of recordings."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Final, NamedTuple

from streamseg.capture.recording_folder import INDEX_NAME, Segment, find_segments

__all__ = ["prune"]

logger = logging.getLogger(__name__)

GROWING_SECONDS: Final = 60.0
"""A segment that has changed within this time may belong to a run, of this or another process, and is kept."""


class _Stored(NamedTuple):
    changed_seconds: float
    num_bytes: int
    segment: Segment


def prune(folder: Path, keep_bytes: int, *, now_seconds: float) -> int:
    """Delete the oldest segments of all recordings until their total size is within a limit.

    Args:
        folder: folder of the runs' folders. Only files of recordings are counted and deleted.
        keep_bytes: maximum total size.
        now_seconds: wall clock, as for modification times of files.

    Returns:
        Number of deleted segments.

    Raises:
        OSError: a folder cannot be read, or a file cannot be deleted.
    """
    found = (_stored(segment) for index in folder.glob(f"*/*/{INDEX_NAME}") for segment in find_segments(index.parent))
    stored = sorted(found, key=lambda one: (one.changed_seconds, one.segment.number))
    num_bytes = sum(one.num_bytes for one in stored)
    num_deleted = 0
    for one in stored:
        if num_bytes <= keep_bytes or now_seconds - one.changed_seconds < GROWING_SECONDS:
            break
        # The lines first: without them, nobody looks for the video.
        one.segment.lines.unlink(missing_ok=True)
        one.segment.video.unlink(missing_ok=True)
        num_bytes -= one.num_bytes
        num_deleted += 1
        _remove_if_empty(one.segment.video.parent)
    if num_deleted:
        logger.info("%s: %d old segments were deleted, to keep %d bytes", folder, num_deleted, keep_bytes)
    return num_deleted


def _stored(segment: Segment) -> _Stored:
    """Return the size and age of a segment; 0 for files that another run has just deleted."""
    found = []
    for path in (segment.video, segment.lines):
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat())
    return _Stored(max((one.st_mtime for one in found), default=0.0), sum(one.st_size for one in found), segment)


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder of a recording without segments, and that of its run if it was the last one."""
    if find_segments(folder):
        return
    (folder / INDEX_NAME).unlink(missing_ok=True)
    for empty in (folder, folder.parent):
        if not any(empty.iterdir()):
            empty.rmdir()
