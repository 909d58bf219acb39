"""Points against masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import box_area, sample_logits, silhouettes
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt, Selection

__all__ = ["select_points"]

BEYOND = 1e12
"""More pixels than any picture has."""
DOUBTFUL_SHARE = 0.35
"""A single point is not enough to mean a part that scores less than this share of what else is there: those come and
go. Among 0, .35, .5 and .65 on labelled pictures, 0 and .35 answer a point equally well, and the others worse."""
AREA_RASTER = 24
"""Masks are measured at so many places per side of their box: to about 1 % of the area of the box."""


def select_points(instances: Instances, prompts: Sequence[PointPrompt], *, nested: bool = False) -> list[Selection]:
    """Answer each prompt with the smallest mask that holds its points.

    A background point vetoes every instance that holds it. Of what is left, those that hold most
    foreground points count, normally all of them; the smallest wins, because a click means what is
    seen there, and not what lies around it. For a single foreground point, masks that score less than
    `DOUBTFUL_SHARE` of the best that holds it come last. Foreground points that no mask can hold together lower the
    score: it is the instance's own, times the share of them that is held. Without a foreground point
    there is nothing to choose by, and no answer (today's ultralytics takes everything not vetoed).

    Args:
        instances: K of them; 0 answers nothing.
        prompts: P of them.
        nested: all that hold as many points as the winner, small to large and the doubtful ones behind, instead of
            the winner alone.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    labels = np.array([label for prompt in prompts for label in prompt.point_labels], dtype=np.bool_)  # (N,)
    held = _held(instances, [point for prompt in prompts for point in prompt.point_coords])  # (K, N)
    # Where each prompt's points begin among the N; sums over them are sums over prompts.
    counts = [len(prompt.point_labels) for prompt in prompts]
    begins = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)  # (P,)
    num_held = np.add.reduceat((held & labels).astype(np.int64), begins, axis=1)  # (K, P)
    num_held[np.logical_or.reduceat(held & ~labels, begins, axis=1)] = 0
    most = num_held.max(axis=0)  # (P,)
    num_foreground = np.add.reduceat(labels.astype(np.int64), begins)  # (P,)
    shares = most / np.maximum(num_foreground, 1)  # (P,)
    eligible = (num_held == most) & (most > 0)  # (K, P)
    own = instances.scores.numpy(force=True)[:, None]  # (K, 1)
    best = np.where(eligible, own, 0).max(axis=0)  # (P,)
    areas = np.where(eligible, _areas(instances, np.asarray(eligible.any(axis=1)))[:, None], np.inf)  # (K, P)
    # An area beyond any picture's puts them behind all others, and among themselves small to large.
    areas = np.where((num_foreground == 1) & (own < DOUBTFUL_SHARE * best), areas + BEYOND, areas)
    order = areas.argsort(axis=0, kind="stable") if nested else areas.argmin(axis=0)[None]  # (K or 1, P)
    num_rows = np.minimum(eligible.sum(axis=0), len(order))  # (P,)
    scores = own[order, 0] * shares  # (K or 1, P)
    return [
        Selection(prompt.prompt_id, tuple(rows[:count]), tuple(ranked[:count]))
        for prompt, rows, ranked, count in zip(
            prompts, order.T.tolist(), scores.T.tolist(), num_rows.tolist(), strict=True
        )
    ]


def _held(instances: Instances, points: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """Which of K instances hold which of N points: bool (K, N). A point outside the picture is in none."""
    x, y = instances.boxes.new_tensor(points).T  # (N,) each
    x0, y0, x1, y1 = (side[:, None] for side in instances.boxes.unbind(dim=1))  # (K, 1) each
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)  # (K, N)
    rows, columns = inside.nonzero(as_tuple=True)
    held = torch.zeros_like(inside)
    held[rows, columns] = sample_logits(instances, rows, x[columns], y[columns]) > 0
    return held.numpy(force=True)


def _areas(instances: Instances, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Mask areas (K,) in pixels of the picture; 0 for the rows that nobody asks about."""
    chosen = instances[torch.from_numpy(np.flatnonzero(wanted))]
    shares = silhouettes(chosen, AREA_RASTER).float().mean(dim=(1, 2))  # (R,)
    areas = np.zeros(len(instances))
    areas[wanted] = (shares * box_area(chosen.boxes)).numpy(force=True)
    return areas
