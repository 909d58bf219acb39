"""Compact records of the last frames of a source, and first-seen times of its tracks.

FrameRecord      the instances and track ids of one frame, reduced in size; made by `record_frame`
mask_areas       areas of recorded masks
silhouette_ious  IoUs of recorded masks, each over its own box
shares_inside    the fraction of one recorded mask that lies on another
FrameHistory     the records of the last seconds
FirstSeen        the time at which each track was first seen
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import raster_logits
from streamseg.structures.arrays import BoolArray, Float32Array, Float64Array
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import CORRECTION_MARGIN, Instances, Tracked
from streamseg.structures.mask_samples import LOGIT_LIMIT, WIDENED_CELLS

__all__ = [
    "HISTORY_SECONDS",
    "NUM_CELLS",
    "SILHOUETTE_SIZE",
    "FirstSeen",
    "FrameHistory",
    "FrameRecord",
    "Observation",
    "mask_areas",
    "record_frame",
    "shares_inside",
    "silhouette_ious",
]

SILHOUETTE_SIZE: Final = WIDENED_CELLS
"""Cells per side of a recorded mask, over its box widened by `CORRECTION_MARGIN`; equals the refiner's corrections."""
NUM_CELLS: Final = SILHOUETTE_SIZE * SILHOUETTE_SIZE
"""Cells of a silhouette, which is a recorded mask as bool."""
NUM_SAMPLES: Final = 12
"""Samples per side of a mask in `shares_inside`."""

HISTORY_SECONDS: Final = 3.0
"""Duration of the history: longer than an image takes to a user and the click back, over any network that is fast
enough for watching video."""
MAX_HISTORY_BYTES: Final = 16 << 20
"""Memory limit of the records of one source: 3 s at 30 frames per second with 130 objects."""

FIRST_SEEN_MEMORY_SECONDS: Final = 60.0
"""A track that was not seen for this long is forgotten. Trackers end no track sooner than after their
`max_lost_seconds`, and never reuse a track id."""
SWEEP_SECONDS: Final = 10.0
"""Interval between searches for tracks to forget."""


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """The instances and track ids of one frame."""

    frame_index: int
    time_seconds: float
    tracked: Tracked
    """K instances, on the host. Their masks are in the corrections alone: half precision, R x R cells per box."""
    boxes: Float32Array
    """(K, 4) xyxy."""
    track_ids: tuple[int, ...]
    """K track ids; `TENTATIVE`, which is -1, for tentative instances."""
    rows: dict[int, int]
    """Row by track id, without tentative instances."""

    @property
    def mask_logits(self) -> npt.NDArray[np.float16]:
        """(K, R, R) logits over the widened boxes, R is `SILHOUETTE_SIZE`."""
        corrections = self.tracked.instances.corrections
        return (
            np.zeros((0, SILHOUETTE_SIZE, SILHOUETTE_SIZE), np.float16) if corrections is None else corrections.numpy()
        )

    @property
    def own_boxes(self) -> Float32Array:
        """(K, 4) xyxy, the network's boxes, see `Instances.own_boxes`; (0, 0, 0, 0) if it has none."""
        own_boxes = self.tracked.instances.own_boxes
        return self.boxes if own_boxes is None else own_boxes.numpy()

    @property
    def embeddings(self) -> Float32Array | None:
        """(K, D), or None if the segmenter provides no embeddings."""
        embeddings = self.tracked.instances.embeddings
        return None if embeddings is None else embeddings.numpy()

    @property
    def num_bytes(self) -> int:
        """Size of the large arrays."""
        embeddings = self.embeddings
        return self.mask_logits.nbytes + self.boxes.nbytes + (0 if embeddings is None else embeddings.nbytes)


Observation = tuple[FrameRecord, int]
"""One object in one frame: a record and the row of the object in it."""


def record_frame(tracked: Tracked, frame_index: int, time_seconds: float) -> FrameRecord:
    """Return a compact record of a frame.

    Masks lose details finer than 1/18 of their box side, and all pixels farther outside of the box than
    `CORRECTION_MARGIN`; boxes, scores and embeddings are exact. Prompts therefore select from the record what they
    would select from the frame, except for points within such a distance of an outline.
    """
    instances = tracked.instances.to("cpu")
    compact = Instances(
        boxes=instances.boxes,
        scores=instances.scores,
        mask_logits=torch.zeros((len(instances), 1, 1)),
        grid_to_image=GridTransform(1.0, 1.0, 0.0, 0.0),
        image_size=instances.image_size,
        corrections=_compact_logits(instances),
        embeddings=instances.embeddings,
        own_boxes=instances.own_boxes,
    )
    track_ids = tuple(tracked.track_ids.tolist())
    rows = {track_id: row for row, track_id in enumerate(track_ids) if track_id >= 0}
    return FrameRecord(
        frame_index,
        time_seconds,
        Tracked(compact, tracked.track_ids.cpu()),
        compact.boxes.numpy(),
        track_ids,
        rows,
    )


def _compact_logits(instances: Instances) -> Tensor:
    """Sample the logits (K, R, R) over the widened boxes, as float16."""
    if instances.samples is not None:
        return instances.samples.widened
    logits = raster_logits(instances, SILHOUETTE_SIZE, margin=CORRECTION_MARGIN)
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half()


def mask_areas(boxes: Float64Array, silhouettes: BoolArray) -> Float64Array:
    """Return the areas (N,) of masks in pixels, from boxes (N, 4) and silhouettes (N, `NUM_CELLS`)."""
    widened = (1 + 2 * CORRECTION_MARGIN) ** 2
    areas: Float64Array = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * silhouettes.mean(axis=1) * widened
    return areas


def silhouette_ious(first: BoolArray, second: BoolArray) -> Float32Array:
    """Return the IoU (N, M) of silhouettes (N, `NUM_CELLS`) and (M, `NUM_CELLS`), each over its own box.

    The IoU of two empty silhouettes is 0.
    """
    a, b = first.astype(np.float32), second.astype(np.float32)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - shared
    ious: Float32Array = shared / np.maximum(union, 1)
    return ious


def shares_inside(record: FrameRecord, parts: Sequence[int], wholes: Sequence[int]) -> Float64Array:
    """Return the fractions (P,) of the masks of P rows that lie on the masks of P other rows; 0 for an empty mask."""
    step = SILHOUETTE_SIZE // NUM_SAMPLES
    logits = record.mask_logits
    part_samples = logits[np.array(parts, dtype=np.intp), step // 2 :: step, step // 2 :: step] > 0  # (P, N, N)
    boxes, whole_boxes = record.boxes[list(parts)], record.boxes[list(wholes)]
    widened = 1 + 2 * CORRECTION_MARGIN
    positions = ((np.arange(NUM_SAMPLES) * step + step // 2) + 0.5) / SILHOUETTE_SIZE * widened - CORRECTION_MARGIN
    columns, rows = (_cells(boxes, whole_boxes, positions, axis) for axis in (0, 1))  # (P, N) each
    inside_x = (columns >= 0) & (columns < SILHOUETTE_SIZE)
    inside_y = (rows >= 0) & (rows < SILHOUETTE_SIZE)
    columns, rows = (cells.clip(0, SILHOUETTE_SIZE - 1) for cells in (columns, rows))
    wholes_at = np.array(wholes, dtype=np.intp)[:, None, None]
    whole_samples = logits[wholes_at, rows[:, :, None], columns[:, None, :]] > 0  # (P, N, N)
    common = part_samples & inside_x[:, None, :] & inside_y[:, :, None] & whole_samples
    shares: Float64Array = common.sum(axis=(1, 2)) / np.maximum(part_samples.sum(axis=(1, 2)), 1)
    return shares


def _cells(boxes: Float32Array, whole_boxes: Float32Array, positions: Float64Array, axis: int) -> npt.NDArray[np.intp]:
    """Return the mask cells (P, N) of the wholes at N relative positions in boxes (P, 4), along one axis.

    Cells may lie outside of the mask.
    """
    low, size = boxes[:, axis, None], (boxes[:, axis + 2] - boxes[:, axis])[:, None]
    whole_low, whole_size = whole_boxes[:, axis, None], (whole_boxes[:, axis + 2] - whole_boxes[:, axis])[:, None]
    relative = (low + size * positions - whole_low) / np.maximum(whole_size, 1e-6)
    cells: npt.NDArray[np.intp] = np.floor(
        (relative + CORRECTION_MARGIN) / (1 + 2 * CORRECTION_MARGIN) * SILHOUETTE_SIZE
    ).astype(np.intp)
    return cells


class FrameHistory:
    """The records of the last `HISTORY_SECONDS` of one source, limited to `MAX_HISTORY_BYTES`."""

    def __init__(self) -> None:
        self._records: deque[FrameRecord] = deque()
        self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def num_bytes(self) -> int:
        """Size of all records."""
        return self._num_bytes

    def add(self, record: FrameRecord) -> None:
        """Add the newest record; drop records that are too old or exceed the memory limit, but never the newest."""
        self._records.append(record)
        self._num_bytes += record.num_bytes
        oldest = record.time_seconds - HISTORY_SECONDS
        while len(self._records) > 1 and (
            self._records[0].time_seconds < oldest or self._num_bytes > MAX_HISTORY_BYTES
        ):
            self._num_bytes -= self._records.popleft().num_bytes

    def position(self, frame_index: int) -> int | None:
        """Return the position of a frame, 0 for the oldest; None if it is not in the history."""
        for position, record in enumerate(self._records):
            if record.frame_index == frame_index:
                return position
        return None

    def since(self, position: int) -> tuple[FrameRecord, ...]:
        """Return the records from a position to the newest, in temporal order."""
        return tuple(islice(self._records, position, None))

    def observations(self, track_id: int) -> list[Observation]:
        """Return the observations of a track, oldest first; empty if it was not seen."""
        # The tuple is made in one step, so that another thread may read while records are added.
        return [(one, one.rows[track_id]) for one in tuple(self._records) if track_id in one.rows]


class FirstSeen:
    """The time at which each track of one source was first seen."""

    def __init__(self) -> None:
        self._first_seconds: dict[int, float] = {}
        self._visible: frozenset[int] = frozenset()
        self._last_seconds: dict[int, float] = {}
        self._swept_seconds = 0.0

    def __len__(self) -> int:
        return len(self._first_seconds)

    def update(self, track_ids: Set[int], time_seconds: float) -> None:
        """Add the next frame, in which these tracks are visible."""
        visible = frozenset(track_ids)
        for track_id in visible - self._visible:
            self._first_seconds.setdefault(track_id, time_seconds)
            self._last_seconds.pop(track_id, None)
        for track_id in self._visible - visible:
            self._last_seconds[track_id] = time_seconds
        self._visible = visible
        if time_seconds - self._swept_seconds >= SWEEP_SECONDS:
            self._sweep(time_seconds)

    def started_after(self, time_seconds: float) -> frozenset[int]:
        """Return the tracks of the newest frame that were first seen after a time."""
        return frozenset(track_id for track_id in self._visible if self._first_seconds[track_id] > time_seconds)

    def _sweep(self, time_seconds: float) -> None:
        self._swept_seconds = time_seconds
        expired = [
            track_id
            for track_id, seconds in self._last_seconds.items()
            if time_seconds - seconds >= FIRST_SEEN_MEMORY_SECONDS
        ]
        for track_id in expired:
            del self._last_seconds[track_id], self._first_seconds[track_id]
