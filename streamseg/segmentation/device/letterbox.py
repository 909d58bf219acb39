"""Letterboxing on the device, from whole images: the pixels equal those of `modeling.preprocess.letterbox_images`.

OpenCV's bilinear resize of 8 bits works with integers: weights of 11 bits, a sum along x, a shift by 4 bits, and a sum
along y whose products are shifted by 16 bits each. The same steps give the same pixels. Like OpenCV's, the resize has
no filter against aliasing: so were the networks trained.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from streamseg.geometry import Letterbox
from streamseg.modeling.cuda_kernel import CudaKernel, Launch, blocks_for
from streamseg.modeling.preprocess import PADDING

__all__ = ["DeviceLetterbox"]

_ONE = 1 << 11
"""The weight 1 in fixed point."""


class DeviceLetterbox:
    """Letterboxes images of one size.

    Args:
        place: placement of the images in the network's input.
        device: the device; its tables are allocated here.
    """

    def __init__(self, place: Letterbox, device: torch.device) -> None:
        self._place = place
        (columns, across), (rows, down) = (
            _taps(place.image_size[axis], place.scaled_size[axis], repeats_border=axis == 0) for axis in (1, 0)
        )
        self._tables = tuple(table.to(device) for table in (columns, rows, across, down))

    def __call__(self, images: Tensor) -> Tensor:
        """Return images uint8 (B, H, W, 3) scaled and padded to the network's input: uint8 (B, h, w, 3)."""
        place = self._place
        if place.image_size == place.input_size:
            return images
        result: Tensor = _letterboxed(images, *self._tables, place.top, place.left, *place.input_size)
        return result


def _reference(
    images: Tensor,
    columns: Tensor,
    rows: Tensor,
    across: Tensor,
    down: Tensor,
    top: int,
    left: int,
    input_height: int,
    input_width: int,
) -> Tensor:
    batch, height, width = len(images), len(rows) // 2, len(columns) // 2
    if images.shape[1:3] == (height, width):
        scaled = images
    else:
        near = images.index_select(1, rows).index_select(2, columns)  # (B, 2 h, 2 w, 3)
        sums = near.view(batch, 2 * height, 2, width, 3).to(torch.int32).mul_(across.view(2, -1, 1))
        products = sums.sum(2, dtype=torch.int32).bitwise_right_shift_(4).view(batch, 2, height, width, 3)
        products = products.mul_(down.view(2, -1, 1, 1)).bitwise_right_shift_(16)
        scaled = products.sum(1, dtype=torch.int32).add_(2).bitwise_right_shift_(2)
    if (height, width) == (input_height, input_width):
        return scaled.to(torch.uint8)
    result = images.new_full((batch, input_height, input_width, 3), PADDING)
    result[:, top : top + height, left : left + width].copy_(scaled)
    return result


_SOURCE = f"""
extern "C" __global__ void letterboxed(
    const unsigned char* images, const long long* columns, const long long* rows, const int* across, const int* down,
    unsigned char* result, int image_height, int image_width, int height, int width, int top, int left,
    int input_height, int input_width, int count) {{
  const bool scales = image_height != height || image_width != width;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {{
    const int x = i % input_width - left, y = i / input_width % input_height - top;
    const unsigned char* image = images + (long long)(i / input_width / input_height) * image_height * image_width * 3;
    unsigned char* target = result + 3LL * i;
    for (int c = 0; c < 3; ++c) {{
      if (x < 0 || y < 0 || x >= width || y >= height) {{
        target[c] = {PADDING};
      }} else if (!scales) {{
        target[c] = image[((long long)y * image_width + x) * 3 + c];
      }} else {{
        int total = 0;
        for (int k = 0; k < 2; ++k) {{
          const unsigned char* row = image + rows[k * height + y] * image_width * 3 + c;
          const int sum = row[columns[x] * 3] * across[x] + row[columns[width + x] * 3] * across[width + x];
          total += ((sum >> 4) * down[k * height + y]) >> 16;
        }}
        target[c] = (unsigned char)((total + 2) >> 2);
      }}
    }}
  }}
}}
"""


def _launch(
    images: Tensor,
    columns: Tensor,
    rows: Tensor,
    across: Tensor,
    down: Tensor,
    top: int,
    left: int,
    input_height: int,
    input_width: int,
) -> Launch:
    result = images.new_empty((len(images), input_height, input_width, 3))
    count = result.numel() // 3
    sizes = (*images.shape[1:3], len(rows) // 2, len(columns) // 2, top, left, input_height, input_width, count)
    return Launch((result,), (images, columns, rows, across, down, result, *sizes), blocks_for(count))


_letterboxed = CudaKernel(
    "letterboxed",
    "(Tensor images, Tensor columns, Tensor rows, Tensor across, Tensor down, int top, int left, int input_height, "
    "int input_width) -> Tensor",
    _SOURCE,
    _reference,
    _launch,
)


def _taps(num_pixels: int, num_outputs: int, *, repeats_border: bool) -> tuple[Tensor, Tensor]:
    """Return the neighbours of each output, int64 (2 n,), and their weights in fixed point, int32 (2 n,).

    OpenCV gives the border pixel the whole weight along x; along y it sums two weights of the repeated pixel, which
    rounds twice.
    """
    positions = ((np.arange(num_outputs) + 0.5) * (num_pixels / num_outputs) - 0.5).astype(np.float32)
    lower = np.floor(positions).astype(np.int64)
    share = positions - lower.astype(np.float32)
    if not repeats_border:
        share = np.where((lower < 0) | (lower >= num_pixels - 1), np.float32(0), share)
    neighbours = np.concatenate([lower, lower + 1]).clip(0, num_pixels - 1)
    weights = np.rint(np.concatenate([1 - share, share]) * np.float32(_ONE)).astype(np.int32)
    return torch.from_numpy(neighbours), torch.from_numpy(weights)
