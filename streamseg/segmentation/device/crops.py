"""The pixels of objects' crops on the device, and where they change, each as one CUDA function with its reference.

`crop_table` lays out the crops of an image's objects one behind the other, `crop_pixels` interpolates the logits at
each of their pixels, and `crop_changes` lists the changes between background and object. Pixels come in tiles; the
number of changes per tile, summed up between the last two, tells each tile where to write.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch
from streamseg.segmentation.masks import LARGE_CELL_PIXELS
from streamseg.segmentation.resampling import ROUNDING

__all__ = ["TILE", "crop_changes", "crop_pixels", "crop_table"]

TILE: Final = 1024
"""Pixels per tile."""


def _first_pixels(edges: Tensor) -> Tensor:
    """Return the first pixels whose centres lie beyond edges, as `Axis.pixels` at one pixel per pixel."""
    return (edges - 0.5 - ROUNDING).ceil_()


def _table_reference(
    boxes: Tensor, valid: Tensor, limits: Tensor, margin: float, raster: int
) -> tuple[Tensor, Tensor, Tensor]:
    sides, low_border, high_border = limits.unbind(0)
    edges_low, edges_high = boxes[..., :2].double(), boxes[..., 2:].double()
    margins = margin * (edges_high - edges_low)
    edges_low, edges_high = edges_low - margins, edges_high + margins
    at_border = edges_high >= high_border
    first = _first_pixels(edges_low * (edges_low > low_border)).clamp_(min=0)
    last = torch.minimum(_first_pixels(edges_high * ~at_border + sides * at_border), sides)
    extent = (last - first).clamp_(min=0) * valid[..., None]
    areas = extent.prod(dim=2)
    ends = areas.cumsum(dim=1)  # exact up to 2^53
    table = torch.cat([ends[..., None], (ends - areas)[..., None], extent.clamp(min=1), first], dim=2)
    # On the raster, aligned to whole pixels, as on the host, if the cells are large.
    begin, end = _first_pixels(edges_low), _first_pixels(edges_high)
    is_large = (end - begin >= raster * LARGE_CELL_PIXELS) & (begin <= first) & (last <= end)
    is_large = is_large.all(dim=2, keepdim=True)
    cells = raster / (edges_high - edges_low).clamp(min=ROUNDING)
    cells = cells * ~is_large + raster / (end - begin).clamp(min=1) * is_large
    origin = edges_low * ~is_large + begin * is_large
    places = torch.cat([cells * (first + 0.5 - origin) - 0.5, cells], dim=2).float()
    return table.clamp(max=2.0**31 - 1).to(torch.int32), places, areas.sum(dim=1)


_TABLE_SOURCE = f"""
__device__ double first_pixel(double edge) {{ return ceil(edge - 0.5 - {ROUNDING!r}); }}

extern "C" __global__ void crop_table(
    const float* boxes, const unsigned char* valid, const double* limits, int* table, float* places, double* totals,
    int count, double margin, int raster) {{
  const long long base = (long long)blockIdx.x * count;
  for (int k = threadIdx.x; k < count; k += blockDim.x) {{
    const float* box = boxes + 4 * (base + k);
    int* row = table + 6 * (base + k);
    double low[2], high[2], first[2], last[2];
    bool is_large = true;
    for (int d = 0; d < 2; ++d) {{
      const double margins = margin * ((double)box[2 + d] - (double)box[d]);
      low[d] = (double)box[d] - margins;
      high[d] = (double)box[2 + d] + margins;
      first[d] = fmax(first_pixel(low[d] > limits[2 + d] ? low[d] : 0.0), 0.0);
      last[d] = fmin(first_pixel(high[d] >= limits[4 + d] ? limits[d] : high[d]), limits[d]);
      const double extent = valid[base + k] ? fmax(last[d] - first[d], 0.0) : 0.0;
      row[d] = (int)extent;
      row[2 + d] = (int)fmax(extent, 1.0);
      row[4 + d] = (int)first[d];
      const double begin = first_pixel(low[d]), end = first_pixel(high[d]);
      is_large = is_large && end - begin >= {LARGE_CELL_PIXELS!r} * raster && begin <= first[d] && last[d] <= end;
    }}
    for (int d = 0; d < 2; ++d) {{
      const double begin = first_pixel(low[d]), end = first_pixel(high[d]);
      const double cells = is_large ? raster / fmax(end - begin, 1.0) : raster / fmax(high[d] - low[d], {ROUNDING!r});
      places[4 * (base + k) + d] = (float)(cells * (first[d] + 0.5 - (is_large ? begin : low[d])) - 0.5);
      places[4 * (base + k) + 2 + d] = (float)cells;
    }}
  }}
  __syncthreads();
  if (threadIdx.x == 0) {{
    double end = 0.0;
    for (int k = 0; k < count; ++k) {{
      int* row = table + 6 * (base + k);
      const double start = end;
      end += (double)row[0] * row[1];
      row[0] = (int)fmin(end, 2147483647.0);
      row[1] = (int)fmin(start, 2147483647.0);
    }}
    totals[blockIdx.x] = end;
  }}
}}
"""


def _table_launch(boxes: Tensor, valid: Tensor, limits: Tensor, margin: float, raster: int) -> Launch | None:
    batch, count = valid.shape
    if not count:
        return None
    table = torch.empty((batch, count, 6), dtype=torch.int32, device=boxes.device)
    outputs = (table, boxes.new_empty((batch, count, 4)), limits.new_empty(batch))
    return Launch(outputs, (boxes, valid, limits, *outputs, count, float(margin), raster), batch, 128)


crop_table = CudaKernel(
    "crop_table",
    "(Tensor boxes, Tensor valid, Tensor limits, float margin, int raster) -> (Tensor, Tensor, Tensor)",
    _TABLE_SOURCE,
    _table_reference,
    _table_launch,
    tolerance=1e-6,
)
"""Lay out the crops of K objects in each of B images.

Takes boxes float32 (B, K, 4) xyxy in pixels of the image, valid bool (B, K) (the other rows get no pixels), limits
float64 (3, 2) (for x and y the size of the image, and the edges from which on boxes are moved to its borders), the
margin around boxes as a fraction of their sides, and the cells per side of the correction's raster.

Returns int32 (B, K, 6): end and start of the crop in the sequence of pixels, its width and height, at least 1, its left
and its top column and row; float32 (B, K, 4): x and y of the crop's first pixel on the raster, and the cells per pixel;
float64 (B,): number of pixels of all crops."""


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
    tiles = torch.nn.functional.pad(_is_change(inside), (0, -num_pixels % TILE)).view(batch, -1, TILE)
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


def _is_change(inside: Tensor) -> Tensor:
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


def _changes_reference(inside: Tensor, ends: Tensor, totals: Tensor, num_changes: int) -> tuple[Tensor, Tensor]:
    batch, num_pixels = inside.shape
    is_change = _is_change(inside)
    # The others share a slot that is cut off, as do changes beyond the capacity.
    slots = (is_change.cumsum(dim=1) - 1).masked_fill_(~is_change, num_changes).clamp_(max=num_changes)
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
