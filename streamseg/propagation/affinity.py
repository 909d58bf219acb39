"""Labels of cells by their most similar cells in other frames.

As in "Space-Time Correspondence as a Contrastive Random Walk" (arXiv 2006.14613) and DINO (arXiv 2104.14294): each cell
takes the mean of the labels of the most similar cells in windows around it, weighted by a softmax of the cosine
similarities. Similarities are computed once, for any number of targets. Unlike there, every frame has the same number
of votes, because finding the largest value of a row is ten times as fast as finding the k largest of all rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from streamseg.structures.arrays import Float32Array, IndexArray

__all__ = ["Votes", "largest", "similar_cells"]

TAKEN = np.float32(-9.0)
"""Similarity of a cell that has voted already: below any other."""


class Votes(NamedTuple):
    """The V most similar cells of each of M frames, for Q cells of N tiles."""

    places: IndexArray
    """(N, Q, M, V): positions in the windows, 0..L - 1."""
    weights: Float32Array
    """(N, Q, M, V), 0..1; the sum over M and V is 1."""


def similar_cells(
    queries: Float32Array, keys: Float32Array, reaches: Float32Array, *, num_votes: int, temperature: float
) -> Votes:
    """Find the most similar cells in the memory windows of tiles.

    Args:
        queries: (N, Q, C): Q cells of each of N tiles; N may be 0.
        keys: (N, M, L, C): the windows of L cells of each tile in M frames.
        reaches: (Q, M * L), added to the similarities, see `tiles.reach`.
        num_votes: votes per frame; at most L count.
        temperature: of the softmax over the similarities.
    """
    num_tiles, num_frames, num_cells, channels = keys.shape
    shape = num_tiles, queries.shape[1], num_frames, min(num_votes, num_cells)
    flat = torch.from_numpy(keys).view(num_tiles, num_frames * num_cells, channels)
    added = torch.from_numpy(reaches)[None].expand(num_tiles, -1, -1)
    product = torch.baddbmm(added, torch.from_numpy(queries), flat.transpose(1, 2))  # (N, Q, M L)
    rows: Float32Array = product.numpy().reshape(-1, num_cells)  # (N Q M, L)
    places, values = largest(rows, shape[3])
    values = values.reshape(shape)
    # The first vote of a frame is its largest value.
    most = np.maximum.reduce([values[:, :, frame, :1] for frame in range(num_frames)])  # (N, Q, 1)
    values = values.reshape(*shape[:2], shape[2] * shape[3])
    values -= most
    values /= np.float32(temperature)
    weights = np.exp(values, out=values)
    weights /= weights.sum(axis=2, keepdims=True)
    return Votes(places.reshape(shape), weights.reshape(shape))


def largest(rows: Float32Array, number: int) -> tuple[IndexArray, Float32Array]:
    """Return the places (N, V) and values (N, V) of the largest values of rows (N, L), which are overwritten.

    V is the smaller one of `number` and L. Several times as fast as a partition, or as `torch.topk`, for few values.

    Args:
        rows: contiguous, above `TAKEN`.
        number: number of values.
    """
    num_rows, num_cells = rows.shape
    flat, first = rows.reshape(-1), np.arange(num_rows) * num_cells
    found = np.empty((min(number, num_cells), num_rows), np.int64)
    values = np.empty(found.shape, np.float32)
    for vote, place in enumerate(found):
        rows.argmax(axis=1, out=place)
        at = first + place
        values[vote] = flat[at]
        flat[at] = TAKEN
    return np.ascontiguousarray(found.T), np.ascontiguousarray(values.T)
