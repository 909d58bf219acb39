"""The same proposals without and with refiner: plain and sharp masks, raw and calibrated scores, object by object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.engines import Engine, Raw
from streamseg.evaluation.boundary import (
    DILATION_RATIO,
    FOUND_IOU,
    OutlineScores,
    boundary_distance_px,
    boundary_iou,
    score_outlines,
)
from streamseg.evaluation.overlap import mask_ious
from streamseg.evaluation.truth import SIZES
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import Float64Array, ImageArray, IndexArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask

NARROW_RATIO = DILATION_RATIO / 5
"""Width of the narrow band. A band of 2 % of the diagonal covers small objects completely; a fifth of it does not."""
MIN_ZOOM_PX = 24

Both = Callable[[ImageArray], tuple[Instances, Instances]]
"""Maps an image (H, W, 3) to its objects, plain with raw scores, and the same rows sharp with calibrated scores."""


class OnceEngine:
    """Engine wrapper that runs a batch once for several consecutive segmenters."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images: npt.NDArray[np.uint8] | None = None
        self._raw: Raw | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """Run the engine on images (B, H, W, 3), or return the last output if they are the same."""
        if self._raw is None or self._images is None or not np.array_equal(self._images, images):
            self._images, self._raw = images, self._engine.run(images)
        return self._raw


@dataclass(frozen=True, eq=False)
class Zoom:
    """Square around one object: pixels (S, S, 3), and its masks (S, S) by name."""

    pixels: ImageArray
    masks: dict[str, MaskArray]


@dataclass(frozen=True, eq=False)
class Found:
    """One labelled object and its proposal; pairs hold the values of the plain and the sharp mask."""

    area: float
    iou: tuple[float, float]
    boundary: tuple[float, float]
    narrow: tuple[float, float]
    zoom: Zoom | None
    """Zoom on a small or medium object; None for large ones."""

    @property
    def gain(self) -> float:
        """Gain in IoU of the sharp mask over the plain one."""
        return self.iou[1] - self.iou[0]


@dataclass(frozen=True)
class Outlines:
    """Outline scores of plain or sharp masks of the same objects."""

    usual: OutlineScores
    narrow: OutlineScores


def paired(engine: Engine, **options: Any) -> Both:
    """Return a function that gives both results for an image from one network run; the options are the segmenter's."""
    once = OnceEngine(engine)
    before = Segmenter(engine=once, masks="plain", scores="raw", **options)
    after = Segmenter(engine=once, masks="sharp", scores="calibrated", **options)

    def both(image: ImageArray) -> tuple[Instances, Instances]:
        (plain,), (sharp,) = before([image]), after([image])
        return plain, sharp[same_rows(plain, sharp).tolist()]

    return both


def same_rows(plain: Instances, sharp: Instances) -> IndexArray:
    """Return the positions (K,) of the rows of `plain` in `sharp`, whose order differs.

    Raises:
        ValueError: the objects are not the same.
    """
    if len(plain) != len(sharp):
        raise ValueError(f"{len(plain)} objects in one result, {len(sharp)} in the other")
    if not len(plain):
        return np.zeros(0, dtype=np.int64)
    # Boxes identify nearly all objects; if the image border cuts two to the same box, some of their logits differ.
    keys = []
    for some in (plain, sharp):
        logits = some.mask_logits.numpy(force=True).reshape(len(some), -1)
        keys.append(np.concatenate([some.boxes.numpy(force=True), logits[:, :: logits.shape[1] // 8 or 1]], axis=1))
    orders = [np.lexsort(key.T) for key in keys]
    if not np.array_equal(keys[0][orders[0]], keys[1][orders[1]]):
        raise ValueError("the two results do not contain the same objects")
    rows = np.empty(len(plain), dtype=np.int64)
    rows[orders[0]] = orders[1]
    return rows


def found_objects(
    image: ImageArray,
    plain: Sequence[CropMask],
    sharp: Sequence[CropMask],
    targets: Sequence[CropMask],
    areas: Float64Array,
) -> list[Found]:
    """Return the labelled objects of an image (H, W, 3) that were found; masks at one position share a proposal."""
    if not len(plain) or not len(targets):
        return []
    size = (image.shape[0], image.shape[1])
    distances = [boundary_distance_px(size), boundary_distance_px(size, ratio=NARROW_RATIO)]
    ious = np.stack([mask_ious(some, targets, np.zeros(len(targets), dtype=np.bool_)) for some in (plain, sharp)])
    chosen = ious.mean(axis=0).argmax(axis=0)  # (G,)
    found = []
    for column, row in enumerate(chosen.tolist()):
        pair = ious[:, row, column]
        if pair.mean() < FOUND_IOU:
            continue
        target, area = targets[column], float(areas[column])
        masks = (plain[row], sharp[row])
        usual, narrow = (
            (boundary_iou(masks[0], target, distance), boundary_iou(masks[1], target, distance))
            for distance in distances
        )
        small_enough = area <= SIZES["medium"][1]
        crop = zoom(image, {"plain": masks[0], "sharp": masks[1], "truth": target}) if small_enough else None
        found.append(Found(area, (float(pair[0]), float(pair[1])), usual, narrow, crop))
    return found


def outlines(found: Sequence[Found], side: int) -> Outlines:
    """Score the outlines of plain (0) or sharp (1) masks; nan if nothing was found."""
    ious, usual, narrow = (
        np.array([getattr(one, name)[side] for one in found], dtype=np.float64)
        for name in ("iou", "boundary", "narrow")
    )
    areas = np.array([one.area for one in found], dtype=np.float64)
    return Outlines(score_outlines(ious, usual, areas), score_outlines(ious, narrow, areas))


def zoom(image: ImageArray, masks: dict[str, CropMask]) -> Zoom:
    """Crop a square of the image (H, W, 3) around these masks, 1.4 times their extent if that fits."""
    full = {name: np.zeros(image.shape[:2], dtype=np.bool_) for name in masks}
    for name, mask in masks.items():
        full[name][mask.y : mask.y + mask.crop.shape[0], mask.x : mask.x + mask.crop.shape[1]] = mask.crop
    rows, columns = np.nonzero(np.logical_or.reduce(list(full.values())))
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
    borders = np.array([image.shape[1], image.shape[0]])
    side = min(max(round(1.4 * int((high - low).max())), MIN_ZOOM_PX), int(borders.min()))
    x, y = np.clip((low + high - side) // 2, 0, borders - side).tolist()
    window = np.s_[y : y + side, x : x + side]
    return Zoom(image[window].copy(), {name: mask[window].copy() for name, mask in full.items()})
