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
        pixels: the concatenated columns of all crops (n,), one byte each; background is 0, and everything else has one
            other value.
        num_pixels: (N,): pixels of each crop; N may be 0.
    """
    ends = np.concatenate(([0], np.cumsum(num_pixels)))
    filled = np.flatnonzero(num_pixels)
    firsts = ends[:-1][filled]  # first pixel of each crop that has any
    begins = _changes(pixels)
    at = np.searchsorted(begins, firsts)
    is_new = np.append(begins, -1)[at] != firsts  # the last run of a crop may continue in the next one
    begins = np.insert(begins, at[is_new], firsts[is_new])
    lengths = np.diff(begins, append=len(pixels))
    at = np.searchsorted(begins, firsts)  # first run of each crop
    inside = pixels[firsts] != 0  # the first length counts background: there is none
    counts = np.zeros(len(num_pixels), dtype=np.intp)
    counts[filled] = np.diff(at, append=len(lengths)) + inside
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return np.insert(lengths, at[inside], 0).astype(np.uint32), offsets.astype(np.uint32)


def _changes(pixels: npt.NDArray[Any]) -> IndexArray:
    """Return the places (m,) of all pixels (n,), of one byte each, that differ from the one before; n may be 0."""
    values = pixels.view(np.uint8)
    # Most of them equal their neighbour: comparing eight at once, then those of the words that differ, takes half the
    # time of comparing all.
    num_words = max(len(values) - 1, 0) // 8
    covered = 8 * num_words
    before, after = values[:covered].view(np.uint64), values[1 : 1 + covered].view(np.uint64)
    words = np.flatnonzero(before != after)
    changed = np.flatnonzero(before[words].view(np.uint8) != after[words].view(np.uint8))
    found = 8 * words[changed >> 3] + (changed & 7) + 1
    rest = np.flatnonzero(values[covered:-1] != values[covered + 1 :]) + covered + 1
    return np.concatenate((found, rest))


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
