"""Sinks for results: the publisher and the message file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from streamseg.errors import DataError, reason_of
from streamseg.pipeline import FrameResult
from streamseg.publish import Publisher
from streamseg.resources import claim_output
from streamseg.rle import crop_to_coco
from streamseg.runtime.line_file import LineFile
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.message import Message
from streamseg.structures.source_status import SourceStatus
from streamseg.telemetry import Drops
from streamseg.wire.header import write_header

__all__ = ["MessageFile", "PublishSink", "message_line"]

FILE_WAIT_SECONDS = 5.0
"""Maximum wait for the publisher. Encoding a message takes milliseconds; after this long something is wrong, and
dropping the message is better than waiting."""


class PublishSink:
    """Publishes every message, and the image if a subscriber wants it.

    It needs no thread of the run: the publisher has its own, and a slot per source.

    Args:
        publisher: closed with the sink.
    """

    policy = SinkPolicy("publish", has_thread=False)

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._every_frame_of: frozenset[str] = frozenset()
        """Ids of file sources; replaced as a whole, because another thread reads it."""

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Let the frames of a file wait for the publisher; those of live sources replace each other there."""
        self._every_frame_of = self._every_frame_of - {source_id} if is_live else self._every_frame_of | {source_id}

    def remove_source(self, source_id: str) -> None:
        """Forget a source."""
        self._every_frame_of -= {source_id}
        self._publisher.ages.forget(source_id)

    def report_sources(self, statuses: Callable[[], Mapping[str, SourceStatus]]) -> None:
        """Publish the states of sources too, see `Publisher.report_sources`."""
        self._publisher.report_sources(statuses)

    def write(self, result: FrameResult) -> None:
        """Publish one frame."""
        frame = result.frame
        image = frame.image if self._publisher.wants_image(frame.source_id) else None
        wait_seconds = FILE_WAIT_SECONDS if frame.source_id in self._every_frame_of else 0.0
        self._publisher.publish(result.message, image, wait_seconds=wait_seconds)

    def drops(self, source_id: str) -> Drops:
        """Return the frames of one source that the publisher dropped."""
        return self._publisher.drops(source_id)

    def close(self) -> None:
        """Close the sockets after published messages were sent."""
        self._publisher.close()


def message_line(message: Message) -> str:
    """Return a message as a line of JSON: the header of the wire format, with each object's mask as COCO RLE.

    An object's `segmentation` is {"size": [H, W], "counts": "…"}, in the mask space.
    """
    values = json.loads(write_header(message, ()))
    del values["buffers"], values["epoch"], values["seq"]
    for written, found in zip(values["objects"], message.objects, strict=True):
        written["segmentation"] = crop_to_coco(found.mask, message.mask_size)
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"


class MessageFile:
    """Writes one line of JSON per frame: the header of the wire format, with each object's mask as COCO RLE.

    Each line is a `message_line` and written at once, so that the file can be read while it grows. The file
    is opened with the first frame: a run that fails to start does not overwrite the file of an earlier run.
    After an error, the file continues with the next whole line; a pipe is opened again.

    Args:
        path: file to replace, or a named pipe; its folder is created.

    Raises:
        DataError: the file cannot be written, or another run writes it.
    """

    policy = SinkPolicy("messages")

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: LineFile | None = None
        self._lock = claim_output(self._path, "the messages")

    def write(self, result: FrameResult) -> None:
        """Append one line."""
        line = message_line(result.message).encode()
        try:
            if self._file is None:
                self._file = LineFile(self._path)
            self._file.write(line)
        except OSError as error:
            if self._file is not None and not self._file.is_seekable:
                self._file.close()
                self._file = None
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot write the messages to {self._path}: {reason_of(error)}")
