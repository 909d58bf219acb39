"""Finding a lost object again, under another identity: by where it could be, by its shape and by its looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamseg.prompting.appearance import Appearance, Floats, mask_areas, silhouette_ious
from streamseg.prompting.history import FirstSeen, FrameRecord

__all__ = ["FEATURES", "LostTarget", "Match", "features", "reidentify"]

FEATURES: Final = ("constant", "distance", "shape", "size", "appearance", "seconds")
"""What speaks for and against, see `features`."""
WEIGHTS: Final = np.array([-17.05, -1.94, 3.19, -0.59, 17.28, -0.22])
"""Log odds by feature where the segmenter gives embeddings: what `python -m benchmarks.prompts --fit` gave, a logistic
regression on the rendered scene (seeds 100 to 102), rows of a default network and true ones: 936,000 pairs of an
object and a row 0.3 to 8 s later, of which 29,000 are the same."""
WEIGHTS_WITHOUT_LOOKS: Final = np.array([-6.18, -2.41, 7.29, -4.12, 0.0, 0.0])
"""The same where it gives none."""
MIN_PROBABILITY: Final = 0.75
"""Less likely ones are left alone; of some values tried on those seeds."""
MIN_PROBABILITY_WITHOUT_LOOKS: Final = 0.5
"""The same where no embeddings can be compared: place and shape alone are never surer than 0.75."""
MAX_SECONDS: Final = 4.0
"""More time than this does not speak against an object any further: what the weights were fitted on ends soon after."""
MARGIN: Final = 1.0
"""By so much, in log odds, the best has to be ahead of the next one."""
MAX_SIZE: Final = 0.7
"""Of the feature: what is half as long or twice as long in both directions is a part of it, or its whole."""
NEVER: Final = -50.0
"""Log odds of what is out of the question."""
AGREEING_FRAMES: Final = 2
"""In a row, that have to say the same."""
FLEETING_SECONDS: Final = 1.0
"""What lived for longer is an object."""
MIN_GONE_SECONDS: Final = 1.0
"""Trackers miss objects for some frames."""
DRIFT: Final = 2.0
"""How fast the place becomes uncertain, in sizes of the object per second."""
COASTING_SECONDS: Final = 1.0
"""Time constant with which a lost object is taken to slow down."""
MEMORY_SECONDS: Final = 2.0
"""Time constant with which the place ceases to count."""


@dataclass
class LostTarget:
    """One object that is waited for."""

    appearance: Appearance
    lived_seconds: float
    """How long it had been seen, of the seconds that are kept."""
    best: int = -1
    """The identity that was likeliest in the last frame, where it was likely enough."""
    num_agreeing: int = 0
    """Frames in a row that said so."""

    def was_fleeting(self, time_seconds: float) -> bool:
        """It was hardly there, and has been gone for longer: a fragment of something, or nothing."""
        gone_seconds = time_seconds - self.appearance.seen_seconds
        return self.lived_seconds < FLEETING_SECONDS and gone_seconds >= max(self.lived_seconds, MIN_GONE_SECONDS)


@dataclass(frozen=True)
class Match:
    """A lost object that was found."""

    track_id: int
    probability: float


def reidentify(lost: Sequence[LostTarget], record: FrameRecord, first_seen: FirstSeen) -> list[Match | None]:
    """Look for lost objects among those of a frame, each for itself; what they know of the frames before changes.

    Only among identities that began after the object was last seen: any other was there beside it or before it, and
    is something else.
    """
    answers: list[Match | None] = [None] * len(lost)
    open_ = [first_seen.since(one.appearance.seen_seconds) for one in lost]
    searching = [position for position, strangers in enumerate(open_) if strangers]
    for position, strangers in enumerate(open_):
        if not strangers:
            lost[position].best, lost[position].num_agreeing = -1, 0
    if not searching:
        return answers
    ids = sorted(set().union(*(open_[position] for position in searching)))
    rows = [record.rows[identity] for identity in ids]
    odds = _log_odds([lost[position].appearance for position in searching], record, rows)  # (L, C)
    columns = {identity: column for column, identity in enumerate(ids)}
    for line, position in zip(odds, searching, strict=True):
        one = lost[position]
        allowed = [columns[identity] for identity in open_[position]]
        ranked = sorted(allowed, key=lambda column: (-line[column], column))
        best = float(line[ranked[0]])
        margin = best - float(line[ranked[1]]) if len(ranked) > 1 else np.inf
        probability = 1 / (1 + float(np.exp(-best)))
        least = MIN_PROBABILITY if _is_comparable(one.appearance, record) else MIN_PROBABILITY_WITHOUT_LOOKS
        if probability < least or margin < MARGIN:
            one.best, one.num_agreeing = -1, 0
            continue
        identity = ids[ranked[0]]
        one.num_agreeing = one.num_agreeing + 1 if identity == one.best else 1
        one.best = identity
        if one.num_agreeing >= AGREEING_FRAMES:
            answers[position] = Match(identity, probability)
    return answers


def _log_odds(appearance: Sequence[Appearance], record: FrameRecord, rows: Sequence[int]) -> Floats:
    """(L, C) that row c is what l was."""
    values = features(appearance, record, rows)
    has_looks = np.isfinite(values[..., 4])
    values = np.nan_to_num(values)
    odds = np.where(has_looks, values @ WEIGHTS, values @ WEIGHTS_WITHOUT_LOOKS)
    possible: Floats = np.where(values[..., 3] <= MAX_SIZE, odds, NEVER)
    return possible


def features(appearance: Sequence[Appearance], record: FrameRecord, rows: Sequence[int]) -> Floats:
    """(L, C, `FEATURES`) of L lost objects and C rows of a frame.

    constant: 1. distance: from where it would be by now, in units of how uncertain that is, up to 4, and less with time
    (`MEMORY_SECONDS`). shape: IoU of the silhouettes, each over its own box. size: difference of the areas' square
    roots, as a logarithm, absolute. looks: cosine of the embeddings; NaN where there are none. seconds: since it was
    seen, up to `MAX_SECONDS`. Of an object's views the one that is most like the row counts, for shape, size and looks
    each.
    """
    boxes = record.boxes[list(rows)].astype(np.float64)  # (C, 4)
    shapes = record.rasters[list(rows)].reshape(len(rows), -1) > 0  # (C, T)
    areas = mask_areas(boxes, shapes)
    begins = np.concatenate([[0], np.cumsum([len(one.areas) for one in appearance])[:-1]])  # views of all, one by one
    silhouettes = np.concatenate([one.silhouettes for one in appearance])  # (sum V, T)
    values = np.ones((len(appearance), len(rows), len(FEATURES)))
    values[..., 1] = _distances(appearance, record, boxes)
    values[..., 2] = np.maximum.reduceat(silhouette_ious(silhouettes, shapes), begins, axis=0)
    seen = np.concatenate([one.areas for one in appearance])[:, None]
    size = np.abs(np.log((areas[None] + 1) / (seen + 1))) / 2
    values[..., 3] = np.minimum.reduceat(size, begins, axis=0)
    values[..., 4] = _cosines(appearance, record, rows)
    values[..., 5] = np.array([min(record.time_seconds - one.seen_seconds, MAX_SECONDS) for one in appearance])[:, None]
    return values


def _distances(appearance: Sequence[Appearance], record: FrameRecord, boxes: Floats) -> Floats:
    """(L, C)."""
    last = np.array([one.box for one in appearance])  # (L, 4)
    velocity = np.array([one.velocity for one in appearance])  # (L, 2)
    elapsed = np.array([max(record.time_seconds - one.seen_seconds, 0.0) for one in appearance])[:, None]  # (L, 1)
    height, width = record.tracked.instances.image_size
    centre = (last[:, :2] + last[:, 2:]) / 2
    centre = centre + velocity * COASTING_SECONDS * (1 - np.exp(-elapsed / COASTING_SECONDS))
    centre = centre.clip(0, (width, height))  # what left the picture comes back where it left
    size = np.sqrt((last[:, 2:] - last[:, :2]).prod(axis=1, keepdims=True)).clip(min=4.0)  # (L, 1)
    found = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(*(found[None] - centre[:, None]).transpose(2, 0, 1))  # (L, C)
    distances: Floats = (distance / (size * (0.5 + DRIFT * elapsed))).clip(max=4.0) * np.exp(-elapsed / MEMORY_SECONDS)
    return distances


def _is_comparable(appearance: Appearance, record: FrameRecord) -> bool:
    """Whether both have embeddings, and those of one length: another network's say nothing."""
    known, found = appearance.embeddings, record.embeddings
    return known is not None and found is not None and known.shape[1] == found.shape[1]


def _cosines(appearance: Sequence[Appearance], record: FrameRecord, rows: Sequence[int]) -> Floats:
    """(L, C); NaN where one of the two has no embedding, or one of another length."""
    cosines = np.full((len(appearance), len(rows)), np.nan)
    if record.embeddings is None:
        return cosines
    found = record.embeddings[list(rows)]
    known = [
        (position, one.embeddings)
        for position, one in enumerate(appearance)
        if one.embeddings is not None and _is_comparable(one, record)
    ]
    if known:
        begins = np.concatenate([[0], np.cumsum([len(views) for _, views in known])[:-1]])
        products = np.concatenate([views for _, views in known]) @ found.T
        cosines[[position for position, _ in known]] = np.maximum.reduceat(products, begins, axis=0)
    return cosines
