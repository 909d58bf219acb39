"""Greedy non-maximum suppression without data-dependent shapes or synchronisation: runs inside a CUDA graph.

With M[i, j] = "box i, the better one, overlaps box j too much", greedy suppression is the only solution of
keep[j] = no i with M[i, j] and keep[i]. Starting with all boxes, each pass settles at least one further level of the
chains "i removes j, which would have removed k". Networks' outputs have chains of up to 6; the passes are limited, and
rows that have not settled by then are reported, so that the caller can suppress on the host.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.modeling.fused import suppresses

__all__ = ["PASSES", "compact", "suppress"]

PASSES: Final = 8
"""Number of passes; a chain of more boxes is left to the host."""


def suppress(boxes: Tensor, valid: Tensor, iou: float, *, passes: int = PASSES) -> tuple[Tensor, Tensor]:
    """Suppress boxes that overlap a better one by more than `iou`, with the results of `geometry.nms`.

    Each operation is a kernel of its own, as on the host: fused, a product and a sum would be rounded once.

    Args:
        boxes: float32 (B, N, 4) xyxy by descending score; N may be 0.
        valid: bool (B, N); the other rows are ignored.
        iou: overlap threshold, 0..1.
        passes: maximum number of passes, at least 1.

    Returns:
        bool (B, N) kept rows, and bool (B, N) rows that have settled. A prefix of settled rows is exact.
    """
    removed_by = (suppresses(boxes, iou).triu_(1) * valid[:, :, None]).mT  # (B, worse, better)
    # One pass: a valid row is kept if it is removed by no kept one. A product counts them, exactly, as all are 0 or 1.
    limit = valid.float().unsqueeze(-1)  # (B, N, 1)
    keep = limit
    for _ in range(passes):
        keep = torch.baddbmm(limit, removed_by, keep, alpha=-1).relu_()
    settled = keep == torch.baddbmm(limit, removed_by, keep, alpha=-1).relu_()
    return keep[..., 0] > 0, settled[..., 0]


def compact(taken: Tensor, num_rows: int, *values: Tensor) -> tuple[Tensor, ...]:
    """Move the taken rows to the front, in order, and fill up with zeros.

    Args:
        taken: bool (B, N), at most `num_rows` rows of each image.
        num_rows: number of rows of the results.
        values: tensors (B, N, ...).

    Returns:
        One tensor (B, num_rows, ...) per value.
    """
    batch, count = taken.shape
    # The others share a slot that is cut off. Not `torch.where`, which uploads a scalar: no graph permits that.
    slots = (taken.cumsum(dim=1) - 1).masked_fill(~taken, num_rows)
    results = []
    for value in values:
        index = slots.view(batch, count, *[1] * (value.ndim - 2)).expand_as(value)
        moved = value.new_zeros((batch, num_rows + 1, *value.shape[2:])).scatter(1, index, value)
        results.append(moved[:, :num_rows])
    return tuple(results)
