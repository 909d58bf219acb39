"""Boxes and masks as scripts know them: rows of numbers in `data`, and views of them in several units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Array", "Boxes", "Masks", "Rows"]

Array = Tensor | npt.NDArray[Any]
"""On a device, or after `.numpy()` on the host."""


class Rows:
    """K rows of `data`, one per object, in a picture of `orig_shape` (H, W); K may be 0."""

    def __init__(self, data: Array, orig_shape: tuple[int, int]) -> None:
        self.data = data
        """The numbers; their layout is in the docstring of the class."""
        self.orig_shape = orig_shape
        """(H, W) of the picture."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `data`."""
        return tuple(self.data.shape)

    def cpu(self) -> Self:
        """The same with a tensor on the host; an array stays one."""
        return self if isinstance(self.data, np.ndarray) else type(self)(self.data.cpu(), self.orig_shape)

    def numpy(self) -> Self:
        """The same with a NumPy array."""
        return type(self)(_host(self.data), self.orig_shape)

    def cuda(self) -> Self:
        """The same with a tensor on the GPU."""
        return self.to("cuda")

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same with a tensor on another device or of another type, as `torch.Tensor.to` takes them."""
        return type(self)(torch.as_tensor(self.data).to(*args, **kwargs), self.orig_shape)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, rows: Any) -> Self:
        """Some rows; a single number gives one row, with its dimension kept."""
        chosen = self.data[rows]
        return type(self)(chosen[None] if chosen.ndim < self.data.ndim else chosen, self.orig_shape)

    def __iter__(self) -> Iterator[Self]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}, orig_shape={self.orig_shape})"


class Boxes(Rows):
    """Boxes: float32 (K, 6) of x0, y0, x1, y1, score, class; (K, 7) with the identity before the score.

    Pixels of the picture, continuous. The class is always 0.
    """

    @property
    def xyxy(self) -> Array:
        """(K, 4): x0, y0, x1, y1."""
        return self.data[:, :4]

    @property
    def conf(self) -> Array:
        """Scores (K,), 0..1."""
        return self.data[:, -2]

    @property
    def cls(self) -> Array:
        """Classes (K,), as floats."""
        return self.data[:, -1]

    @property
    def is_track(self) -> bool:
        """Whether the rows have identities."""
        return self.data.shape[1] == 7

    @property
    def id(self) -> Array | None:
        """Identities (K,), as floats; None where nothing is followed, as scripts ask for."""
        return self.data[:, 4] if self.is_track else None

    @property
    def xywh(self) -> Array:
        """(K, 4): x and y of the centre, width, height."""
        low, high = self.xyxy[:, :2], self.xyxy[:, 2:]
        return _side_by_side((low + high) / 2, high - low)

    @property
    def xyxyn(self) -> Array:
        """`xyxy` with x divided by the picture's width and y by its height."""
        return self.xyxy / self._extent()

    @property
    def xywhn(self) -> Array:
        """`xywh` in the same units as `xyxyn`."""
        return self.xywh / self._extent()

    def _extent(self) -> Array:
        height, width = self.orig_shape
        sides = [width, height, width, height]
        return np.array(sides, np.float32) if isinstance(self.data, np.ndarray) else self.data.new_tensor(sides)


class Masks(Rows):
    """Masks: uint8 (K, Mh, Mw) of 0 and 1, at the picture's size or at that of the network's input.

    The network's input is the picture scaled with its aspect kept, in the middle of some padding.
    """

    @property
    def xy(self) -> list[npt.NDArray[np.float32]]:
        """Outlines of the masks' largest pieces, float32 (N, 2) x, y in pixels of the picture; (0, 2) where empty."""
        masks = _host(self.data)
        offset, scale = self._place()
        limits = np.array(self.orig_shape[::-1], np.float32)
        return [np.clip((_outline(mask) - offset) / scale, 0, limits).astype(np.float32) for mask in masks]

    @property
    def xyn(self) -> list[npt.NDArray[np.float32]]:
        """`xy` with x divided by the picture's width and y by its height."""
        extent = np.array(self.orig_shape[::-1], np.float32)
        return [outline / extent for outline in self.xy]

    def in_picture(self) -> npt.NDArray[np.bool_]:
        """The part of each mask that lies in the picture and not in the padding: bool (K, H', W')."""
        masks = _host(self.data)
        (left, top), _ = self._place()
        x, y = round(float(left) - 0.1), round(float(top) - 0.1)
        height, width = masks.shape[1:]
        # The odd row or column of padding is below and to the right.
        bottom, right = height - round(float(top) + 0.1), width - round(float(left) + 0.1)
        return masks[:, y:bottom, x:right] > 0.5

    def at_picture_size(self) -> npt.NDArray[np.bool_]:
        """The masks in the pixels of the picture: bool (K, H, W), without the padding, scaled where need be."""
        inside = self.in_picture()
        height, width = self.orig_shape
        if inside.shape[1:] == self.orig_shape:
            return inside
        scaled = np.zeros((len(inside), height, width), np.bool_)
        for target, mask in zip(scaled, inside, strict=True):
            # Bilinear between 0 and 1, cut at a half.
            target[:] = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        return scaled

    def _place(self) -> tuple[npt.NDArray[np.float32], float]:
        """Where the picture's corner lies in a mask (x, y), and mask pixels per picture pixel."""
        (height, width), (mask_height, mask_width) = self.orig_shape, self.data.shape[1:]
        scale = min(mask_height / height, mask_width / width)
        padding = (mask_width - round(width * scale)) / 2, (mask_height - round(height * scale)) / 2
        return np.array(padding, np.float32), scale


def _host(values: Array) -> npt.NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.numpy(force=True)


def _side_by_side(left: Array, right: Array) -> Array:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right], axis=1)
    return torch.cat([left, torch.as_tensor(right)], dim=1)


def _outline(mask: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Corners (N, 2) x, y of the outline of the piece with the largest area; (0, 2) of an empty mask."""
    pieces, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not pieces:
        return np.zeros((0, 2), np.float32)
    return max(pieces, key=cv2.contourArea).reshape(-1, 2).astype(np.float32)
