"""Where the pixels of objects' crops change between background and object, as one CUDA function with its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch
from streamseg.segmentation.device.crop_pixels import TILE, is_change

__all__ = ["crop_changes"]


def _changes_reference(inside: Tensor, ends: Tensor, totals: Tensor, num_changes: int) -> tuple[Tensor, Tensor]:
    batch, num_pixels = inside.shape
    changed = is_change(inside)
    # The others share a slot that is cut off, as do changes beyond the capacity.
    slots = (changed.cumsum(dim=1) - 1).masked_fill_(~changed, num_changes).clamp_(max=num_changes)
    positions = torch.arange(num_pixels, dtype=torch.int32, device=inside.device).expand(batch, -1)
    changes = positions.new_zeros((batch, num_changes + 1)).scatter_(1, slots, positions)
    counts = ends[:, -1].masked_fill(totals >= num_pixels, num_changes + 1)
    return changes[:, :num_changes].contiguous(), counts


_CHANGES_SOURCE = f"""
extern "C" __global__ void crop_changes(
    const unsigned char* inside, const long long* ends, const double* totals, int* changes, long long* counts,
    int num_pixels, int num_tiles, int num_changes) {{
  __shared__ int sums[1024];
  const int image = blockIdx.x / num_tiles, number = blockIdx.x % num_tiles;
  inside += (long long)image * num_pixels;
  ends += (long long)image * num_tiles;
  changes += (long long)image * num_changes;
  const int step = ({TILE} + blockDim.x - 1) / blockDim.x;
  const int first = number * {TILE} + threadIdx.x * step;
  const int last = min(min(first + step, (number + 1) * {TILE}), num_pixels);
  int found = 0;
  for (int at = first; at < last; ++at) found += inside[at] != (at ? inside[at - 1] : 0);
  sums[threadIdx.x] = found;
  __syncthreads();
  long long place = number ? ends[number - 1] : 0;
  for (int t = 0; t < (int)threadIdx.x; ++t) place += sums[t];
  for (int at = first; at < last; ++at) {{
    if (inside[at] != (at ? inside[at - 1] : 0)) {{
      if (place < num_changes) changes[place] = at;
      ++place;
    }}
  }}
  const long long total = ends[num_tiles - 1];  // the places behind it are cleared by all blocks of the image
  const int stride = num_tiles * (int)blockDim.x;
  for (long long at = total + number * (int)blockDim.x + threadIdx.x; at < num_changes; at += stride) changes[at] = 0;
  if (number == 0 && threadIdx.x == 0) counts[image] = totals[image] >= num_pixels ? num_changes + 1 : total;
}}
"""


def _changes_launch(inside: Tensor, ends: Tensor, totals: Tensor, num_changes: int) -> Launch:
    batch, num_pixels = inside.shape
    num_tiles = ends.shape[1]
    changes = torch.empty((batch, num_changes), dtype=torch.int32, device=inside.device)
    counts = ends.new_empty(batch)
    arguments = (inside, ends, totals, changes, counts, num_pixels, num_tiles, num_changes)
    return Launch((changes, counts), arguments, batch * num_tiles, 128)


crop_changes = CudaKernel(
    "crop_changes",
    "(Tensor inside, Tensor ends, Tensor totals, int num_changes) -> (Tensor, Tensor)",
    _CHANGES_SOURCE,
    _changes_reference,
    _changes_launch,
)
"""List the positions of changes.

Takes pixels bool (B, P), the number of changes up to the end of each tile, int64 (B, T), the number of pixels of all
crops, float64 (B,), and the capacity N for changes.

Returns int32 (B, N), beyond the number of changes zeros, and int64 (B,), the number of changes, or N + 1 if the pixels
did not fit."""
