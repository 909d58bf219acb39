"""FastSAM's rules for points and boxes on finished masks, with their peculiarities, for users who depend on them.

Two programs are reproduced: the official FastSAM program (arXiv 2306.12156; with ultralytics 8.0.120) and FastSAM in
the current ultralytics (8.4). Both work on finished masks at full size, and therefore so do these functions. Errors are
not reproduced: if a program raises or returns None, the result is empty here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamseg.structures.arrays import BoolArray, Float32Array, MaskArray

__all__ = [
    "best_rows_for_boxes",
    "better_quality",
    "box_ious",
    "merged_points",
    "paint",
    "painting_order",
    "rows_for_points",
]

Point = Sequence[float]
Box = Sequence[float]


def merged_points(
    masks: BoolArray,
    point_coords: Sequence[Point],
    point_labels: Sequence[int],
    *,
    image_size: tuple[int, int] | None = None,
) -> MaskArray:
    """Return the official program's mask for points: one mask, painted from all masks that contain a point.

    Masks are painted in descending order of area (equal areas in their order). For each mask all points are applied in
    the order given: a foreground point in the mask paints the whole mask, a background point in it erases the whole
    mask. The last point that a mask contains therefore decides for that mask, and the order of the points matters. For
    an object and its part, a foreground point on the object followed by a background point on the part gives an empty
    mask; the reverse order gives the object with the part removed.

    Args:
        masks: bool (K, H, W).
        point_coords: (P, 2) x, y, truncated to whole pixels. A point outside the image is in no mask (in the official
            program: an error, or for negative coordinates the opposite side of the image).
        point_labels: (P,) 1 foreground or 0 background; points with other values are ignored.
        image_size: (H, W) that the points refer to, if it is not the size of the masks; the points are scaled and
            truncated to whole pixels.

    Returns:
        bool (H, W); all False if no mask contains a foreground point, and for K = 0.
    """
    return paint(masks, painting_order(masks, point_coords, point_labels, image_size=image_size))


def paint(masks: BoolArray, order: Sequence[tuple[int, bool]]) -> MaskArray:
    """Return a canvas (H, W) on which rows of masks (K, H, W) are painted (True) or erased (False) in turn."""
    canvas = np.zeros(masks.shape[1:], dtype=np.bool_)
    for row, paints in order:
        canvas[masks[row]] = paints
    return canvas


def painting_order(
    masks: BoolArray,
    point_coords: Sequence[Point],
    point_labels: Sequence[int],
    *,
    image_size: tuple[int, int] | None = None,
) -> list[tuple[int, bool]]:
    """Return the steps of `merged_points`: rows in the order in which they are painted (True) or erased (False)."""
    _, height, width = masks.shape
    points = [_to_pixel(point, (height, width), image_size) for point in point_coords]
    hits = [
        (x, y, label)
        for (x, y), label in zip(points, point_labels, strict=True)
        if 0 <= x < width and 0 <= y < height and label in (0, 1)
    ]
    touched = np.zeros(len(masks), dtype=np.bool_)
    for x, y, _ in hits:
        touched |= masks[:, y, x]
    rows = np.flatnonzero(touched)
    areas = [np.count_nonzero(masks[row]) for row in rows]
    order = []
    for position in sorted(range(len(rows)), key=areas.__getitem__, reverse=True):
        row = int(rows[position])
        # Each point overwrites the previous one with the same mask: only the last point in the mask matters.
        last = [label for x, y, label in hits if masks[row, y, x]][-1]
        order.append((row, last == 1))
    return order


def best_rows_for_boxes(
    masks: BoolArray, boxes: Sequence[Box], *, image_size: tuple[int, int] | None = None
) -> list[int]:
    """Return the official program's masks for boxes: for each box the mask whose pixels have the highest IoU with it.

    There is no threshold: a box on nothing has a match, too (row 0 if no mask has a pixel in it). Edges are rounded
    half to even; then left and top are raised to 0, and right and bottom lowered to the width and height of the masks.
    The area of the box is that of the rounded edges.

    Args:
        masks: bool (K, H, W).
        boxes: (B, 4) xyxy.
        image_size: (H, W) that the boxes refer to, if it is not the size of the masks; the boxes are scaled and
            truncated to whole pixels first.

    Returns:
        Rows, each once, in the order in which CPython iterates over a set of them, which is not the order of the
        boxes: ascending if all rows are below 8 (below 32 for five rows or more), else by remainder. Empty for K = 0.
    """
    if not len(masks):
        return []
    # A set, as in the official program, for its order.
    return list({int(row) for row in np.argmax(box_ious(masks, boxes, image_size=image_size), axis=1)})


def box_ious(masks: BoolArray, boxes: Sequence[Box], *, image_size: tuple[int, int] | None = None) -> Float32Array:
    """Return the IoU (B, K) of boxes with the pixels of masks, as in `best_rows_for_boxes`; NaN if both are empty."""
    num_masks, height, width = masks.shape
    areas = _areas(masks)
    ious = np.zeros((len(boxes), num_masks), dtype=np.float32)
    for position, box in enumerate(boxes):
        x0, y0, x1, y1 = box
        if image_size is not None and image_size != (height, width):
            x0, y0 = _to_pixel((x0, y0), (height, width), image_size)
            x1, y1 = _to_pixel((x1, y1), (height, width), image_size)
        left, top, right, bottom = max(round(x0), 0), max(round(y0), 0), min(round(x1), width), min(round(y1), height)
        # In float32, as in the official program: if two IoUs are equal in float32, the lower row wins.
        inside = _areas(masks[:, top:bottom, left:right])
        with np.errstate(divide="ignore", invalid="ignore"):
            ious[position] = inside / (np.float32((bottom - top) * (right - left)) + areas - inside)
    return ious


def rows_for_points(
    masks: BoolArray,
    point_coords: Sequence[Point],
    point_labels: Sequence[int] | None = None,
) -> list[int]:
    """Return the current ultralytics' rows for points: the masks that contain a foreground but no background point.

    If all labels are 0: all masks that contain none of the points.

    Args:
        masks: bool (K, H, W).
        point_coords: (P, 2) x, y, truncated to whole pixels; a point outside is moved to the nearest pixel.
        point_labels: (P,) 1 foreground or 0 background; None: all 1.

    Returns:
        Rows in ascending order; empty for K = 0.
    """
    num_masks, height, width = masks.shape
    if not num_masks or not len(point_coords):
        return []
    labels = np.ones(len(point_coords)) if point_labels is None else np.asarray(point_labels)
    x, y = np.trunc(np.asarray(point_coords, dtype=np.float64)).astype(np.int64).T
    contains = masks[:, y.clip(0, height - 1), x.clip(0, width - 1)]  # (K, P)
    selected = np.ones(num_masks, dtype=np.bool_) if (labels == 0).all() else contains[:, labels == 1].any(axis=1)
    return np.flatnonzero(selected & ~contains[:, labels == 0].any(axis=1)).tolist()


def better_quality(mask: MaskArray) -> MaskArray:
    """Apply the official `better_quality`: close holes of a pixel or two, then remove parts narrower than 8 pixels.

    Closing with 3 x 3 ones and opening with 8 x 8 ones, on bool (H, W). The even kernel has no centre: what remains is
    shifted by one pixel to the right and down, except at the left and upper border, where it grows.
    """
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((8, 8), np.uint8)).astype(np.bool_)


def _areas(masks: BoolArray) -> Float32Array:
    """Count pixels (K,). One mask at a time, because NumPy counts twenty times slower over an axis."""
    return np.array([np.count_nonzero(mask) for mask in masks], dtype=np.float32)


def _to_pixel(point: Point, mask_size: tuple[int, int], image_size: tuple[int, int] | None) -> tuple[int, int]:
    """Return whole x, y in masks of (H, W), truncated towards zero."""
    x, y = point
    if image_size is not None and image_size != mask_size:
        x, y = x * mask_size[1] / image_size[1], y * mask_size[0] / image_size[0]
    return int(x), int(y)
