"""What is remembered of an object, to know it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamseg.prompting.history import RASTER, Sighting, Sightings
from streamseg.structures.instances import CORRECTION_MARGIN

__all__ = ["MAX_VIEWS", "NUM_TILES", "Floats", "Looks", "looks_of", "mask_areas", "silhouette_ious"]

Floats = npt.NDArray[np.float64]

NUM_TILES: Final = RASTER * RASTER
"""Of a silhouette: the mask over its widened box, whatever its size."""
MAX_VIEWS: Final = 4
"""Remembered of an object; a thing that turns or is half hidden looks like one of them."""
VELOCITY_SECONDS: Final = 0.4
"""Over so long the speed is taken: the centres of boxes shake by some percent of their size from frame to frame."""


@dataclass(frozen=True, eq=False)
class Looks:
    """One object as it was last seen, and in V views before that; V is 1 at least."""

    box: tuple[float, float, float, float]
    """xyxy of the last sight of it."""
    velocity: tuple[float, float]
    """Of its centre, pixels per second."""
    seen_seconds: float
    """When that was."""
    silhouettes: npt.NDArray[np.bool_]
    """(V, `NUM_TILES`)."""
    areas: Floats
    """(V,) of the masks, in pixels."""
    embeddings: npt.NDArray[np.float32] | None
    """(V, D), each of length 1; None where the segmenter gives none."""

    @classmethod
    def of(cls, seen: Sequence[tuple[Sighting, int]], earlier: Looks | None = None) -> Looks:
        """From sightings of it with its row in each, oldest first, one at least.

        Args:
            seen: as `Sightings.of` gives them.
            earlier: what was known of the same object before; half of the views stay.
        """
        chosen = _views(seen)
        shapes = np.stack([one.rasters[row].reshape(-1) > 0 for one, row in chosen])
        boxes = np.stack([one.boxes[row] for one, row in chosen]).astype(np.float64)
        rows = [None if one.embeddings is None else one.embeddings[row] for one, row in chosen]
        known = [row for row in rows if row is not None]
        last, row = seen[-1]
        x0, y0, x1, y1 = last.boxes[row].tolist()
        looks = cls(
            box=(x0, y0, x1, y1),
            velocity=_velocity(seen),
            seen_seconds=last.time_seconds,
            silhouettes=shapes,
            areas=mask_areas(boxes, shapes),
            embeddings=np.stack(known) if len(known) == len(rows) else None,
        )
        return looks if earlier is None else looks._with(earlier)

    def _with(self, earlier: Looks) -> Looks:
        new, old = -(-MAX_VIEWS // 2), MAX_VIEWS // 2
        both = None
        if (
            self.embeddings is not None
            and earlier.embeddings is not None
            and self.embeddings.shape[1] == earlier.embeddings.shape[1]
        ):
            both = np.concatenate((self.embeddings[:new], earlier.embeddings[:old]))
        return Looks(
            self.box,
            self.velocity,
            self.seen_seconds,
            np.concatenate((self.silhouettes[:new], earlier.silhouettes[:old])),
            np.concatenate((self.areas[:new], earlier.areas[:old])),
            both,
        )


def mask_areas(boxes: Floats, silhouettes: npt.NDArray[np.bool_]) -> Floats:
    """Pixels (N,) of masks, from boxes (N, 4) and silhouettes (N, `NUM_TILES`)."""
    widened = (1 + 2 * CORRECTION_MARGIN) ** 2
    areas: Floats = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * silhouettes.mean(axis=1) * widened
    return areas


def silhouette_ious(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """IoU (N, M) of silhouettes (N, `NUM_TILES`) and (M, `NUM_TILES`), each over its own box; 0 for two empty ones."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - shared
    ious: npt.NDArray[np.float32] = shared / np.maximum(union, 1)
    return ious


def _views(seen: Sequence[tuple[Sighting, int]]) -> list[tuple[Sighting, int]]:
    """The last one, then some from before, the one with the largest box among them: nothing was in front of that."""
    if len(seen) <= MAX_VIEWS:
        return list(reversed(seen))
    boxes = [one.boxes[row] for one, row in seen]
    largest = int(np.argmax([float((box[2] - box[0]) * (box[3] - box[1])) for box in boxes]))
    spread = np.linspace(len(seen) - 1, 0, MAX_VIEWS - 1).astype(int).tolist()
    return [seen[position] for position in dict.fromkeys([spread[0], largest, *spread[1:]])]


def _velocity(seen: Sequence[tuple[Sighting, int]]) -> tuple[float, float]:
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


def looks_of(sightings: Sightings, track_id: int, until_seconds: float, earlier: Looks | None) -> Looks | None:
    """What an identity looked like up to a time, and before that as `earlier`; that alone where it was not seen."""
    seen = [one for one in sightings.of(track_id) if one[0].time_seconds <= until_seconds]
    return Looks.of(seen, earlier) if seen else earlier
