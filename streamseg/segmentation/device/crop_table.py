"""Where the pixels of objects' crops lie: one crop behind the other, as one CUDA function with its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch
from streamseg.segmentation.masks import LARGE_CELL_PIXELS
from streamseg.segmentation.resampling import ROUNDING

__all__ = ["crop_table"]


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
