"""The folder of a collected data set: images, the journal, and the `instances.json` that is made of it.

<folder>/images/00000017.jpg   complete files only
<folder>/journal.jsonl         see `collected_journal`; an image's line is appended after the image was written
<folder>/instances.json        COCO, written when the folder is opened and closed
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Final

from streamseg import __version__
from streamseg.collecting import Record, instances_json
from streamseg.errors import DataError, reason_of
from streamseg.resources import Resource, claim_output
from streamseg.runtime.collected_journal import CollectedJournal, image_name

__all__ = ["CollectedFolder"]

JOURNAL: Final = "journal.jsonl"
INSTANCES: Final = "instances.json"
MAX_DEAD_LINES: Final = 1000
"""Lines of deleted images in the journal above which it is rewritten."""


class CollectedFolder(Resource):
    """Adds images to a folder, whose size is limited. A folder has one writer at a time.

    Args:
        folder: the folder; created, or continued if an earlier run collected into it.
        keep_bytes: total size of images and journal lines above which the oldest images are deleted; None: no limit.
        max_images: number of images above which the oldest are deleted; None: no limit.

    Raises:
        DataError: the folder cannot be written, is written by another run, holds another data set, was changed by
            another program, or its journal is damaged.
    """

    def __init__(self, folder: Path, *, keep_bytes: int | None = None, max_images: int | None = None) -> None:
        self.folder = folder
        self._keep_bytes = keep_bytes
        self._max_images = max_images
        self._is_closed = False
        with contextlib.ExitStack() as unowned:
            lock = unowned.enter_context(claim_output(folder / JOURNAL, "collected images"))
            try:
                self._images.mkdir(exist_ok=True)
                self._journal = unowned.enter_context(CollectedJournal(folder / JOURNAL))
                self._refuse_foreign()
                self._put_in_order()
            except OSError as error:
                raise self._cannot_write(error) from error
            unowned.pop_all()
        self._lock = lock

    def __len__(self) -> int:
        return len(self._journal.kept)

    @property
    def num_bytes(self) -> int:
        """Total size of the images and their lines."""
        return sum(one.num_bytes for one in self._journal.kept.values())

    def add(self, record: Record, jpeg: bytes) -> None:
        """Add an image, then delete the oldest ones if there are too many.

        Args:
            record: the image and its annotations.
            jpeg: the image as JPEG.

        Raises:
            DataError: the disk is full, or a file cannot be written; the image is not part of the data set then.
        """
        path = self._images / image_name(self._journal.next_image_id)
        try:
            _write_durably(path, jpeg)
            try:
                self._journal.add(record, len(jpeg))
            except OSError:
                path.unlink(missing_ok=True)
                raise
            self._limit()
        except OSError as error:
            raise self._cannot_write(error) from error

    def write_instances(self) -> None:
        """Write `instances.json` from the journal, atomically; raise DataError on failure."""
        partial = self.folder / f"{INSTANCES}.partial"
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as file:
                for part in instances_json(self._journal.records(), __version__):
                    file.write(part.encode())
                    digest.update(part.encode())
                file.flush()
                os.fsync(file.fileno())
            # The journal first: were the process killed between the two, the file would be taken for a changed one.
            self._journal.note_digest(digest.hexdigest())
            partial.replace(self.folder / INSTANCES)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first error says more
                partial.unlink(missing_ok=True)
            raise self._cannot_write(error) from error

    def reasons(self) -> Counter[str]:
        """Return the number of annotations and of prompts without a mask, by reason; raises DataError."""
        try:
            return Counter(
                str(one["reason"])
                for image, annotations in self._journal.records()
                for one in [*annotations, *image.get("unmatched_prompts", [])]
            )
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Write `instances.json` and release the folder. Idempotent; raises DataError."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.write_instances()
        finally:
            self._journal.close()
            self._lock.close()

    @property
    def _images(self) -> Path:
        return self.folder / "images"

    def _put_in_order(self) -> None:
        """Complete what a crash has interrupted, and apply the limits; raises OSError or DataError."""
        known = {image_name(number) for number in self._journal.kept}
        for path in self._images.glob("[0-9]" * 8 + ".jpg*"):
            if path.name not in known:
                path.unlink()  # incomplete, written without its line, or deleted without its file
        if self._journal.num_dead:
            self._journal.rewrite()
        self._limit()
        if self._journal.kept:
            self.write_instances()

    def _refuse_foreign(self) -> None:
        """Raise DataError if `instances.json` is not one of the last that was made of this journal."""
        path = self.folder / INSTANCES
        if not path.exists():
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest not in self._journal.digests:
            problem = "was changed by another program" if self._journal.digests else "is of another data set"
            raise DataError(f"{path} {problem}; collect into another folder")

    def _limit(self) -> None:
        """Delete the oldest images, those without a click first, until the folder is within its limits."""
        kept = self._journal.kept
        num_bytes, num_images, deleted = self.num_bytes, len(kept), list[int]()
        for number in sorted(kept, key=lambda number: (kept[number].is_click, number)):
            is_small = self._keep_bytes is None or num_bytes <= self._keep_bytes
            if is_small and (self._max_images is None or num_images - len(deleted) <= self._max_images):
                break
            deleted.append(number)
            num_bytes -= kept[number].num_bytes
        if not deleted:
            return
        # The line first: an image without a line is removed when the folder is opened, a line without one is a fault.
        self._journal.delete(deleted)
        for number in deleted:
            (self._images / image_name(number)).unlink(missing_ok=True)
        if self._journal.num_dead > MAX_DEAD_LINES:
            self._journal.rewrite()

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(f"cannot collect images in {self.folder}: {reason_of(error)}")


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
