"""Convert a crop to run lengths and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.arrays import BoolArray

__all__ = ["decode_runs", "encode_runs"]


def encode_runs(crop: BoolArray) -> npt.NDArray[np.uint32]:
    """Return the run lengths of a crop, column by column from the top left.

    Args:
        crop: mask, bool (h, w).

    Returns:
        Lengths, uint32 (n,), alternating between background and foreground. The first counts background and is 0 if
        the top left pixel is foreground; no other length is 0. The sum is h * w; n = 0 for a crop without pixels.
    """
    if crop.size == 0:
        return np.zeros(0, dtype=np.uint32)
    # A transposed copy and one linear comparison are faster than comparing down the columns: the search for changes
    # then reads memory in order and finds them sorted.
    pixels = np.ascontiguousarray(crop.T).ravel()  # (w * h,)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])  # index of the last pixel of each run but the last
    first = 1 if pixels[0] else 0
    edges = np.empty(len(changes) + 2 + first, dtype=np.int64)
    edges[: 1 + first] = 0
    np.add(changes, 1, out=edges[1 + first : -1])
    edges[-1] = pixels.size
    return np.diff(edges).astype(np.uint32)


def decode_runs(runs: npt.NDArray[np.integer[Any]], size: tuple[int, int]) -> BoolArray:
    """Return the crop that these runs encode: the inverse of `encode_runs`.

    Args:
        runs: run lengths (n,), unsigned; zeros are allowed anywhere.
        size: size (h, w) of the crop.

    Returns:
        Mask, bool (h, w), in column-major memory order.

    Raises:
        DataError: the runs do not add up to h * w.
    """
    height, width = size
    total = int(runs.sum(dtype=np.uint64))  # checked before memory of that size is allocated
    if total != height * width:
        raise DataError(f"{len(runs)} runs add up to {total} pixels, a crop of {width}x{height} has {height * width}")
    is_inside = np.zeros(len(runs), dtype=np.bool_)
    is_inside[1::2] = True
    return np.repeat(is_inside, runs).reshape(width, height).T
