"""Images as video decoders produce them, on the device that decoded them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from streamseg.structures.arrays import ImageArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ColourMatrix", "Nv12Image", "YuvColours"]

ColourMatrix = Literal["bt601", "bt709", "bt2020"]
"""Weights of red and blue in luma."""


class YuvColours(NamedTuple):
    """How luma and chroma encode RGB."""

    matrix: ColourMatrix
    is_full_range: bool
    """True: luma and chroma use all of 0..255; False: luma 16..235, chroma 16..240, as usual in video."""


@dataclass(frozen=True, eq=False)
class Nv12Image:
    """An image in NV12: luma for each pixel, chroma for each 2 x 2 pixels."""

    luma: Tensor
    """uint8 (H, W)."""
    chroma: Tensor
    """uint8 (ceil(H / 2), ceil(W / 2), 2), Cb and Cr, on the device of `luma`."""
    colours: YuvColours
    to_host: Callable[[], ImageArray]
    """Converts the image to RGB uint8 (H, W, 3) on the host."""

    def __post_init__(self) -> None:
        height, width = self.luma.shape
        expected = (-(-height // 2), -(-width // 2), 2)
        if self.chroma.shape != expected:
            raise ValueError(f"chroma of {width}x{height} pixels must be {expected}, got {tuple(self.chroma.shape)}")

    @property
    def size(self) -> tuple[int, int]:
        """Image size (H, W) in pixels."""
        return self.luma.shape[0], self.luma.shape[1]
