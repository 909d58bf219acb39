"""Labels of cells by their most similar cells in other frames.

As in "Space-Time Correspondence as a Contrastive Random Walk" (arXiv 2006.14613) and DINO (arXiv 2104.14294): each cell
takes the mean of the labels of the k most similar cells in a window around it, weighted by a softmax of the cosine
similarities. Labels are channels: similarities are computed once, for any number of targets.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["propagate_labels"]


def propagate_labels(
    queries: Tensor, keys: Tensor, labels: Tensor, known: Tensor, *, num_neighbours: int, temperature: float
) -> Tensor:
    """Propagate the labels of memory windows to the cells of tiles.

    Args:
        queries: float32 (N, Q, C): Q cells of each of N tiles; N may be 0.
        keys: float32 (N, M, L, C): the windows of L cells of each tile in M frames.
        labels: float32 (N, M, L, T), 0..1: how much of a cell belongs to each of T targets.
        known: bool (N, M, T): whether the frame contains the label of the target; others do not count for it.
        num_neighbours: number of most similar cells, all windows of a tile together.
        temperature: of the softmax over the similarities.

    Returns:
        float32 (N, Q, T), 0..1: how much of each cell belongs to each target; 0 if none of the neighbours is known.
    """
    num_tiles, num_frames, num_cells, num_targets = labels.shape
    similarities = torch.bmm(queries, keys.flatten(1, 2).transpose(1, 2))  # (N, Q, M L)
    best, places = similarities.topk(min(num_neighbours, similarities.shape[2]), dim=2)  # (N, Q, k)
    weights = torch.softmax(best / temperature, dim=2)[..., None]  # (N, Q, k, 1)
    tiles = torch.arange(num_tiles)[:, None, None]
    near = labels.reshape(-1, num_targets)[places + tiles * (num_frames * num_cells)]  # (N, Q, k, T)
    if bool(known.all()):
        return (weights * near).sum(dim=2)
    frames = torch.div(places, num_cells, rounding_mode="floor") + tiles * num_frames
    counted = weights * known.reshape(-1, num_targets)[frames]  # (N, Q, k, T)
    return (counted * near).sum(dim=2) / counted.sum(dim=2).clamp(min=1e-9)
