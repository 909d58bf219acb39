"""Matching of points: the smallest instance that contains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from streamseg.geometry import box_area, sample_logits, silhouettes
from streamseg.structures.arrays import BoolArray, Float64Array
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt, Selection

__all__ = ["select_points"]

LAST_RANK_AREA: Final = 1e12
"""Added to the area of instances that are ranked last, pixels: larger than any image."""
DOUBTFUL_SHARE: Final = 0.35
"""A single point does not select a part that scores less than this fraction of the other instances there: such parts
come and go. Among 0, .35, .5 and .65 on labelled images, 0 and .35 match points equally well, and the others worse."""
AREA_RASTER: Final = 24
"""Raster cells per side of a mask's box for its area; accurate to about 1 % of the box area."""


def select_points(instances: Instances, prompts: Sequence[PointPrompt], *, nested: bool = False) -> list[Selection]:
    """Select the smallest mask that contains each prompt's points.

    A background point vetoes every instance that contains it. Of the remaining ones, those with the most foreground
    points are eligible, normally all of them. The smallest wins, because a click means the object that is visible
    there, not its surroundings. For a single foreground point, masks that score less than `DOUBTFUL_SHARE` of the best
    mask that contains it are ranked last. If no mask contains all foreground points, the score is the instance's own
    times the fraction of them that it contains. Without a foreground point nothing is selected (today's ultralytics
    selects everything that is not vetoed).

    Args:
        instances: K instances; 0 match nothing.
        prompts: P prompts.
        nested: select all instances that contain as many points as the winner, small to large with the doubtful ones
            last, instead of the winner alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    labels = np.array([label for prompt in prompts for label in prompt.point_labels], dtype=np.bool_)  # (N,)
    contains = _contains(instances, [point for prompt in prompts for point in prompt.point_coords])  # (K, N)
    # First point of each prompt among the N; sums over such groups are sums over prompts.
    counts = [len(prompt.point_labels) for prompt in prompts]
    starts = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)  # (P,)
    num_contained = np.add.reduceat((contains & labels).astype(np.int64), starts, axis=1)  # (K, P)
    num_contained[np.logical_or.reduceat(contains & ~labels, starts, axis=1)] = 0
    most = num_contained.max(axis=0)  # (P,)
    num_foreground = np.add.reduceat(labels.astype(np.int64), starts)  # (P,)
    shares = most / np.maximum(num_foreground, 1)  # (P,)
    eligible = (num_contained == most) & (most > 0)  # (K, P)
    own = instances.scores.numpy(force=True)[:, None]  # (K, 1)
    best = np.where(eligible, own, 0).max(axis=0)  # (P,)
    areas = np.where(eligible, _areas(instances, np.asarray(eligible.any(axis=1)))[:, None], np.inf)  # (K, P)
    # The added area ranks them behind all others, and among themselves from small to large.
    areas = np.where((num_foreground == 1) & (own < DOUBTFUL_SHARE * best), areas + LAST_RANK_AREA, areas)
    order = areas.argsort(axis=0, kind="stable") if nested else areas.argmin(axis=0)[None]  # (K or 1, P)
    num_rows = np.minimum(eligible.sum(axis=0), len(order))  # (P,)
    scores = own[order, 0] * shares  # (K or 1, P)
    return [
        Selection(prompt.prompt_id, tuple(rows[:count]), tuple(ranked[:count]))
        for prompt, rows, ranked, count in zip(
            prompts, order.T.tolist(), scores.T.tolist(), num_rows.tolist(), strict=True
        )
    ]


def _contains(instances: Instances, points: Sequence[tuple[float, float]]) -> BoolArray:
    """Return which of K instances contain which of N points, (K, N). No instance contains a point outside the image."""
    x, y = instances.boxes.new_tensor(points).T  # (N,) each
    x0, y0, x1, y1 = (side[:, None] for side in instances.boxes.unbind(dim=1))  # (K, 1) each
    in_box = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)  # (K, N)
    rows, columns = in_box.nonzero(as_tuple=True)
    contains = torch.zeros_like(in_box)
    contains[rows, columns] = sample_logits(instances, rows, x[columns], y[columns]) > 0
    return contains.numpy(force=True)


def _areas(instances: Instances, needed: BoolArray) -> Float64Array:
    """Compute mask areas (K,) in pixels; 0 for rows that are not `needed` (K,)."""
    chosen = instances[torch.from_numpy(np.flatnonzero(needed))]
    shares = silhouettes(chosen, AREA_RASTER).float().mean(dim=(1, 2))  # (R,)
    areas = np.zeros(len(instances))
    areas[needed] = (shares * box_area(chosen.boxes)).numpy(force=True)
    return areas
