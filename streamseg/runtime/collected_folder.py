"""The folder of a collected data set: images, a journal that survives a crash, and `instances.json` made of it.

    <folder>/images/00000017.jpg   complete files only
    <folder>/journal.jsonl         one line per image, with its annotations, appended after the image was written
    <folder>/instances.json        COCO, written from the journal when the folder is opened and closed

Lines of the journal: {"image": …, "annotations": […], "is_click": …, "num_bytes": …}; {"deleted": [ids]};
{"next": [image id, annotation id]}, which ids are free; {"instances": "sha256"}, of an `instances.json` to be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamseg import __version__
from streamseg.collecting import Record, instances_json
from streamseg.errors import DataError
from streamseg.resources import Resource, claim_output
from streamseg.runtime.line_file import LineFile

__all__ = ["CollectedFolder"]

logger = logging.getLogger(__name__)

JOURNAL: Final = "journal.jsonl"
INSTANCES: Final = "instances.json"
MAX_DEAD_LINES: Final = 1000
"""Lines of deleted images in the journal above which it is rewritten while it is open."""


@dataclass(frozen=True)
class _Kept:
    """What must be known about an image to delete it."""

    file_name: str
    num_bytes: int
    """Size of the image and its line."""
    is_click: bool


class CollectedFolder(Resource):
    """Adds images to a folder, whose size is limited. A folder has one writer at a time.

    Args:
        folder: the folder; created, or continued if an earlier run collected into it.
        keep_bytes: total size of images and journal lines above which the oldest images are deleted.
        max_images: number of images above which the oldest are deleted.

    Raises:
        DataError: the folder cannot be written, is written by another run, holds another data set, was changed by
            another program, or its journal is damaged.
    """

    def __init__(self, folder: Path, *, keep_bytes: int, max_images: int) -> None:
        self.folder = folder
        self._keep_bytes = keep_bytes
        self._max_images = max_images
        self._kept: dict[int, _Kept] = {}
        self._digests: list[str] = []
        self._next_image = self._next_annotation = 1
        self._num_dead = 0
        self._file: LineFile | None = None
        self._lock = claim_output(folder / JOURNAL, "collected images")
        try:
            self._open()
        except OSError as error:
            self._lock.close()
            raise self._cannot_write(error) from error
        except DataError:
            self._lock.close()
            raise

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """Total size of the images and their lines."""
        return sum(one.num_bytes for one in self._kept.values())

    def add(self, record: Record, jpeg: bytes) -> None:
        """Add an image, then delete the oldest ones if there are too many.

        Args:
            record: the image and its annotations.
            jpeg: the image as JPEG.

        Raises:
            DataError: the disk is full, or a file cannot be written; the folder is as it was before.
        """
        number = self._next_image
        name = f"{number:08d}.jpg"
        image = {"id": number, "file_name": name, **record.image}
        ids = range(self._next_annotation, self._next_annotation + len(record.annotations))
        annotations = [
            {"id": own_id, "image_id": number, **one} for own_id, one in zip(ids, record.annotations, strict=True)
        ]
        line = {"image": image, "annotations": annotations, "is_click": record.is_click, "num_bytes": len(jpeg)}
        path = self._images / name
        try:
            _write_durably(path, jpeg)
            try:
                num_bytes = self._append(line)
            except OSError:
                path.unlink(missing_ok=True)
                raise
            self._next_image, self._next_annotation = number + 1, ids.stop
            self._kept[number] = _Kept(name, len(jpeg) + num_bytes, record.is_click)
            self._limit()
        except OSError as error:
            raise self._cannot_write(error) from error

    def write_instances(self) -> None:
        """Write `instances.json` from the journal, atomically; raise DataError on failure."""
        partial = self.folder / f"{INSTANCES}.partial"
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as file:
                for part in instances_json(self._records(), __version__):
                    file.write(part.encode())
                    digest.update(part.encode())
                file.flush()
                os.fsync(file.fileno())
            # The journal first: were the process killed between the two, the file would be taken for a changed one.
            if digest.hexdigest() not in self._digests:
                self._append({"instances": digest.hexdigest()})
                self._digests = [*self._digests, digest.hexdigest()][-2:]
            partial.replace(self.folder / INSTANCES)
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            with contextlib.suppress(OSError):  # the error that is on its way says more
                partial.unlink(missing_ok=True)

    def reasons(self) -> Counter[str]:
        """Return the number of annotations and unmatched prompts by reason; raises DataError."""
        try:
            return Counter(
                str(one["reason"])
                for image, annotations in self._records()
                for one in [*annotations, *image.get("unmatched_prompts", [])]
            )
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Write `instances.json` and release the folder. Idempotent; raises DataError."""
        if self._file is None:
            return
        try:
            self.write_instances()
        finally:
            self._file.close()
            self._file = None
            self._lock.close()

    @property
    def _images(self) -> Path:
        return self.folder / "images"

    @property
    def _journal(self) -> Path:
        return self.folder / JOURNAL

    def _open(self) -> None:
        """Read the journal, and put in order what a crash has left; raises OSError or DataError."""
        if self._journal.exists():
            self._read()
        self._refuse_foreign()
        self._images.mkdir(exist_ok=True)
        for path in self._images.glob("[0-9]" * 8 + ".jpg*"):
            if path.suffix == ".partial" or int(path.stem) not in self._kept:
                path.unlink()  # written without its line, or deleted without its file
        if self._num_dead:
            self._rewrite()
        self._file = LineFile(self._journal, appends=True)
        self._limit()
        if self._kept:
            self.write_instances()

    def _refuse_foreign(self) -> None:
        """Raise DataError if `instances.json` is not one of the last that was made of this journal."""
        path = self.folder / INSTANCES
        if not path.exists():
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest not in self._digests:
            problem = "was changed by another program" if self._digests else "is of another data set"
            raise DataError(f"{path} {problem}; collect into another folder")

    def _read(self) -> None:
        """Read the journal; a last line without an end, of a process that was killed, is removed."""
        with self._journal.open("r+b") as file:
            content_bytes = 0
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    file.truncate(content_bytes)
                    break
                content_bytes += len(line)
                try:
                    self._take(json.loads(line), len(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise DataError(
                        f"line {number} of {self._journal} is damaged ({type(error).__name__}); remove it, or collect"
                        " into another folder"
                    ) from error

    def _take(self, line: dict[str, Any], num_bytes: int) -> None:
        """Take one line of the journal; raises KeyError, TypeError or ValueError if it is none."""
        if "image" in line:
            number = int(line["image"]["id"])
            self._kept[number] = _Kept(f"{number:08d}.jpg", int(line["num_bytes"]) + num_bytes, bool(line["is_click"]))
            self._next_image = max(self._next_image, number + 1)
            self._next_annotation = max(self._next_annotation, *(int(one["id"]) + 1 for one in line["annotations"]), 1)
        elif "deleted" in line:
            for number in line["deleted"]:
                self._num_dead += self._kept.pop(int(number), None) is not None
        elif "next" in line:
            self._next_image, self._next_annotation = map(int, line["next"])
        else:
            self._digests = [*self._digests, str(line["instances"])][-2:]

    def _records(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield the images that are not deleted, with their annotations; raises OSError."""
        with self._journal.open("rb") as file:
            for line in file:
                values = json.loads(line)
                if "image" in values and values["image"]["id"] in self._kept:
                    yield values["image"], values["annotations"]

    def _append(self, values: dict[str, Any]) -> int:
        """Append a line to the journal and return its size; raises OSError."""
        assert self._file is not None
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        return len(line)

    def _limit(self) -> None:
        """Delete the oldest images, those without a click first, until the folder is within its limits."""
        num_bytes, deleted = self.num_bytes, list[int]()
        for number in sorted(self._kept, key=lambda number: (self._kept[number].is_click, number)):
            if num_bytes <= self._keep_bytes and len(self._kept) - len(deleted) <= self._max_images:
                break
            deleted.append(number)
            num_bytes -= self._kept[number].num_bytes
        if not deleted:
            return
        # The line first: an image without a line is removed when the folder is opened, a line without one is a fault.
        self._append({"deleted": deleted})
        for number in deleted:
            (self._images / self._kept.pop(number).file_name).unlink(missing_ok=True)
        self._num_dead += len(deleted)
        if self._num_dead > MAX_DEAD_LINES:
            self._rewrite()
            if self._file is not None:
                self._file.close()
            self._file = LineFile(self._journal, appends=True)

    def _rewrite(self) -> None:
        """Replace the journal by one without deleted images, atomically; raises OSError."""
        heads: list[dict[str, Any]] = [{"next": [self._next_image, self._next_annotation]}]
        heads += [{"instances": digest} for digest in self._digests]
        partial = self.folder / f"{JOURNAL}.partial"
        with partial.open("wb") as new, self._journal.open("rb") as old:
            new.writelines(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in heads)
            for line in old:
                values = json.loads(line)
                if "image" in values and values["image"]["id"] in self._kept:
                    new.write(line)
            new.flush()
            os.fsync(new.fileno())
        partial.replace(self._journal)
        logger.info("%s: %d lines of deleted images were removed", self._journal, self._num_dead)
        self._num_dead = 0

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot collect images in {self.folder}: {error.strerror or error}")


def _write_durably(path: Path, content: bytes) -> None:
    """Write a file that is either complete or absent, also after a power failure; raises OSError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
