"""Which objects are looked at in a frame, and what is known of the others: one per source.

An object is looked at when its identity is new, when its looks have changed, and every once in a while, at an interval
that doubles as long as nothing changes. A budget bounds what one frame costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamseg.geometry import silhouettes
from streamseg.structures.instances import Instances, Tracked

__all__ = ["CropKey", "EmbeddingCache", "crop_keys", "has_changed"]

SILHOUETTE_RASTER: Final = 12

LOWEST_COSINE: Final = 0.8
LOWEST_SILHOUETTE_IOU: Final = 0.6
MOST_GROWTH: Final = 2.0
"""CropKey have changed when the cosine of the network's own embeddings falls below the first, or where there are none,
the silhouettes within their boxes overlap less than the second; and in any case when the area of the box has changed
by more than this factor, since a larger picture of the object tells more."""

FIRST_INTERVAL_SECONDS: Final = 1.0
LONGEST_INTERVAL_SECONDS: Final = 32.0

EVICTION_SECONDS: Final = 60.0
"""A track that was not seen for so long is forgotten; trackers let them go after a second or a few."""

NEWEST_SHARE: Final = 0.25
"""Least weight of the newest embedding in the mean: older views fade after about four."""


class CropKey(NamedTuple):
    """What an object looks like, cheaply."""

    area: float
    """Of the box, in pixels."""
    appearance: npt.NDArray[np.float32] | None
    """(D,) of length 1, as the network sees it; None where it does not tell."""
    silhouette: npt.NDArray[np.bool_] | None
    """(R, R) within the box, where there is no appearance."""


def crop_keys(instances: Instances) -> list[CropKey]:
    """One per object."""
    boxes = instances.boxes.numpy(force=True)
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    if instances.embeddings is not None:
        appearances = instances.embeddings.float().numpy(force=True)
        return [CropKey(area, appearance, None) for area, appearance in zip(areas, appearances, strict=True)]
    shapes = silhouettes(instances, SILHOUETTE_RASTER).numpy(force=True)
    return [CropKey(area, None, shape) for area, shape in zip(areas, shapes, strict=True)]


def has_changed(before: CropKey, after: CropKey) -> bool:
    """Whether an object is worth another look."""
    small, large = sorted((before.area, after.area))
    if large > MOST_GROWTH * small:
        return True
    if before.appearance is not None and after.appearance is not None:
        return float(before.appearance @ after.appearance) < LOWEST_COSINE
    if before.silhouette is None or after.silhouette is None:
        return True  # the network began or ceased to tell: nothing to compare
    intersection, union = before.silhouette & after.silhouette, before.silhouette | after.silhouette
    return bool(intersection.sum() < LOWEST_SILHOUETTE_IOU * union.sum())


@dataclass
class _Track:
    """What is known of one object."""

    embedding: npt.NDArray[np.float32]
    """(D,) of length 1: the mean of what was seen."""
    looks: CropKey
    """When it was looked at last."""
    looked_at_seconds: float
    interval_seconds: float = FIRST_INTERVAL_SECONDS
    num_views: int = 1
    seen_at_seconds: float = 0.0


@dataclass
class EmbeddingCache:
    """What is known of the objects of one source. Times are seconds of any clock; it may jump."""

    _tracks: dict[int, _Track] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._tracks)

    def select_rows(
        self,
        tracked: Tracked,
        looks: list[CropKey],
        seconds: float,
        *,
        budget: int | None,
        priorities: Mapping[int, float] | None = None,
    ) -> list[int]:
        """The rows whose crops are worth their cost in this frame.

        New identities come first, then objects that have changed, then those whose time has come, then tentative
        ones, which are looked at for this frame alone. Within each kind, the most wanted come first, and of those
        the largest.

        Args:
            tracked: K objects.
            looks: of the same rows.
            seconds: the frame's time.
            budget: how many, at most; None: all of them.
            priorities: how much it matters what a track is, by identity; others 0.
        """
        priorities = priorities or {}
        ranked = []
        for row, (track_id, look) in enumerate(zip(tracked.track_ids.tolist(), looks, strict=True)):
            if track_id < 0:
                kind = 3
            elif (track := self._tracks.get(track_id)) is None:
                kind = 0
            else:
                track.seen_at_seconds = seconds
                if has_changed(track.looks, look):
                    kind = 1
                # A clock that was set back must not keep an object from being looked at again.
                elif abs(seconds - track.looked_at_seconds) >= track.interval_seconds:
                    kind = 2
                else:
                    continue
            ranked.append((kind, -priorities.get(track_id, 0.0), -look.area, row))
        return [row for *_, row in sorted(ranked)[:budget]]

    def add(self, track_id: int, embedding: npt.NDArray[np.float32], looks: CropKey, seconds: float) -> None:
        """Take in what was seen of an identity.

        Args:
            track_id: not negative.
            embedding: (D,) of length 1.
            looks: of the object at that moment.
            seconds: the frame's time.
        """
        track = self._tracks.get(track_id)
        if track is None:
            self._tracks[track_id] = _Track(embedding, looks, seconds, seen_at_seconds=seconds)
            return
        changed = has_changed(track.looks, looks)
        track.num_views += 1
        share = max(1 / track.num_views, NEWEST_SHARE)
        mean = (1 - share) * track.embedding + share * embedding
        track.embedding = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
        track.interval_seconds = (
            FIRST_INTERVAL_SECONDS if changed else min(2 * track.interval_seconds, LONGEST_INTERVAL_SECONDS)
        )
        track.looks, track.looked_at_seconds, track.seen_at_seconds = looks, seconds, seconds

    def embedding(self, track_id: int) -> npt.NDArray[np.float32] | None:
        """(D,) of length 1: the mean of what was seen of an identity; None: nothing yet."""
        track = self._tracks.get(track_id)
        return None if track is None else track.embedding

    def evict(self, seconds: float) -> None:
        """Forget tracks that were not seen for long."""
        gone = [
            track_id
            for track_id, track in self._tracks.items()
            if abs(seconds - track.seen_at_seconds) > EVICTION_SECONDS
        ]
        for track_id in gone:
            del self._tracks[track_id]
