"""What is remembered of an object, to know it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.history import SILHOUETTE_SIZE, FrameHistory, FrameRecord
from streamseg.structures.instances import CORRECTION_MARGIN

__all__ = [
    "APPEARANCE_VIEWS",
    "MIN_COSINE",
    "MIN_VIEWS",
    "NUM_CELLS",
    "Appearance",
    "EmbeddingGallery",
    "Floats",
    "Galleries",
    "Vector",
    "appearance_of",
    "mask_areas",
    "silhouette_ious",
]

Floats = npt.NDArray[np.float64]

NUM_CELLS: Final = SILHOUETTE_SIZE * SILHOUETTE_SIZE
"""Of a silhouette: the mask over its widened box, whatever its size."""
APPEARANCE_VIEWS: Final = 4
"""Remembered of an object; a thing that turns or is half hidden looks like one of them."""
VELOCITY_SECONDS: Final = 0.4
"""Over so long the speed is taken: the centres of boxes shake by some percent of their size from frame to frame."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """One object as it was last seen, and in V views before that; V is 1 at least."""

    box: tuple[float, float, float, float]
    """xyxy of the last sight of it."""
    velocity: tuple[float, float]
    """Of its centre, pixels per second."""
    seen_seconds: float
    """When that was."""
    silhouettes: npt.NDArray[np.bool_]
    """(V, `NUM_CELLS`)."""
    areas: Floats
    """(V,) of the masks, in pixels."""
    embeddings: npt.NDArray[np.float32] | None
    """(V, D), each of length 1; None where the segmenter gives none."""

    @classmethod
    def of(cls, seen: Sequence[tuple[FrameRecord, int]], earlier: Appearance | None = None) -> Appearance:
        """From sightings of it with its row in each, oldest first, one at least.

        Args:
            seen: as `FrameHistory.of` gives them.
            earlier: what was known of the same object before; half of the views stay.
        """
        chosen = _views(seen)
        shapes = np.stack([one.rasters[row].reshape(-1) > 0 for one, row in chosen])
        boxes = np.stack([one.boxes[row] for one, row in chosen]).astype(np.float64)
        rows = [None if one.embeddings is None else one.embeddings[row] for one, row in chosen]
        known = [row for row in rows if row is not None]
        last, row = seen[-1]
        x0, y0, x1, y1 = last.boxes[row].tolist()
        appearance = cls(
            box=(x0, y0, x1, y1),
            velocity=_velocity(seen),
            seen_seconds=last.time_seconds,
            silhouettes=shapes,
            areas=mask_areas(boxes, shapes),
            embeddings=np.stack(known) if len(known) == len(rows) else None,
        )
        return appearance if earlier is None else appearance._with(earlier)

    def _with(self, earlier: Appearance) -> Appearance:
        new, old = -(-APPEARANCE_VIEWS // 2), APPEARANCE_VIEWS // 2
        both = None
        if (
            self.embeddings is not None
            and earlier.embeddings is not None
            and self.embeddings.shape[1] == earlier.embeddings.shape[1]
        ):
            both = np.concatenate((self.embeddings[:new], earlier.embeddings[:old]))
        return Appearance(
            self.box,
            self.velocity,
            self.seen_seconds,
            np.concatenate((self.silhouettes[:new], earlier.silhouettes[:old])),
            np.concatenate((self.areas[:new], earlier.areas[:old])),
            both,
        )


def mask_areas(boxes: Floats, silhouettes: npt.NDArray[np.bool_]) -> Floats:
    """Pixels (N,) of masks, from boxes (N, 4) and silhouettes (N, `NUM_CELLS`)."""
    widened = (1 + 2 * CORRECTION_MARGIN) ** 2
    areas: Floats = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * silhouettes.mean(axis=1) * widened
    return areas


def silhouette_ious(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """IoU (N, M) of silhouettes (N, `NUM_CELLS`) and (M, `NUM_CELLS`), each over its own box; 0 for two empty ones."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - shared
    ious: npt.NDArray[np.float32] = shared / np.maximum(union, 1)
    return ious


def _views(seen: Sequence[tuple[FrameRecord, int]]) -> list[tuple[FrameRecord, int]]:
    """The last one, then some from before, the one with the largest box among them: nothing was in front of that."""
    if len(seen) <= APPEARANCE_VIEWS:
        return list(reversed(seen))
    boxes = [one.boxes[row] for one, row in seen]
    largest = int(np.argmax([float((box[2] - box[0]) * (box[3] - box[1])) for box in boxes]))
    spread = np.linspace(len(seen) - 1, 0, APPEARANCE_VIEWS - 1).astype(int).tolist()
    return [seen[position] for position in dict.fromkeys([spread[0], largest, *spread[1:]])]


def _velocity(seen: Sequence[tuple[FrameRecord, int]]) -> tuple[float, float]:
    """Slope of the box's centre over the last sightings; none for one alone."""
    last = seen[-1][0].time_seconds
    near = [(one, row) for one, row in seen if last - one.time_seconds <= VELOCITY_SECONDS]
    times = np.array([one.time_seconds for one, _ in near]) - last
    spread = times - times.mean()
    total = float((spread**2).sum())
    if total < 1e-6:
        return 0.0, 0.0
    boxes = np.stack([one.boxes[row] for one, row in near]).astype(np.float64)
    x, y = (spread[:, None] * (boxes[:, :2] + boxes[:, 2:]) / 2).sum(axis=0) / total
    return float(x), float(y)


def appearance_of(
    history: FrameHistory, track_id: int, until_seconds: float, earlier: Appearance | None
) -> Appearance | None:
    """What an identity looked like up to a time, and before that as `earlier`; that alone where it was not seen."""
    seen = [one for one in history.of(track_id) if one[0].time_seconds <= until_seconds]
    return Appearance.of(seen, earlier) if seen else earlier


GALLERY_SIZE: Final = 8
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


class EmbeddingGallery:
    """What one object looks like, and which identities have turned out to be others.

    Args:
        views: embeddings (D,) that are known of it.
    """

    def __init__(self, views: Sequence[Vector] = ()) -> None:
        self._views = list(views)[:GALLERY_SIZE]
        self._matrix = np.array(self._views)  # (V, D): asked for far more often than it changes
        self._num_unlike: dict[int, int] = {}
        self.matched_seconds = float("inf")
        """When it was last seen looking like itself, once something else was taken for it."""

    @property
    def views(self) -> tuple[Vector, ...]:
        """Oldest first."""
        return tuple(self._views)

    def reject(self, record: FrameRecord, track_ids: Sequence[int]) -> frozenset[int]:
        """Look at the newest frame, learn from it, and tell which of some identities are another object there.

        Args:
            sighting: the newest frame; once for each.
            track_ids: what is taken for the object, the first that is there before the others. Where one of them looks
                like the object, it goes before those that do not, else these are given `PATIENT_FRAMES`.
        """
        there = [identity for identity in dict.fromkeys(track_ids) if identity in record.rows]
        cosines = {identity: self.cosine(record, record.rows[identity]) for identity in there}
        for identity, cosine in cosines.items():
            before = self._num_unlike.get(identity, 0)
            unlike = cosine < (SURE_COSINE if before >= PATIENT_FRAMES else MIN_COSINE)
            self._num_unlike[identity] = before + 1 if unlike else 0
        unlike_ids = [identity for identity in there if self._num_unlike[identity]]
        rejected = {identity for identity in unlike_ids if self._num_unlike[identity] >= PATIENT_FRAMES}
        if len(unlike_ids) < len(there):
            rejected.update(unlike_ids)
        chosen = next((identity for identity in there if identity not in rejected), None)
        if chosen is not None and not self._num_unlike[chosen]:
            self._learn(record, record.rows[chosen], cosines[chosen])
            self.matched_seconds = record.time_seconds
        return frozenset(rejected)

    def cosine(self, record: FrameRecord, row: int) -> float:
        """Of a row with the view that is most like it; 1 where too little is known to tell."""
        embeddings = record.embeddings
        if embeddings is None or len(self._views) < MIN_VIEWS or self._views[0].shape != embeddings[row].shape:
            return 1.0
        return float((self._matrix @ embeddings[row]).max())

    def is_other(self, record: FrameRecord, row: int) -> bool:
        """Whether a row looks like another object."""
        return self.cosine(record, row) < MIN_COSINE

    def _learn(self, record: FrameRecord, row: int, cosine: float) -> None:
        embeddings = record.embeddings
        if embeddings is None:
            return
        if self._views and self._views[0].shape != embeddings[row].shape:
            self._views = []  # of another run with another network: nothing can be compared
        if len(self._views) >= MIN_VIEWS and not SURE_COSINE <= cosine < NOVEL_COSINE:
            return
        if len(self._views) == GALLERY_SIZE:
            del self._views[MIN_VIEWS]  # the first ones stay: they are what was asked for
        self._views.append(embeddings[row])
        self._matrix = np.array(self._views)


class Galleries:
    """The looks of everything that the prompts about one source follow, by identity."""

    def __init__(self) -> None:
        self._known: dict[int, EmbeddingGallery] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, track_id: int) -> EmbeddingGallery | None:
        """What is known of an identity; None where it is not followed."""
        return self._known.get(track_id)

    def begin(self, track_id: int, views: Sequence[Vector]) -> None:
        """Follow an identity, of which some views are known."""
        self._known[track_id] = EmbeddingGallery(views)

    def of(self, track_id: int, history: FrameHistory, until_seconds: float) -> EmbeddingGallery:
        """What is known of an identity; where it is a new one, from the sightings of it up to a time."""
        if track_id not in self._known:
            seen = [one for one in history.of(track_id) if one[0].time_seconds <= until_seconds]
            self.begin(track_id, [one.embeddings[row] for one, row in seen[-MIN_VIEWS:] if one.embeddings is not None])
        return self._known[track_id]

    def is_other(self, track_id: int, record: FrameRecord, row: int) -> bool:
        """Whether a row looks like another object than that of an identity; False where that is not known."""
        known = self._known.get(track_id)
        return known is not None and known.is_other(record, row)

    def matched_seconds(self, track_id: int) -> float:
        """When an identity was last seen looking like itself; endless where nothing else was taken for it."""
        known = self._known.get(track_id)
        return known.matched_seconds if known is not None else float("inf")

    def keep(self, track_ids: Iterable[int]) -> None:
        """Forget all but these."""
        self._known = {track_id: self._known[track_id] for track_id in track_ids if track_id in self._known}
