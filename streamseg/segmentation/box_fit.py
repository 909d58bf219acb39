"""Fit the masks of prompted boxes to their boxes: a box tells more than where to search.

A drawn box touches its object on all sides. So nothing outside belongs to the mask, no row and no column of the box is
empty, and a cell in its middle is on the object more often than not, which is why the network is asked for less there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from streamseg.geometry import raster_logits, raster_points
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import LOGIT_LIMIT, WIDENED_CELLS, MaskSamples

__all__ = ["fit_rows", "fit_to_boxes"]

AnyInstances = TypeVar("AnyInstances", bound=Instances)

INSIDE_LOGIT: Final = 1.2
"""Added inside the box: the log odds of a cell there, and that a missing pixel costs more IoU than one too many."""
EDGE_LOGIT: Final = 1.6
"""Subtracted at the edges of the box, less towards its middle."""
EDGE_EXPONENT: Final = 4
"""Exponent of the distance from the middle, 0..1, by which `EDGE_LOGIT` counts."""
TOUCH_WEIGHT: Final = 0.8
"""Share of what the best cell of an empty row or column lacks that is added to all of its cells."""
OUTSIDE_LOGIT: Final = -8.0
"""Logit of the cells outside the box that do not adjoin it."""


def fit_to_boxes(instances: AnyInstances, is_prompted: Tensor) -> AnyInstances:
    """Return instances whose prompted masks fit their boxes; the others are unchanged.

    Args:
        instances: K instances with corrections, and with `samples.widened` for the same rasters.
        is_prompted: bool (K,): whether the box was drawn.
    """
    samples, corrections = instances.samples, instances.corrections
    if samples is None or corrections is None or not bool(is_prompted.any()):
        return instances
    logits = samples.widened[is_prompted].float()  # (P, R, R)
    fitted = _fitted(logits)
    corrections = corrections.clone()
    corrections[is_prompted] += fitted - logits
    widened = samples.widened.clone()
    widened[is_prompted] = fitted.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half()
    return replace(instances.corrected(corrections), samples=MaskSamples(None, widened, None))


def fit_rows(instances: AnyInstances, boxes: Tensor) -> AnyInstances:
    """Return instances whose masks fit other boxes of the same objects than those in which the network found them.

    Args:
        instances: K instances with corrections.
        boxes: float32 (K, 4) xyxy, pixels of the image, each of some extent.
    """
    plain = raster_logits(replace(instances.corrected(None), boxes=boxes), WIDENED_CELLS, margin=CORRECTION_MARGIN)
    corrections = instances.corrections
    logits = plain if corrections is None else plain + _moved(corrections.float(), instances.boxes, boxes)  # (K, R, R)
    return replace(instances.corrected(_fitted(logits) - plain), boxes=boxes)


def _moved(corrections: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Interpolate corrections (K, R, R) of boxes (K, 4) on the rasters of other boxes (K, 4): (K, R', R')."""
    x, y = raster_points(after, WIDENED_CELLS, margin=CORRECTION_MARGIN)  # (K, R') each
    sides = (before[:, 2:] - before[:, :2]).clamp(min=1e-6) * (1 + 2 * CORRECTION_MARGIN) / 2
    middles = (before[:, 2:] + before[:, :2]) / 2
    places = x.new_empty((*x.shape, x.shape[1], 2))  # from -1 to 1 over the raster
    places[..., 0] = ((x - middles[:, :1]) / sides[:, :1])[:, None, :]
    places[..., 1] = ((y - middles[:, 1:]) / sides[:, 1:])[:, :, None]
    return grid_sample(corrections[:, None], places, padding_mode="border", align_corners=False)[:, 0]


def _fitted(logits: Tensor) -> Tensor:
    """Return the logits (P, R, R) of masks that fit their boxes, on the rasters of their corrections."""
    raster = logits.shape[-1]
    cell = (1 + 2 * CORRECTION_MARGIN) / raster  # relative to the box
    places = (torch.arange(raster) + 0.5) * cell - CORRECTION_MARGIN  # (R,) 0..1 inside the box
    inner = slice(int((places < 0).sum()), int((places < 1).sum()))
    found = logits[:, inner, inner]
    distances = (2 * places[inner] - 1).abs()
    away = torch.maximum(distances[:, None], distances[None, :]) ** EDGE_EXPONENT
    missing = [(-found.amax(dim=axis, keepdim=True)).clamp(0, -OUTSIDE_LOGIT) for axis in (1, 2)]
    filled = found + INSIDE_LOGIT - EDGE_LOGIT * away + TOUCH_WEIGHT * (missing[0] + missing[1])
    # Outside, the logits of the nearest cells inside are negated, so that they cross zero at the edge of the box.
    nearest = torch.arange(raster).clamp(inner.start, inner.stop - 1) - inner.start
    outside = torch.maximum(-places, places - 1)  # (R,) relative to the box, negative inside
    beyond = torch.maximum(outside[:, None], outside[None, :])
    edge = places[inner.start]  # distance of the outermost cells inside from the edge
    around = filled[:, nearest][:, :, nearest]
    crossing = (-around.clamp(min=0) * (beyond / edge)).clamp(min=OUTSIDE_LOGIT)
    crossing = torch.minimum(crossing, torch.minimum(logits, torch.zeros(())))
    return torch.where(beyond < 0, around, torch.where(beyond < cell, crossing, OUTSIDE_LOGIT))
