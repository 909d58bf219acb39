"""Training samples from YOLO data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamseg.datasets.listed_folder import ListedFolder
from streamseg.datasets.problems import Problems
from streamseg.datasets.samples import CACHE_PX, MAX_SIDE_PX
from streamseg.datasets.subset import Subset
from streamseg.datasets.yolo import read_yolo_images
from streamseg.datasets.yolo_yaml import Split, find_yolo_yaml
from streamseg.errors import DataError

__all__ = ["YoloFolder"]


class YoloFolder(ListedFolder):
    """One split of a YOLO data set; its classes are merged into one.

    Args:
        path: the `data.yaml`, or the folder that contains it and no other data set.
        split: name of the split.
        subset: subset of the images to use; None uses all.
        background_weight: see `Sample`; 1 for exhaustively labelled data sets.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.
        problems: check all images and lines now, skip the unusable ones, and collect them here. None refuses an
            unreadable image or an invalid line now, and damaged pixels or an unusable mask when it is read.
        on_image: called with the number of checked images and their total.

    Raises:
        DataError: the description is missing or broken, the images are missing, or none is usable.
    """

    def __init__(
        self,
        path: Path,
        *,
        split: Split = "train",
        subset: Subset | None = None,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        file = find_yolo_yaml(path)
        if file is None:
            raise DataError(f"{path} is not a YOLO data set; give its data.yaml, or the folder that contains it")
        entries = read_yolo_images(file, split, problems)
        super().__init__(
            path,
            entries if subset is None else subset.select(entries, path),
            background_weight=background_weight,
            max_side=max_side,
            cache_px=cache_px,
            problems=problems,
            on_image=on_image,
        )
