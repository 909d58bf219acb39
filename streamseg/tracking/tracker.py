"""The life of a track: tentative, confirmed, lost, found again or gone."""

from __future__ import annotations

import numpy as np
import torch

from streamseg.config import TrackingConfig
from streamseg.structures.instances import TENTATIVE, Instances, Tracked
from streamseg.tracking.appearance import Appearance, Bools, Indices
from streamseg.tracking.association import assign, match_costs
from streamseg.tracking.motion import Floats
from streamseg.tracking.tracks import Ids, Tracks

__all__ = ["Tracker"]

UNMATCHED = -1
"""In the place of a row: the track was not found."""
EXPECTED_SECONDS = 0.5
"""How long after a track was seen its place is worth a closer look; later it may be anywhere."""
LEFTOVER_COST = 0.2
"""How much more than `match_cost` a pair may cost that nothing else competes for: what was there a frame ago and
looks very different, such as a person who steps out from behind a pillar, is likelier the same than another."""


class Tracker:
    """Gives the objects of one source identities that last.

    A track is tentative until it was seen in `config.confirm_frames` frames in a row, the first
    included; one miss ends it. A confirmed track that is not seen is lost: it moves on as it did and
    may be found again for `config.max_lost_seconds` from the first frame without it, unless it leaves
    the picture.

    Each frame is matched in rounds: confirmed tracks with detections from `config.high_score` on, then
    what is left of them with the other detections, then tentative tracks with what is left of the
    first kind. Where a detection of the first kind and a track that was seen in the last frame are
    both left, they may agree less than in the rounds before. What is left of that starts tentative
    tracks.

    Identities count up from 1 and are never given twice by one tracker; each tracker counts for itself.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config
        self._last_id = 0
        self._latest: tuple[Tracks, float | None] = (Tracks.start(Appearance.empty(), (0, 0)), None)

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """Follow the tracks into the next frame.

        Args:
            instances: the objects of the frame, K of them; 0 is fine. Picture and grid may differ in
                size from the last frame's, but boxes are compared in pixels.
            time_seconds: when the picture was taken, on any clock. Frames may come at any distance. A
                clock that stands still or steps back counts as no time, since a file that starts
                again and a corrected wall clock do that.

        Returns:
            The same rows in the same order, with an identity each, -1 while tentative. An identity
            occurs once in a frame.

        Raises:
            ValueError: `time_seconds` is not finite.
        """
        if not np.isfinite(time_seconds):
            raise ValueError(f"time_seconds must be finite, got {time_seconds}")
        before, last_seconds = self._latest
        elapsed = 0.0 if last_seconds is None else max(time_seconds - last_seconds, 0.0)

        objects = Appearance.of(instances)
        scores = instances.scores.cpu().numpy().astype(np.float64)
        tracks = before.advanced(elapsed)
        tracks = tracks[~(tracks.lost_seconds > self._config.max_lost_seconds) & ~_outside(tracks, instances)]
        matches = self._matches(tracks, objects, scores)

        seen = matches != UNMATCHED
        found = tracks[seen].seen(objects[matches[seen]], elapsed)
        missed = tracks[~seen & tracks.confirmed].unseen()
        starting = self._starting(objects, scores, matches[seen])
        started = Tracks.start(objects[starting], instances.image_size)

        present = self._confirm(found + started)
        self._latest = (present + missed, time_seconds)
        ids = np.full(len(objects), TENTATIVE, dtype=np.int64)
        ids[np.concatenate((matches[seen], starting))] = present.ids
        return Tracked(instances, torch.from_numpy(ids).to(instances.boxes.device))

    def reset(self) -> None:
        """Forget all tracks, as for another scene. Identities go on counting."""
        self._latest = (Tracks.start(Appearance.empty(), (0, 0)), None)

    def expected(self, time_seconds: float) -> Floats:
        """Where the confirmed tracks should be: (T, 4) xyxy of what was last visible of each, T may be 0.

        Tracks that have not been seen for `EXPECTED_SECONDS` are left out. From any thread.

        Args:
            time_seconds: on the clock of `update`; a time before the last frame's counts as that.
        """
        tracks, last_seconds = self._latest
        if last_seconds is None:
            return np.zeros((0, 4))
        tracks = tracks[tracks.confirmed].advanced(max(time_seconds - last_seconds, 0.0))
        return tracks[~(tracks.lost_seconds > EXPECTED_SECONDS)].visible.boxes

    def _matches(self, tracks: Tracks, objects: Appearance, scores: Floats) -> Indices:
        """The row of `objects` that each track (T,) is, or `UNMATCHED`."""
        limit = self._config.match_cost
        costs = match_costs(tracks.expectation, objects, limit + LEFTOVER_COST)
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
            matched, taken = assign(costs[np.ix_(left, open_)], allowed)
            matches[left[matched]] = open_[taken]
            free[open_[taken]] = False
        return matches

    def _starting(self, objects: Appearance, scores: Floats, taken: Indices) -> Indices:
        """Rows of `objects` that start a track, in an order that depends on the objects alone."""
        free = scores >= self._config.high_score
        free[taken] = False
        rows = np.flatnonzero(free)
        return rows[np.lexsort((*objects.boxes[rows].T, -scores[rows]))]

    def _confirm(self, tracks: Tracks) -> Tracks:
        """Give an identity to every tentative track that has been seen often enough."""
        due: Bools = ~tracks.confirmed & (tracks.num_seen >= self._config.confirm_frames)
        ids: Ids = tracks.ids.copy()
        ids[due] = self._last_id + 1 + np.arange(np.count_nonzero(due))
        self._last_id += int(np.count_nonzero(due))
        return tracks.with_ids(ids)


def _outside(tracks: Tracks, instances: Instances) -> Bools:
    """(T,) lost tracks that have moved out of the picture as a whole."""
    height, width = instances.image_size
    boxes = tracks.motion.boxes
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= (width, height)).any(axis=1)
    gone: Bools = tracks.lost & outside
    return gone
