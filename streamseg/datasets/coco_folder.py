"""Training samples from COCO-format folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamseg.datasets.check import none_usable, usable_entries
from streamseg.datasets.coco import read_images
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.problems import Problems
from streamseg.datasets.samples import CACHE_PX, MAX_SIDE_PX, Sample, SampleCache, read_sample
from streamseg.errors import DataError

__all__ = ["CocoFolder"]


class CocoFolder:
    """`<path>/instances.json` and `<path>/images/`, as in COCO.

    Args:
        path: the folder.
        source: use only images whose entry has this `source`; None uses all. Allows one folder to be sampled unevenly.
        background_weight: see `Sample`; 1 for exhaustively labelled data sets.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.
        problems: check all images and annotations now, skip the unusable ones, and collect them here. None refuses an
            invalid entry of the JSON now, and an unusable image or mask when it is read.
        on_image: called with the number of checked images and their total.

    Raises:
        DataError: the folder or its JSON is missing or broken, or contains no image, or no usable one.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str | None = None,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._max_side = max_side
        self._entries = _from_source(read_images(path, problems), source, path)
        if problems is not None:
            self._entries = usable_entries(self._entries, problems, on_image=on_image)
            if not self._entries:
                raise none_usable(path, problems)
        self._cache = SampleCache(cache_px)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, index: int) -> LabelledImage:
        """Return entry `index`, 0 <= index < len."""
        return self._entries[index]

    def sample(self, index: int) -> Sample:
        """Read image `index` (0 <= index < len) with its objects.

        Raises:
            DataError: the image is missing or unreadable, or an annotation contradicts it.
        """
        return self._cache.get(index, self._read)

    def _read(self, index: int) -> Sample:
        return read_sample(self._entries[index], max_side=self._max_side, background_weight=self.background_weight)


def _from_source(entries: list[LabelledImage], source: str | None, path: Path) -> list[LabelledImage]:
    if source is None:
        return entries
    chosen = [entry for entry in entries if entry.source == source]
    if not chosen:
        known = sorted({str(entry.source) for entry in entries})
        raise DataError(f"{path} has no image with source {source!r}; available sources: {', '.join(known)}")
    return chosen
