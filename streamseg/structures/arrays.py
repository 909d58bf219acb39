"""Type aliases of NumPy arrays. The type holds the dtype; docstrings state shape, unit and range."""

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "Float32Array", "Float64Array", "ImageArray", "IndexArray", "MaskArray"]

Float32Array = npt.NDArray[np.float32]
"""float32 of any shape."""

Float64Array = npt.NDArray[np.float64]
"""float64 of any shape."""

BoolArray = npt.NDArray[np.bool_]
"""bool of any shape."""

IndexArray = npt.NDArray[np.int64]
"""int64 of any shape: row indices, identities and counts."""

ImageArray = npt.NDArray[np.uint8]
"""uint8 (H, W, 3) RGB, 0..255."""

MaskArray = npt.NDArray[np.bool_]
"""bool (H, W), True inside the object."""
