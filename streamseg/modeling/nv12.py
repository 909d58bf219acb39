"""NV12, as video decoders produce it, to RGB where it is: on the GPU in one kernel.

As in FFmpeg's conversion of the same video on the host, the four pixels of a chroma value share it. The products are
integers with 16 bits after the point, so that the kernel and its reference give equal pixels.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from streamseg.modeling.cuda_kernel import CudaKernel, Launch, blocks_for
from streamseg.structures.nv12 import ColourMatrix, YuvColours

__all__ = ["nv12_to_rgb"]

_WEIGHTS: Final[dict[ColourMatrix, tuple[float, float]]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""Weights of red and blue in luma; that of green is the rest."""

_BITS: Final = 16


def nv12_to_rgb(luma: Tensor, chroma: Tensor, colours: YuvColours) -> Tensor:
    """Convert a batch of images of one size, on any device.

    Args:
        luma: uint8 (B, H, W), contiguous.
        chroma: uint8 (B, ceil(H / 2), ceil(W / 2), 2), Cb and Cr, contiguous.
        colours: how they encode RGB.

    Returns:
        uint8 (B, H, W, 3) RGB.
    """
    result: Tensor = _nv12_to_rgb(luma, chroma, *_factors(colours))
    return result


def _factors(colours: YuvColours) -> tuple[int, int, int, int, int, int]:
    """Return black, and the factors of luma, of Cr in red, of Cb and of Cr in green, of Cb in blue, in fixed point."""
    red, blue = _WEIGHTS[colours.matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if colours.is_full_range else (255 / 219, 255 / 224)
    red_of_cr, blue_of_cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    exact = (luma, red_of_cr, -blue_of_cb * blue / green, -red_of_cr * red / green, blue_of_cb)
    scaled = [round(one * (1 << _BITS)) for one in exact]
    return (0 if colours.is_full_range else 16, scaled[0], scaled[1], scaled[2], scaled[3], scaled[4])


def _reference(
    luma: Tensor, chroma: Tensor, black: int, scale: int, red: int, green_of_cb: int, green_of_cr: int, blue: int
) -> Tensor:
    height, width = luma.shape[1:]
    light = (luma.to(torch.int32) - black) * scale
    shared = chroma.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)[:, :height, :width].to(torch.int32) - 128
    cb, cr = shared.unbind(dim=3)
    channels = torch.stack([light + red * cr, light + green_of_cb * cb + green_of_cr * cr, light + blue * cb], dim=3)
    return channels.bitwise_right_shift(_BITS).clamp(0, 255).to(torch.uint8)


_SOURCE = f"""
__device__ unsigned char channel(int value) {{
  value >>= {_BITS};
  return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}}

extern "C" __global__ void nv12_to_rgb(
    const unsigned char* luma, const unsigned char* chroma, unsigned char* result, int height, int width, int count,
    int black, int scale, int red, int green_of_cb, int green_of_cr, int blue) {{
  const int rows = (height + 1) / 2, columns = (width + 1) / 2;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {{
    const int x = i % width, y = i / width % height, image = i / width / height;
    const unsigned char* pair = chroma + 2 * (((long long)image * rows + y / 2) * columns + x / 2);
    const int light = ((int)luma[i] - black) * scale, cb = (int)pair[0] - 128, cr = (int)pair[1] - 128;
    unsigned char* target = result + 3LL * i;
    target[0] = channel(light + red * cr);
    target[1] = channel(light + green_of_cb * cb + green_of_cr * cr);
    target[2] = channel(light + blue * cb);
  }}
}}
"""


def _launch(
    luma: Tensor, chroma: Tensor, black: int, scale: int, red: int, green_of_cb: int, green_of_cr: int, blue: int
) -> Launch:
    result = luma.new_empty((*luma.shape, 3))
    sizes = (luma.shape[1], luma.shape[2], luma.numel())
    factors = (black, scale, red, green_of_cb, green_of_cr, blue)
    return Launch((result,), (luma, chroma, result, *sizes, *factors), blocks_for(luma.numel()))


_nv12_to_rgb = CudaKernel(
    "nv12_to_rgb",
    "(Tensor luma, Tensor chroma, int black, int scale, int red, int green_of_cb, int green_of_cr, int blue) -> Tensor",
    _SOURCE,
    _reference,
    _launch,
)
