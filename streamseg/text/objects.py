"""Objects as an image encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamseg.structures.instances import Instances
from streamseg.text.crops import CropStyle, object_crops
from streamseg.text.encoders import Encoders

__all__ = ["crops_for", "mean_colour"]


def mean_colour(encoders: Encoders) -> tuple[int, int, int]:
    """RGB that the image encoder takes for nothing in particular."""
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in encoders.description.mean)
    return red, green, blue


def crops_for(
    encoders: Encoders,
    image: npt.NDArray[np.uint8],
    instances: Instances,
    rows: Sequence[int],
    *,
    context: float,
    background: Literal["dim", "blur", "fill"],
    colour: tuple[int, int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Some objects of a picture as the image encoder takes them.

    Args:
        encoders: of pictures and words.
        image: uint8 (H, W, 3) RGB.
        instances: K objects of that picture.
        rows: which of them, N.
        context: see `CropStyle`.
        background: see `CropStyle`.
        colour: see `CropStyle`; None: `mean_colour`.

    Returns:
        uint8 (N, S, S, 3) RGB; N may be 0.
    """
    description = encoders.description
    style = CropStyle(context, background, mean_colour(encoders) if colour is None else colour)
    return object_crops(image, instances, rows, size=description.image_size, style=style, resize=description.resize)
