"""Prompts as scripts write them, and the rows that answer them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.errors import DataError
from streamseg.fastsam.reference_selection import best_rows_for_boxes, rows_for_points
from streamseg.fastsam.results import Results
from streamseg.fastsam.text import rows_for_texts
from streamseg.prompting import select
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import BoxPrompt, PointPrompt, Prompt

__all__ = ["Numbers", "as_boxes", "as_labels", "as_points", "own_rows", "prompted"]

Numbers = Sequence[Any] | npt.NDArray[Any] | Tensor
"""Nested lists of numbers, or an array."""


def as_boxes(boxes: Numbers) -> list[list[float]]:
    """Boxes (B, 4) xyxy from one box or several.

    Raises:
        DataError: they are no finite numbers, or not four each.
    """
    return _table(boxes, 4, "boxes are [x0, y0, x1, y1] or a list of such")


def as_points(points: Numbers) -> list[list[float]]:
    """Points (P, 2) x, y from one point or several.

    Raises:
        DataError: they are no finite numbers, or not two each.
    """
    return _table(points, 2, "points are [x, y] or a list of such")


def as_labels(labels: Numbers | int | None, num_points: int) -> list[int]:
    """Labels (P,), 1 fore- or 0 background, all 1 for None.

    Raises:
        DataError: there are not as many as points.
    """
    values = [1] * num_points if labels is None else np.atleast_1d(_array(labels)).reshape(-1).tolist()
    if len(values) != num_points:
        raise DataError(f"there are {num_points} points and {len(values)} labels; give one label per point")
    return [int(value) for value in values]


def own_rows(result: Results, prompts: Iterable[Prompt]) -> list[int]:
    """The rows that answer prompts by streamseg's rules: in the prompts' order, each once, none for no match."""
    tracked = Tracked(result.instances, torch.full((len(result),), -1))
    return list(dict.fromkeys(row for selection in select(tracked, list(prompts)) for row in selection.rows))


def prompted(
    result: Results,
    *,
    bboxes: Numbers | None = None,
    points: Numbers | None = None,
    labels: Numbers | int | None = None,
    texts: str | Sequence[str] | None = None,
) -> Results:
    """The rows that any of the prompts chooses, or all rows where there is no prompt.

    By the reference's rules (today's ultralytics): of each box the mask whose pixels have the highest IoU with it; of
    points every mask that holds any of label 1 and none of label 0; rows ascending. By streamseg's: of each
    box the object that fits it well, of all points together the smallest object that holds those of label
    1 and none of label 0, or none; in that order.

    Raises:
        DataError: a prompt contradicts itself.
        WeightsError: a text is given, and there are no encoders for it.
    """
    if labels is not None and points is None:
        raise DataError("labels belong to points; give both")
    if bboxes is None and points is None and texts is None:
        return result
    boxes = [] if bboxes is None else as_boxes(bboxes)
    point_coords = [] if points is None else as_points(points)
    point_labels = as_labels(labels, len(point_coords))
    rows = [] if texts is None else rows_for_texts(result, [texts] if isinstance(texts, str) else texts)
    if result.prompting == "default":
        prompts: list[Prompt] = [BoxPrompt(f"box{n}", (x0, y0, x1, y1)) for n, (x0, y0, x1, y1) in enumerate(boxes)]
        if point_coords:
            prompts.append(PointPrompt("points", tuple((x, y) for x, y in point_coords), tuple(point_labels)))
        return result[list(dict.fromkeys(own_rows(result, prompts) + rows))]
    masks = result.masks.at_picture_size()
    height, width = result.orig_shape
    limits = np.array([width, height, width, height])
    whole = np.trunc(np.clip(np.array(boxes).reshape(-1, 4), 0, limits)).tolist()
    rows += best_rows_for_boxes(masks, whole)
    if point_coords:
        rows += rows_for_points(masks, point_coords, point_labels)
    return result[sorted(set(rows))]


def _array(values: Any) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values.numpy(force=True) if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a prompt must be made of numbers, in lists of equal length, got {values!r}") from error


def _table(values: Numbers, num_columns: int, shape: str) -> list[list[float]]:
    table = _array(values)
    table = table[None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] != num_columns or not len(table) or not np.isfinite(table).all():
        raise DataError(f"{shape}, of finite numbers; got {np.asarray(table).tolist()}")
    rows: list[list[float]] = table.tolist()
    return rows
