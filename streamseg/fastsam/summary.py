"""The objects of one image as dicts, as a table, and as lines of YOLO's label files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamseg.fastsam.rows import Boxes, Masks
from streamseg.segmentation.optional import import_optional

__all__ = ["data_frame", "label_lines", "summary"]

MIN_POINTS = 3
"""Fewer points are no polygon; four numbers would even be read as a box."""


def summary(
    boxes: Boxes, masks: Masks, names: Mapping[int, str], *, normalize: bool, decimals: int
) -> list[dict[str, Any]]:
    """Return one dict per object: `name`, `class`, `confidence`, `box`, `segments`, and `track_id` if tracked.

    Args:
        boxes: boxes of K objects.
        masks: masks of the same objects.
        names: class names by number.
        normalize: divide x by the width of the image and y by its height.
        decimals: number of decimals.
    """
    identities = boxes.id
    listed = []
    corners = boxes.xyxyn if normalize else boxes.xyxy
    for row, (box, outline) in enumerate(zip(corners.tolist(), masks.xyn if normalize else masks.xy, strict=True)):
        kind = int(boxes.cls[row])
        listed.append(
            {
                "name": names[kind],
                "class": kind,
                "confidence": round(float(boxes.conf[row]), decimals),
                "box": {key: round(value, decimals) for key, value in zip(("x1", "y1", "x2", "y2"), box, strict=True)},
                **({} if identities is None else {"track_id": int(identities[row])}),
                "segments": {
                    axis: [round(value, decimals) for value in outline[:, column].tolist()]
                    for column, axis in enumerate(("x", "y"))
                },
            }
        )
    return listed


def label_lines(boxes: Boxes, masks: Masks, *, save_conf: bool) -> Iterator[str]:
    """Yield the objects as lines of a YOLO label file, with coordinates as fractions of the image's sides.

    A line is the class and the outline of the mask's largest piece, x1 y1 x2 y2 …; then the score, if `save_conf`, and
    the identity, if tracked. A mask whose outline has less than three points is a box instead: centre x, centre y,
    width, height. Without such an outline or box, an object has no line.
    """
    identities = boxes.id
    for row, (outline, box) in enumerate(zip(masks.xyn, boxes.xywhn.tolist(), strict=True)):
        if len(outline) < MIN_POINTS and not (box[2] > 0 and box[3] > 0):
            continue
        values = outline.ravel().tolist() if len(outline) >= MIN_POINTS else box
        values += [float(boxes.conf[row])] if save_conf else []
        line = [str(int(boxes.cls[row])), *(f"{value:g}" for value in values)]
        yield " ".join(line if identities is None else [*line, str(int(identities[row]))])


def data_frame(rows: Sequence[Mapping[str, Any]], method: str) -> Any:
    """Return dicts with equal keys as a `pandas.DataFrame`; without rows it is empty.

    Raises:
        DataError: pandas is not installed.
    """
    return import_optional("pandas", method).DataFrame(list(rows))
