"""How an image fits into the input of a promptable model, and the way back from its masks."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.grid import GridTransform

__all__ = ["Fit", "FitKind", "fit_of", "grid_over_canvas", "grid_over_image", "resized"]

FitKind = Literal["pad", "stretch", "shrink"]
"""pad       the long side becomes S pixels, the rest of S x S is padded at the bottom or right, as in SAM
stretch   both sides become S pixels, whatever the shape of the image, as in SAM 2
shrink    the long side becomes S pixels, without padding: the graph pads or stretches itself
"""


class Fit(NamedTuple):
    """An image within a square canvas."""

    image_size: tuple[int, int]
    """(H, W) of the image."""
    inner_size: tuple[int, int]
    """(H, W) of the image on the canvas, 1 or more each."""
    side: int
    """Side of the canvas."""

    def to_canvas(self, coords: Float32Array) -> Float32Array:
        """Transform points (…, 2) x, y from the image to the canvas."""
        (height, width), (inner_height, inner_width) = self.image_size, self.inner_size
        return coords * np.array([inner_width / width, inner_height / height], dtype=np.float32)


def fit_of(image_size: tuple[int, int], kind: FitKind, side: int) -> Fit:
    """Return how an image of (H, W) fits into a canvas of `side` pixels, rounded as segment-anything rounds."""
    if kind == "stretch":
        return Fit(image_size, (side, side), side)
    scale = side / max(image_size)
    inner = max(int(image_size[0] * scale + 0.5), 1), max(int(image_size[1] * scale + 0.5), 1)
    return Fit(image_size, inner, side)


def resized(image: ImageArray, size: tuple[int, int]) -> torch.Tensor:
    """Return an image as uint8 (1, 3, h, w), interpolated bilinearly with antialiasing, as torchvision does."""
    # torch warns about arrays that cannot be written to, as those of some decoders.
    pixels = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)[None]
    if image.shape[:2] == size:
        return pixels
    return functional.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)


def grid_over_canvas(fit: Fit, grid_size: tuple[int, int]) -> GridTransform:
    """Return the transform to the image from a grid (h, w) over the whole canvas, padding included."""
    (height, width), (inner_height, inner_width) = fit.image_size, fit.inner_size
    return GridTransform(
        fit.side / grid_size[1] * width / inner_width, fit.side / grid_size[0] * height / inner_height, 0.0, 0.0
    )


def grid_over_image(fit: Fit, grid_size: tuple[int, int]) -> GridTransform:
    """Return the transform to the image from a grid (h, w) over the image only."""
    return GridTransform(fit.image_size[1] / grid_size[1], fit.image_size[0] / grid_size[0], 0.0, 0.0)
