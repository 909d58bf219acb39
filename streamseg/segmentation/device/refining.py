"""The refiner on the device, for all objects of a batch at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from streamseg.geometry import Letterbox, box_area
from streamseg.modeling.refiner import ObjectViews, Refiner, calibrated_scores
from streamseg.segmentation.device.object_pixels import ObjectPixels
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.mask_samples import WIDENED_CELLS

__all__ = ["DeviceRefiner", "Refined"]


class Refined(NamedTuple):
    """Results for B images with K objects each."""

    corrections: Tensor
    """float32 (B, K, R, R)."""
    scores: Tensor
    """float32 (B, K): calibrated scores."""


class DeviceRefiner:
    """Samples the refiner's inputs and runs it.

    Args:
        refiner: the refiner, on the device.
        place: placement of the images in the network's input.
        device: the device; constants are allocated here.
    """

    def __init__(self, refiner: Refiner, place: Letterbox, device: torch.device) -> None:
        self._refiner = refiner
        self._pixels = ObjectPixels(place, device)
        transform = place.to_image()
        self._input_area = transform.scale_x * transform.scale_y
        shares = (torch.arange(WIDENED_CELLS) + 0.5) / WIDENED_CELLS * (1 + 2 * CORRECTION_MARGIN) - CORRECTION_MARGIN
        self._shares = shares[:, None].to(device)

    def __call__(
        self,
        boxes: Tensor,
        scores: Tensor,
        logits: Tensor,
        grid: Tensor,
        prototypes: Tensor,
        images: Tensor,
        inputs: Tensor,
    ) -> Refined:
        """Refine the objects.

        Args:
            boxes: float32 (B, K, 4) xyxy, pixels of the image.
            scores: float32 (B, K).
            logits: float32 (B, K, R, R), sampled on the widened boxes.
            grid: float32 (B, K, R, R, 2), the cells of the widened boxes, as `Rasters.widened_grid` returns them.
            prototypes: float32 (B, P, Mh, Mw).
            images: uint8 (B, H, W, 3), the images.
            inputs: uint8 (B, h, w, 3), the network's input.
        """
        batch, count, raster, _ = logits.shape
        weights = self._refiner.project.weight.flatten(1)  # (C, P)
        maps = torch.matmul(weights, prototypes.flatten(2)).view(batch, -1, *prototypes.shape[2:])
        cells = grid.view(batch, count * raster, raster, 2)
        sampled = functional.grid_sample(maps, cells, padding_mode="border", align_corners=False)  # (B, C, K * R, R)
        sampled = sampled.view(batch, -1, count, raster, raster).transpose(1, 2).flatten(0, 1)
        low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
        pixels = self._pixels(images, inputs, low + (high - low) * self._shares)
        sides = (box_area(boxes) / self._input_area).sqrt().view(-1)
        refined = self._refiner(ObjectViews(logits.flatten(0, 1), sampled, pixels.flatten(0, 1), sides))
        calibrated = calibrated_scores(self._refiner.calibration, scores.view(-1), refined.quality)
        return Refined(refined.corrections.view(batch, count, raster, raster), calibrated.view(batch, count))
