"""Image files whose pixels are labels, such as the masks of DAVIS: non-zero is the object, zero the background."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.imaging.opening import open_pillow, read_bytes, require_end, require_memory, unreadable
from streamseg.imaging.pixels import orientation_of, turn
from streamseg.structures.arrays import MaskArray

__all__ = ["load_mask"]


def load_mask(path: Path | str) -> MaskArray:
    """Load a mask as bool (H, W), upright by its EXIF orientation like its image.

    A pixel belongs to the object if its value is not zero, at any bit depth. In a palette image the value is the index,
    whatever its colour; in a colour image any channel counts, except alpha.

    Raises:
        SourceError: as `load_image`.
    """
    data = read_bytes(path)
    image = open_pillow(io.BytesIO(data), path)
    require_memory(image, path)
    try:
        require_end(image, data)
        image.load()
        values: npt.NDArray[Any] = np.asarray(image)
    except Exception as error:  # decoders raise errors of many types for damaged pixels
        raise unreadable(path, error) from error
    if values.ndim == 3:
        values = (values[:, :, :-1] if image.mode in ("RGBA", "LA", "PA") else values).max(axis=2)
    return turn(values != 0, orientation_of(image))
