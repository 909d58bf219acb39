"""`RunMask`: a mask as run lengths, whose pixels are decoded on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamseg.rle.runs import decode_runs, encode_columns, encode_runs
from streamseg.structures.arrays import MaskArray
from streamseg.structures.mask import CropMask, MaskSpace

__all__ = ["RunMask", "Runs", "mask_runs", "runs_of_columns"]


class Runs(NamedTuple):
    """A crop as run lengths, see `encode_runs`."""

    lengths: npt.NDArray[np.uint32]
    """uint32 (n,), column by column from the top left, starting with background."""
    size: tuple[int, int]
    """(h, w) of the crop."""
    area: int
    """Number of pixels inside."""


def runs_of_columns(pixels: npt.NDArray[Any], sizes: Sequence[tuple[int, int]]) -> list[Runs]:
    """Return the runs of crops of `sizes` (h, w), at least one pixel each.

    Args:
        pixels: the concatenated columns of all crops, see `encode_columns`.
        sizes: their sizes; may be empty.
    """
    if not sizes:
        return []
    lengths, offsets = encode_columns(pixels, np.array([height * width for height, width in sizes], dtype=np.intp))
    bounds = offsets.tolist()
    within = np.arange(len(lengths), dtype=np.uint32) - np.repeat(offsets[:-1], np.diff(offsets))
    areas = np.add.reduceat(lengths * (within & 1), bounds[:-1], dtype=np.int64).tolist()  # every other run
    return [
        Runs(lengths[first:last], size, area)
        for first, last, size, area in zip(bounds[:-1], bounds[1:], sizes, areas, strict=True)
    ]


class RunMask(CropMask):
    """A mask that was computed as run lengths; most of them are sent and never drawn."""

    _runs: Runs | None

    def __init__(self, crop: MaskArray | Runs, x: int, y: int, space: MaskSpace | None = None) -> None:
        """Keep run lengths, or the pixels that `dataclasses.replace` passes; the others are as in `CropMask`."""
        if isinstance(crop, Runs):
            self.__dict__.update(x=x, y=y, space=space, _runs=crop)
        else:
            self.__dict__.update(x=x, y=y, space=space, _runs=None, crop=crop)

    @cached_property
    def crop(self) -> MaskArray:
        """Mask inside the box, bool (h, w), in row-major memory order; decoded on first use."""
        if self._runs is None:  # then it has been set, and nobody gets here
            raise AttributeError("crop")
        return np.ascontiguousarray(decode_runs(self._runs.lengths, self._runs.size))

    @property
    def runs(self) -> Runs | None:
        """The run lengths; None if this mask was made of pixels."""
        return self._runs

    @property
    def crop_size(self) -> tuple[int, int]:
        """See `CropMask.crop_size`; does not decode the mask."""
        return super().crop_size if self._runs is None else self._runs.size

    @property
    def area(self) -> int:
        """See `CropMask.area`; does not decode the mask."""
        return super().area if self._runs is None else self._runs.area


def mask_runs(mask: CropMask) -> npt.NDArray[np.uint32]:
    """Return the run lengths of a mask's crop, see `encode_runs`."""
    runs = mask.runs if isinstance(mask, RunMask) else None
    return encode_runs(mask.crop) if runs is None else runs.lengths
