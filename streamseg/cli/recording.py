"""Videos of a run: the frames with the effect or, without one, with their objects drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamseg.drawing.video import VideoWriter, check_video_name
from streamseg.errors import DataError
from streamseg.pipeline import FrameResult
from streamseg.pipeline.stream import SourceTime
from streamseg.resources import claim_output
from streamseg.runtime import SinkPolicy

__all__ = ["OverlayVideo", "OverlayVideos"]


class OverlayVideos:
    """Sinks that draw the published objects on their frames, or the effect: one video per source.

    Args:
        path: the video file; its folder is created. Several sources get one file each: `out.mp4` becomes
            `out-<source_id>.mp4`.
        source_ids: ids of the sources with which the run starts.

    Raises:
        DataError: the file cannot be written, its suffix names no format, or another run writes it.
    """

    def __init__(self, path: str | Path, source_ids: Sequence[str]) -> None:
        self._path = Path(path)
        self._single_id = source_ids[0] if len(source_ids) == 1 else None
        self._videos: list[OverlayVideo] = []
        check_video_name(self._path)
        self._lock = claim_output(self._path, "the video")

    def open_sink(self, source_id: str) -> OverlayVideo:
        """Return the sink of one source."""
        path = self._path
        if source_id != self._single_id:
            path = path.with_name(f"{path.stem}-{source_id}{path.suffix}")
        self._videos.append(OverlayVideo(path, source_id))
        return self._videos[-1]

    @property
    def paths(self) -> list[Path]:
        """The finished files."""
        return [path for video in self._videos for path in video.paths]

    def close(self) -> None:
        """Release the path for other runs. Idempotent."""
        self._lock.close()


class OverlayVideo:
    """Video of one source. Each frame has its own time. A source that delivers no frame leaves no file.

    After an error, what was written is kept under the path, and the next frame begins another file: `out-2.mp4`.

    Args:
        path: the video file.
        source_id: id of the source, for the name of the sink.
    """

    def __init__(self, path: Path, source_id: str) -> None:
        self.policy = SinkPolicy(f"video {source_id}")
        self.paths: list[Path] = []
        """The finished files."""
        self._path = path
        self._time = SourceTime()
        self._writer: VideoWriter | None = None

    def write(self, result: FrameResult) -> None:
        """Append one frame."""
        if self._writer is None:
            self._writer = VideoWriter(self._next_path(), is_recoverable=True)
        try:
            self._writer.write(result.drawn_image(), seconds=self._time.at(result.frame))
        except DataError:
            writer, self._writer = self._writer, None
            if writer.salvage():
                self.paths.append(writer.path)
            raise

    def close(self) -> None:
        """Finish the file. Idempotent."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            self.paths.append(writer.path)

    def _next_path(self) -> Path:
        if not self.paths:
            return self._path
        return self._path.with_name(f"{self._path.stem}-{len(self.paths) + 1}{self._path.suffix}")
