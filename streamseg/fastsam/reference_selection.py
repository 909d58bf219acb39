"""The reference's answers to prompts, with its peculiarities: for those who depend on them.

Two references are meant: the official FastSAM program (arXiv 2306.12156; over ultralytics 8.0.120) and the
FastSAM of today's ultralytics (8.4). Both work on finished masks, every one of them at full size, so that
these functions take masks and not `Instances`. Not reproduced: errors. Where the reference raises or
answers None, there is an empty answer here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.errors import DataError
from streamseg.prompting import PromptSet
from streamseg.prompting.prompt_set import in_order
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, Selection, TextPrompt

__all__ = [
    "best_rows_for_boxes",
    "better_quality",
    "box_ious",
    "merged_points",
    "paint",
    "painting_order",
    "rows_for_points",
    "select_reference",
]

Masks = npt.NDArray[np.bool_]
Point = Sequence[float]
Box = Sequence[float]


def select_reference(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    prompts: PromptSet,
    *,
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> list[Selection]:
    """Select among finished masks as the official FastSAM program does.

    Args:
        masks: K masks, made as there; 0 match nothing.
        scores: scores of the instances, one per mask.
        prompts: the prompts.
        mask_size: (H, W) of the masks.
        image_size: (H, W) that the prompts refer to.

    Returns:
        One Selection per prompt, in the prompts' order. A point prompt has one merged mask, and the rows that are left
        on it, large to small; no rows and no mask if the canvas stays empty. A box prompt has one row, however badly
        it fits, with the IoU as its score.

    Raises:
        DataError: a prompt is a mask or a text, which the official program does not accept.
    """
    refused: tuple[MaskPrompt | TextPrompt, ...] = (*prompts.masks.prompts, *prompts.texts.prompts)
    if refused:
        raise DataError(f"prompt {refused[0].prompt_id!r}: FastSAM mode matches points, boxes and everything only")
    every = tuple(range(len(masks)))
    ious = _box_ious(masks, [prompt.box for prompt in prompts.boxes.prompts], mask_size, image_size)
    return in_order(
        (prompts.everything, [Selection(one.prompt_id, every, tuple(scores)) for one in prompts.everything.prompts]),
        (prompts.points, [_merged(masks, scores, one, mask_size, image_size) for one in prompts.points.prompts]),
        (prompts.boxes, [_best_row(one, iou) for one, iou in zip(prompts.boxes.prompts, ious, strict=True)]),
    )


def _best_row(prompt: BoxPrompt, ious: npt.NDArray[np.float32]) -> Selection:
    """Select the row with the highest IoU (K,); none if there is no mask."""
    if not len(ious):
        return Selection(prompt.prompt_id, (), ())
    row = int(np.argmax(ious))
    return Selection(prompt.prompt_id, (row,), (float(np.nan_to_num(ious[row])),))


def _box_ious(
    masks: Sequence[CropMask],
    boxes: Sequence[tuple[float, float, float, float]],
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """IoU (B, K); one mask at full size at a time, as all of them are a lot of memory."""
    if not masks or not boxes:
        return np.zeros((len(boxes), len(masks)), dtype=np.float32)
    return np.concatenate(
        [box_ious(mask.full(mask_size)[None], boxes, image_size=image_size) for mask in masks], axis=1
    )


def _merged(
    masks: Sequence[CropMask],
    scores: Sequence[float],
    prompt: PointPrompt,
    mask_size: tuple[int, int],
    image_size: tuple[int, int],
) -> Selection:
    points = prompt.point_coords, prompt.point_labels
    # Only what holds a point takes part; all masks at full size are a lot of memory.
    held = [
        row
        for row, mask in enumerate(masks)
        if painting_order(mask.full(mask_size)[None], *points, image_size=image_size)
    ]
    if not held:
        return Selection(prompt.prompt_id, (), ())
    pixels = np.stack([masks[row].full(mask_size) for row in held])
    order = painting_order(pixels, *points, image_size=image_size)
    canvas = paint(pixels, order)
    rows = tuple(held[row] for row, paints in order if paints and (canvas & pixels[row]).any())
    if not rows:
        return Selection(prompt.prompt_id, (), ())
    across, down = np.flatnonzero(canvas.any(axis=0)), np.flatnonzero(canvas.any(axis=1))
    crop = canvas[down[0] : down[-1] + 1, across[0] : across[-1] + 1].copy()
    merged = CropMask(crop, int(across[0]), int(down[0]))
    return Selection(prompt.prompt_id, rows, tuple(scores[row] for row in rows), merged)


def merged_points(
    masks: Masks,
    point_coords: Sequence[Point],
    point_labels: Sequence[int],
    *,
    image_size: tuple[int, int] | None = None,
) -> npt.NDArray[np.bool_]:
    """The official answer to points: one mask, painted from all masks that hold a point.

    Large masks first (equal areas in their order), and for each mask every point in the order given: a
    foreground point in the mask paints the whole mask, a background point in it erases the whole mask. So
    the last point that a mask holds decides for that mask, and the order of the points matters: an object
    and its part, a foreground point on the object and a background point on the part give nothing in this
    order, and the object with the part cut out in the other.

    Args:
        masks: bool (K, H, W).
        point_coords: (P, 2) x, y, of which the whole part counts. A point outside is in no mask (there: an
            error, or for negative coordinates the opposite side of the picture).
        point_labels: (P,) 1 fore- or 0 background; other values do nothing.
        image_size: (H, W) that the points are meant for where it is not that of the masks; they are scaled
            and cut to whole pixels.

    Returns:
        bool (H, W); all False where no foreground point hits and for K = 0.
    """
    return paint(masks, painting_order(masks, point_coords, point_labels, image_size=image_size))


def paint(masks: Masks, order: Sequence[tuple[int, bool]]) -> npt.NDArray[np.bool_]:
    """A canvas (H, W) on which rows of masks (K, H, W) are painted (True) or erased (False) in turn."""
    canvas = np.zeros(masks.shape[1:], dtype=np.bool_)
    for row, paints in order:
        canvas[masks[row]] = paints
    return canvas


def painting_order(
    masks: Masks,
    point_coords: Sequence[Point],
    point_labels: Sequence[int],
    *,
    image_size: tuple[int, int] | None = None,
) -> list[tuple[int, bool]]:
    """What `merged_points` does: rows in the order in which they are painted (True) or erased (False)."""
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
        # Each point paints over the one before it, with the same mask: the last one that hits is what stays.
        last = [label for x, y, label in hits if masks[row, y, x]][-1]
        order.append((row, last == 1))
    return order


def best_rows_for_boxes(masks: Masks, boxes: Sequence[Box], *, image_size: tuple[int, int] | None = None) -> list[int]:
    """The official answer to boxes: for each the mask whose pixels have the highest IoU with it.

    There is no threshold: a box on nothing is answered, too (with row 0 where no mask has a pixel in it).
    Edges are rounded half to even; left and top are then raised to 0, right and bottom lowered to the
    mask's width and height. The area of the box is that of the rounded edges.

    Args:
        masks: bool (K, H, W).
        boxes: (B, 4) xyxy.
        image_size: (H, W) that the boxes are meant for where it is not that of the masks; they are scaled
            and cut to whole pixels first.

    Returns:
        Rows, each once, in the order in which CPython iterates a set of them, which is not that of the
        boxes: ascending as long as all rows are below 8 (below 32 from five rows on), else by remainder.
        None for K = 0.
    """
    if not len(masks):
        return []
    # A set, as there, for its order.
    return list({int(row) for row in np.argmax(box_ious(masks, boxes, image_size=image_size), axis=1)})


def box_ious(
    masks: Masks, boxes: Sequence[Box], *, image_size: tuple[int, int] | None = None
) -> npt.NDArray[np.float32]:
    """IoU (B, K) of boxes with the pixels of masks as `best_rows_for_boxes` takes it; NaN where both are empty."""
    num_masks, height, width = masks.shape
    areas = _areas(masks)
    ious = np.zeros((len(boxes), num_masks), dtype=np.float32)
    for position, box in enumerate(boxes):
        x0, y0, x1, y1 = box
        if image_size is not None and image_size != (height, width):
            x0, y0 = _to_pixel((x0, y0), (height, width), image_size)
            x1, y1 = _to_pixel((x1, y1), (height, width), image_size)
        left, top, right, bottom = max(round(x0), 0), max(round(y0), 0), min(round(x1), width), min(round(y1), height)
        # In float32, as there: two IoUs that are equal in it go to the lower row.
        inside = _areas(masks[:, top:bottom, left:right])
        with np.errstate(divide="ignore", invalid="ignore"):
            ious[position] = inside / (np.float32((bottom - top) * (right - left)) + areas - inside)
    return ious


def rows_for_points(
    masks: Masks,
    point_coords: Sequence[Point],
    point_labels: Sequence[int] | None = None,
) -> list[int]:
    """Today's ultralytics answer to points: the masks that hold any foreground point and no background point.

    Where all labels are 0, all masks that hold none of the points.

    Args:
        masks: bool (K, H, W).
        point_coords: (P, 2) x, y, of which the whole part counts; a point outside goes to the nearest pixel.
        point_labels: (P,) 1 fore- or 0 background; None: all 1.

    Returns:
        Ascending rows; none for K = 0.
    """
    num_masks, height, width = masks.shape
    if not num_masks or not len(point_coords):
        return []
    labels = np.ones(len(point_coords)) if point_labels is None else np.asarray(point_labels)
    x, y = np.trunc(np.asarray(point_coords, dtype=np.float64)).astype(np.int64).T
    held = masks[:, y.clip(0, height - 1), x.clip(0, width - 1)]  # (K, P)
    wanted = np.ones(num_masks, dtype=np.bool_) if (labels == 0).all() else held[:, labels == 1].any(axis=1)
    return np.flatnonzero(wanted & ~held[:, labels == 0].any(axis=1)).tolist()


def better_quality(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The official `better_quality`: holes of a pixel or two closed, then whatever is narrower than 8 pixels removed.

    Closing with 3 x 3 ones and opening with 8 x 8 ones, on bool (H, W). The even kernel has no centre: what
    stays is moved by one pixel to the right and down, except at the left and upper border, where it grows.
    """
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((8, 8), np.uint8)).astype(np.bool_)


def _areas(masks: Masks) -> npt.NDArray[np.float32]:
    """Pixels (K,). One mask at a time: over an axis, NumPy counts twenty times slower."""
    return np.array([np.count_nonzero(mask) for mask in masks], dtype=np.float32)


def _to_pixel(point: Point, mask_size: tuple[int, int], image_size: tuple[int, int] | None) -> tuple[int, int]:
    """Whole x, y in masks of (H, W), towards zero."""
    x, y = point
    if image_size is not None and image_size != mask_size:
        x, y = x * mask_size[1] / image_size[1], y * mask_size[0] / image_size[0]
    return int(x), int(y)
