"""Matching of points: the instance that overlaps most with what its points may mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from streamseg.geometry import box_area, logits_in_boxes, silhouettes
from streamseg.prompting.overlap import mutual_ious
from streamseg.structures.arrays import BoolArray, Float64Array
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt, Selection

__all__ = ["select_points"]

SIZE_WEIGHT: Final = 1.2
"""Log odds by which a mask of e times the side is less likely: of equally good masks, the smaller one is meant."""
CENTRE_WEIGHT: Final = 4.0
"""Weight of the fraction of the surroundings of a point that lie in the mask, see `CENTRE_RADII`: people click in the
middle of what they mean."""
DENSITY_WEIGHT: Final = 0.7
"""Weight of the log of the share of the image that a mask fills, negative, for each further point inside: points in one
small mask do not lie there by chance. Added is the log of the probability that they lie in it (`_contains`)."""
MISS_WEIGHT: Final = 3.0
"""Log odds by which a foreground point outside a mask makes it less likely, on top of the `DENSITY_WEIGHT` that it does
not earn."""
TEMPERATURE: Final = 0.85
"""Log odds per unit of the exponent: how much the ratings are trusted. At 0 the best rated mask alone would count."""
CENTRE_RADII: Final = (0.2, 0.3, 0.4)
"""Radii of the circles around a point, relative to the side of a square with the mask's area."""
CENTRE_DIRECTIONS: Final = 8
"""Points per circle."""
MIN_SHARE: Final = 1e-3
"""Limit of scores, and of one minus them, for finite logits."""
DOUBTFUL_SHARE: Final = 0.35
"""Instances that score less than this fraction of the best one at a single point come last in the order of the
hypotheses: such parts come and go."""
LAST_RANK_AREA: Final = 1e12
"""Added to the area of instances that are ranked last, pixels: larger than any image."""
AREA_RASTER: Final = 24
"""Raster cells per side of a mask's box for its area; accurate to about 1 % of the box area."""


def select_points(instances: Instances, prompts: Sequence[PointPrompt], *, nested: bool = False) -> list[Selection]:
    """Select the mask that each prompt's points mean most likely.

    A background point vetoes every instance that contains it. Of the remaining ones, every one with a foreground point
    is eligible, and rated by score, size, centre (`_ratings`), and by how many foreground points it contains, and how
    certainly: neither a stain nor a part only because it is small, nor the surroundings only because they score well,
    nor a stain only because it is large enough to contain every point. The ratings give the probability of each to be
    meant, and the one with the highest expected IoU with what is meant wins: of three outlines of one object, that
    which resembles both others. The score is the instance's own times the fraction of foreground points that it
    contains. Without a foreground point nothing is selected (today's ultralytics selects everything that is not
    vetoed).

    Args:
        instances: K instances; 0 match nothing.
        prompts: P prompts.
        nested: select all instances that contain at least as many points as the winner, instead of the winner alone: it
            is followed by the larger ones, small to large, then by the smaller ones; the doubtful ones come last.
    """
    if not len(instances) or not prompts:
        return [Selection(prompt.prompt_id, (), ()) for prompt in prompts]
    labels = np.array([label for prompt in prompts for label in prompt.point_labels], dtype=np.bool_)  # (N,)
    points = instances.boxes.new_tensor([point for prompt in prompts for point in prompt.point_coords])  # (N, 2)
    contains, certainties = _contains(instances, points)  # (K, N) each
    # First point of each prompt among the N; sums over such groups are sums over prompts.
    counts = [len(prompt.point_labels) for prompt in prompts]
    starts = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)  # (P,)
    num_inside = np.add.reduceat((contains & labels).astype(np.int64), starts, axis=1)  # (K, P)
    num_inside[np.logical_or.reduceat(contains & ~labels, starts, axis=1)] = 0
    num_foreground = np.add.reduceat(labels.astype(np.int64), starts)  # (P,)
    eligible = num_inside > 0  # (K, P)
    areas = _areas(instances, np.asarray(eligible.any(axis=1)))  # (K,)
    used = contains & labels & np.repeat(eligible, counts, axis=1)  # (K, N)
    centred = np.add.reduceat(_centred(instances, points, used, areas), starts, axis=1)  # (K, P)
    own = instances.scores.numpy(force=True).astype(np.float64)  # (K,)
    ratings = _ratings(own, areas)[:, None] + CENTRE_WEIGHT * centred / np.maximum(num_inside, 1)  # (K, P)
    height, width = instances.image_size
    shares = np.log(np.maximum(areas, 1) / (height * width))[:, None]  # (K, 1)
    certain = np.add.reduceat(certainties * labels, starts, axis=1) / np.maximum(num_inside, 1)  # (K, P)
    ratings += (certain - DENSITY_WEIGHT * shares) * (num_inside - 1) - MISS_WEIGHT * (num_foreground - num_inside)
    winners = _expected_ious(instances, np.where(eligible, ratings, -np.inf)).argmax(axis=0)  # (P,)
    order = winners[None]  # (1, P)
    prompt_numbers = np.arange(len(prompts))
    if nested:
        eligible &= num_inside >= num_inside[winners, prompt_numbers]
        best = np.where(eligible, own[:, None], 0).max(axis=0)  # (P,)
        ranks = np.where(eligible, areas[:, None], np.inf)  # (K, P)
        # Each sum ranks them behind all others: the smaller ones, then the doubtful ones.
        ranks += LAST_RANK_AREA * (areas[:, None] < areas[winners])
        ranks += 2 * LAST_RANK_AREA * ((num_foreground == 1) & (own[:, None] < DOUBTFUL_SHARE * best))
        ranks[winners, prompt_numbers] = np.where(eligible.any(axis=0), -1, np.inf)
        order = ranks.argsort(axis=0, kind="stable")  # (K, P)
    num_rows = np.minimum(eligible.sum(axis=0), len(order))  # (P,)
    scores = own[order] * num_inside[order, prompt_numbers] / np.maximum(num_foreground, 1)  # (K or 1, P)
    return [
        Selection(prompt.prompt_id, tuple(rows[:count]), tuple(ranked[:count]))
        for prompt, rows, ranked, count in zip(
            prompts, order.T.tolist(), scores.T.tolist(), num_rows.tolist(), strict=True
        )
    ]


def _ratings(scores: Float64Array, areas: Float64Array) -> Float64Array:
    """Return how likely instances (K,) are meant by a point in them, in log odds up to a constant, without the centre.

    Of equally good masks, the smaller one is meant: a click on a face in a portrait does not mean the person.

    Args:
        scores: (K,), 0..1: the expected IoU of their masks if the weights include a refiner.
        areas: (K,), pixels.
    """
    shares = scores.clip(MIN_SHARE, 1 - MIN_SHARE)
    ratings: Float64Array = np.log(shares / (1 - shares)) - SIZE_WEIGHT * np.log(np.maximum(areas, 1)) / 2
    return ratings


def _expected_ious(instances: Instances, ratings: Float64Array) -> Float64Array:
    """Return the expected IoU (K, P) of each instance with what a prompt means: the decision of minimum Bayes risk.

    Args:
        instances: K instances.
        ratings: (K, P) in log odds; -inf for instances that are not eligible, whose result is -inf, too.
    """
    best = ratings.max(axis=0)  # (P,)
    eligible = np.isfinite(ratings)
    weights = np.exp((ratings - np.where(np.isfinite(best), best, 0)) / TEMPERATURE)  # (K, P), 0 if not eligible
    compared = np.flatnonzero((eligible & (eligible.sum(axis=0) > 1)).any(axis=1))
    ious = np.eye(len(instances))
    if len(compared):
        together = eligible[compared].astype(np.float32) @ eligible[compared].T.astype(np.float32) > 0
        ious[np.ix_(compared, compared)] = mutual_ious(instances[torch.from_numpy(compared)], together)
    expected: Float64Array = np.where(eligible, ious @ weights, -np.inf)
    return expected


def _contains(instances: Instances, points: Tensor) -> tuple[BoolArray, Float64Array]:
    """Return which of K instances contain which points (N, 2), and how certainly, each (K, N).

    The certainty is the log of the probability that the mask's logit gives, from -0.7 to 0; 0 for points outside. No
    instance contains a point outside the image.
    """
    x, y = points.T  # (N,) each
    logits = logits_in_boxes(instances, torch.arange(len(instances), device=x.device)[:, None], x, y)  # (K, N)
    contains = logits > 0
    certainties = torch.where(contains, logsigmoid(logits), 0)
    return contains.numpy(force=True), certainties.numpy(force=True).astype(np.float64)


def _centred(instances: Instances, points: Tensor, used: BoolArray, areas: Float64Array) -> Float64Array:
    """Return the fraction (K, N) of the surroundings of points (N, 2) in masks with `areas` (K,); 0 if not `used`."""
    rows, columns = np.nonzero(used)  # (Q,) each
    turns = np.arange(CENTRE_DIRECTIONS) * 2 * np.pi / CENTRE_DIRECTIONS
    circle = np.stack([np.cos(turns), np.sin(turns)])  # (2, D)
    offsets = (np.array(CENTRE_RADII)[:, None] * circle[:, None]).reshape(2, -1)  # (2, S)
    sides = np.sqrt(areas[rows])[:, None]  # (Q, 1)
    chosen = torch.from_numpy(rows).to(points.device)[:, None]  # (Q, 1)
    centres = points[torch.from_numpy(columns).to(points.device)]  # (Q, 2)
    x, y = (
        centres[:, axis, None] + torch.from_numpy(offsets[axis] * sides).to(points)  # (Q, S)
        for axis in (0, 1)
    )
    inside = logits_in_boxes(instances, chosen, x, y) > 0
    shares = np.zeros(used.shape)
    shares[rows, columns] = inside.float().mean(dim=1).numpy(force=True)
    return shares


def _areas(instances: Instances, needed: BoolArray) -> Float64Array:
    """Compute mask areas (K,) in pixels; 0 for rows that are not `needed` (K,)."""
    chosen = instances[torch.from_numpy(np.flatnonzero(needed))]
    shares = silhouettes(chosen, AREA_RASTER).float().mean(dim=(1, 2))  # (R,)
    areas = np.zeros(len(instances))
    areas[needed] = (shares * box_area(chosen.boxes)).numpy(force=True)
    return areas
