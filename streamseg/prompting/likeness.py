"""Whether an identity still looks like the object that a prompt follows: trackers hand identities on.

Where two objects meet, a tracker may go on with the other one under the identity of the first, which is the most
frequent way to a wrong answer. Looks that were remembered before tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.history import Sighting, Sightings

__all__ = ["MIN_COSINE", "MIN_VIEWS", "Likeness", "Likenesses", "Vector"]

MAX_VIEWS: Final = 8
"""Remembered of an object, over all the time that it is followed."""
MIN_VIEWS: Final = 3
"""As many are taken as they come: before, nothing is known."""
MIN_COSINE: Final = 0.8
"""Of embeddings, with the view that is most alike: below, it is another object."""
SURE_COSINE: Final = 0.87
"""From here on it is the object, and may be remembered anew."""
NOVEL_COSINE: Final = 0.95
"""What is more like than this to a known view adds nothing."""
PATIENT_FRAMES: Final = 2
"""So many in a row have to look like another object: hands and shadows pass."""

Vector = npt.NDArray[np.float32]


class Likeness:
    """What one object looks like, and which identities have turned out to be others.

    Args:
        views: embeddings (D,) that are known of it.
    """

    def __init__(self, views: Sequence[Vector] = ()) -> None:
        self._views = list(views)[:MAX_VIEWS]
        self._matrix = np.array(self._views)  # (V, D): asked for far more often than it changes
        self._num_unlike: dict[int, int] = {}
        self.alike_seconds = float("inf")
        """When it was last seen looking like itself, once something else was taken for it."""

    @property
    def views(self) -> tuple[Vector, ...]:
        """Oldest first."""
        return tuple(self._views)

    def deny(self, sighting: Sighting, track_ids: Sequence[int]) -> frozenset[int]:
        """Look at the newest frame, learn from it, and tell which of some identities are another object there.

        Args:
            sighting: the newest frame; once for each.
            track_ids: what is taken for the object, the first that is there before the others. Where one of them looks
                like the object, it goes before those that do not, else these are given `PATIENT_FRAMES`.
        """
        there = [identity for identity in dict.fromkeys(track_ids) if identity in sighting.rows]
        cosines = {identity: self.cosine(sighting, sighting.rows[identity]) for identity in there}
        for identity, cosine in cosines.items():
            before = self._num_unlike.get(identity, 0)
            unlike = cosine < (SURE_COSINE if before >= PATIENT_FRAMES else MIN_COSINE)
            self._num_unlike[identity] = before + 1 if unlike else 0
        unlike_ids = [identity for identity in there if self._num_unlike[identity]]
        denied = {identity for identity in unlike_ids if self._num_unlike[identity] >= PATIENT_FRAMES}
        if len(unlike_ids) < len(there):
            denied.update(unlike_ids)
        chosen = next((identity for identity in there if identity not in denied), None)
        if chosen is not None and not self._num_unlike[chosen]:
            self._learn(sighting, sighting.rows[chosen], cosines[chosen])
            self.alike_seconds = sighting.time_seconds
        return frozenset(denied)

    def cosine(self, sighting: Sighting, row: int) -> float:
        """Of a row with the view that is most like it; 1 where too little is known to tell."""
        embeddings = sighting.embeddings
        if embeddings is None or len(self._views) < MIN_VIEWS or self._views[0].shape != embeddings[row].shape:
            return 1.0
        return float((self._matrix @ embeddings[row]).max())

    def is_other(self, sighting: Sighting, row: int) -> bool:
        """Whether a row looks like another object."""
        return self.cosine(sighting, row) < MIN_COSINE

    def _learn(self, sighting: Sighting, row: int, cosine: float) -> None:
        embeddings = sighting.embeddings
        if embeddings is None:
            return
        if self._views and self._views[0].shape != embeddings[row].shape:
            self._views = []  # of another run with another network: nothing can be compared
        if len(self._views) >= MIN_VIEWS and not SURE_COSINE <= cosine < NOVEL_COSINE:
            return
        if len(self._views) == MAX_VIEWS:
            del self._views[MIN_VIEWS]  # the first ones stay: they are what was asked for
        self._views.append(embeddings[row])
        self._matrix = np.array(self._views)


class Likenesses:
    """The looks of everything that the prompts about one source follow, by identity."""

    def __init__(self) -> None:
        self._known: dict[int, Likeness] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, track_id: int) -> Likeness | None:
        """What is known of an identity; None where it is not followed."""
        return self._known.get(track_id)

    def begin(self, track_id: int, views: Sequence[Vector]) -> None:
        """Follow an identity, of which some views are known."""
        self._known[track_id] = Likeness(views)

    def of(self, track_id: int, sightings: Sightings, until_seconds: float) -> Likeness:
        """What is known of an identity; where it is a new one, from the sightings of it up to a time."""
        if track_id not in self._known:
            seen = [one for one in sightings.of(track_id) if one[0].time_seconds <= until_seconds]
            self.begin(track_id, [one.embeddings[row] for one, row in seen[-MIN_VIEWS:] if one.embeddings is not None])
        return self._known[track_id]

    def is_other(self, track_id: int, sighting: Sighting, row: int) -> bool:
        """Whether a row looks like another object than that of an identity; False where that is not known."""
        known = self._known.get(track_id)
        return known is not None and known.is_other(sighting, row)

    def alike_seconds(self, track_id: int) -> float:
        """When an identity was last seen looking like itself; endless where nothing else was taken for it."""
        known = self._known.get(track_id)
        return known.alike_seconds if known is not None else float("inf")

    def keep(self, track_ids: Iterable[int]) -> None:
        """Forget all but these."""
        self._known = {track_id: self._known[track_id] for track_id in track_ids if track_id in self._known}
