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
        self._is_identity = place.image_size == place.scaled_size
        (columns, self._across), (rows, self._down) = (
            _taps(place.image_size[axis], place.scaled_size[axis], repeats_border=axis == 0) for axis in (1, 0)
        )
        self._columns, self._rows = columns.to(device), rows.to(device)
        # (2, w, 1) and (2, h, 1, 1): weight of the nearer and of the farther neighbour.
        self._across = self._across.view(2, -1, 1).to(device)
        self._down = self._down.view(2, -1, 1, 1).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return images uint8 (B, H, W, 3) scaled and padded to the network's input: uint8 (B, h, w, 3)."""
        batch = images.shape[0]
        (height, width), (input_height, input_width) = self._place.scaled_size, self._place.input_size
        scaled = images
        if not self._is_identity:
            near = images.index_select(1, self._rows).index_select(2, self._columns)  # (B, 2 h, 2 w, 3)
            sums = (
                near.view(batch, 2 * height, 2, width, 3).to(torch.int32).mul_(self._across).sum(2, dtype=torch.int32)
            )
            products = sums.bitwise_right_shift_(4).view(batch, 2, height, width, 3).mul_(self._down)
            total = products.bitwise_right_shift_(16).sum(1, dtype=torch.int32)
            scaled = total.add_(2).bitwise_right_shift_(2)
        if (height, width) == (input_height, input_width):
            return scaled.to(torch.uint8)
        result = images.new_full((batch, input_height, input_width, 3), PADDING)
        top, left = self._place.top, self._place.left
        result[:, top : top + height, left : left + width].copy_(scaled)
        return result


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
