"""Names of the formats of the data sets that are written; imports nothing, for the command line's parser."""

from typing import Final, Literal, get_args

__all__ = ["FORMATS", "Format"]

Format = Literal["coco", "yolo", "labelme", "masks"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
"""The first one is the default."""
