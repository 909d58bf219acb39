"""Appearance embeddings on the device, as `segmentation.embedding.embed` computes them on the host."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.modeling.cuda_kernel import CudaKernel, Launch
from streamseg.segmentation.device.lab import ColourBins
from streamseg.segmentation.embedding import POINTS_PER_SIDE, PROTOTYPE_WEIGHT, colour_smoothing
from streamseg.structures.grid import GridTransform

__all__ = ["DeviceEmbedding"]

_NUM_POINTS: Final = POINTS_PER_SIDE**2
_TINY: Final = 1e-9
_MAX_VALUES: Final = 512
"""Maximum length of an embedding in the CUDA function."""


class DeviceEmbedding:
    """Computes embeddings of the objects of B images of one size.

    Args:
        grid: transform from the grid of the logits to the image.
        device: the device; constants are allocated here.
    """

    def __init__(self, grid: GridTransform, device: torch.device) -> None:
        self._bins = ColourBins(device)
        self._smoothing = torch.from_numpy(colour_smoothing()).to(device)
        self._shares = ((torch.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE).to(device)
        self._grid = torch.tensor([[grid.offset_x, grid.offset_y], [grid.scale_x, grid.scale_y]]).to(device)

    def __call__(self, boxes: Tensor, logits: Tensor, prototypes: Tensor, pixels: Tensor) -> Tensor:
        """Return the embeddings float32 (B, K, bins + P), of length 1.

        Args:
            boxes: float32 (B, K, 4) xyxy, pixels of the image.
            logits: float32 (B, K, Mh, Mw), without corrections.
            prototypes: float32 (B, P, Mh, Mw).
            pixels: uint8 (B, H, W, 3) RGB, the network's input.
        """
        means, deviations = _statistics(prototypes)
        embeddings: Tensor = _embedded(
            boxes,
            logits,
            prototypes,
            means,
            deviations,
            self._bins(pixels),
            self._smoothing,
            self._shares,
            self._grid,
        )
        return embeddings


def _statistics_reference(prototypes: Tensor) -> tuple[Tensor, Tensor]:
    levels = prototypes[:, :, ::2, ::2].flatten(2)  # (B, P, cells): every second cell is sufficient
    means = levels.mean(dim=2)
    return means, (levels - means[:, :, None]).square().mean(dim=2).sqrt_()


_STATISTICS_SOURCE = """
__device__ float block_sum(float value, float* parts) {
  parts[threadIdx.x] = value;
  __syncthreads();
  float total = 0.0f;
  for (int t = 0; t < (int)blockDim.x; ++t) total += parts[t];
  __syncthreads();
  return total;
}

extern "C" __global__ void prototype_statistics(
    const float* prototypes, float* means, float* deviations, int height, int width) {
  __shared__ float parts[1024];
  const int rows = (height + 1) / 2, columns = (width + 1) / 2, count = rows * columns;
  prototypes += (long long)blockIdx.x * height * width;
  float sum = 0.0f;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += prototypes[i / columns * 2 * width + i % columns * 2];
  const float mean = block_sum(sum, parts) / count;
  float squares = 0.0f;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const float rest = prototypes[i / columns * 2 * width + i % columns * 2] - mean;
    squares += rest * rest;
  }
  const float square = block_sum(squares, parts) / count;
  if (threadIdx.x == 0) {
    means[blockIdx.x] = mean;
    deviations[blockIdx.x] = sqrtf(square);
  }
}
"""


def _statistics_launch(prototypes: Tensor) -> Launch:
    batch, count, height, width = prototypes.shape
    outputs = (prototypes.new_empty((batch, count)), prototypes.new_empty((batch, count)))
    return Launch(outputs, (prototypes, *outputs, height, width), batch * count, 128)


_statistics = CudaKernel(
    "prototype_statistics",
    "(Tensor prototypes) -> (Tensor, Tensor)",
    _STATISTICS_SOURCE,
    _statistics_reference,
    _statistics_launch,
    tolerance=1e-3,
)


def _reference(
    boxes: Tensor,
    logits: Tensor,
    prototypes: Tensor,
    means: Tensor,
    deviations: Tensor,
    bins: Tensor,
    smoothing: Tensor,
    shares: Tensor,
    grid: Tensor,
) -> Tensor:
    batch, count = boxes.shape[:2]
    height, width = logits.shape[2:]
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    points = ((low + (high - low) * shares[:, None] - grid[0]) / grid[1]).long().clamp_(min=0)
    columns, rows = points[..., 0].clamp(max=width - 1), points[..., 1].clamp(max=height - 1)  # (B, K, S) each
    cells = (rows[:, :, :, None] * width + columns[:, :, None, :]).view(batch, count, _NUM_POINTS)
    inside = logits.flatten(2).gather(2, cells) > 0
    inside = (inside | ~inside.any(dim=2, keepdim=True)).float()
    chosen_bins = bins.view(batch, 1, height * width).expand(-1, count, -1).gather(2, cells)
    counts = inside.new_zeros((batch, count, len(smoothing))).scatter_add_(2, chosen_bins, inside)
    colours = functional.normalize(torch.matmul(counts, smoothing).sqrt_(), dim=2, eps=_TINY)
    # Mean prototypes relative to the image's mean; every second cell and point is sufficient.
    levels = prototypes[:, :, ::2, ::2].flatten(2) - means[:, :, None]
    places = (rows[:, :, ::2] // 2 * ((width + 1) // 2))[:, :, :, None] + (columns[:, :, 1::2] // 2)[:, :, None, :]
    chosen = inside.view(batch, count, POINTS_PER_SIDE, POINTS_PER_SIDE)[:, :, ::2, 1::2].flatten(2)
    chosen = torch.maximum(chosen, 1 - chosen.amax(dim=2, keepdim=True))  # all points, if none is inside
    weights = chosen.new_zeros((batch, count, levels.shape[2])).scatter_add_(2, places.flatten(2), chosen)
    sums = torch.bmm(weights, levels.transpose(1, 2)) / chosen.sum(dim=2, keepdim=True)
    relative = functional.normalize(sums / (deviations[:, None] + 1e-6), dim=2, eps=_TINY)
    return functional.normalize(torch.cat([colours, PROTOTYPE_WEIGHT * relative], dim=2), dim=2, eps=_TINY)


_SOURCE = f"""
__device__ float squares(const float* values, int count) {{
  float sum = 0.0f;
  for (int i = 0; i < count; ++i) sum += values[i] * values[i];
  return sum;
}}

extern "C" __global__ void object_embeddings(
    const float* boxes, const float* logits, const float* prototypes, const float* means, const float* deviations,
    const long long* bins, const float* smoothing, const float* shares, const float* grid, float* result,
    int count, int height, int width, int num_bins, int num_prototypes) {{
  constexpr int side = {POINTS_PER_SIDE}, num_points = side * side;
  __shared__ float inside[num_points], histogram[{_MAX_VALUES}], values[{_MAX_VALUES}];
  __shared__ int columns[side], rows[side], any, any_coarse;
  const int image = blockIdx.x / count, length = num_bins + num_prototypes;
  const float* box = boxes + 4LL * blockIdx.x;
  logits += (long long)blockIdx.x * height * width;
  prototypes += (long long)image * num_prototypes * height * width;
  bins += (long long)image * height * width;
  for (int i = threadIdx.x; i < 2 * side; i += blockDim.x) {{
    const int axis = i / side, last = (axis ? height : width) - 1;
    const float at = (box[axis] + (box[2 + axis] - box[axis]) * shares[i % side] - grid[axis]) / grid[2 + axis];
    (axis ? rows : columns)[i % side] = max(min((int)at, last), 0);
  }}
  for (int i = threadIdx.x; i < num_bins; i += blockDim.x) histogram[i] = 0.0f;
  if (threadIdx.x == 0) any = any_coarse = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < num_points; i += blockDim.x) {{
    const bool is_object = logits[(long long)rows[i / side] * width + columns[i % side]] > 0.0f;
    inside[i] = is_object;
    if (is_object) any = 1;
  }}
  __syncthreads();
  for (int i = threadIdx.x; i < num_points; i += blockDim.x) {{
    if (!any) inside[i] = 1.0f;
    if (inside[i] > 0.0f) {{
      atomicAdd(&histogram[bins[(long long)rows[i / side] * width + columns[i % side]]], 1.0f);
      if (i / side % 2 == 0 && i % 2 == 1) any_coarse = 1;
    }}
  }}
  __syncthreads();
  for (int i = threadIdx.x; i < length; i += blockDim.x) {{
    if (i < num_bins) {{
      float sum = 0.0f;
      for (int j = 0; j < num_bins; ++j) sum += histogram[j] * smoothing[j * num_bins + i];
      values[i] = sqrtf(sum);
      continue;
    }}
    const int channel = i - num_bins;
    const float* prototype = prototypes + (long long)channel * height * width;
    const float mean = means[image * num_prototypes + channel];
    float sum = 0.0f, weight = 0.0f;
    for (int y = 0; y < side; y += 2) {{
      for (int x = 1; x < side; x += 2) {{
        if (any_coarse && !(inside[y * side + x] > 0.0f)) continue;
        sum += prototype[(long long)(rows[y] / 2 * 2) * width + columns[x] / 2 * 2] - mean;
        weight += 1.0f;
      }}
    }}
    values[i] = sum / weight / (deviations[image * num_prototypes + channel] + 1e-6f);
  }}
  __syncthreads();
  const float colour = fmaxf(sqrtf(squares(values, num_bins)), {_TINY}f);
  const float other = fmaxf(sqrtf(squares(values + num_bins, num_prototypes)), {_TINY}f);
  __syncthreads();
  for (int i = threadIdx.x; i < length; i += blockDim.x) {{
    values[i] = i < num_bins ? values[i] / colour : {PROTOTYPE_WEIGHT}f * (values[i] / other);
  }}
  __syncthreads();
  const float whole = fmaxf(sqrtf(squares(values, length)), {_TINY}f);
  for (int i = threadIdx.x; i < length; i += blockDim.x) result[(long long)blockIdx.x * length + i] = values[i] / whole;
}}
"""


def _launch(
    boxes: Tensor,
    logits: Tensor,
    prototypes: Tensor,
    means: Tensor,
    deviations: Tensor,
    bins: Tensor,
    smoothing: Tensor,
    shares: Tensor,
    grid: Tensor,
) -> Launch | None:
    (batch, count), (height, width) = boxes.shape[:2], logits.shape[2:]
    num_bins, num_prototypes = len(smoothing), prototypes.shape[1]
    if not count or num_bins + num_prototypes > _MAX_VALUES:
        return None
    result = boxes.new_empty((batch, count, num_bins + num_prototypes))
    inputs = (boxes, logits, prototypes, means, deviations, bins, smoothing, shares, grid)
    return Launch((result,), (*inputs, result, count, height, width, num_bins, num_prototypes), batch * count)


_embedded = CudaKernel(
    "object_embeddings",
    "(Tensor boxes, Tensor logits, Tensor prototypes, Tensor means, Tensor deviations, Tensor bins, Tensor smoothing, "
    "Tensor shares, Tensor grid) -> Tensor",
    _SOURCE,
    _reference,
    _launch,
    tolerance=1e-3,
)
