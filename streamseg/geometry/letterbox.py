"""The letterbox: scaling and padding of an image to the network's input."""

from __future__ import annotations

from typing import NamedTuple

from streamseg.structures.grid import GridTransform

__all__ = ["Letterbox", "letterbox", "letterbox_into"]


class Letterbox(NamedTuple):
    """Scaling and padding of an image to the network's input."""

    image_size: tuple[int, int]
    """Size (H, W) of the image."""
    scaled_size: tuple[int, int]
    """Size (H, W) of the scaled image inside the input."""
    input_size: tuple[int, int]
    """Size (H, W) of the network's input, multiples of the largest stride."""
    top: int
    """Rows of padding above."""
    left: int
    """Columns of padding to the left."""

    def to_image(self, stride: float = 1.0) -> GridTransform:
        """Return the exact transform from a grid of `stride` input pixels per cell to the image.

        Width and height are rounded to whole pixels separately, so the two axes scale by slightly different factors.
        Both are kept, because integer padding and a single scale would shift masks by up to a cell.
        """
        scale_x = self.image_size[1] / self.scaled_size[1]
        scale_y = self.image_size[0] / self.scaled_size[0]
        return GridTransform(stride * scale_x, stride * scale_y, -self.left * scale_x, -self.top * scale_y)


def letterbox(image_size: tuple[int, int], imgsz: int, *, stride: int = 32) -> Letterbox:
    """Fit an image of (H, W) into a rectangle whose long side is `imgsz`, preserving its aspect ratio.

    The short side is padded only to the next multiple of `stride` (a 16:9 image at 640 becomes 384x640, not 640x640).
    Small images are enlarged. The shape depends on this image alone, so that a frame's result does not depend on the
    other frames of its batch.
    """
    limit = -(-imgsz // stride) * stride
    height, width = _scaled_size(image_size, (limit, limit))
    return _centred(image_size, (height, width), (height + -height % stride, width + -width % stride))


def letterbox_into(image_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    """Fit an image of (H, W) into exactly `input_size` (H, W), centred, preserving its aspect ratio.

    For networks with a fixed input size. Small images are enlarged.
    """
    return _centred(image_size, _scaled_size(image_size, input_size), input_size)


def _scaled_size(image_size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (H, W) within the limits that preserves the aspect ratio, in whole pixels."""
    ratio = min(limits[0] / image_size[0], limits[1] / image_size[1])
    return max(round(image_size[0] * ratio), 1), max(round(image_size[1] * ratio), 1)


def _centred(image_size: tuple[int, int], scaled_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    # The odd pixel of padding goes below and to the right, as in FastSAM's letterbox.
    return Letterbox(
        image_size=image_size,
        scaled_size=scaled_size,
        input_size=input_size,
        top=round((input_size[0] - scaled_size[0]) / 2 - 0.1),
        left=round((input_size[1] - scaled_size[1]) / 2 - 0.1),
    )
