"""Embeddings of tracked objects, one cache per source, and selection of the objects to embed in a frame.

An object is embedded when its identity is new, when its appearance has changed, and periodically, at an interval that
doubles as long as nothing changes. A budget limits the cost of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from streamseg.geometry import silhouettes
from streamseg.structures.arrays import BoolArray, Float32Array
from streamseg.structures.instances import Instances, Tracked

__all__ = ["CropKey", "EmbeddingCache", "crop_keys", "has_changed"]

SILHOUETTE_SIZE: Final = 12
"""Tiles per side of a silhouette."""

LOWEST_COSINE: Final = 0.8
"""Cosine of the network's own embeddings below which an object has changed."""
LOWEST_SILHOUETTE_IOU: Final = 0.6
"""IoU of silhouettes below which an object has changed, if there are no embeddings."""
MOST_GROWTH: Final = 2.0
"""Ratio of box areas above which an object has changed in any case, because a larger view shows more detail."""

FIRST_INTERVAL_SECONDS: Final = 1.0
LONGEST_INTERVAL_SECONDS: Final = 32.0

EVICTION_SECONDS: Final = 60.0
"""Time after which an unseen track is removed; trackers drop tracks after a second or a few."""

NEWEST_SHARE: Final = 0.25
"""Minimum weight of the newest embedding in the mean: older views fade after about four."""


class CropKey(NamedTuple):
    """Cheap description of an object's appearance, which decides whether to embed it again."""

    area: float
    """Area of the box, in pixels."""
    appearance: Float32Array | None
    """(D,) network embedding of length 1; None if the segmenter computes none."""
    silhouette: BoolArray | None
    """(R, R) mask within the box, R = `SILHOUETTE_SIZE`; None if there is an appearance."""


def crop_keys(instances: Instances) -> list[CropKey]:
    """Return one key per object."""
    boxes = instances.boxes.numpy(force=True)
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    if instances.embeddings is not None:
        appearances = instances.embeddings.float().numpy(force=True)
        return [CropKey(area, appearance, None) for area, appearance in zip(areas, appearances, strict=True)]
    shapes = silhouettes(instances, SILHOUETTE_SIZE).numpy(force=True)
    return [CropKey(area, None, shape) for area, shape in zip(areas, shapes, strict=True)]


def has_changed(before: CropKey, after: CropKey) -> bool:
    """Return whether the object looks different enough to embed it again."""
    small, large = sorted((before.area, after.area))
    if large > MOST_GROWTH * small:
        return True
    if before.appearance is not None and after.appearance is not None:
        return float(before.appearance @ after.appearance) < LOWEST_COSINE
    if before.silhouette is None or after.silhouette is None:
        return True  # embeddings were switched on or off: nothing to compare
    intersection, union = before.silhouette & after.silhouette, before.silhouette | after.silhouette
    return bool(intersection.sum() < LOWEST_SILHOUETTE_IOU * union.sum())


@dataclass
class _Track:
    """Cached state of one track."""

    embedding: Float32Array
    """(D,) of length 1: weighted mean over all views."""
    key: CropKey
    """Key at the last embedding."""
    embedded_seconds: float
    """Time of the last embedding."""
    interval_seconds: float = FIRST_INTERVAL_SECONDS
    num_views: int = 1
    seen_seconds: float = 0.0
    """Time of the last observation."""


@dataclass
class EmbeddingCache:
    """Embeddings of the tracks of one source. Times are seconds of any clock, which may jump."""

    _tracks: dict[int, _Track] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._tracks)

    def select_rows(
        self,
        tracked: Tracked,
        keys: list[CropKey],
        seconds: float,
        *,
        budget: int | None,
        priorities: Mapping[int, float] | None = None,
    ) -> list[int]:
        """Select the rows to embed in this frame.

        New identities come first, then objects that have changed, then those whose interval has elapsed, then tentative
        ones, whose embedding is used for this frame only. Within each group, rows are ordered by descending priority,
        then by descending size.

        Args:
            tracked: K objects.
            keys: keys of the same rows.
            seconds: time of the frame.
            budget: maximum number of rows; None for no limit.
            priorities: priority per identity; 0 for all others.
        """
        priorities = priorities or {}
        ranked = []
        for row, (track_id, key) in enumerate(zip(tracked.track_ids.tolist(), keys, strict=True)):
            if track_id < 0:
                group = 3
            elif (track := self._tracks.get(track_id)) is None:
                group = 0
            else:
                track.seen_seconds = seconds
                if has_changed(track.key, key):
                    group = 1
                # A clock that was set back must not prevent an object from being embedded again.
                elif abs(seconds - track.embedded_seconds) >= track.interval_seconds:
                    group = 2
                else:
                    continue
            ranked.append((group, -priorities.get(track_id, 0.0), -key.area, row))
        return [row for *_, row in sorted(ranked)[:budget]]

    def add(self, track_id: int, embedding: Float32Array, key: CropKey, seconds: float) -> None:
        """Add a view of a track.

        Args:
            track_id: identity, not negative.
            embedding: (D,) of length 1.
            key: key of the object in that view.
            seconds: time of the frame.
        """
        track = self._tracks.get(track_id)
        if track is None:
            self._tracks[track_id] = _Track(embedding, key, seconds, seen_seconds=seconds)
            return
        changed = has_changed(track.key, key)
        track.num_views += 1
        share = max(1 / track.num_views, NEWEST_SHARE)
        mean = (1 - share) * track.embedding + share * embedding
        track.embedding = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
        track.interval_seconds = (
            FIRST_INTERVAL_SECONDS if changed else min(2 * track.interval_seconds, LONGEST_INTERVAL_SECONDS)
        )
        track.key, track.embedded_seconds, track.seen_seconds = key, seconds, seconds

    def embedding(self, track_id: int) -> Float32Array | None:
        """Return the mean embedding (D,) of length 1 of a track, or None if it has no view yet."""
        track = self._tracks.get(track_id)
        return None if track is None else track.embedding

    def evict(self, seconds: float) -> None:
        """Remove tracks that have not been seen for `EVICTION_SECONDS`."""
        expired = [
            track_id for track_id, track in self._tracks.items() if abs(seconds - track.seen_seconds) > EVICTION_SECONDS
        ]
        for track_id in expired:
            del self._tracks[track_id]
