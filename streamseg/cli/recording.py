"""Records a run: the pictures with their objects, as MP4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamseg.drawing import draw_message
from streamseg.drawing.video import VideoWriter
from streamseg.pipeline import FrameResult
from streamseg.pipeline.source_time import SourceTime

__all__ = ["VideoSink"]


class VideoSink:
    """Writes what is published onto the pictures, each at its own time.

    Args:
        path: the video; with several sources one for each, `out.mp4` becoming `out-<source_id>.mp4`.
        source_ids: of all sources.

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
        self._writers = {source_id: VideoWriter(place) for source_id, place in self.paths.items()}

    def write(self, result: FrameResult) -> None:
        """Append one frame to its source's video."""
        frame = result.frame
        self._writers[frame.source_id].write(
            draw_message(frame.image, result.message), seconds=self._times[frame.source_id].at(frame)
        )

    def close(self) -> None:
        """Finish the files; a source that gave no frame leaves none."""
        while self._writers:
            _, writer = self._writers.popitem()
            writer.close()
