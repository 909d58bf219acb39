"""The appearance of a target: how it is recorded, and how changes of it reveal identity switches.

Appearance        the target when it was last seen: box, velocity, silhouettes, areas and embeddings
appearance_of     the appearance of a track in the history
EmbeddingGallery  embeddings of one target; detects tracks that have switched to another object
Galleries         the galleries of all targets of a source, by track id
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.prompting.history import FrameHistory, FrameRecord, Observation, mask_areas
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array

__all__ = [
    "APPEARANCE_VIEWS",
    "MIN_COSINE",
    "MIN_VIEWS",
    "Appearance",
    "EmbeddingGallery",
    "Galleries",
    "appearance_of",
]

APPEARANCE_VIEWS: Final = 4
"""Maximum number of views of an appearance. An object that turns or is half hidden resembles one of them."""
VELOCITY_SECONDS: Final = 0.4
"""Window for the velocity estimate. Box centres jitter by a few percent of the box size between frames."""

GALLERY_SIZE: Final = 8
"""Maximum number of views in a gallery, over the whole time that the target is tracked."""
MIN_VIEWS: Final = 3
"""Number of first views that are added unconditionally. With fewer, no row is compared."""
MIN_COSINE: Final = 0.8
"""Minimum cosine similarity with the most similar view. A row below it is another object."""
SURE_COSINE: Final = 0.87
"""Cosine similarity from which a row is certainly the target and may be added to the gallery."""
NOVEL_COSINE: Final = 0.95
"""Cosine similarity from which a row is too similar to a known view to add anything."""
PATIENT_FRAMES: Final = 2
"""Number of consecutive frames in which a track must look like another object: hands and shadows pass."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """One object when it was last seen, with V views of it up to then; V is at least 1."""

    box: tuple[float, float, float, float]
    """Last seen box, xyxy."""
    velocity: tuple[float, float]
    """Velocity (x, y) of the box centre, pixels per second."""
    seen_seconds: float
    """Time when the object was last seen."""
    silhouettes: BoolArray
    """(V, `NUM_CELLS`)."""
    areas: Float64Array
    """Mask areas (V,), pixels."""
    embeddings: Float32Array | None
    """(V, D), each of length 1; None if the segmenter provides no embeddings."""
    gallery: Float32Array | None = None
    """(G, D), embeddings since the target was first seen, see `EmbeddingGallery`; None if there are none."""

    @classmethod
    def of(cls, observations: Sequence[Observation], earlier: Appearance | None = None) -> Appearance:
        """Return the appearance of an object from its observations.

        Args:
            observations: at least one, oldest first, as returned by `FrameHistory.observations`.
            earlier: the known appearance of the same object before; half of the views are kept.
        """
        views = _select_views(observations)
        silhouettes = np.stack([one.mask_logits[row].reshape(-1) > 0 for one, row in views])
        boxes = np.stack([one.boxes[row] for one, row in views]).astype(np.float64)
        embeddings = [one.embeddings[row] for one, row in views if one.embeddings is not None]
        last, row = observations[-1]
        x0, y0, x1, y1 = last.boxes[row].tolist()
        appearance = cls(
            box=(x0, y0, x1, y1),
            velocity=_velocity(observations),
            seen_seconds=last.time_seconds,
            silhouettes=silhouettes,
            areas=mask_areas(boxes, silhouettes),
            embeddings=np.stack(embeddings) if len(embeddings) == len(views) else None,
        )
        return appearance if earlier is None else appearance._with(earlier)

    def _with(self, earlier: Appearance) -> Appearance:
        """Return this appearance with half of its views replaced by the first ones: what the prompt meant."""
        new, old = -(-APPEARANCE_VIEWS // 2), APPEARANCE_VIEWS // 2
        embeddings = None
        if (
            self.embeddings is not None
            and earlier.embeddings is not None
            and self.embeddings.shape[1] == earlier.embeddings.shape[1]
        ):
            embeddings = np.concatenate((self.embeddings[:new], earlier.embeddings[-old:]))
        return Appearance(
            self.box,
            self.velocity,
            self.seen_seconds,
            np.concatenate((self.silhouettes[:new], earlier.silhouettes[-old:])),
            np.concatenate((self.areas[:new], earlier.areas[-old:])),
            embeddings,
        )


def appearance_of(
    history: FrameHistory, track_id: int, until_seconds: float, earlier: Appearance | None
) -> Appearance | None:
    """Return the appearance of a track up to a time, merged with an earlier one; only that if it was not seen."""
    observations = [one for one in history.observations(track_id) if one[0].time_seconds <= until_seconds]
    return Appearance.of(observations, earlier) if observations else earlier


def _select_views(observations: Sequence[Observation]) -> list[Observation]:
    """Select the last observation, then some earlier ones, including the largest box: it was not occluded."""
    if len(observations) <= APPEARANCE_VIEWS:
        return list(reversed(observations))
    boxes = [one.boxes[row] for one, row in observations]
    largest = int(np.argmax([float((box[2] - box[0]) * (box[3] - box[1])) for box in boxes]))
    spread = np.linspace(len(observations) - 1, 0, APPEARANCE_VIEWS - 1).astype(int).tolist()
    return [observations[position] for position in dict.fromkeys([spread[0], largest, *spread[1:]])]


def _velocity(observations: Sequence[Observation]) -> tuple[float, float]:
    """Return the slope of the box centre over the last observations; 0 for a single one."""
    last = observations[-1][0].time_seconds
    recent = [(one, row) for one, row in observations if last - one.time_seconds <= VELOCITY_SECONDS]
    times = np.array([one.time_seconds for one, _ in recent]) - last
    spread = times - times.mean()
    total = float((spread**2).sum())
    if total < 1e-6:
        return 0.0, 0.0
    boxes = np.stack([one.boxes[row] for one, row in recent]).astype(np.float64)
    x, y = (spread[:, None] * (boxes[:, :2] + boxes[:, 2:]) / 2).sum(axis=0) / total
    return float(x), float(y)


class EmbeddingGallery:
    """Embeddings of one target, and the tracks that turned out to be other objects.

    Args:
        views: known embeddings (D,) of the target.
    """

    def __init__(self, views: Sequence[Float32Array] = ()) -> None:
        self._views = list(views)[:GALLERY_SIZE]
        self._matrix = np.array(self._views)  # (V, D): read far more often than it changes
        self._num_mismatches: dict[int, int] = {}
        """Number of consecutive frames in which a track looked like another object, by track id."""
        self.verified_seconds = float("inf")
        """Time of the last frame in which the appearance of the target's track was verified; infinity before."""

    @property
    def views(self) -> tuple[Float32Array, ...]:
        """Embeddings (D,), oldest first."""
        return tuple(self._views)

    def reject(self, record: FrameRecord, track_ids: Sequence[int]) -> frozenset[int]:
        """Return the tracks that are other objects in the newest frame, and learn from the one that is the target.

        Args:
            record: the newest frame; pass each frame once.
            track_ids: tracks that may be the target, most likely first. If one of them looks like the target, those
                that do not are rejected at once, else after `PATIENT_FRAMES`.
        """
        visible = [track_id for track_id in dict.fromkeys(track_ids) if track_id in record.rows]
        cosines = {track_id: self.cosine(record, record.rows[track_id]) for track_id in visible}
        for track_id, cosine in cosines.items():
            before = self._num_mismatches.get(track_id, 0)
            mismatches = cosine < (SURE_COSINE if before >= PATIENT_FRAMES else MIN_COSINE)
            self._num_mismatches[track_id] = before + 1 if mismatches else 0
        mismatched = [track_id for track_id in visible if self._num_mismatches[track_id]]
        rejected = {track_id for track_id in mismatched if self._num_mismatches[track_id] >= PATIENT_FRAMES}
        if len(mismatched) < len(visible):
            rejected.update(mismatched)
        chosen = next((track_id for track_id in visible if track_id not in rejected), None)
        if chosen is not None and not self._num_mismatches[chosen]:
            self._learn(record, record.rows[chosen], cosines[chosen])
            self.verified_seconds = record.time_seconds
        return frozenset(rejected)

    def cosine(self, record: FrameRecord, row: int) -> float:
        """Return the cosine similarity of a row and its most similar view; 1 if there are too few views to compare."""
        embeddings = record.embeddings
        if embeddings is None or len(self._views) < MIN_VIEWS or self._views[0].shape != embeddings[row].shape:
            return 1.0
        return float((self._matrix @ embeddings[row]).max())

    def is_other(self, record: FrameRecord, row: int) -> bool:
        """Return whether a row looks like another object."""
        return self.cosine(record, row) < MIN_COSINE

    def _learn(self, record: FrameRecord, row: int, cosine: float) -> None:
        embeddings = record.embeddings
        if embeddings is None:
            return
        if self._views and self._views[0].shape != embeddings[row].shape:
            self._views = []  # from a run with another network: not comparable
        if len(self._views) >= MIN_VIEWS and not SURE_COSINE <= cosine < NOVEL_COSINE:
            return
        if len(self._views) == GALLERY_SIZE:
            del self._views[MIN_VIEWS]  # the first ones stay: they show the object that the prompt selected
        self._views.append(embeddings[row])
        self._matrix = np.array(self._views)


class Galleries:
    """The embedding galleries of the targets of one source, by track id."""

    def __init__(self) -> None:
        self._galleries: dict[int, EmbeddingGallery] = {}

    def __len__(self) -> int:
        return len(self._galleries)

    def get(self, track_id: int) -> EmbeddingGallery | None:
        """Return the gallery of a track, or None if the track has no gallery."""
        return self._galleries.get(track_id)

    def start(self, track_id: int, views: Sequence[Float32Array]) -> None:
        """Start a gallery for a track with the known views (D,)."""
        self._galleries[track_id] = EmbeddingGallery(views)

    def get_or_start(self, track_id: int, history: FrameHistory, until_seconds: float) -> EmbeddingGallery:
        """Return the gallery of a track; start a new one with the observations up to a time."""
        if track_id not in self._galleries:
            observations = [one for one in history.observations(track_id) if one[0].time_seconds <= until_seconds]
            recent = observations[-MIN_VIEWS:]
            self.start(track_id, [one.embeddings[row] for one, row in recent if one.embeddings is not None])
        return self._galleries[track_id]

    def is_other(self, track_id: int, record: FrameRecord, row: int) -> bool:
        """Return whether a row looks like another object than a track; False if the track has no gallery."""
        gallery = self._galleries.get(track_id)
        return gallery is not None and gallery.is_other(record, row)

    def verified_seconds(self, track_id: int) -> float:
        """Return `EmbeddingGallery.verified_seconds` of a track; infinity if the track has no gallery."""
        gallery = self._galleries.get(track_id)
        return gallery.verified_seconds if gallery is not None else float("inf")

    def retain(self, track_ids: Iterable[int]) -> None:
        """Drop all galleries except those of these tracks."""
        self._galleries = {one: self._galleries[one] for one in track_ids if one in self._galleries}
