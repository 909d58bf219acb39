"""`Boxes` and `Masks` as scripts use them: rows of numbers in `data`, and views of them in several units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.structures.arrays import BoolArray, Float32Array

__all__ = ["Array", "Boxes", "Masks", "Rows"]

Array = Tensor | npt.NDArray[Any]
"""A tensor on any device, or a NumPy array after `.numpy()`."""


class Rows:
    """K rows of `data`, one per object, in an image of `orig_shape` (H, W); K may be 0."""

    def __init__(self, data: Array, orig_shape: tuple[int, int]) -> None:
        self.data = data
        """The numbers; the docstring of the subclass describes the layout."""
        self.orig_shape = orig_shape
        """(H, W) of the image."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `data`."""
        return tuple(self.data.shape)

    def cpu(self) -> Self:
        """Return a copy with a tensor on the CPU; an array stays an array."""
        return self if isinstance(self.data, np.ndarray) else type(self)(self.data.cpu(), self.orig_shape)

    def numpy(self) -> Self:
        """Return a copy with a NumPy array."""
        return type(self)(_host(self.data), self.orig_shape)

    def cuda(self) -> Self:
        """Return a copy with a tensor on the GPU."""
        return self.to("cuda")

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return a copy with a tensor on another device or of another type; arguments as in `torch.Tensor.to`."""
        return type(self)(torch.as_tensor(self.data).to(*args, **kwargs), self.orig_shape)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, rows: Any) -> Self:
        """Select rows; a single number selects one row and keeps its dimension."""
        selected = self.data[rows]
        return type(self)(selected[None] if selected.ndim < self.data.ndim else selected, self.orig_shape)

    def __iter__(self) -> Iterator[Self]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}, orig_shape={self.orig_shape})"


class Boxes(Rows):
    """Boxes: float32 (K, 6) of x0, y0, x1, y1, score, class; (K, 7) with the identity before the score.

    Continuous pixel coordinates of the image. The class is always 0.
    """

    @property
    def xyxy(self) -> Array:
        """Corners (K, 4): x0, y0, x1, y1."""
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
        """Identities (K,), as floats; None without tracking, as scripts expect."""
        return self.data[:, 4] if self.is_track else None

    @property
    def xywh(self) -> Array:
        """Centre x, centre y, width and height (K, 4)."""
        low, high = self.xyxy[:, :2], self.xyxy[:, 2:]
        return _side_by_side((low + high) / 2, high - low)

    @property
    def xyxyn(self) -> Array:
        """`xyxy` with x divided by the width of the image and y by its height."""
        return self.xyxy / self._extent()

    @property
    def xywhn(self) -> Array:
        """`xywh` in the units of `xyxyn`."""
        return self.xywh / self._extent()

    def _extent(self) -> Array:
        height, width = self.orig_shape
        sides = [width, height, width, height]
        return np.array(sides, np.float32) if isinstance(self.data, np.ndarray) else self.data.new_tensor(sides)


class Masks(Rows):
    """Masks: uint8 (K, Mh, Mw) of 0 and 1, at the size of the image or of the network's input.

    The network's input is the image, scaled with its aspect ratio kept, and centred in padding.
    """

    @property
    def xy(self) -> list[Float32Array]:
        """Outline of each mask's largest piece, float32 (N, 2) x, y in pixels of the image; (0, 2) if empty."""
        masks = _host(self.data)
        offset, scale = self._place()
        limits = np.array(self.orig_shape[::-1], np.float32)
        return [np.clip((_outline(mask) - offset) / scale, 0, limits).astype(np.float32) for mask in masks]

    @property
    def xyn(self) -> list[Float32Array]:
        """`xy` with x divided by the width of the image and y by its height."""
        extent = np.array(self.orig_shape[::-1], np.float32)
        return [outline / extent for outline in self.xy]

    def in_image(self) -> BoolArray:
        """Return the masks without the padding: bool (K, H', W')."""
        masks = _host(self.data)
        (left, top), _ = self._place()
        x, y = round(float(left) - 0.1), round(float(top) - 0.1)
        height, width = masks.shape[1:]
        # The odd row or column of padding is below and to the right.
        bottom, right = height - round(float(top) + 0.1), width - round(float(left) + 0.1)
        return masks[:, y:bottom, x:right] > 0.5

    def at_image_size(self) -> BoolArray:
        """Return the masks without the padding at the size of the image: bool (K, H, W)."""
        inside = self.in_image()
        height, width = self.orig_shape
        if inside.shape[1:] == self.orig_shape:
            return inside
        scaled = np.zeros((len(inside), height, width), np.bool_)
        for target, mask in zip(scaled, inside, strict=True):
            # Bilinear between 0 and 1, then a threshold of a half.
            target[:] = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        return scaled

    def _place(self) -> tuple[Float32Array, float]:
        """Return the image's top left corner in a mask (x, y), and mask pixels per image pixel."""
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


def _outline(mask: npt.NDArray[Any]) -> Float32Array:
    """Return the outline (N, 2) x, y of the piece with the largest area; (0, 2) for an empty mask."""
    pieces, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not pieces:
        return np.zeros((0, 2), np.float32)
    return max(pieces, key=cv2.contourArea).reshape(-1, 2).astype(np.float32)
