"""Convert a crop to run lengths and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.structures.arrays import BoolArray, IndexArray

__all__ = ["decode_runs", "encode_all_runs", "encode_columns", "encode_runs"]


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


def encode_all_runs(crops: Sequence[BoolArray]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return the run lengths of many crops at once, in half the time of `encode_runs` for each.

    Args:
        crops: N masks, bool (h, w) each; N may be 0.

    Returns:
        The concatenated lengths, uint32 (n,), and offsets, uint32 (N + 1,): those of crop i are
        lengths[offsets[i]:offsets[i + 1]].
    """
    num_pixels = np.array([crop.size for crop in crops], dtype=np.intp)
    ends = np.cumsum(num_pixels).tolist()
    pixels = np.empty(ends[-1] if ends else 0, dtype=np.bool_)
    for crop, begin, end in zip(crops, [0, *ends], ends, strict=False):
        pixels[begin:end].reshape(crop.shape[::-1])[:] = crop.T
    return encode_columns(pixels, num_pixels)


def encode_columns(
    pixels: npt.NDArray[Any], num_pixels: IndexArray
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return the run lengths of many crops, given as one array, column by column; see `encode_all_runs`.

    Args:
        pixels: the concatenated columns of all crops (n,); background is 0, and everything else has one other value.
        num_pixels: (N,): pixels of each crop; N may be 0.
    """
    ends = np.concatenate(([0], np.cumsum(num_pixels)))
    filled = np.flatnonzero(num_pixels)
    firsts = ends[:-1][filled]  # first pixel of each crop that has any
    begins_run = np.empty(len(pixels), dtype=np.bool_)
    np.not_equal(pixels[1:], pixels[:-1], out=begins_run[1:])
    begins_run[firsts] = True
    begins = np.flatnonzero(begins_run)
    lengths = np.diff(begins, append=len(pixels))
    at = np.searchsorted(begins, firsts)  # first run of each crop
    inside = pixels[firsts] != 0  # the first length counts background: there is none
    counts = np.zeros(len(num_pixels), dtype=np.intp)
    counts[filled] = np.diff(at, append=len(lengths)) + inside
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return np.insert(lengths, at[inside], 0).astype(np.uint32), offsets.astype(np.uint32)


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
