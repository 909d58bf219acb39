"""Re-identification: find lost targets under another track id, by position, silhouette, size and appearance.

LostTarget   a target that is searched for, with its best match so far
Match        the track that a lost target was found under
reidentify   match the lost targets of one frame
row_log_odds the log odds that each row of a frame is a lost target
features     the evidence that a row is a lost target; `FEATURES` names it and `WEIGHTS` weights it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.prompting.appearance import Appearance
from streamseg.prompting.history import FirstSeen, FrameRecord, mask_areas, silhouette_ious
from streamseg.structures.arrays import Float64Array

__all__ = ["FEATURES", "LostTarget", "Match", "features", "reidentify", "row_log_odds"]

FEATURES: Final = ("constant", "distance", "shape", "size", "appearance", "seconds", "growth", "gallery")
"""Names of the evidence, see `features`."""
WEIGHTS: Final = np.array([-17.05, -1.94, 3.19, -0.59, 17.28, -0.22, 0.0, 0.0])
"""Log odds per feature if the segmenter provides embeddings: the result of `python -m benchmarks.prompts --fit`, a
logistic regression on the rendered scene (seeds 100 to 102), rows of a default network and ground truth: 936,000 pairs
of an object and a row 0.3 to 8 s later, of which 29,000 are the same object."""
WEIGHTS_WITHOUT_EMBEDDINGS: Final = np.array([-6.18, -2.41, 7.29, -4.12, 0.0, 0.0, 0.0, 0.0])
"""Log odds per feature if no embeddings can be compared, from the same fit."""
WEIGHTS_BESIDE_LOOKS: Final = np.array([-17.07, -0.42, 1.1, -0.3, 9.73, -0.41, -4.45, 9.17])
"""Log odds per feature for a decision that looks contribute to, too, see `LostTarget.log_odds`: by the same script, on
seeds 1, 2, 5 and 6 and rows of a default network, in frames in which an object is absent or has just returned. Most of
what such frames show is something else, the more so the longer the absence."""
MIN_PROBABILITY: Final = 0.75
"""Minimum probability of a match, the best of several values tried on those seeds."""
MIN_PROBABILITY_WITHOUT_EMBEDDINGS: Final = 0.5
"""Minimum probability if no embeddings can be compared: position and shape alone never reach 0.75."""
MARGIN: Final = 1.0
"""Minimum difference, in log odds, between the best and the second best match."""
CONSISTENT_FRAMES: Final = 2
"""Number of consecutive frames in which the best match must be the same."""
MAX_SECONDS: Final = 4.0
"""Limit of the feature `seconds`: the data that the weights were fitted to ends soon after."""
MAX_SIZE: Final = 0.7
"""Maximum of the feature `size`: a row of half or twice the side length is a part of the target, or its whole."""
EXCLUDED: Final = -50.0
"""Log odds of a row that exceeds `MAX_SIZE`."""
SPURIOUS_SECONDS: Final = 1.0
"""Minimum duration of observation from which a target is certainly an object."""
MIN_GONE_SECONDS: Final = 1.0
"""Minimum absence of a spurious target: trackers miss objects for some frames."""
DRIFT: Final = 2.0
"""Growth of the position uncertainty, object sizes per second."""
COASTING_SECONDS: Final = 1.0
"""Time constant of the assumed deceleration of a lost target."""
DISTANCE_SECONDS: Final = 2.0
"""Time constant with which the feature `distance` decays."""


@dataclass
class LostTarget:
    """A target that is searched for."""

    appearance: Appearance
    observed_seconds: float
    """Duration of the observation before the loss, as far as the history reaches."""
    best_id: int = -1
    """Track id of the best match in the last frame; -1 if no match was probable enough."""
    num_consistent: int = 0
    """Number of consecutive frames with this best match."""
    log_odds: Float64Array | None = None
    """Log odds (K,) that each row of the last frame is the target, beside other evidence; None before the first one."""

    def is_spurious(self, time_seconds: float) -> bool:
        """Return whether the target was a fragment or a false detection: seen briefly, and gone for longer."""
        gone_seconds = time_seconds - self.appearance.seen_seconds
        return self.observed_seconds < SPURIOUS_SECONDS and gone_seconds >= max(self.observed_seconds, MIN_GONE_SECONDS)


@dataclass(frozen=True)
class Match:
    """The track that a lost target was found under."""

    track_id: int
    probability: float


def reidentify(lost: Sequence[LostTarget], record: FrameRecord, first_seen: FirstSeen) -> list[Match | None]:
    """Search a frame for each lost target independently, and update its best match.

    Only tracks that were first seen after the target was lost are searched: any other track was visible together with
    the target, or before it, and is another object.

    Args:
        lost: L targets; may be 0.
        record: the newest frame; pass each frame once.
        first_seen: first-seen times, including the newest frame.

    Returns:
        One match per target, in order; None if it was not found.
    """
    matches: list[Match | None] = [None] * len(lost)
    if not lost:
        return matches
    values = features([one.appearance for one in lost], record, range(len(record.boxes)))
    for one, line in zip(lost, _log_odds(values, WEIGHTS_BESIDE_LOOKS), strict=True):
        one.log_odds = line
    odds = _log_odds(values, WEIGHTS)
    newer = [first_seen.started_after(one.appearance.seen_seconds) for one in lost]
    searching = [position for position, track_ids in enumerate(newer) if track_ids]
    for position, track_ids in enumerate(newer):
        if not track_ids:
            lost[position].best_id, lost[position].num_consistent = -1, 0
    for position in searching:
        one, line = lost[position], odds[position]
        allowed = [record.rows[track_id] for track_id in newer[position]]
        ranked = sorted(allowed, key=lambda column: (-line[column], column))
        best = float(line[ranked[0]])
        margin = best - float(line[ranked[1]]) if len(ranked) > 1 else np.inf
        probability = 1 / (1 + float(np.exp(-best)))
        comparable = _is_comparable(one.appearance, record)
        if margin < MARGIN or probability < (MIN_PROBABILITY if comparable else MIN_PROBABILITY_WITHOUT_EMBEDDINGS):
            one.best_id, one.num_consistent = -1, 0
            continue
        track_id = record.track_ids[ranked[0]]
        one.num_consistent = one.num_consistent + 1 if track_id == one.best_id else 1
        one.best_id = track_id
        if one.num_consistent >= CONSISTENT_FRAMES:
            matches[position] = Match(track_id, probability)
    return matches


def features(appearances: Sequence[Appearance], record: FrameRecord, rows: Sequence[int]) -> Float64Array:
    """Compute the evidence (L, C, `FEATURES`) that each of C rows of a frame is each of L lost objects.

    Shape, size and appearance are taken from the most similar view of the object, each independently.

        constant    1
        distance    distance from the predicted position in units of its uncertainty, at most 4; decays with time
                    (`DISTANCE_SECONDS`)
        shape       IoU of the silhouettes, each over its own box
        size        absolute logarithm of the ratio of the square roots of the areas
        appearance  cosine similarity of the embeddings; NaN if they cannot be compared
        seconds     time since the object was last seen, at most `MAX_SECONDS`
        growth      logarithm of the ratio of the square roots of the area and the median area of the views; 0 if the
                    row is smaller: a target may be hidden in part, but does not become its whole
        gallery     cosine similarity with the embeddings of the gallery; that of `appearance` if there is none

    Args:
        appearances: appearances of L objects, at least one.
        record: the frame.
        rows: C rows of the frame; may be 0.
    """
    if not len(rows):
        return np.zeros((len(appearances), 0, len(FEATURES)))
    boxes = record.boxes[list(rows)].astype(np.float64)  # (C, 4)
    row_silhouettes = record.mask_logits[list(rows)].reshape(len(rows), -1) > 0  # (C, T)
    row_areas = mask_areas(boxes, row_silhouettes)
    # First view of each object among the views of all.
    starts = np.concatenate([[0], np.cumsum([len(one.areas) for one in appearances])[:-1]])
    silhouettes = np.concatenate([one.silhouettes for one in appearances])  # (sum V, T)
    values = np.ones((len(appearances), len(rows), len(FEATURES)))
    values[..., 1] = _distances(appearances, record, boxes)
    values[..., 2] = np.maximum.reduceat(silhouette_ious(silhouettes, row_silhouettes), starts, axis=0)
    areas = np.concatenate([one.areas for one in appearances])[:, None]
    size = np.abs(np.log((row_areas[None] + 1) / (areas + 1))) / 2
    values[..., 3] = np.minimum.reduceat(size, starts, axis=0)
    values[..., 4] = _cosines(appearances, record, rows)
    elapsed = np.array([min(record.time_seconds - one.seen_seconds, MAX_SECONDS) for one in appearances])
    values[..., 5] = elapsed[:, None]
    values[..., 7] = values[..., 4]
    for line, one in zip(values, appearances, strict=True):
        current, known = record.embeddings, one.gallery
        if current is not None and known is not None and known.shape[1] == current.shape[1]:
            line[:, 7] = (known @ current[list(rows)].T).max(axis=0)
    usual_areas = np.array([np.median(one.areas) for one in appearances])[:, None]
    values[..., 6] = np.maximum(np.log((row_areas[None] + 1) / (usual_areas + 1)) / 2, 0)
    return values


def row_log_odds(appearances: Sequence[Appearance], record: FrameRecord) -> Float64Array:
    """Compute `LostTarget.log_odds` (L, K) for the rows of a frame and L lost objects; L is at least 1."""
    return _log_odds(features(appearances, record, range(len(record.boxes))), WEIGHTS_BESIDE_LOOKS)


def _log_odds(values: Float64Array, weights: Float64Array) -> Float64Array:
    """Compute log odds (L, K) from features (L, K, `FEATURES`) by their weights if embeddings can be compared."""
    comparable = np.isfinite(values[..., 4])
    values = np.nan_to_num(values)
    odds = np.where(comparable, values @ weights, values @ WEIGHTS_WITHOUT_EMBEDDINGS)
    possible: Float64Array = np.where(values[..., 3] <= MAX_SIZE, odds, EXCLUDED)
    return possible


def _distances(appearances: Sequence[Appearance], record: FrameRecord, boxes: Float64Array) -> Float64Array:
    """Compute the feature `distance` (L, C) of boxes (C, 4)."""
    last = np.array([one.box for one in appearances])  # (L, 4)
    velocity = np.array([one.velocity for one in appearances])  # (L, 2)
    elapsed = np.array([max(record.time_seconds - one.seen_seconds, 0.0) for one in appearances])[:, None]  # (L, 1)
    height, width = record.tracked.instances.image_size
    predicted = (last[:, :2] + last[:, 2:]) / 2
    predicted = predicted + velocity * COASTING_SECONDS * (1 - np.exp(-elapsed / COASTING_SECONDS))
    predicted = predicted.clip(0, (width, height))  # an object that left the image returns where it left
    size = np.sqrt((last[:, 2:] - last[:, :2]).prod(axis=1, keepdims=True)).clip(min=4.0)  # (L, 1)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(*(centres[None] - predicted[:, None]).transpose(2, 0, 1))  # (L, C)
    relative = (distance / (size * (0.5 + DRIFT * elapsed))).clip(max=4.0)
    decayed: Float64Array = relative * np.exp(-elapsed / DISTANCE_SECONDS)
    return decayed


def _is_comparable(appearance: Appearance, record: FrameRecord) -> bool:
    """Return whether both have embeddings of the same length; those of another network are not comparable."""
    known, current = appearance.embeddings, record.embeddings
    return known is not None and current is not None and known.shape[1] == current.shape[1]


def _cosines(appearances: Sequence[Appearance], record: FrameRecord, rows: Sequence[int]) -> Float64Array:
    """Compute the feature `appearance` (L, C); NaN if the embeddings cannot be compared."""
    cosines = np.full((len(appearances), len(rows)), np.nan)
    if record.embeddings is None:
        return cosines
    current = record.embeddings[list(rows)]
    known = [
        (position, one.embeddings)
        for position, one in enumerate(appearances)
        if one.embeddings is not None and _is_comparable(one, record)
    ]
    if known:
        starts = np.concatenate([[0], np.cumsum([len(views) for _, views in known])[:-1]])
        products = np.concatenate([views for _, views in known]) @ current.T
        cosines[[position for position, _ in known]] = np.maximum.reduceat(products, starts, axis=0)
    return cosines
