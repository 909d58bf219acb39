"""The memory frames of a source on one grid: features and labels of all frames in one array each.

A frame has a number, its *slot*. The arrays are padded to whole tiles and by the radius of the windows on each side, so
that the windows of all tiles, in any of the frames, are gathered by one index.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch.nn import functional

from streamseg.propagation.affinity import Votes
from streamseg.propagation.tiles import OUTSIDE_SIMILARITY, TILE, padded_size
from streamseg.structures.arrays import Float32Array, IndexArray

__all__ = ["NO_FRAME", "GridMemory"]

NO_FRAME = 0
"""Slot of a frame without any cell: the place of frames that a target does not have."""


class GridMemory:
    """Features and labels of some frames on one grid of (H, W) cells.

    Args:
        size: (H, W).
        channels: number of channels of the features.
        radius: extent of the windows around their tiles, in cells.
    """

    def __init__(self, size: tuple[int, int], channels: int, radius: int) -> None:
        self.size = size
        self.radius = radius
        self.padded = padded_size(size, radius)
        # One more channel than the features have: 0 for a cell, `OUTSIDE_SIMILARITY` outside; queries hold 1 there.
        self._features: Float32Array = np.zeros((1, *self.padded, channels + 1), np.float32)
        self._features[..., channels] = OUTSIDE_SIMILARITY
        self._labels: Float32Array = np.zeros((1, *self.padded, 0), np.float32)
        self._inside = slice(radius, radius + size[0]), slice(radius, radius + size[1])
        side = TILE + 2 * radius
        down, across = np.divmod(np.arange(side * side), side)
        self._offsets: IndexArray = down * self.padded[1] + across

    def reserve(self, num_slots: int) -> None:
        """Make room for frames with slots below `num_slots`."""
        missing = num_slots - len(self._features)
        if missing > 0:
            self._features = np.concatenate([self._features, np.repeat(self._features[:1], missing, axis=0)])
            self._labels = np.concatenate([self._labels, np.repeat(self._labels[:1], missing, axis=0)])

    def write(self, slot: int, features: Float32Array) -> None:
        """Set the features (H, W, C) of a frame, and its labels to 0."""
        self._features[(slot, *self._inside)][..., :-1] = features
        self._features[(slot, *self._inside)][..., -1] = 0
        self._labels[slot] = 0

    def features(self, slot: int) -> Float32Array:
        """Return the features (H, W, C) of a frame."""
        values: Float32Array = self._features[(slot, *self._inside)][..., :-1]
        return values

    def labels(self, slot: int) -> Float32Array:
        """Return the labels (H, W, T) of a frame, 0..1: how much of each cell belongs to each target. Writable."""
        values: Float32Array = self._labels[(slot, *self._inside)]
        return values

    def add_targets(self, number: int) -> None:
        """Append targets, which no frame contains."""
        self._labels = np.concatenate([self._labels, np.zeros((*self._labels.shape[:3], number), np.float32)], axis=3)

    def keep_targets(self, positions: IndexArray) -> None:
        """Keep only the targets at these positions, in this order."""
        self._labels = np.take(self._labels, positions, axis=3)  # in half the time of indexing

    def queries(self, slot: int, tiles: IndexArray) -> Float32Array:
        """Return the features (N, TILE * TILE, C + 1) of tiles (N, 2) of a frame, for products with `keys`."""
        starts = tiles * TILE + self.radius
        cells = self._gathered(TILE, np.full(len(tiles), slot), starts[:, 0], starts[:, 1])
        cells[..., -1] = 1
        return cells

    def keys(self, slots: IndexArray, starts: IndexArray) -> Float32Array:
        """Return the features (N, M, L, C + 1) of windows.

        Args:
            slots: (N, M): frame of each window.
            starts: (N, M, 2): its first row and column in the padded grid, see `tiles.windows`.
        """
        return self._gathered(TILE + 2 * self.radius, slots, starts[..., 0], starts[..., 1])

    def voted(self, votes: Votes, slots: IndexArray, starts: IndexArray) -> Float32Array:
        """Return the weighted sums (N, Q, T) of the labels of the cells that votes are for.

        Args:
            votes: the most similar cells in the windows.
            slots: (N, M), as for `keys`.
            starts: (N, M, 2), as for `keys`.
        """
        num_tiles, num_cells = votes.places.shape[:2]
        height, width = self.padded
        first = (slots * height + starts[..., 0]) * width + starts[..., 1]  # (N, M)
        cells = first[:, None, :, None] + self._offsets[votes.places]  # (N, Q, M, V)
        sums = functional.embedding_bag(
            torch.from_numpy(cells.reshape(num_tiles * num_cells, -1)),
            torch.from_numpy(self._labels.reshape(-1, self._labels.shape[3])),
            mode="sum",
            per_sample_weights=torch.from_numpy(votes.weights.reshape(num_tiles * num_cells, -1)),
        )
        labels: Float32Array = sums.numpy().reshape(num_tiles, num_cells, -1)
        return labels

    def _gathered(self, side: int, slots: IndexArray, rows: IndexArray, columns: IndexArray) -> Float32Array:
        """Return the squares (..., side * side, C + 1) of the padded features that begin at some cells (...)."""
        count, height, width, channels = self._features.shape
        strides = self._features.strides
        squares = as_strided(
            self._features,
            (count, height - side + 1, width - side + 1, side, side, channels),
            (*strides[:3], *strides[1:]),
            writeable=False,
        )
        cells: Float32Array = squares[slots, rows, columns]
        return cells.reshape(*slots.shape, side * side, channels)
