"""Record a run as video: the frames with their objects drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamseg.drawing import draw_message
from streamseg.drawing.video import VideoWriter
from streamseg.pipeline import FrameResult
from streamseg.pipeline.stream import SourceTime

__all__ = ["VideoSink"]


class VideoSink:
    """Sink that draws the published objects on their frames and writes each frame at its own time.

    Args:
        path: the video file. Several sources get one file each: `out.mp4` becomes `out-<source_id>.mp4`.
        source_ids: ids of all sources.

    Raises:
        DataError: the file cannot be written.
    """

    def __init__(self, path: str | Path, source_ids: Sequence[str]) -> None:
        path = Path(path)
        self.paths = {
            source_id: path if len(source_ids) == 1 else path.with_name(f"{path.stem}-{source_id}{path.suffix}")
            for source_id in source_ids
        }
        self._times = {source_id: SourceTime() for source_id in source_ids}
        self._writers = {source_id: VideoWriter(video) for source_id, video in self.paths.items()}

    def write(self, result: FrameResult) -> None:
        """Append one frame to its source's video."""
        frame = result.frame
        self._writers[frame.source_id].write(
            draw_message(frame.image, result.message), seconds=self._times[frame.source_id].at(frame)
        )

    def close(self) -> None:
        """Finish the files; a source that delivered no frame leaves no file. Idempotent."""
        while self._writers:
            _, writer = self._writers.popitem()
            writer.close()
