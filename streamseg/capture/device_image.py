"""Decoded frames that stay on the GPU that decoded them, as NV12."""

from __future__ import annotations

from functools import cache
from typing import Final

import av
import torch
from av.video.reformatter import ColorRange
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from streamseg.modeling.nv12 import nv12_to_rgb
from streamseg.structures.arrays import ImageArray
from streamseg.structures.nv12 import ColourMatrix, Nv12Image, YuvColours

__all__ = ["nv12_image"]

_MATRICES: Final[dict[int, ColourMatrix]] = {1: "bt709", 9: "bt2020", 10: "bt2020"}
"""Colour matrices by FFmpeg's number (AVCOL_SPC); the others are BT.601's or close to it."""


def nv12_image(frame: av.VideoFrame, *, colour_space: int) -> Nv12Image:
    """Return a decoded frame where it is, copied, so that the decoder can reuse its memory.

    Args:
        frame: a frame in NV12 or P010 (of whose bits the upper eight are taken), on the host or on a GPU.
        colour_space: its colour matrix, by FFmpeg's number.
    """
    luma, chroma = (_upper_bytes(from_dlpack(plane)) for plane in frame.planes)
    colours = YuvColours(_MATRICES.get(colour_space, "bt601"), frame.color_range == ColorRange.JPEG.value)

    @cache
    def to_host() -> ImageArray:
        rgb: ImageArray = nv12_to_rgb(luma[None], chroma[None], colours)[0].cpu().numpy()
        return rgb

    return Nv12Image(luma, chroma, colours, to_host)


def _upper_bytes(plane: Tensor) -> Tensor:
    """Return a contiguous copy of a plane of 8 bits, or of the upper 8 of 16 bits."""
    values = plane if plane.dtype == torch.uint8 else plane.view(torch.uint8)[..., 1::2]
    return values.clone(memory_format=torch.contiguous_format)
