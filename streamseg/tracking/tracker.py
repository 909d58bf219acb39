"""The tracker, and the life of a track: tentative, confirmed, lost, matched again or removed."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.config import TrackingConfig
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array, IndexArray
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.tracking.appearance import Appearance, mask_ious
from streamseg.tracking.association import assign, match_costs
from streamseg.tracking.looks import look_costs, looks_of
from streamseg.tracking.tracks import Tracks

__all__ = ["Tracker"]

UNMATCHED = -1
"""Placeholder for the row of a track without a match."""
EXPECTED_SECONDS = 0.5
"""Time after its last observation during which a track is expected near its predicted position; later it may be
anywhere."""
LEFTOVER_COST = 0.2
"""Additional cost beyond `match_cost` allowed for a pair without competitors. An object seen a frame ago that now looks
very different, such as a person who steps out from behind a pillar, is more likely the same than a new one."""
DOUBLE_IOU = 0.5
"""Mask IoU with a detection of an older track from which a detection may be another outline of the same object, or a
part that makes up most of it."""
DOUBLE_CREDIT = 0.35
"""Weight of a frame in which it is one. Such outlines flicker; parts stay, and get their identities later."""


class Tracker:
    """Assignment of persistent identities to the objects of one source.

    A track is tentative until it has been seen in `config.confirm_frames` consecutive frames, including the first, or
    in more if it may be another outline of an older track; one miss removes it. A confirmed track that is not seen is
    lost: it keeps moving at its last velocity, and may be matched again for `config.max_lost_seconds` from the first
    frame without it, unless it leaves the image.

    Each frame is matched in rounds: confirmed tracks with detections that score at least `config.high_score`, then the
    remaining confirmed tracks with the other detections, then tentative tracks with the remaining high-scoring
    detections. In the last round, remaining high-scoring detections and remaining tracks seen in the last frame may
    agree less than in the rounds before. Detections that still remain start tentative tracks. Pairs have to agree in
    box, mask and, if there are embeddings, in looks.

    Identities count up from 1, and one tracker never assigns an identity twice; each tracker counts independently.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config
        self._last_id = 0
        self._latest: tuple[Tracks, float | None] = (_NO_TRACKS, None)

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """Update the tracks with the next frame.

        Args:
            instances: K objects of the frame; K may be 0. Image and grid size may differ from those of the last
                frame, but boxes are compared in pixels.
            time_seconds: capture time of the frame, on any clock. Frame intervals may vary. A clock that stands still
                or steps back counts as no elapsed time, because that happens when a file restarts or a wall clock is
                corrected.

        Returns:
            The same rows in the same order, each with its identity, -1 while tentative. An identity occurs at most
            once per frame.

        Raises:
            ValueError: `time_seconds` is not finite.
        """
        if not np.isfinite(time_seconds):
            raise ValueError(f"time_seconds must be finite, got {time_seconds}")
        before, last_seconds = self._latest
        elapsed = 0.0 if last_seconds is None else max(time_seconds - last_seconds, 0.0)

        objects = Appearance.of(instances)
        scores = instances.scores.cpu().numpy().astype(np.float64)
        looks = looks_of(instances)
        tracks = before.with_look_length(looks.shape[1]).advanced(elapsed)
        ended = (tracks.lost_seconds > self._config.max_lost_seconds) | _outside(tracks, instances)
        tracks = tracks[~ended] if ended.any() else tracks
        matches = self._matches(tracks, objects, looks, scores)

        seen = matches != UNMATCHED
        taken = matches[seen]
        starting = self._starting(objects, scores, taken)
        matched = tracks[seen]
        credit = _credit(objects, taken, starting, matched)
        found = matched.seen(objects[taken], looks[taken], credit[: len(taken)], elapsed)
        missed = tracks[~seen & tracks.confirmed].unseen()
        started = Tracks.start(objects[starting], looks[starting], credit[len(taken) :], instances.image_size)

        present = self._confirm(found + started)
        self._latest = (present + missed, time_seconds)
        ids = np.full(len(objects), TENTATIVE, dtype=np.int64)
        ids[np.concatenate((taken, starting))] = present.ids
        return Tracked(instances, torch.from_numpy(ids).to(instances.boxes.device))

    def reset(self) -> None:
        """Remove all tracks, as for a new scene. Identities keep counting up."""
        self._latest = (_NO_TRACKS, None)

    def expected(self, time_seconds: float) -> Float64Array:
        """Predict the boxes (T, 4) xyxy of the parts of confirmed tracks that were last visible; T may be 0.

        Tracks that have not been seen for `EXPECTED_SECONDS` are omitted. Thread-safe.

        Args:
            time_seconds: time on the clock of `update`; a time before the last frame counts as that of the last frame.
        """
        tracks, last_seconds = self._latest
        if last_seconds is None:
            return np.zeros((0, 4))
        elapsed = max(time_seconds - last_seconds, 0.0)
        is_gone = tracks.lost_seconds + elapsed > EXPECTED_SECONDS
        return tracks.visible_boxes(elapsed)[tracks.confirmed & ~is_gone]

    def _matches(self, tracks: Tracks, objects: Appearance, looks: Float32Array, scores: Float64Array) -> IndexArray:
        """Return the matching row of `objects` per track (T,), or `UNMATCHED`."""
        limit = self._config.match_cost
        costs = match_costs(tracks.expectation, objects, limit + LEFTOVER_COST, looks=look_costs(tracks.looks, looks))
        confirmed, high = tracks.confirmed, scores >= self._config.high_score
        matches = np.full(len(tracks), UNMATCHED, dtype=np.intp)
        free = np.ones(len(objects), dtype=np.bool_)
        for rows, columns, allowed in (
            (confirmed, high, limit),
            (confirmed, ~high, limit),
            (~confirmed, high, limit),
            (confirmed & ~tracks.lost, high, limit + LEFTOVER_COST),
        ):
            left, open_ = np.flatnonzero(rows & (matches == UNMATCHED)), np.flatnonzero(columns & free)
            if not len(left) or not len(open_):
                continue
            matched, taken = assign(costs[left[:, None], open_], allowed)
            matches[left[matched]] = open_[taken]
            free[open_[taken]] = False
        return matches

    def _starting(self, objects: Appearance, scores: Float64Array, taken: IndexArray) -> IndexArray:
        """Return the rows of `objects` that start a track, in an order that depends only on the objects."""
        free = scores >= self._config.high_score
        free[taken] = False
        rows = np.flatnonzero(free)
        return rows[np.lexsort((*objects.boxes[rows].T, -scores[rows]))]

    def _confirm(self, tracks: Tracks) -> Tracks:
        """Assign an identity to every tentative track that has been seen often enough."""
        due: BoolArray = ~tracks.confirmed & (tracks.credit >= self._config.confirm_frames)
        if not due.any():
            return tracks
        ids: IndexArray = tracks.ids.copy()
        ids[due] = self._last_id + 1 + np.arange(np.count_nonzero(due))
        self._last_id += int(np.count_nonzero(due))
        return tracks.with_ids(ids)


_NO_TRACKS = Tracks.start(Appearance.empty(), np.zeros((0, 0), dtype=np.float32), np.zeros(0), (0, 0))


def _credit(objects: Appearance, taken: IndexArray, starting: IndexArray, tracks: Tracks) -> Float64Array:
    """Return how much this frame says for each seen and each starting track being an object, (S + N,).

    1, or `DOUBLE_CREDIT` for a tentative track whose detection overlaps that of an older one, or of a better one of the
    same age.

    Args:
        objects: K objects of the frame.
        taken: (S,) rows of the seen tracks.
        starting: (N,) rows that start tracks, best first.
        tracks: the S seen tracks.
    """
    rows = np.concatenate((taken, starting))
    tentative = np.flatnonzero(~tracks.confirmed)
    tentative = tentative[np.argsort(-tracks.credit[tentative], kind="stable")]
    young = np.concatenate((tentative, np.arange(len(taken), len(rows))))
    if not len(young):
        return np.ones(len(rows))
    overlaps = mask_ious(objects[rows[young]], objects[rows], DOUBLE_IOU) >= DOUBLE_IOU
    partners: list[list[int]] = [[] for _ in young]
    for place, partner in np.argwhere(overlaps).tolist():
        partners[place].append(partner)
    is_single = [*tracks.confirmed.tolist(), *[False] * len(starting)]
    for index, others in zip(young.tolist(), partners, strict=True):
        is_single[index] = not any(is_single[other] for other in others)
    return np.where(is_single, 1.0, DOUBLE_CREDIT)


def _outside(tracks: Tracks, instances: Instances) -> BoolArray:
    """Return, per track (T,), whether it is lost and has moved entirely out of the image."""
    height, width = instances.image_size
    boxes = tracks.motion.boxes
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= (width, height)).any(axis=1)
    gone: BoolArray = tracks.lost & outside
    return gone
