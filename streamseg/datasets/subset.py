"""Images of a data set that are held out of the training, so that quality can be measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from streamseg.datasets.entries import LabelledImage
from streamseg.errors import DataError

__all__ = ["ImageList", "Subset"]

Item = TypeVar("Item")

POSITION = 7
"""Position of the held-out image among each N. Any would do; weights of this project were trained with this one."""


@dataclass(frozen=True)
class Subset:
    """Each N-th image of a data set, which is held out, or all others.

    Images are counted in the order of the data set (COCO: ascending id), before a `source` is chosen, and before
    missing or damaged ones are skipped, so that training and evaluation agree.
    """

    every: int
    """N, at least 2."""
    is_held_out: bool
    """True for the held-out images, False for the others."""

    def select(self, items: Sequence[Item], path: Path) -> list[Item]:
        """Return the items that belong to the subset, in their order.

        Args:
            items: all items of a data set.
            path: the data set, for the error message.

        Raises:
            DataError: none of them belongs to it.
        """
        position = POSITION % self.every
        chosen = [item for index, item in enumerate(items) if (index % self.every == position) is self.is_held_out]
        if not chosen:
            kind = "held out" if self.is_held_out else "left for training"
            raise DataError(f"none of the {len(items)} images of {path} is {kind} with hold_out {self.every}")
        return chosen


@dataclass(frozen=True)
class ImageList:
    """Labelled images from any number of data sets, evaluated as one."""

    name: Path
    """Their origin, for messages."""
    entries: Sequence[LabelledImage]
    """At least one."""
