"""Prompts as scripts write them, and the rows of `Results` that match them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.config import TextConfig
from streamseg.errors import DataError, counted
from streamseg.fastsam.reference_selection import best_rows_for_boxes, rows_for_points
from streamseg.fastsam.reference_text import best_objects
from streamseg.fastsam.results import Results
from streamseg.prompting import select
from streamseg.structures.arrays import Float64Array
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import BoxPrompt, PointPrompt, Prompt, TextPrompt
from streamseg.text import Encoders, TextSelector, encoders_folder, load_encoders

__all__ = ["Numbers", "apply_prompts", "as_boxes", "as_labels", "as_points", "rows_for_prompts", "rows_for_texts"]

Numbers = Sequence[Any] | npt.NDArray[Any] | Tensor
"""Nested lists of numbers, or an array."""


def as_boxes(boxes: Numbers) -> list[list[float]]:
    """Convert one box or several to a list (B, 4) xyxy.

    Raises:
        DataError: the values are not finite numbers, or not four per box.
    """
    return _table(boxes, 4, "boxes must be [x0, y0, x1, y1] or a list of such boxes")


def as_points(points: Numbers) -> list[list[float]]:
    """Convert one point or several to a list (P, 2) x, y.

    Raises:
        DataError: the values are not finite numbers, or not two per point.
    """
    return _table(points, 2, "points must be [x, y] or a list of such points")


def as_labels(labels: Numbers | int | None, num_points: int) -> list[int]:
    """Convert labels to a list (P,), 1 foreground or 0 background; None: all 1.

    Raises:
        DataError: the number of labels is not the number of points.
    """
    values = [1] * num_points if labels is None else np.atleast_1d(_array(labels)).reshape(-1).tolist()
    if len(values) != num_points:
        raise DataError(
            f"got {counted(num_points, 'point')} and {counted(len(values), 'label')}; give one label per point"
        )
    return [int(value) for value in values]


def apply_prompts(
    result: Results,
    *,
    bboxes: Numbers | None = None,
    points: Numbers | None = None,
    labels: Numbers | int | None = None,
    texts: str | Sequence[str] | None = None,
) -> Results:
    """Return the rows that match any of the prompts, or all rows if no prompt is given.

    FastSAM's rules (those of the current ultralytics): for each box the mask whose pixels have the highest IoU with
    it; for points every mask that contains any point of label 1 and none of label 0; rows ascending. streamseg's rules:
    for each box the object that fits it well, if any; for all points together the most likely object that contains
    those of label 1 and none of label 0, if any; rows in that order.

    Raises:
        DataError: a prompt is invalid.
        WeightsError: texts are given without text encoders.
    """
    if labels is not None and points is None:
        raise DataError("labels are given without points; give both")
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
        return result[list(dict.fromkeys(rows_for_prompts(result, prompts) + rows))]
    masks = result.masks.at_image_size()
    height, width = result.orig_shape
    limits = np.array([width, height, width, height])
    truncated = np.trunc(np.clip(np.array(boxes).reshape(-1, 4), 0, limits)).tolist()
    rows += best_rows_for_boxes(masks, truncated)
    if point_coords:
        rows += rows_for_points(masks, point_coords, point_labels)
    return result[sorted(set(rows))]


def rows_for_prompts(result: Results, prompts: Iterable[Prompt]) -> list[int]:
    """Return the rows that match prompts by streamseg's rules: in the order of the prompts, each row once."""
    tracked = Tracked(result.instances, torch.full((len(result),), -1))
    return list(dict.fromkeys(row for selection in select(tracked, list(prompts)) for row in selection.rows))


def rows_for_texts(result: Results, texts: Sequence[str]) -> list[int]:
    """Return the rows that match descriptions, for `FastSAM`, `FastSAMPredictor` and `FastSAMPrompt`.

    FastSAM's rules: each text has exactly one row, its best match, however poor, if the image has an object of more
    than 100 pixels. streamseg's rules: each text has all rows that it describes better than the other texts and "none
    of these" do, best first.

    Raises:
        WeightsError: the text encoders are missing or invalid; the message names the command that exports them.
        ConfigError: the package `tokenizers` is not installed.
        DataError: a text is empty or too long.
    """
    prompts = [TextPrompt(f"text{number}", text) for number, text in enumerate(texts)]
    encoders = _encoders()
    image = np.ascontiguousarray(result.orig_img[:, :, ::-1])
    if result.prompting == "reference":
        return [row for row, _ in best_objects(encoders, image, result.instances, texts)]
    frame = Frame(image, "image", 0, None, 0, "arrival", 0)
    tracked = Tracked(result.instances, torch.full((len(result),), -1))
    defaults = TextConfig()
    select_texts = TextSelector(
        lambda: encoders, context=defaults.context, background=defaults.background
    ).open_source()
    return list(dict.fromkeys(row for selection in select_texts(frame, tracked, prompts) for row in selection.rows))


def _encoders() -> Encoders:
    folder = encoders_folder()
    changed_ns = tuple(path.stat().st_mtime_ns for path in sorted(folder.glob("*.json")))
    return _cached_encoders(folder, changed_ns)


@lru_cache(maxsize=1)
def _cached_encoders(folder: Path, changed_ns: tuple[int, ...]) -> Encoders:
    """Load the encoders once, and again after another export into the folder."""
    return load_encoders(folder)


def _array(values: Any) -> Float64Array:
    try:
        return np.asarray(values.numpy(force=True) if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a prompt must be made of numbers, in lists of equal length, got {values!r}") from error


def _table(values: Numbers, num_columns: int, expected: str) -> list[list[float]]:
    table = _array(values)
    table = table[None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] != num_columns or not len(table) or not np.isfinite(table).all():
        raise DataError(f"{expected}, of finite numbers; got {np.asarray(table).tolist()}")
    rows: list[list[float]] = table.tolist()
    return rows
