"""The memory windows of tiles: their features, and the labels of single cells in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.propagation.affinity import Votes
from streamseg.propagation.memory import MemoryFrame, TargetMemory
from streamseg.propagation.tiles import OUTSIDE_SIMILARITY, TILE, windows
from streamseg.structures.arrays import Float32Array, IndexArray

__all__ = ["MemoryWindows", "gather_windows"]


@dataclass(frozen=True, eq=False)
class MemoryWindows:
    """The windows of N tiles in M frames each, of S cells per side."""

    keys: Float32Array
    """(N, M, S * S, C + 1) features, see `tiles.pad_features`."""
    frames: tuple[MemoryFrame, ...]
    """The different frames."""
    numbers: IndexArray
    """(N, M): position in `frames`; -1 for a window without any cell, because the tile's owner has fewer frames."""
    starts: IndexArray
    """(N, M, 2): first row and column of each window in the padded grid."""
    level: int
    radius: int
    """Extent of the windows around their tiles, in cells."""

    def labels(self, votes: Votes, target_ids: Sequence[str]) -> Float32Array:
        """Return how much of each cell of the tiles belongs to each target: (N, Q, T), 0..1.

        A frame that does not contain a target does not count for it; without any such frame, it is 0.

        Args:
            votes: the most similar cells in the windows.
            target_ids: the T targets.
        """
        num_tiles, num_cells, num_frames, num_votes = votes.places.shape
        labels = np.zeros((num_tiles, num_cells, num_frames, num_votes, len(target_ids)), np.float32)
        known = np.zeros((num_tiles, num_frames, len(target_ids)), np.bool_)
        down, across = np.divmod(votes.places, TILE + 2 * self.radius)
        for number, frame in enumerate(self.frames):
            tiles, at = np.nonzero(self.numbers == number)
            rows = down[tiles, :, at] + self.starts[tiles, at, 0][:, None, None]  # (n, Q, V)
            columns = across[tiles, :, at] + self.starts[tiles, at, 1][:, None, None]
            present = [
                (position, frame.columns[one]) for position, one in enumerate(target_ids) if one in frame.columns
            ]
            positions, channels = [one for one, _ in present], [one for _, one in present]
            found = frame.grid(self.level).labels[rows, columns]  # (n, Q, V, channels)
            if positions == channels and len(channels) == found.shape[3] == len(target_ids):
                labels[tiles, :, at] = found  # the usual case
            else:
                some = np.zeros((*found.shape[:3], len(target_ids)), np.float32)
                some[..., positions] = found[..., channels]
                labels[tiles, :, at] = some
            known[tiles[:, None], at[:, None], positions] = True
        sums: Float32Array = np.einsum("nqmv,nqmvt->nqt", votes.weights, labels)
        if known[self.numbers >= 0].all():
            return sums
        counted = np.einsum("nqmv,nmt->nqt", votes.weights, known.astype(np.float32))
        shares: Float32Array = sums / np.maximum(counted, 1e-9)
        return shares


def gather_windows(
    memories: Sequence[TargetMemory], tiles: IndexArray, owners: IndexArray, *, level: int, radius: int
) -> MemoryWindows:
    """Gather the windows of tiles in the memory frames of the targets that own them.

    A window is displaced by as much as its owner has moved since the frame. Memories with fewer frames than others get
    windows without any cell.

    Args:
        memories: the T targets.
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
    known: dict[int, tuple[int, MemoryFrame]] = {}
    for seen in sightings:
        for one in seen:
            known.setdefault(id(one.frame), (len(known), one.frame))
    padded = sightings[0][0].frame.grid(level).features
    starts = windows((padded.shape[0], padded.shape[1]), tiles, shifts, radius)
    side = TILE + 2 * radius
    keys = np.empty((len(tiles), num_frames, side, side, padded.shape[2]), np.float32)
    numbers = np.full((len(tiles), num_frames), -1, np.int64)
    for tile, (owner, places) in enumerate(zip(owners.tolist(), starts.tolist(), strict=True)):
        for at, (one, (row, column)) in enumerate(zip(sightings[owner], places, strict=False)):
            keys[tile, at] = one.frame.grid(level).features[row : row + side, column : column + side]
            numbers[tile, at] = known[id(one.frame)][0]
        keys[tile, len(sightings[owner]) :] = 0
        keys[tile, len(sightings[owner]) :, ..., -1] = OUTSIDE_SIMILARITY
    frames = tuple(frame for _, frame in known.values())
    return MemoryWindows(keys.reshape(len(tiles), num_frames, side * side, -1), frames, numbers, starts, level, radius)
