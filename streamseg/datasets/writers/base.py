"""The interface of the writers, and what they share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from streamseg.errors import DataError
from streamseg.structures.mask import CropMask
from streamseg.structures.message import Message, MessageObject

__all__ = ["DESCRIPTION", "Categories", "DataSetWriter", "ResultImage", "image_ids", "image_objects", "unique_stems"]

DESCRIPTION = "Written by streamseg segment"
"""Start of the index file of each format, by which results of an earlier run are recognised."""

OBJECT = "object"
"""Category of objects without a label."""
MAX_ID_DIGITS = 15
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class ResultImage:
    """One image of the data set that is written."""

    id: int
    """Unique within the data set."""
    file_name: str
    """Path relative to the writer's folder of images; absolute if the image stays at its place."""
    stem: str
    """Unique name without folder and suffix, for the files beside it."""
    size: tuple[int, int]
    """(H, W)."""
    frame_index: int | None = None
    """Number of the frame; None if the image is not part of a video."""
    seconds: float | None = None
    """Time since the start of the video; None if unknown."""


class DataSetWriter(Protocol):
    """Writes images' objects in one format, into an empty folder."""

    @property
    def image_folder(self) -> str:
        """Folder of the images, relative to that of the data set."""
        ...

    @property
    def index(self) -> str:
        """Name of the file that is written last, and identifies the data set."""
        ...

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that the index of an earlier run starts with."""
        ...

    def label_file(self, stem: str) -> str | None:
        """Return the path of an image's own label file, relative to the data set; None if there is none."""
        ...

    def add(self, image: ResultImage, objects: Sequence[MessageObject]) -> None:
        """Add an image and its objects, whose masks are at the image's size.

        Raises:
            DataError: an object cannot be expressed in this format.
            OSError: a file cannot be written.
        """
        ...

    def finish(self) -> None:
        """Write the index; raise OSError on failure."""
        ...


class Categories:
    """Category names by position, in order of first use.

    Args:
        labels: names known in advance, such as the texts of text prompts.
        has_unlabelled: whether objects without a label are expected; they are called "object".
    """

    def __init__(self, labels: Sequence[str] = (), *, has_unlabelled: bool = True) -> None:
        self._positions: dict[str, int] = {}
        for name in ([OBJECT] if has_unlabelled or not labels else []) + list(labels):
            self._positions.setdefault(name, len(self._positions))

    def position(self, label: str | None) -> int:
        """Return the position of a label's category, from 0; None is the category of objects without a label."""
        return self._positions.setdefault(self.name(label), len(self._positions))

    def name(self, label: str | None) -> str:
        """Return the name of a label's category."""
        return label or OBJECT

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)


def image_objects(message: Message) -> list[MessageObject]:
    """Return the objects of a message with masks at the size of the image, tight, with their areas; empty ones, too."""
    if message.mask_size == message.image_size:
        return list(message.objects)
    found = []
    for one in message.objects:
        mask = CropMask.of(replace(one.mask, space=message.mask_space)())
        found.append(replace(one, mask=mask, area=mask.area))
    return found


def image_ids(paths: Sequence[Path]) -> list[int]:
    """Return a unique id for each image: the number that is its name, as in COCO, if all have one; else 1, 2, 3."""
    stems = [path.stem for path in paths]
    if all(stem.isascii() and stem.isdecimal() and len(stem) <= MAX_ID_DIGITS for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(paths) + 1))


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """Return a name for each image: its own, followed by a number if another image, in any case, has it already.

    Control characters, and bytes of file names that are not UTF-8, are replaced by underscores.
    """
    taken: set[str] = set()
    stems = []
    for path in paths:
        own = stem = UNWRITABLE.sub("_", path.stem)
        number = 0
        while stem.casefold() in taken:
            number += 1
            stem = f"{own}-{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def object_numbers(objects: Sequence[MessageObject], maximum: int) -> list[int]:
    """Return a number from 1 for each object: the track id, or one that no track has.

    Without any track id, as in single images, these are 1, 2 … in the order of the objects. Beside tracks, objects
    without a track id get the highest numbers, which change from frame to frame: `maximum`, `maximum` - 1 …

    Raises:
        DataError: there are more objects than numbers, or a track id is too high.
    """
    tracks = [one.track_id for one in objects if one.track_id >= 0]
    num_others = len(objects) - len(tracks)
    if max(tracks, default=0) + 1 + num_others > maximum:
        raise DataError(f"more than {maximum} objects or track ids, which this format cannot number; use another one")
    others = iter(range(maximum, 0, -1) if tracks else range(1, num_others + 1))
    return [one.track_id if one.track_id >= 0 else next(others) for one in objects]
