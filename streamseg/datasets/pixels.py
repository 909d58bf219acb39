"""The image files of a data set, and the size that its labels refer to.

An image may have an EXIF turn. Labels refer to the turned image, as people see it, unless only the stored image has
the listed size: then the labelling program ignored EXIF, and the image is read as stored. If both have the same size (a
square image, a turn by 180 degrees, a mirrored image), the size cannot tell, and the image is turned.
"""

from __future__ import annotations

from streamseg.datasets.entries import LabelledImage
from streamseg.errors import DataError, SourceError
from streamseg.imaging import image_sizes, load_image
from streamseg.structures.arrays import ImageArray

__all__ = ["check_image", "read_image"]


def read_image(entry: LabelledImage) -> ImageArray:
    """Decode the image of an entry, (H, W, 3) RGB.

    Raises:
        DataError: the image is missing or unreadable, or its size differs from the listed one.
    """
    try:
        upright = load_image(entry.path)
        is_turned = upright.shape[:2] != entry.size and upright.shape[1::-1] == entry.size
        image = load_image(entry.path, upright=False) if is_turned else upright
    except SourceError as error:
        raise _unreadable(entry, error) from error
    if image.shape[:2] != entry.size:
        raise _other_size(entry, upright.shape)
    return image


def check_image(entry: LabelledImage) -> None:
    """Check that the image of an entry exists and has the listed size, by its header.

    Raises:
        DataError: as `read_image`, except for damaged pixels.
    """
    try:
        upright, stored = image_sizes(entry.path)
    except SourceError as error:
        raise _unreadable(entry, error) from error
    if entry.size not in (upright, stored):
        raise _other_size(entry, upright)


def _unreadable(entry: LabelledImage, error: SourceError) -> DataError:
    return DataError(f"image {entry.path} is missing or unreadable, though {entry.list_file.name} lists it: {error}")


def _other_size(entry: LabelledImage, size: tuple[int, ...]) -> DataError:
    listed = f"{entry.list_file.name} lists it as {entry.size[1]}x{entry.size[0]}"
    return DataError(f"image {entry.path} is {size[1]}x{size[0]}, but {listed}")
