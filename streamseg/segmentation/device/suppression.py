"""Greedy non-maximum suppression without data-dependent shapes or synchronisation: runs inside a CUDA graph.

With M[i, j] = "box i, the better one, overlaps box j too much", greedy suppression is the only solution of
keep[j] = no i with M[i, j] and keep[i]. Starting with all boxes, each pass settles at least one further level of the
chains "i removes j, which would have removed k". Networks' outputs have chains of up to 6; the passes are limited, and
rows that have not settled by then are reported, so that the caller can suppress on the host.

On CUDA, one block of threads does all passes for an image, and stops early when nothing changes any more.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.geometry import box_area, box_intersection
from streamseg.modeling.cuda_kernel import CudaKernel, Launch

__all__ = ["PASSES", "compact", "suppress"]

PASSES: Final = 8
"""Number of passes; a chain of more boxes is left to the host."""

MAX_ROWS: Final = 4096
"""Maximum number of boxes per image of the CUDA function, whose state is in shared memory."""


def suppress(boxes: Tensor, valid: Tensor, iou: float, *, passes: int = PASSES) -> tuple[Tensor, Tensor]:
    """Suppress boxes that overlap a better one by more than `iou`, with the results of `geometry.nms`.

    Products and sums are rounded one by one, as on the host: a fused multiply-add would be rounded once.

    Args:
        boxes: float32 (B, N, 4) xyxy by descending score; N may be 0.
        valid: bool (B, N); the other rows are ignored.
        iou: overlap threshold, 0..1.
        passes: maximum number of passes, at least 1.

    Returns:
        bool (B, N) kept rows, and bool (B, N) rows that have settled. A prefix of settled rows is exact.
    """
    keep, settled = _suppressed(boxes, valid, iou, passes)
    return keep, settled


def _suppress_reference(boxes: Tensor, valid: Tensor, iou: float, passes: int) -> tuple[Tensor, Tensor]:
    shared, areas = box_intersection(boxes, boxes), box_area(boxes)
    # Avoids the quotient, as on the host.
    overlaps = ~(shared <= iou * (areas[..., :, None] + areas[..., None, :] - shared))
    removed_by = (overlaps.float().triu_(1) * valid[:, :, None]).mT  # (B, worse, better)
    # One pass: a valid row is kept if it is removed by no kept one. A product counts them, exactly, as all are 0 or 1.
    limit = valid.float().unsqueeze(-1)  # (B, N, 1)
    keep = limit
    for _ in range(passes):
        keep = torch.baddbmm(limit, removed_by, keep, alpha=-1).relu_()
    settled = keep == torch.baddbmm(limit, removed_by, keep, alpha=-1).relu_()
    return keep[..., 0] > 0, settled[..., 0]


_SUPPRESS_SOURCE = f"""
__device__ bool overlaps(const float* a, const float* b, float iou) {{
  const float width = fmaxf(fminf(a[2], b[2]) - fmaxf(a[0], b[0]), 0.0f);
  const float height = fmaxf(fminf(a[3], b[3]) - fmaxf(a[1], b[1]), 0.0f);
  const float shared = width * height;
  const float first = fmaxf(a[2] - a[0], 0.0f) * fmaxf(a[3] - a[1], 0.0f);
  const float second = fmaxf(b[2] - b[0], 0.0f) * fmaxf(b[3] - b[1], 0.0f);
  return !(shared <= iou * (first + second - shared));
}}

extern "C" __global__ void suppressed(
    const float* boxes, const unsigned char* valid, unsigned char* keep, unsigned char* settled,
    int count, double iou, int passes) {{
  __shared__ unsigned char old_rows[{MAX_ROWS}], new_rows[{MAX_ROWS}];
  __shared__ int changes;
  boxes += 4LL * blockIdx.x * count;
  const long long first = (long long)blockIdx.x * count;
  for (int j = threadIdx.x; j < count; j += blockDim.x) old_rows[j] = valid[first + j];
  for (int pass = 0; pass <= passes; ++pass) {{  // the last one shows which rows have settled
    if (threadIdx.x == 0) changes = 0;
    __syncthreads();
    for (int j = threadIdx.x; j < count; j += blockDim.x) {{
      bool kept = valid[first + j];
      for (int i = 0; kept && i < j; ++i) kept = !(old_rows[i] && overlaps(boxes + 4 * i, boxes + 4 * j, (float)iou));
      new_rows[j] = kept;
      if (kept != (bool)old_rows[j]) changes = 1;
    }}
    __syncthreads();
    if (!changes || pass == passes) break;
    for (int j = threadIdx.x; j < count; j += blockDim.x) old_rows[j] = new_rows[j];
    __syncthreads();
  }}
  for (int j = threadIdx.x; j < count; j += blockDim.x) {{
    keep[first + j] = old_rows[j];
    settled[first + j] = old_rows[j] == new_rows[j];
  }}
}}
"""


def _suppress_launch(boxes: Tensor, valid: Tensor, iou: float, passes: int) -> Launch | None:
    batch, count = valid.shape
    if not 0 < count <= MAX_ROWS:
        return None
    outputs = (torch.empty_like(valid), torch.empty_like(valid))
    return Launch(outputs, (boxes, valid, *outputs, count, float(iou), passes), batch, 1024)


_suppressed = CudaKernel(
    "suppressed",
    "(Tensor boxes, Tensor valid, float iou, int passes) -> (Tensor, Tensor)",
    _SUPPRESS_SOURCE,
    _suppress_reference,
    _suppress_launch,
)


def compact(
    taken: Tensor, num_rows: int, anchors: Tensor, boxes: Tensor, scores: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Move the taken rows to the front, in order, and fill up with zeros.

    Args:
        taken: bool (B, N), at most `num_rows` rows of each image.
        num_rows: number of rows of the results.
        anchors: int64 (B, N).
        boxes: float32 (B, N, 4).
        scores: float32 (B, N).

    Returns:
        `anchors`, `boxes` and `scores` with `num_rows` rows, and the number of taken rows, int64 (B,).
    """
    found: tuple[Tensor, Tensor, Tensor, Tensor] = _compacted(taken, anchors, boxes, scores, num_rows)
    return found


def _compact_reference(
    taken: Tensor, anchors: Tensor, boxes: Tensor, scores: Tensor, num_rows: int
) -> tuple[Tensor, ...]:
    batch, count = taken.shape
    # The others share a slot that is cut off. Not `torch.where`, which uploads a scalar: no graph permits that.
    slots = (taken.cumsum(dim=1) - 1).masked_fill(~taken, num_rows)
    results = []
    for value in (anchors, boxes, scores):
        index = slots.view(batch, count, *[1] * (value.ndim - 2)).expand_as(value)
        moved = value.new_zeros((batch, num_rows + 1, *value.shape[2:])).scatter(1, index, value)
        results.append(moved[:, :num_rows].contiguous())
    return (*results, taken.sum(dim=1))


_COMPACT_SOURCE = f"""
extern "C" __global__ void compacted(
    const unsigned char* taken, const long long* anchors, const float* boxes, const float* scores,
    long long* new_anchors, float* new_boxes, float* new_scores, long long* counts, int count, int num_rows) {{
  __shared__ int sources[{MAX_ROWS}], sums[1024];
  const long long from = (long long)blockIdx.x * count, to = (long long)blockIdx.x * num_rows;
  const int step = (count + blockDim.x - 1) / blockDim.x, first = threadIdx.x * step, last = min(first + step, count);
  int number = 0;
  for (int j = first; j < last; ++j) number += taken[from + j];
  sums[threadIdx.x] = number;
  __syncthreads();
  int place = 0, total = 0;
  for (int t = 0; t < (int)blockDim.x; ++t) {{
    if (t == (int)threadIdx.x) place = total;
    total += sums[t];
  }}
  for (int j = first; j < last; ++j) if (taken[from + j]) sources[place++] = j;
  if (threadIdx.x == 0) counts[blockIdx.x] = total;
  __syncthreads();
  for (int row = threadIdx.x; row < num_rows; row += blockDim.x) {{
    const bool is_taken = row < total;
    const long long source = from + (is_taken ? sources[row] : 0);
    new_anchors[to + row] = is_taken ? anchors[source] : 0;
    new_scores[to + row] = is_taken ? scores[source] : 0.0f;
    for (int c = 0; c < 4; ++c) new_boxes[4 * (to + row) + c] = is_taken ? boxes[4 * source + c] : 0.0f;
  }}
}}
"""


def _compact_launch(taken: Tensor, anchors: Tensor, boxes: Tensor, scores: Tensor, num_rows: int) -> Launch | None:
    batch, count = taken.shape
    if not 0 < count <= MAX_ROWS:
        return None
    outputs = (
        anchors.new_empty((batch, num_rows)),
        boxes.new_empty((batch, num_rows, 4)),
        scores.new_empty((batch, num_rows)),
        anchors.new_empty(batch),
    )
    return Launch(outputs, (taken, anchors, boxes, scores, *outputs, count, num_rows), batch)


_compacted = CudaKernel(
    "compacted",
    "(Tensor taken, Tensor anchors, Tensor boxes, Tensor scores, int num_rows) -> (Tensor, Tensor, Tensor, Tensor)",
    _COMPACT_SOURCE,
    _compact_reference,
    _compact_launch,
)
