"""The pixels of objects' crops, interpolated from logits, as one CUDA function with its reference.

Pixels come in tiles, whose changes between background and object are counted: summed up, the numbers tell
`crop_changes` where each tile writes.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch

__all__ = ["TILE", "crop_pixels", "is_change"]

TILE: Final = 1024
"""Pixels per tile."""


def _pixels_reference(
    table: Tensor,
    places: Tensor,
    logits: Tensor,
    corrections: Tensor,
    lower_x: Tensor,
    share_x: Tensor,
    lower_y: Tensor,
    share_y: Tensor,
    num_pixels: int,
) -> tuple[Tensor, Tensor]:
    batch, count = table.shape[:2]
    positions = torch.arange(num_pixels, dtype=torch.int32, device=table.device).repeat(batch, 1)
    ends = table[..., 0].contiguous()
    row = torch.searchsorted(ends, positions, right=True, out_int32=True).clamp_(max=count - 1)  # (B, P)
    row = row + torch.arange(batch, dtype=torch.int32, device=table.device)[:, None] * count
    chosen = table.view(-1, 6).index_select(0, row.view(-1)).view(batch, -1, 6)
    _, start, width, _, left, top = chosen.unbind(-1)
    local = positions - start
    down = local.div(width, rounding_mode="floor")
    across = local - down * width
    # Beyond the last crop, positions may lie outside the image.
    x, y = (across + left).clamp_(0, len(lower_x) - 1), (down + top).clamp_(0, len(lower_y) - 1)
    grid_height, grid_width = logits.shape[2:]
    cell_x, cell_y, at_x, at_y = (
        values.index_select(0, at.view(-1)).view_as(at)
        for values, at in ((lower_x, x), (lower_y, y), (share_x, x), (share_y, y))
    )
    cell = row * (grid_height * grid_width) + cell_y * grid_width + cell_x
    value = _interpolated(logits.view(-1), cell, grid_width, at_x, at_y)
    if corrections.numel():
        raster = corrections.shape[3]
        start_x, start_y, step_x, step_y = (
            places.view(-1, 4).index_select(0, row.view(-1)).view(*row.shape, 4).unbind(-1)
        )
        on_x = (start_x + step_x * across).clamp_(0, raster - 1)
        on_y = (start_y + step_y * down).clamp_(0, raster - 1)
        column, line = (at.to(torch.int32).clamp_(max=raster - 2) for at in (on_x, on_y))
        cell = row * (raster * raster) + line * raster + column
        value = value + _interpolated(corrections.view(-1), cell, raster, on_x - column, on_y - line)
    inside = (value > 0) & (positions < ends[:, -1:])
    tiles = torch.nn.functional.pad(is_change(inside), (0, -num_pixels % TILE)).view(batch, -1, TILE)
    return inside, tiles.sum(dim=2, dtype=torch.int32)


def _interpolated(values: Tensor, cell: Tensor, width: int, share_x: Tensor, share_y: Tensor) -> Tensor:
    """Interpolate between a cell of flat grids, the next one in its row, and the two below."""
    upper, lower = (
        torch.lerp(
            values.index_select(0, at.view(-1)).view_as(at),
            values.index_select(0, at.view(-1) + 1).view_as(at),
            share_x,
        )
        for at in (cell, cell + width)
    )
    return torch.lerp(upper, lower, share_y)


def is_change(inside: Tensor) -> Tensor:
    """Return where pixels (B, P) differ from the one before; before the first one is background."""
    return inside ^ torch.cat([torch.zeros_like(inside[:, :1]), inside[:, :-1]], dim=1)


_PIXELS_SOURCE = f"""
__device__ float blend(float a, float b, float share) {{  // as torch.lerp
  return share < 0.5f ? a + share * (b - a) : b - (b - a) * (1.0f - share);
}}

__device__ float interpolated(const float* cell, int width, float x, float y) {{
  return blend(blend(cell[0], cell[1], x), blend(cell[width], cell[width + 1], x), y);
}}

extern "C" __global__ void crop_pixels(
    const int* table, const float* places, const float* logits, const float* corrections,
    const int* lower_x, const float* share_x, const int* lower_y, const float* share_y,
    unsigned char* inside, int* changes, int count, int num_pixels, int num_tiles,
    int image_width, int image_height, int grid_width, int grid_height, int raster) {{
  __shared__ unsigned char tile[{TILE} + 1];  // with the pixel before
  __shared__ int sums[1024];
  const long long image = blockIdx.x / num_tiles;
  const int origin = blockIdx.x % num_tiles * {TILE};
  table += image * count * 6;
  for (int at = threadIdx.x; at <= {TILE}; at += blockDim.x) {{
    const int position = origin + at - 1;
    bool is_object = false;
    if (position >= 0 && position < num_pixels && position < table[6 * (count - 1)]) {{
      int low = 0, high = count - 1;  // the first crop that ends beyond the position
      while (low < high) {{
        const int middle = (low + high) / 2;
        if (table[6 * middle] > position) high = middle; else low = middle + 1;
      }}
      const int* row = table + 6 * low;
      const int local = position - row[1], down = local / row[2], across = local - down * row[2];
      const int x = min(across + row[4], image_width - 1), y = min(down + row[5], image_height - 1);
      const long long object = image * count + low;
      const float* cell = logits + object * grid_width * grid_height + (long long)lower_y[y] * grid_width + lower_x[x];
      float value = interpolated(cell, grid_width, share_x[x], share_y[y]);
      if (raster) {{
        const float* place = places + 4 * object;
        const float on_x = fminf(fmaxf(place[0] + place[2] * across, 0.0f), raster - 1.0f);
        const float on_y = fminf(fmaxf(place[1] + place[3] * down, 0.0f), raster - 1.0f);
        const int column = min((int)on_x, raster - 2), line = min((int)on_y, raster - 2);
        const float* corner = corrections + object * raster * raster + line * raster + column;
        value = value + interpolated(corner, raster, on_x - column, on_y - line);
      }}
      is_object = value > 0.0f;
    }}
    tile[at] = is_object;
    if (at && position < num_pixels) inside[image * num_pixels + position] = is_object;
  }}
  __syncthreads();
  int number = 0;
  for (int at = threadIdx.x + 1; at <= {TILE} && origin + at - 1 < num_pixels; at += blockDim.x) {{
    number += tile[at] != tile[at - 1];
  }}
  sums[threadIdx.x] = number;
  __syncthreads();
  if (threadIdx.x == 0) {{
    int total = 0;
    for (int t = 0; t < (int)blockDim.x; ++t) total += sums[t];
    changes[blockIdx.x] = total;
  }}
}}
"""


def _pixels_launch(
    table: Tensor,
    places: Tensor,
    logits: Tensor,
    corrections: Tensor,
    lower_x: Tensor,
    share_x: Tensor,
    lower_y: Tensor,
    share_y: Tensor,
    num_pixels: int,
) -> Launch | None:
    batch, count = table.shape[:2]
    if not count:
        return None
    num_tiles = -(-num_pixels // TILE)
    inside = torch.empty((batch, num_pixels), dtype=torch.bool, device=table.device)
    outputs = (inside, table.new_empty((batch, num_tiles)))
    sizes = (count, num_pixels, num_tiles, len(lower_x), len(lower_y), logits.shape[3], logits.shape[2])
    raster = corrections.shape[3] if corrections.numel() else 0
    inputs = (table, places, logits, corrections, lower_x, share_x, lower_y, share_y)
    return Launch(outputs, (*inputs, *outputs, *sizes, raster), batch * num_tiles, 256)


crop_pixels = CudaKernel(
    "crop_pixels",
    "(Tensor table, Tensor places, Tensor logits, Tensor corrections, Tensor lower_x, Tensor share_x, Tensor lower_y, "
    "Tensor share_y, int num_pixels) -> (Tensor, Tensor)",
    _PIXELS_SOURCE,
    _pixels_reference,
    _pixels_launch,
    flips=1e-2,  # a pixel that is rounded the other way moves the number of changes of its tile
)
"""Compute the pixels of crops.

Takes the results of `crop_table`, logits float32 (B, K, Mh, Mw), corrections float32 (B, K, R, R) or empty, for each
column and row of the image the lower of its two cells, int32, and the weight of the other one, float32, and the
capacity for pixels per image.

Returns bool (B, P), False beyond the last crop, and int32 (B, T), the number of changes in each tile."""
