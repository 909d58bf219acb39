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

from streamseg.segmentation.embedding import colour_tables

__all__ = ["ColourBins"]

_SHIFT: Final = 12
_SHIFT_OUT: Final = 15
_TO_XYZ: Final = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE: Final = np.array([0.950456, 1.0, 1.088754])


class ColourBins:
    """Computes the colour bin of pixels.

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

    def __call__(self, colours: Tensor) -> Tensor:
        """Return the bins int64 (N,) of colours int64 (N, 3) RGB 0..255."""
        count = colours.shape[0]
        linear = self._linear.index_select(0, colours.view(-1)).view(count, 3)
        xyz = torch.mm(linear, self._to_xyz).to(torch.int32).add_(1 << (_SHIFT - 1)).bitwise_right_shift_(_SHIFT)
        roots = self._root.index_select(0, xyz.view(-1)).view(count, 3)
        lab = torch.mm(roots, self._to_lab).to(torch.int32).add_(self._offsets).bitwise_right_shift_(_SHIFT_OUT)
        return self._bins.index_select(0, lab.view(-1)).view(count, 3).sum(dim=1)
