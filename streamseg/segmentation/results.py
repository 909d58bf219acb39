"""`ImageInstances`: the objects of one image, with pixels, overlays and the formats of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from streamseg.drawing import colour_of, draw_objects
from streamseg.drawing.image_file import encode_image, write_image
from streamseg.errors import DataError
from streamseg.rle import coco_result
from streamseg.segmentation.duplicates import ranking_scores
from streamseg.segmentation.extents import detection_boxes
from streamseg.segmentation.inputs import ImageLike, read_image
from streamseg.segmentation.masks import instance_masks
from streamseg.segmentation.optional import import_optional
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.message import MessageObject

__all__ = ["ImageInstances"]

NOTEBOOK_PX: Final = 1024
"""Maximum side of the overlay that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageInstances(Instances):
    """Instances of `Segmenter`, with their masks in pixels and conversions; K may be 0.

    Rows selected from them (`found[0]`, `found[found.scores > 0.5]`, `for one in found`) have the same methods.
    """

    image: ImageArray | None = None
    """The segmented image, uint8 (H, W, 3) RGB, not copied; None for the instances of a pipeline."""

    @cached_property
    def masks(self) -> tuple[CropMask, ...]:
        """One mask per row, at the size of the image; computed on first use."""
        return tuple(instance_masks(self))

    def plot(self, image: ImageLike | None = None) -> ImageArray:
        """Return the image with all objects drawn over it, uint8 (H, W, 3) RGB; colours go by rank.

        Args:
            image: another image of the same size to draw on, see `read_image`; None for the segmented image.

        Raises:
            DataError: the image has another size, or is not known.
        """
        canvas = self.image if image is None else read_image(image)
        if canvas is None:
            raise DataError("these instances do not include their image; pass it: plot(image), save(path, image)")
        if canvas.shape[:2] != self.image_size:
            height, width = self.image_size
            raise DataError(
                f"the image must have the size of the segmented one, {width}x{height}, "
                f"got {canvas.shape[1]}x{canvas.shape[0]}"
            )
        boxes, scores = self.boxes.tolist(), self.scores.tolist()
        objects = [
            MessageObject(track_id=-1, prompt_ids=(), box=tuple(box), score=score, mask=mask, area=mask.area)
            for box, score, mask in zip(boxes, scores, self.masks, strict=True)
        ]
        colours = [colour_of(rank) for rank in range(len(objects))]
        return draw_objects(np.ascontiguousarray(canvas), objects, colours=colours)

    def save(self, path: str | Path, image: ImageLike | None = None) -> Path:
        """Write `plot(image)` to a file, in the format of its suffix, and return the path; its folder is created.

        Raises:
            DataError: as in `plot`; or the suffix is not an image format, or the file cannot be written.
        """
        write_image(Path(path), self.plot(image))
        return Path(path)

    def ranking_scores(self) -> Tensor:
        """Return scores for precision and recall, float32 (K,), in the order of the rows: see `duplicates`."""
        return ranking_scores(self)

    def to_coco(self, *, image_id: int = 0, category_id: int = 1, ranked: bool = False) -> list[dict[str, Any]]:
        """Return the objects in COCO's results format, one dict each, ready for `json.dump` and `COCO.loadRes`.

        `segmentation` is a compressed RLE of the whole image, `bbox` is x, y, width, height, and `area` is the number
        of the mask's pixels.

        Args:
            image_id: id of the image in the data set.
            category_id: category of all objects.
            ranked: write `ranking_scores` and `detection_boxes` in place of scores and boxes, for COCO's evaluation.
        """
        scores = (self.ranking_scores() if ranked else self.scores).tolist()
        boxes = (detection_boxes(self, self.masks) if ranked else self.boxes).tolist()
        return [
            coco_result(mask, self.image_size, (x0, y0, x1, y1), score, image_id=image_id, category_id=category_id)
            for (x0, y0, x1, y1), score, mask in zip(boxes, scores, self.masks, strict=True)
        ]

    def to_supervision(self) -> Any:
        """Return the objects as `supervision.Detections`: boxes, masks (K, H, W), scores, and class id 0.

        Raises:
            DataError: supervision is not installed.
        """
        supervision = import_optional("supervision", "to_supervision")
        masks = np.zeros((len(self), *self.image_size), dtype=np.bool_)
        for canvas, mask in zip(masks, instance_masks(self, as_pixels=True), strict=True):
            mask.paint(canvas)
        return supervision.Detections(
            xyxy=self.boxes.numpy(force=True).astype(np.float32),
            mask=masks,
            confidence=self.scores.numpy(force=True).astype(np.float32),
            class_id=np.zeros(len(self), dtype=np.int64),
        )

    def to_dataframe(self) -> Any:
        """Return a `pandas.DataFrame` with one row per object.

        Columns: `x0`, `y0`, `x1`, `y1` (box), `score`, `area` (pixels of the mask), `centroid_x`, `centroid_y` (of the
        mask; NaN if it is empty). Coordinates are continuous pixels of the image.

        Raises:
            DataError: pandas is not installed.
        """
        pandas = import_optional("pandas", "to_dataframe")
        centroids = [mask.centroid or (np.nan, np.nan) for mask in self.masks]
        columns: dict[str, npt.NDArray[Any]] = dict(
            zip(("x0", "y0", "x1", "y1"), self.boxes.numpy(force=True).T, strict=True)
        )
        columns["score"] = self.scores.numpy(force=True)
        columns["area"] = np.array([mask.area for mask in self.masks], dtype=np.int64)
        columns["centroid_x"], columns["centroid_y"] = np.array(centroids, dtype=np.float64).reshape(-1, 2).T
        return pandas.DataFrame(columns)

    def _repr_png_(self) -> bytes | None:
        """Return the overlay for a notebook, scaled to `NOTEBOOK_PX`; None without an image: it shows the `repr`."""
        if self.image is None:
            return None
        overlay = self.plot()
        scale = NOTEBOOK_PX / max(self.image_size)
        if scale < 1:
            size = max(round(overlay.shape[1] * scale), 1), max(round(overlay.shape[0] * scale), 1)
            overlay = np.asarray(cv2.resize(overlay, size, interpolation=cv2.INTER_AREA), np.uint8)
        return encode_image(".png", overlay)
