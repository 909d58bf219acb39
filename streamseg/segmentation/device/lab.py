"""Colour bins on the device: OpenCV's conversion of 8-bit RGB to CIELAB, in the same integers.

The colour histograms of `segmentation.embedding` count bins of CIELAB, so that a rounding difference would move a pixel
from one bin to another. OpenCV converts by two tables and two matrices of integers; products stay below 2^24, where
float32 is exact. One colour in some 10,000 differs by one step of a or b, because the tables are computed in another
precision.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch, blocks_for
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.segmentation.embedding import colour_tables

__all__ = ["ColourBins"]

_SHIFT: Final = 12
_SHIFT_OUT: Final = 15
_TO_XYZ: Final = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE: Final = np.array([0.950456, 1.0, 1.088754])


class ColourBins:
    """Computes the colour bin of each cell of the prototypes' grid, from the mean of its pixels.

    Args:
        device: the device; its tables are allocated here.
    """

    def __init__(self, device: torch.device) -> None:
        value = np.arange(256) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        self._linear = torch.from_numpy(np.rint(255 * 8 * linear).astype(np.float32)).to(device)
        self._to_xyz = torch.from_numpy(np.rint(_TO_XYZ / _WHITE[:, None] * 4096).astype(np.float32).T.copy()).to(
            device
        )
        share = np.arange(256 * 3 // 2 * 8) / (255 * 8)
        root = np.where(share < 0.008856, share * 7.787 + 16 / 116, np.cbrt(share))
        self._root = torch.from_numpy(np.rint(32768 * root).astype(np.float32)).to(device)
        to_lab = np.array([[0, 296, 0], [500, -500, 0], [0, 200, -200]], np.float32)
        self._to_lab = torch.from_numpy(to_lab.T.copy()).to(device)
        half, centre = 1 << (_SHIFT_OUT - 1), 128 << _SHIFT_OUT
        # The last shift selects the entry of a channel in the joined tables.
        channel = np.arange(3) * 256 << _SHIFT_OUT
        offsets = np.array([-1_336_934, centre, centre]) + half + channel
        self._offsets = torch.from_numpy(offsets.astype(np.int32)).to(device)
        self._bins = torch.from_numpy(np.concatenate(colour_tables()).astype(np.int64)).to(device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the bins int64 (B, Mh * Mw) of images uint8 (B, H, W, 3) RGB."""
        bins: Tensor = _colour_bins(
            pixels, self._linear, self._to_xyz, self._root, self._to_lab, self._offsets, self._bins
        )
        return bins


def _reference(
    pixels: Tensor, linear: Tensor, to_xyz: Tensor, root: Tensor, to_lab: Tensor, offsets: Tensor, bins: Tensor
) -> Tensor:
    batch, height, width = len(pixels), pixels.shape[1] // PROTOTYPE_STRIDE, pixels.shape[2] // PROTOTYPE_STRIDE
    blocks = pixels.view(batch, height, PROTOTYPE_STRIDE, width, PROTOTYPE_STRIDE, 3)
    colours = blocks.float().mean(dim=(2, 4)).round_().long().view(-1)
    values = linear.index_select(0, colours).view(-1, 3)
    xyz = torch.mm(values, to_xyz).to(torch.int32).add_(1 << (_SHIFT - 1)).bitwise_right_shift_(_SHIFT)
    roots = root.index_select(0, xyz.view(-1)).view(-1, 3)
    lab = torch.mm(roots, to_lab).to(torch.int32).add_(offsets).bitwise_right_shift_(_SHIFT_OUT)
    return bins.index_select(0, lab.view(-1)).view(batch, -1, 3).sum(dim=2)


_SOURCE = f"""
extern "C" __global__ void colour_bins(
    const unsigned char* pixels, const float* linear, const float* to_xyz, const float* root, const float* to_lab,
    const int* offsets, const long long* bins, long long* result, int width, int count) {{
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {{
    const unsigned char* corner =
        pixels + ((long long)(i / width) * {PROTOTYPE_STRIDE} * width + i % width) * {PROTOTYPE_STRIDE} * 3;
    float values[3], roots[3];
    for (int c = 0; c < 3; ++c) {{
      int sum = 0;
      for (int y = 0; y < {PROTOTYPE_STRIDE}; ++y)
        for (int x = 0; x < {PROTOTYPE_STRIDE}; ++x)
          sum += corner[((long long)y * width * {PROTOTYPE_STRIDE} + x) * 3 + c];
      values[c] = linear[(int)rintf(sum / {PROTOTYPE_STRIDE**2}.0f)];
    }}
    for (int c = 0; c < 3; ++c) {{  // the matrices are transposed
      const float sum = values[0] * to_xyz[c] + values[1] * to_xyz[3 + c] + values[2] * to_xyz[6 + c];
      roots[c] = root[((int)sum + {1 << (_SHIFT - 1)}) >> {_SHIFT}];
    }}
    long long bin = 0;
    for (int c = 0; c < 3; ++c) {{
      const float sum = roots[0] * to_lab[c] + roots[1] * to_lab[3 + c] + roots[2] * to_lab[6 + c];
      bin += bins[((int)sum + offsets[c]) >> {_SHIFT_OUT}];
    }}
    result[i] = bin;
  }}
}}
"""


def _launch(
    pixels: Tensor, linear: Tensor, to_xyz: Tensor, root: Tensor, to_lab: Tensor, offsets: Tensor, bins: Tensor
) -> Launch:
    batch, height, width = len(pixels), pixels.shape[1] // PROTOTYPE_STRIDE, pixels.shape[2] // PROTOTYPE_STRIDE
    result = bins.new_empty((batch, height * width))
    inputs = (pixels, linear, to_xyz, root, to_lab, offsets, bins)
    return Launch((result,), (*inputs, result, width, result.numel()), blocks_for(result.numel()))


_colour_bins = CudaKernel(
    "colour_bins",
    "(Tensor pixels, Tensor linear, Tensor to_xyz, Tensor root, Tensor to_lab, Tensor offsets, Tensor bins) -> Tensor",
    _SOURCE,
    _reference,
    _launch,
)
