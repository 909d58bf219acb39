"""Sink that records a run as MCAP with ROS 2 messages, for Foxglove and rosbag2."""

from __future__ import annotations

from pathlib import Path

from streamseg.errors import DataError, reason_of
from streamseg.pipeline import FrameResult
from streamseg.publish.jpeg import EncodeImage
from streamseg.resources import claim_output
from streamseg.ros.mcap_writer import McapWriter, check_mcap_name, require_mcap
from streamseg.runtime.sink_slot import SinkPolicy

__all__ = ["McapFile"]


class McapFile:
    """Writes images, masks, detections and prompts of all sources to an MCAP file; see `ros.topics`.

    The file is opened with the first frame. After an error, the next frame begins another file, `out-2.mcap`; so does a
    file that reaches its maximum size, and then only the two newest files of the run are kept.

    Args:
        path: file to replace, ending in .mcap; its folder is created.
        max_bytes: size after which another file begins; None: no limit.
        encode_image: returns an image as JPEG.

    Raises:
        DataError: the file cannot be written, has another suffix, or another run writes it.
        ConfigError: a library is not installed.
    """

    policy = SinkPolicy("mcap")

    def __init__(self, path: str | Path, *, encode_image: EncodeImage, max_bytes: int | None = None) -> None:
        self._path = Path(path)
        check_mcap_name(self._path)
        require_mcap()
        self._max_bytes = max_bytes
        self._encode_image = encode_image
        self._writer: McapWriter | None = None
        self._paths: list[Path] = []
        self._num_files = 0
        self._lock = claim_output(self._path, "MCAP")

    @property
    def paths(self) -> list[Path]:
        """The files of the run that exist, oldest first."""
        return list(self._paths)

    def write(self, result: FrameResult) -> None:
        """Append one frame; raise DataError if the file cannot be written."""
        jpeg = self._encode_image(result.frame.image)
        try:
            if self._writer is None:
                self._writer = self._open()
            self._writer.write(result.message, jpeg)
            if self._max_bytes is not None and self._writer.num_bytes >= self._max_bytes:
                self._writer.close()
                self._writer = None
                self._prune()
        except OSError as error:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._abandon(writer, error)
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Write the index and close the file. Idempotent.

        Raises:
            DataError: the index cannot be written; the messages remain readable.
        """
        try:
            if self._writer is not None:
                writer, self._writer = self._writer, None
                writer.close()
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            self._lock.close()

    def _open(self) -> McapWriter:
        path = self._path
        if self._num_files:
            path = path.with_name(f"{path.stem}-{self._num_files + 1}{path.suffix}")
        writer = McapWriter(path)
        self._num_files += 1
        self._paths.append(path)
        return writer

    def _abandon(self, writer: McapWriter, error: OSError) -> None:
        """Abandon a file because of an error, and delete it if it contains no frame.

        Raises:
            DataError: its incomplete end cannot be removed; with both errors.
        """
        try:
            writer.abandon()
            # A disk that stays full would else get an empty file with each attempt, and `_prune` would keep these.
            if self._paths[-1].is_file() and not self._paths[-1].stat().st_size:
                self._paths.pop().unlink()
                self._num_files -= 1
        except OSError as second:
            problem = f"and its incomplete end cannot be removed: {reason_of(second)}"
            raise DataError(f"{self._cannot_write(error)}, {problem}") from error

    def _prune(self) -> None:
        """Delete all files but the two newest; raises OSError. The next file is then the second one."""
        while len(self._paths) > 1:
            self._paths.pop(0).unlink(missing_ok=True)

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot write MCAP to {self._path}: {reason_of(error)}")
