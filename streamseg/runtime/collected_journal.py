"""The journal of a collected data set: one line of JSON per image, appended, so that a crash loses nothing before it.

{"image": …, "annotations": […], "is_click": …, "num_bytes": …}   an image that is complete on the disk, in bytes
{"deleted": [ids]}                                                images that are about to be deleted
{"next": [image id, annotation id]}                               the lowest ids that have never been used
{"instances": "sha256"}                                           an `instances.json` that is about to be written
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamseg.collecting import Record
from streamseg.errors import DataError
from streamseg.resources import Resource
from streamseg.runtime.line_file import LineFile

__all__ = ["CollectedJournal", "Kept", "image_name"]

logger = logging.getLogger(__name__)

NUM_DIGESTS = 2
"""The last digests that are known: were the process killed before the last file was in place, the one before counts."""


@dataclass(frozen=True)
class Kept:
    """What must be known about an image to delete it."""

    num_bytes: int
    """Size of the image and its line."""
    is_click: bool
    """See `Record`."""


def image_name(image_id: int) -> str:
    """Return the file name of an image."""
    return f"{image_id:08d}.jpg"


class CollectedJournal(Resource):
    """Reads a journal, or begins one, and appends to it. The caller has claimed it.

    Args:
        path: the file; its folder exists.

    Raises:
        OSError: it cannot be read or written.
        DataError: a line is damaged, except for the last one, which a killed process may leave incomplete.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kept: dict[int, Kept] = {}
        """The images by id, ascending."""
        self.digests: list[str] = []
        """SHA-256 of the last `instances.json`, at most `NUM_DIGESTS`."""
        self.num_dead = 0
        """Number of lines of deleted images."""
        self._next_image = self._next_annotation = 1
        if path.exists():
            self._read()
        self._file = LineFile(path, appends=True)

    @property
    def next_image_id(self) -> int:
        """Id of the next image."""
        return self._next_image

    def add(self, record: Record, num_bytes: int) -> None:
        """Append an image of so many bytes; raises OSError, after which nothing has changed."""
        number = self._next_image
        ids = range(self._next_annotation, self._next_annotation + len(record.annotations))
        line = {
            "image": {"id": number, "file_name": image_name(number), **record.image},
            "annotations": [
                {"id": own_id, "image_id": number, **one} for own_id, one in zip(ids, record.annotations, strict=True)
            ],
            "is_click": record.is_click,
            "num_bytes": num_bytes,
        }
        length = self._append(line)
        self.kept[number] = Kept(num_bytes + length, record.is_click)
        self._next_image, self._next_annotation = number + 1, ids.stop

    def delete(self, image_ids: Sequence[int]) -> None:
        """Append that these images are deleted; raises OSError."""
        self._append({"deleted": list(image_ids)})
        for number in image_ids:
            del self.kept[number]
        self.num_dead += len(image_ids)

    def note_digest(self, digest: str) -> None:
        """Append the SHA-256 of the next `instances.json`, unless it is known; raises OSError."""
        if digest not in self.digests:
            self._append({"instances": digest})
            self.digests = [*self.digests, digest][-NUM_DIGESTS:]

    def records(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield the images that are not deleted, with their annotations; raises OSError."""
        for _, values in self._image_lines():
            yield values["image"], values["annotations"]

    def rewrite(self) -> None:
        """Replace the file by one without the lines of deleted images, atomically; raises OSError."""
        heads: list[dict[str, Any]] = [{"next": [self._next_image, self._next_annotation]}]
        heads += [{"instances": digest} for digest in self.digests]
        partial = self._path.with_name(f"{self._path.name}.partial")
        with partial.open("wb") as file:
            file.writelines(_line(one) for one in heads)
            file.writelines(line for line, _ in self._image_lines())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        self._file.close()
        self._file = LineFile(self._path, appends=True)
        logger.info("%s: %d lines of deleted images were removed", self._path, self.num_dead)
        self.num_dead = 0

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _append(self, values: dict[str, Any]) -> int:
        line = _line(values)
        self._file.write(line)
        return len(line)

    def _image_lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        with self._path.open("rb") as file:
            for line in file:
                values = json.loads(line)
                if "image" in values and values["image"]["id"] in self.kept:
                    yield line, values

    def _read(self) -> None:
        """Read the file; a last line without an end is removed."""
        with self._path.open("r+b") as file:
            num_bytes = 0
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    file.truncate(num_bytes)
                    break
                num_bytes += len(line)
                try:
                    self._take(json.loads(line), len(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise DataError(
                        f"line {number} of {self._path} is damaged ({type(error).__name__}); remove it, or collect into"
                        " another folder"
                    ) from error

    def _take(self, values: dict[str, Any], length: int) -> None:
        """Take one line; raises KeyError, TypeError, ValueError or AttributeError if it is none of a journal."""
        if "image" in values:
            number = int(values["image"]["id"])
            self.kept[number] = Kept(int(values["num_bytes"]) + length, bool(values["is_click"]))
            self._next_image = max(self._next_image, number + 1)
            self._next_annotation = max([self._next_annotation, *(int(one["id"]) + 1 for one in values["annotations"])])
        elif "deleted" in values:
            for number in values["deleted"]:
                self.num_dead += self.kept.pop(int(number), None) is not None
        elif "next" in values:
            self._next_image, self._next_annotation = map(int, values["next"])
        else:
            self.digests = [*self.digests, str(values["instances"])][-NUM_DIGESTS:]


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
