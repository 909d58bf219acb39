"""Match detected edge pixels with boundary pixels drawn by people, as in the Berkeley benchmark.

Martin, Fowlkes and Malik ("Learning to Detect Natural Image Boundaries Using Local Brightness, Color and Texture
Cues", 2004) match detected and drawn pixels one to one within a tolerance, maximising the number of pairs, separately
at each threshold of the edge strength. They solve a minimum-cost assignment; because an unmatched pixel costs a
hundred times the tolerance, it matches as many pixels as possible. Here, pixels are added from strong to weak, each by
an augmenting path or by replacing a pixel that lies farther from the drawing, so one pass gives the pairs of all
thresholds. Recall equals that of the assignment; precision, which depends on which pixels are matched, agrees to about
0.002.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray, MaskArray

__all__ = ["EdgeCounts", "count_edges", "pair_pixels", "thin"]


@dataclass(frozen=True, eq=False)
class EdgeCounts:
    """Pixel counts of one image at T thresholds, int64 (T,) each; the counts of several images can be added."""

    num_found: IndexArray
    """Edge pixels with at least the threshold's strength."""
    num_right: IndexArray
    """Edge pixels matched in the drawing of at least one annotator."""
    num_drawn: IndexArray
    """Boundary pixels of all annotators together; the same at each threshold."""
    num_recalled: IndexArray
    """Matched boundary pixels, summed over annotators."""

    def __add__(self, other: EdgeCounts) -> EdgeCounts:
        return EdgeCounts(
            self.num_found + other.num_found,
            self.num_right + other.num_right,
            self.num_drawn + other.num_drawn,
            self.num_recalled + other.num_recalled,
        )

    def at(self, position: int) -> EdgeCounts:
        """Return the counts at a single threshold."""
        return EdgeCounts(
            self.num_found[position : position + 1],
            self.num_right[position : position + 1],
            self.num_drawn[position : position + 1],
            self.num_recalled[position : position + 1],
        )

    @property
    def precision(self) -> Float64Array:
        """Precision (T,); 0 if nothing was detected, as in the benchmark."""
        return self.num_right / np.maximum(self.num_found, 1)

    @property
    def recall(self) -> Float64Array:
        """Recall (T,); 0 if nothing was drawn."""
        return self.num_recalled / np.maximum(self.num_drawn, 1)


def count_edges(
    strength: Float32Array, drawings: Sequence[MaskArray], thresholds: Float64Array, *, tolerance: float = 0.0075
) -> EdgeCounts:
    """Compare an edge map with the drawings of all annotators at every threshold.

    Args:
        strength: float (H, W), 0..1, thinned to lines one pixel wide: every positive pixel counts.
        drawings: bool (H, W) each, thinned; an empty sequence gives zeros.
        thresholds: (T,) ascending, above 0; a pixel counts at thresholds up to its strength.
        tolerance: maximum distance of matched pixels, in image diagonals (0.0075: the benchmark's).
    """
    levels = np.searchsorted(thresholds, strength.astype(np.float64), side="right")  # number of thresholds reached
    num_found = _reaching(levels[levels > 0], len(thresholds))
    reach = tolerance * float(np.hypot(*strength.shape))
    # Most weak edges are far from every drawing. One pixel more than the reach allows for rounding.
    drawn = reduce(np.logical_or, drawings, np.zeros(strength.shape, dtype=np.bool_))
    distances = cv2.distanceTransform((~drawn).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rows, columns = np.nonzero((levels > 0) & (distances <= reach + 1))
    levels = levels[rows, columns]
    has_level = np.unique(levels)
    is_right = np.zeros((len(has_level), len(levels)), dtype=np.bool_)
    num_recalled, num_drawn = np.zeros(len(has_level), dtype=np.int64), 0
    for drawing in drawings:
        num_drawn += int(np.count_nonzero(drawing))
        for position, has_partner in enumerate(pair_pixels(rows, columns, levels, drawing, reach)):
            is_right[position] |= has_partner
            num_recalled[position] += np.count_nonzero(has_partner)
    # Levels are sorted from strong to weak. Each threshold uses the lowest level that reaches it, if any.
    lowest = np.searchsorted(-has_level[::-1], -np.arange(1, len(thresholds) + 1), side="right")
    num_right = is_right.sum(axis=1)
    return EdgeCounts(
        num_found=num_found,
        num_right=np.append(0, num_right)[lowest],
        num_drawn=np.full(len(thresholds), num_drawn, dtype=np.int64),
        num_recalled=np.append(0, num_recalled)[lowest],
    )


def pair_pixels(
    rows: IndexArray, columns: IndexArray, levels: IndexArray, drawing: MaskArray, reach: float
) -> Iterator[BoolArray]:
    """Match detected with drawn pixels one to one, as many as possible at each level.

    Args:
        rows: (N,) rows of the detected pixels.
        columns: (N,) columns of the detected pixels.
        levels: (N,) strength levels; the pixels of a level and above are matched independently of lower levels.
        drawing: bool (H, W).
        reach: maximum distance of matched pixels, in pixels.

    Yields:
        For each level that occurs, from high to low, a mask (N,) of the matched pixels. Their number is exact; among
        several candidates the nearer ones are matched, except for exchanges along longer chains.
    """
    starts, ends, distances = _neighbours(rows, columns, drawing, reach)
    nearest = np.where(starts[1:] > starts[:-1], np.append(distances, 0)[starts[:-1]], np.inf)
    order = np.lexsort((nearest, -levels))
    pairing = _Pairing(starts.tolist(), ends.tolist(), distances.tolist(), int(np.count_nonzero(drawing)))
    ranks = -levels[order]
    bounds = np.append(np.flatnonzero(np.diff(ranks, prepend=1)), len(ranks)).tolist()
    has_neighbours = np.isfinite(nearest[order])
    for first, stop in itertools.pairwise(bounds):
        for pixel in order[first:stop][has_neighbours[first:stop]].tolist():
            if not pairing.add(pixel):
                pairing.exchange(pixel)
        yield np.frombuffer(pairing.has_partner, dtype=np.bool_).copy()


class _Pairing:
    """Matching of detected and drawn pixels that grows as detected pixels are added one by one."""

    def __init__(self, starts: list[int], ends: list[int], distances: list[float], num_drawn: int) -> None:
        """Start without pairs; detected pixel i reaches `ends[starts[i] : starts[i + 1]]`, nearest first."""
        self.has_partner = bytearray(len(starts) - 1)
        """1 for each matched detected pixel."""
        self._drawn_of = [-1] * (len(starts) - 1)
        self._found_of = [-1] * num_drawn
        self._distance_of = [0.0] * num_drawn
        self._starts, self._ends, self._distances = starts, ends, distances
        # Pixels visited by a failed search stay dead ends: no pixel added later opens an augmenting path from them.
        self._is_exhausted = bytearray(num_drawn)

    def add(self, pixel: int) -> bool:
        """Match a pixel, re-matching others if necessary; return False if no augmenting path exists."""
        came_from: dict[int, tuple[int, int]] = {}
        queue = [pixel]
        for found in queue:
            for edge in range(self._starts[found], self._starts[found + 1]):
                drawn = self._ends[edge]
                if self._is_exhausted[drawn] or drawn in came_from:
                    continue
                came_from[drawn] = (found, edge)
                if self._found_of[drawn] < 0:
                    self._flip(drawn, came_from)
                    return True
                queue.append(self._found_of[drawn])
        for drawn in came_from:
            self._is_exhausted[drawn] = 1
        return False

    def exchange(self, pixel: int) -> None:
        """Take over the match with the largest gain in distance; the displaced pixel then does the same."""
        while pixel >= 0:
            best, gain = -1, 0.0
            for edge in range(self._starts[pixel], self._starts[pixel + 1]):
                difference = self._distance_of[self._ends[edge]] - self._distances[edge]
                if difference > gain:
                    best, gain = edge, difference
            if best < 0:
                return
            drawn = self._ends[best]
            other = self._found_of[drawn]
            self._join(pixel, best)
            self._drawn_of[other] = -1
            self.has_partner[other] = 0
            pixel = other

    def _flip(self, drawn: int, came_from: dict[int, tuple[int, int]]) -> None:
        while drawn >= 0:
            found, edge = came_from[drawn]
            left = self._drawn_of[found]
            self._join(found, edge)
            drawn = left

    def _join(self, found: int, edge: int) -> None:
        drawn = self._ends[edge]
        self.has_partner[found] = 1
        self._drawn_of[found], self._found_of[drawn], self._distance_of[drawn] = drawn, found, self._distances[edge]


def thin(mask: MaskArray) -> MaskArray:
    """Thin a mask to lines one pixel wide, preserving ends, holes and components.

    This is the two-step thinning of Guo and Hall ("Parallel Thinning with Two-Subiteration Algorithms", 1989), as
    used by the benchmark.
    """
    lines = np.pad(mask, 1)
    height, width = lines.shape
    while True:
        num_before = np.count_nonzero(lines)
        for table in (_FIRST_STEP, _SECOND_STEP):
            places = np.flatnonzero(lines)
            flat = lines.ravel()
            codes = np.zeros(len(places), dtype=np.int64)
            for bit, (down, right) in enumerate(_NEIGHBOUR_OFFSETS):
                codes |= flat[places + down * width + right].astype(np.int64) << bit
            flat[places[table[codes]]] = False
            lines = flat.reshape(height, width)
        if np.count_nonzero(lines) == num_before:
            return lines[1:-1, 1:-1].copy()


def _neighbours(
    rows: IndexArray, columns: IndexArray, drawing: MaskArray, reach: float
) -> tuple[IndexArray, IndexArray, Float64Array]:
    """List the drawn pixels within reach of each of N detected pixels, nearest first.

    Returns:
        The start of each detected pixel's list (N + 1,), the concatenated lists (E,) and the distances (E,).
    """
    margin = int(reach)
    offsets = np.arange(-margin, margin + 1)
    squares = offsets[:, None] ** 2 + offsets[None, :] ** 2
    down, right = np.nonzero(squares <= reach**2)
    distances = np.hypot(down - margin, right - margin)
    order = np.argsort(distances, kind="stable")
    numbers = np.full(drawing.shape, -1, dtype=np.int64)
    numbers[drawing] = np.arange(np.count_nonzero(drawing))
    numbers = np.pad(numbers, margin, constant_values=-1)
    found = numbers[rows[:, None] + down[order], columns[:, None] + right[order]]  # (N, offsets)
    is_there = found >= 0
    starts = np.concatenate(([0], np.cumsum(is_there.sum(axis=1))))
    return starts, found[is_there], np.broadcast_to(distances[order], found.shape)[is_there]


def _reaching(levels: IndexArray, num_thresholds: int) -> IndexArray:
    """Count the pixels that reach each threshold: those whose level is above its position."""
    counts = np.bincount(levels, minlength=num_thresholds + 1)
    return np.asarray(np.cumsum(counts[::-1])[::-1][1:], dtype=np.int64)


_NEIGHBOUR_OFFSETS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Offsets (down, right) of the neighbours, counter-clockwise from the east."""


def _removable(first_step: bool) -> BoolArray:
    """Return whether a pixel is removable, (256,), by neighbourhood code (bit i: `_NEIGHBOUR_OFFSETS[i]` is set)."""
    codes = np.arange(256)
    x = ((codes[None, :] >> np.arange(8)[:, None]) & 1).astype(np.bool_)  # (8, 256)
    odd, even, after = x[0::2], x[1::2], x[[2, 4, 6, 0]]
    num_crossings = (~odd & (even | after)).sum(axis=0)
    num_sides = np.minimum((odd | even).sum(axis=0), (even | after).sum(axis=0))
    east, northeast, north, northwest, west, southwest, south, southeast = x
    eastern, western = (northeast | north | ~southeast) & east, (southwest | south | ~northwest) & west
    blocked = eastern if first_step else western
    removable: BoolArray = (num_crossings == 1) & (num_sides >= 2) & (num_sides <= 3) & ~blocked
    return removable


_FIRST_STEP, _SECOND_STEP = _removable(True), _removable(False)
