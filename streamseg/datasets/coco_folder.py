"""Training samples from COCO-format folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamseg.datasets.coco import read_images
from streamseg.datasets.entries import LabelledImage
from streamseg.datasets.listed_folder import ListedFolder
from streamseg.datasets.problems import Problems
from streamseg.datasets.samples import CACHE_PX, MAX_SIDE_PX
from streamseg.datasets.subset import Subset
from streamseg.errors import DataError

__all__ = ["CocoFolder"]


class CocoFolder(ListedFolder):
    """`<path>/instances.json` and `<path>/images/`, as in COCO.

    Args:
        path: the folder.
        source: use only images whose entry has this `source`; None uses all. Allows one folder to be sampled unevenly.
        subset: subset of the images to use; None uses all.
        background_weight: see `Sample`; 1 for exhaustively labelled data sets.
        max_side: images are shrunk to this long side when read, in pixels.
        cache_px: decoded pixels to cache.
        problems: check all images and annotations now, skip the unusable ones, and collect them here. None refuses an
            invalid entry of the JSON now, and an unusable image or mask when it is read.
        on_image: called with the number of checked images and their total.

    Raises:
        DataError: the folder or its JSON is missing or broken, or contains no image, or no usable one.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str | None = None,
        subset: Subset | None = None,
        background_weight: float = 1.0,
        max_side: int = MAX_SIDE_PX,
        cache_px: int = CACHE_PX,
        problems: Problems | None = None,
        on_image: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super().__init__(
            path,
            _chosen(read_images(path, problems), source, subset, path),
            background_weight=background_weight,
            max_side=max_side,
            cache_px=cache_px,
            problems=problems,
            on_image=on_image,
        )


def _chosen(entries: list[LabelledImage], source: str | None, subset: Subset | None, path: Path) -> list[LabelledImage]:
    kept = entries if subset is None else subset.select(entries, path)
    if source is None:
        return kept
    chosen = [entry for entry in kept if entry.source == source]
    if not chosen:
        known = sorted({str(entry.source) for entry in kept})
        raise DataError(f"{path} has no image with source {source!r}; available sources: {', '.join(known)}")
    return chosen
