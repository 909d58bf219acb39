"""Everything that people pass as an image, as uint8 (H, W, 3) RGB.

Paths and Pillow images go through the one reader of image files (`imaging`); arrays and tensors are converted here. A
value that is not surely an image is rejected: nothing is guessed from the range of the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeGuard, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from streamseg.errors import DataError, SourceError
from streamseg.imaging import decode_image, load_image, rgb_from_pillow
from streamseg.imaging.pixels import on_background, scale_to_uint8
from streamseg.structures.arrays import ImageArray

__all__ = ["ImageLike", "OpenFile", "PilImage", "is_image", "many_images", "read_image"]

CHANNELS = (1, 3, 4)
"""Numbers of channels: grey, colours, colours with alpha."""
SURE_CHANNELS = (1, 3)
"""Numbers of channels on the unusual axis; four could also be rows of a small image."""
FLOAT_TOLERANCE = 1e-3
"""Excess of floats over 0..1 that is clipped, as bicubic interpolation produces it."""
ALLOWED = (
    "an image must be a path, a PIL image, an array (H, W, 3) or a tensor (3, H, W), uint8 or float 0..1, in RGB"
    " (or BGR with bgr=True)"
)


@runtime_checkable
class PilImage(Protocol):
    """The identifying part of `PIL.Image.Image`."""

    def convert(self, mode: str) -> Any:
        """Return the image in another mode."""

    def getbands(self) -> tuple[str, ...]:
        """Return the names of the channels."""


@runtime_checkable
class OpenFile(Protocol):
    """A file that is open in binary mode, such as `io.BytesIO`."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the rest of the content."""


ImageLike = str | PathLike[str] | bytes | OpenFile | npt.NDArray[Any] | Tensor | PilImage
"""One image: the path of an image file, its content, an open file, an array, a tensor or a PIL image."""


def is_image(source: object) -> TypeGuard[ImageLike]:
    """Return whether `source` is a single image; anything else is many, or an error."""
    if isinstance(source, np.ndarray | Tensor):
        return source.ndim != 4 and not (isinstance(source, np.ndarray) and source.dtype == np.object_)
    return isinstance(source, str | PathLike | bytes | PilImage | OpenFile)


def many_images(source: object) -> Iterable[ImageLike]:
    """Return the images of a list, a batch (N, …), or another iterable.

    Raises:
        DataError: `source` is not iterable.
    """
    if isinstance(source, bytearray | memoryview | dict) or not isinstance(source, Iterable):
        raise DataError(f"{ALLOWED}, or several of these; got {type(source).__name__}")
    return cast(Iterable[ImageLike], source)


def read_image(source: ImageLike, *, bgr: bool = False) -> ImageArray:
    """Return an image as uint8 (H, W, 3) RGB. An array that already is one is returned as it is, not copied.

    Args:
        source: the path of an image file, its content, or the file, open in binary mode; a PIL image of any mode (EXIF
            orientation applied); an array (H, W, 3), or with one channel or alpha, (H, W), or (3, H, W) if its last
            axis has another length; or a tensor (3, H, W) on any device, or (H, W, 3) if its first axis has another
            length. Values are uint8, floats 0..1, bools, uint16 (scaled like 16-bit files) or other integers 0..255.
        bgr: arrays and tensors are BGR, as OpenCV reads them; files and PIL images never are.

    Raises:
        DataError: the type, shape or range is another one.
        SourceError: a file cannot be read or is not an image.
    """
    if isinstance(source, str | PathLike):
        return load_image(_checked_path(source))
    if isinstance(source, bytes):
        return decode_image(source, "the image")
    if isinstance(source, np.ndarray):
        values, channels_first = source, False
    elif isinstance(source, Tensor):
        # NumPy has no bfloat16.
        values, channels_first = (source.float() if source.is_floating_point() else source).numpy(force=True), True
    elif isinstance(source, PilImage):
        return _from_pillow(source)
    elif isinstance(source, OpenFile):
        content: object = source.read()
        if not isinstance(content, bytes):
            raise DataError(f"{ALLOWED}; got {type(source).__name__}, which is no file open in binary mode")
        return decode_image(content, str(getattr(source, "name", "the image")))
    else:
        raise DataError(f"{ALLOWED}; got {type(source).__name__}")
    image = _three_channels(_to_uint8(_channels_last(values, channels_first=channels_first)))
    return np.ascontiguousarray(image[:, :, ::-1]) if bgr else image


def _from_pillow(source: PilImage) -> ImageArray:
    """Return the pixels of a PIL image, whose file may not have been read yet."""
    name = str(getattr(source, "filename", ""))
    try:
        return rgb_from_pillow(cast(Any, source), name)
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"{name or 'the PIL image'} cannot be decoded: {error}; save the image again") from error


def _checked_path(source: str | PathLike[str]) -> Path:
    """Return the path of a file; the reader reports missing and unreadable ones."""
    path = Path(source)
    if "://" in str(source):
        raise DataError(f"{source} is an address, and only files are read here; download it first")
    if path.is_dir():
        raise DataError(f"{path} is a folder; pass its files: sorted(Path({str(path)!r}).glob('*.jpg'))")
    return path


def _channels_last(values: npt.NDArray[Any], *, channels_first: bool) -> npt.NDArray[Any]:
    """Return an image as (H, W, C).

    Args:
        values: (H, W), or three axes, one of them with the channels.
        channels_first: of (C, H, W) and (H, W, C), the one that applies if both are possible.
    """
    if values.ndim == 2 and values.size:
        return values[:, :, None]
    usual, other = (0, 2) if channels_first else (2, 0)
    axis = None
    if values.ndim == 3 and values.size:
        axis = usual if values.shape[usual] in CHANNELS else other if values.shape[other] in SURE_CHANNELS else None
    if axis is None:
        raise DataError(f"{ALLOWED}; got {values.dtype} {values.shape}")
    return values if axis == 2 else values.transpose(1, 2, 0)


def _three_channels(values: npt.NDArray[np.uint8]) -> ImageArray:
    """Return (H, W, C) as (H, W, 3): grey is repeated, alpha is applied as in files."""
    if values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    return values if values.shape[2] == 3 else on_background(values)


def _to_uint8(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return values (H, W, C) of any type as uint8."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return _from_16_bits(values)
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf":
        raise DataError(f"{ALLOWED}; got {values.dtype} {values.shape}")
    low, high = float(values.min()), float(values.max())
    if kind != "f":
        if low < 0 or high > 255:
            raise DataError(f"integers of an image must be 0..255, got {low:g}..{high:g}; scale them to uint8")
        return values.astype(np.uint8)
    if not (low >= -FLOAT_TOLERANCE and high <= 1 + FLOAT_TOLERANCE):  # also if NaN
        raise DataError(f"floats of an image must be 0..1, got {low:g}..{high:g}; divide by 255 or denormalise")
    return (values.clip(0, 1).astype(np.float32) * 255).round().astype(np.uint8)


def _from_16_bits(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Scale 16 bits by the rules for files."""
    if values.shape[2] == 1:
        return scale_to_uint8(values[:, :, 0])[:, :, None]
    colours = scale_to_uint8(values[:, :, :3])
    return np.concatenate([colours, (values[:, :, 3:] >> 8).astype(np.uint8)], axis=2)
