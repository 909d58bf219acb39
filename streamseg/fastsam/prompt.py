"""`FastSAMPrompt`: prompts on the results of one image, and plots of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from streamseg.errors import DataError
from streamseg.fastsam import reference_selection as reference
from streamseg.fastsam.plot import write_image
from streamseg.fastsam.reference_drawing import ONE_COLOUR, draw_reference
from streamseg.fastsam.results import Prompting, Results
from streamseg.fastsam.results_selection import (
    Numbers,
    as_boxes,
    as_labels,
    as_points,
    rows_for_prompts,
    rows_for_texts,
)
from streamseg.fastsam.rows import Masks
from streamseg.imaging import load_image, rgb_from_pillow
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, PointPrompt

__all__ = ["Annotations", "FastSAMPrompt"]

Annotations = Tensor | npt.NDArray[Any] | Results | Mapping[str, Any] | Sequence[Any]
"""Masks to draw: (K, H, W) or one (H, W), as tensor or array; `Results`; or a list of masks, of `Results`, or of
dicts with a mask under `segmentation`."""


class FastSAMPrompt:
    """Prompts on one image whose objects have been found.

    Masks have the size of the masks in the results: the image's with `retina_masks`, else that of the network's input.
    Coordinates are always pixels of the image.
    """

    def __init__(
        self,
        image: str | Path | npt.NDArray[np.uint8] | Image.Image,
        results: Sequence[Results] | Results,
        device: Any = "cpu",
        *,
        prompting: Prompting | None = None,
    ) -> None:
        """Store the results of one image.

        Args:
            image: the image of the results: a path, a PIL image or an array (H, W, 3).
            results: the model's results for it; of a sequence, the first is used.
            device: ignored, because prompts are matched on the CPU.
            prompting: rules that match the prompts: `reference` (FastSAM's) or `default` (streamseg's); None: the
                model's.

        Raises:
            DataError: the results are empty, or belong to an image of another size.
            SourceError: the image cannot be read.
        """
        if not isinstance(results, Results):
            if not len(results):
                raise DataError("the list of results is empty; give the results of the model for this image")
            results = results[0]
        self.device = device
        self.results = [results]
        self.prompting: Prompting = results.prompting if prompting is None else prompting
        self.img = _load(image)
        """The image, uint8 (H, W, 3): RGB, or the array that was given."""
        self._is_bgr = isinstance(image, np.ndarray) and np.array_equal(image, results.orig_img)
        self._name = Path(image if isinstance(image, str | Path) else results.path).name
        if self.img.shape[:2] != results.orig_shape:
            raise DataError(
                f"the image has (H, W) {self.img.shape[:2]}, but the results belong to an image of"
                f" {results.orig_shape}; give the image that the model was called with"
            )

    def everything_prompt(self) -> Tensor:
        """Return all masks: float32 (K, Mh, Mw) of 0 and 1; K may be 0."""
        return torch.as_tensor(self._result.masks.data).float()

    def box_prompt(self, bbox: Numbers | None = None, bboxes: Numbers | None = None) -> Float32Array:
        """Return the masks that match boxes: float32 (N, Mh, Mw) of 0 and 1.

        FastSAM's rules: each box has a match if there is any mask. A mask that matches several boxes is returned once.
        The order is that of a Python set of the rows. streamseg's rules: a box that fits no object has no match; the
        order is that of the boxes.

        Args:
            bbox: [x0, y0, x1, y1], or a list of such boxes.
            bboxes: another name of `bbox`.

        Raises:
            DataError: no box is given, or a box is invalid.
        """
        given = bbox if bboxes is None else bboxes
        if given is None:
            raise DataError("box_prompt needs bbox=[x0, y0, x1, y1] or bboxes=[[x0, y0, x1, y1], ...]")
        boxes = as_boxes(given)
        if self.prompting == "default":
            prompts = [BoxPrompt(f"box{n}", (x0, y0, x1, y1)) for n, (x0, y0, x1, y1) in enumerate(boxes)]
            rows = rows_for_prompts(self._result, prompts)
        else:
            rows = reference.best_rows_for_boxes(self._masks(), boxes, image_size=self._result.orig_shape)
        return self._masks()[rows].astype(np.float32)

    def point_prompt(
        self,
        points: Numbers,
        pointlabel: Numbers | int | None = None,
    ) -> BoolArray:
        """Return the mask at points: bool (N, Mh, Mw).

        FastSAM's rules: N is always 1. All masks at points of label 1 are painted into one mask, large ones first, and
        masks at points of label 0 are erased from it; the result may be empty. streamseg's rules: the most likely
        mask with all points of label 1 and none of label 0; N is 0 if there is none.

        Args:
            points: [[x, y], ...].
            pointlabel: 1 foreground or 0 background for each; None: all 1.

        Raises:
            DataError: a point is invalid, or the number of labels is not the number of points.
        """
        coords = as_points(points)
        labels = as_labels(pointlabel, len(coords))
        if self.prompting == "default":
            prompt = PointPrompt("points", tuple((x, y) for x, y in coords), tuple(labels))
            return self._masks()[rows_for_prompts(self._result, [prompt])]
        return reference.merged_points(self._masks(), coords, labels, image_size=self._result.orig_shape)[None]

    def text_prompt(self, text: str) -> Float32Array:
        """Return the masks that match a description: float32 (N, Mh, Mw) of 0 and 1.

        FastSAM's rules: N is 1 if the image has an object of more than 100 pixels. streamseg's rules: every object that
        the text describes better than "none of these" does; N may be 0.

        Raises:
            WeightsError: there are no text encoders.
        """
        return self._masks()[rows_for_texts(self._result, [text])].astype(np.float32)

    def plot_to_result(
        self,
        annotations: Annotations,
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        point_label: Numbers | int | None = None,
        mask_random_color: bool = True,
        better_quality: bool = True,
        retina: bool = False,
        withContours: bool = True,
    ) -> npt.NDArray[np.uint8]:
        """Return the image with masks drawn on it, uint8 (H, W, 3): RGB, or the channel order of the array given.

        Args:
            annotations: the masks to draw; may be empty.
            bboxes: boxes to draw.
            points: points to mark.
            point_label: 1 yellow, 0 magenta; None: all 1.
            mask_random_color: True: each mask in its own colour (not random: the same at every call); False: all in
                one colour.
            better_quality: close holes of two pixels, then remove parts narrower than 8 (in mask pixels).
            retina: ignored: masks of either size are drawn at their exact location.
            withContours: draw outlines.

        Raises:
            DataError: the annotations are not masks.
        """
        masks = self._at_image_size(annotations)
        coords = [] if points is None else as_points(points)
        image = self.img[:, :, ::-1] if self._is_bgr else self.img
        drawn = draw_reference(
            np.ascontiguousarray(image),
            [CropMask.of(reference.better_quality(mask) if better_quality else mask) for mask in masks],
            colours=None if mask_random_color else [ONE_COLOUR] * len(masks),
            with_contours=withContours,
            boxes=[] if bboxes is None else as_boxes(bboxes),
            point_coords=coords,
            point_labels=as_labels(point_label, len(coords)),
        )
        return np.ascontiguousarray(drawn[:, :, ::-1]) if self._is_bgr else drawn

    def plot(
        self,
        annotations: Annotations,
        output_path: str | Path | None = None,
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        point_label: Numbers | int | None = None,
        mask_random_color: bool = True,
        better_quality: bool = True,
        retina: bool = False,
        withContours: bool = True,
        *,
        output: str | Path | None = None,
        bbox: Numbers | None = None,
        with_contours: bool | None = None,
    ) -> Path:
        """Write the image of `plot_to_result` to a file.

        Args:
            annotations: see `plot_to_result`, as for the other arguments without a description.
            output_path: an image file, or a folder (an existing one, or any path without a suffix), in which the file
                is named after the image. Folders are created.
            bboxes: see `plot_to_result`.
            points: see `plot_to_result`.
            point_label: see `plot_to_result`.
            mask_random_color: see `plot_to_result`.
            better_quality: see `plot_to_result`.
            retina: see `plot_to_result`.
            withContours: see `plot_to_result`.
            output: another name of `output_path`.
            bbox: another name of `bboxes`.
            with_contours: another name of `withContours`.

        Returns:
            The path of the file.

        Raises:
            DataError: the annotations are not masks, no path is given, or the file cannot be written.
        """
        place = output_path if output_path is not None else output
        if place is None:
            raise DataError("plot needs output_path, an image file or a folder")
        drawn = self.plot_to_result(
            annotations,
            bboxes=bbox if bboxes is None else bboxes,
            points=points,
            point_label=point_label,
            mask_random_color=mask_random_color,
            better_quality=better_quality,
            retina=retina,
            withContours=withContours if with_contours is None else with_contours,
        )
        path = Path(place)
        if path.is_dir() or not path.suffix:
            name = Path(self._name)
            # A name without an image format, such as that of a frame of a video, gets the suffix .png.
            path /= name if cv2.haveImageWriter(name.name) else f"{name.name}.png"
        write_image(path, drawn if self._is_bgr else np.ascontiguousarray(drawn[:, :, ::-1]))
        return path

    @property
    def _result(self) -> Results:
        return self.results[0]

    def _masks(self) -> BoolArray:
        return np.asarray(self._result.masks.numpy().data > 0.5)

    def _at_image_size(self, annotations: Annotations) -> BoolArray:
        """Convert annotations of any form to bool (K, H, W)."""
        size = self._result.orig_shape
        masks = [Masks(stack, size).at_image_size() for stack in _stacks(annotations)]
        return np.concatenate([np.zeros((0, *size), np.bool_), *masks])


def _stacks(annotations: Annotations) -> list[npt.NDArray[Any]]:
    """Convert annotations to a list of mask stacks (K, h, w) of any type."""
    if isinstance(annotations, Results):
        return [np.asarray(annotations.masks.numpy().data)]
    if isinstance(annotations, Mapping) and "segmentation" in annotations:
        return _stacks(annotations["segmentation"])
    if isinstance(annotations, Tensor):
        annotations = annotations.numpy(force=True)
    if isinstance(annotations, np.ndarray):
        if annotations.ndim not in (2, 3):
            raise DataError(f"annotations must be masks (K, H, W) or (H, W), got {annotations.shape}")
        return [annotations.reshape(-1, *annotations.shape[-2:])]
    if isinstance(annotations, list | tuple):
        return [stack for one in annotations for stack in _stacks(one)]
    raise DataError(f"annotations must be masks, Results or a list of them, got {type(annotations).__name__}")


def _load(image: str | Path | npt.NDArray[np.uint8] | Image.Image) -> npt.NDArray[np.uint8]:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(f"the image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
        return image
    return rgb_from_pillow(image) if isinstance(image, Image.Image) else load_image(image)
