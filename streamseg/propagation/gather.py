"""Gather the memory windows of tiles: features, labels, and which targets have labels there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.propagation.memory import TargetMemory
from streamseg.propagation.tiles import OUTSIDE_SIMILARITY, TILE, windows
from streamseg.structures.arrays import BoolArray, Float32Array, IndexArray

__all__ = ["MemoryWindows", "gather_windows"]


@dataclass(frozen=True, eq=False)
class MemoryWindows:
    """The windows of N tiles in M frames each, of S cells per side."""

    keys: Float32Array
    """(N, M, S, S, C + 1) features, see `tiles.pad_features`."""
    labels: Float32Array
    """(N, M, S, S, T), 0..1."""
    known: BoolArray
    """(N, M, T): whether the frame contains the label of the target."""


def gather_windows(
    memories: Sequence[TargetMemory],
    target_ids: Sequence[str],
    tiles: IndexArray,
    owners: IndexArray,
    *,
    level: int,
    radius: int,
) -> MemoryWindows:
    """Gather the windows of tiles in the memory frames of the targets that own them.

    A window is displaced by as much as its owner has moved since the frame. Memories with fewer frames than others get
    windows without any cell.

    Args:
        memories: the T targets.
        target_ids: their ids.
        tiles: (N, 2), at least one.
        owners: (N,) positions of the owners in `memories`.
        level: 0 for the finest grid, 1 for cells of twice the width.
        radius: the windows' extent around their tiles, in cells of the grid.
    """
    sightings = [memory.sightings for memory in memories]
    num_frames = max(map(len, sightings))
    moved = np.zeros((len(memories), num_frames, 2))
    for position, (memory, seen) in enumerate(zip(memories, sightings, strict=True)):
        moved[position, : len(seen)] = [one.centre - memory.expected_centre for one in seen]
    shifts = np.rint(moved[owners][..., ::-1] / 2**level).astype(np.int64)  # (N, M, 2) rows and columns
    grids = [[one.frame.grid(level) for one in seen] for seen in sightings]
    columns = [[_columns(one.frame.columns, target_ids) for one in seen] for seen in sightings]
    padded = grids[0][0].features
    starts = windows((padded.shape[0], padded.shape[1]), tiles, shifts, radius).tolist()
    side, everyone = TILE + 2 * radius, list(range(len(memories)))
    keys = np.empty((len(tiles), num_frames, side, side, padded.shape[2]), np.float32)
    labels = np.zeros((len(tiles), num_frames, side, side, len(memories)), np.float32)
    known = np.zeros((len(tiles), num_frames, len(memories)), np.bool_)
    for tile, owner in enumerate(owners.tolist()):
        for frame, (grid, (places, channels)) in enumerate(zip(grids[owner], columns[owner], strict=True)):
            row, column = starts[tile][frame]
            window = slice(row, row + side), slice(column, column + side)
            keys[tile, frame] = grid.features[window]
            if channels == everyone and grid.labels.shape[2] == len(everyone):
                labels[tile, frame] = grid.labels[window]  # the usual case, ten times as fast
            else:
                labels[tile, frame][..., places] = grid.labels[window][..., channels]
            known[tile, frame, places] = True
        missing = slice(len(grids[owner]), None)
        keys[tile, missing] = 0
        keys[tile, missing, ..., -1] = OUTSIDE_SIMILARITY
    return MemoryWindows(keys, labels, known)


def _columns(columns: dict[str, int], target_ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the positions of the targets that a frame contains, and the channels of their labels."""
    present = [(position, columns[one]) for position, one in enumerate(target_ids) if one in columns]
    return [position for position, _ in present], [channel for _, channel in present]
