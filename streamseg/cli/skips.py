"""Images of a folder or a pattern that `segment` and `run` skip: named at once, counted at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamseg.capture.images import UNREADABLE, ImageFiles
from streamseg.errors import DataError
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import Prompt
from streamseg.structures.prompt_location import check_prompts

__all__ = ["Skips", "num_skipped"]

if TYPE_CHECKING:
    from streamseg.runtime import RunStats

logger = logging.getLogger(__name__)


def num_skipped(stats: RunStats) -> int:
    """Return the number of images of folders and patterns that a run skipped."""
    return sum(source.drops.get("capture", {}).get(UNREADABLE, 0) for source in stats.sources)


class Skips:
    """Skipped images of a run: unreadable ones, and those that the prompts do not fit.

    Args:
        source: the images; None for a video.
    """

    def __init__(self, source: ImageFiles | None) -> None:
        self._source = source
        self.is_batch = source is not None and source.is_batch
        """True for a folder or a pattern, even with one image; a single file or video is not skipped but fails."""
        self.first: DataError | None = None
        """Error of the first image that the prompts do not fit."""
        self._num_unfit = 0

    @property
    def num_skipped(self) -> int:
        """Number of skipped images so far."""
        return self._num_unfit + (len(self._source.skipped) if self._source is not None else 0)

    def has_valid_prompts(self, frame: Frame, prompts: Sequence[Prompt]) -> bool:
        """Return whether the prompts fit an image; if not, it is named and counted.

        Raises:
            DataError: they do not fit, and the input is a single image or a video.
        """
        try:
            check_prompts(prompts, frame.size)
        except DataError as error:
            if self._source is None or not self.is_batch:
                raise
            self._num_unfit += 1
            self.first = self.first or error
            logger.warning("skipped: %s: %s", self._source.paths[frame.index], error)
            return False
        return True

    def summary(self) -> str:
        """Return the count as a part of a sentence; "" if nothing was skipped."""
        return f", {self.num_skipped} skipped" if self.num_skipped else ""
