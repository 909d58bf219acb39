"""Training samples from data sets whose entries fit into memory: all formats but SA-1B."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from streamseg.datasets.check import none_usable, usable_entries
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.problems import Problems
from streamseg.datasets.samples import Sample, SampleCache, read_sample

__all__ = ["ListedFolder"]


class ListedFolder:
    """The samples of a list of entries; implements `LabelledFolder`.

    Args:
        path: the data set, for error messages.
        entries: at least one.
        background_weight: see `Sample`.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.
        problems: check all entries now, skip the unusable ones, and collect them here; None checks nothing.
        on_image: called with the number of checked images and their total.

    Raises:
        DataError: no entry is usable.
    """

    def __init__(
        self,
        path: Path,
        entries: Sequence[LabelledImage],
        *,
        background_weight: float,
        max_side: int,
        cache_px: int,
        problems: Problems | None,
        on_image: Callable[[int, int], None],
    ) -> None:
        self.path = path
        self.background_weight = background_weight
        self._max_side = max_side
        self._entries = entries
        if problems is not None:
            self._entries = usable_entries(entries, problems, on_image=on_image)
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
