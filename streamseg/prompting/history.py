"""What a source showed in the last seconds, small enough to keep."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.geometry import raster_points, sample_logits
from streamseg.structures.instances import CORRECTION_MARGIN, GridTransform, Instances, Tracked

__all__ = ["HISTORY_SECONDS", "SILHOUETTE_SIZE", "FirstSeen", "FrameHistory", "FrameRecord", "record_frame"]

SILHOUETTE_SIZE: Final = 24
"""Cells per side of what is kept of a mask, its box widened by `CORRECTION_MARGIN`: as the refiner's corrections."""
HISTORY_SECONDS: Final = 3.0
"""Longer than a picture takes to a person and the click back, over any network that video can be watched over."""
MAX_HISTORY_BYTES: Final = 16 << 20
"""Of the sightings of one source: 3 s at 30 frames per second of 130 objects."""
LOGIT_LIMIT: Final = 1e4
"""Half precision ends at 65504; no network's logits come near."""


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """One frame's instances and identities."""

    frame_index: int
    time_seconds: float
    tracked: Tracked
    """K rows, on the host. Their masks lie in the corrections alone: half precision, R x R over each box."""
    boxes: npt.NDArray[np.float32]
    """(K, 4) xyxy."""
    track_ids: tuple[int, ...]
    """K of them; -1 while tentative."""
    rows: dict[int, int]
    """Row by identity; tentative ones are left out."""

    @property
    def rasters(self) -> npt.NDArray[np.float16]:
        """(K, R, R) logits."""
        corrections = self.tracked.instances.corrections
        return (
            np.zeros((0, SILHOUETTE_SIZE, SILHOUETTE_SIZE), np.float16) if corrections is None else corrections.numpy()
        )

    @property
    def embeddings(self) -> npt.NDArray[np.float32] | None:
        """(K, D), where the segmenter gives any."""
        embeddings = self.tracked.instances.embeddings
        return None if embeddings is None else embeddings.numpy()

    @property
    def num_bytes(self) -> int:
        """Of the large arrays."""
        embeddings = self.embeddings
        return self.rasters.nbytes + self.boxes.nbytes + (0 if embeddings is None else embeddings.nbytes)


def record_frame(tracked: Tracked, frame_index: int, time_seconds: float) -> FrameRecord:
    """What is kept of a frame.

    Masks lose what is finer than 1/18 of their box's side, and all that lies farther outside of it than
    `CORRECTION_MARGIN`; boxes, scores and embeddings are kept as they are. So the select functions answer from it as
    from the frame itself, but for points within such a distance of an outline.
    """
    instances = tracked.instances.to("cpu")
    compact = Instances(
        boxes=instances.boxes,
        scores=instances.scores,
        mask_logits=torch.zeros((len(instances), 1, 1)),
        grid_to_image=GridTransform(1.0, 1.0, 0.0, 0.0),
        image_size=instances.image_size,
        corrections=_rasters(instances),
        embeddings=instances.embeddings,
    )
    track_ids = tuple(tracked.track_ids.tolist())
    rows = {identity: row for row, identity in enumerate(track_ids) if identity >= 0}
    return FrameRecord(
        frame_index,
        time_seconds,
        Tracked(compact, tracked.track_ids.cpu()),
        compact.boxes.numpy(),
        track_ids,
        rows,
    )


def _rasters(instances: Instances) -> Tensor:
    """float16 (K, R, R): logits over the widened boxes."""
    added = instances.corrections
    # Corrections on the same raster are met cell by cell: no need to interpolate between them.
    same = added is not None and added.shape[1:] == (SILHOUETTE_SIZE, SILHOUETTE_SIZE)
    sampled = instances.corrected(None) if same else instances
    x, y = raster_points(instances.boxes, SILHOUETTE_SIZE, margin=CORRECTION_MARGIN)
    rows = torch.arange(len(instances))[:, None, None]
    logits = sample_logits(sampled, rows, x[:, None, :], y[:, :, None])
    if same and added is not None:
        logits = logits + added
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).half()


class FrameHistory:
    """The last `HISTORY_SECONDS` of one source, and no more than `MAX_HISTORY_BYTES`."""

    def __init__(self) -> None:
        self._kept: deque[FrameRecord] = deque()
        self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """Of all that is kept."""
        return self._num_bytes

    def add(self, record: FrameRecord) -> None:
        """Keep one more, the newest, and let go of those that are too old or too much; the newest always stays."""
        self._kept.append(record)
        self._num_bytes += record.num_bytes
        oldest = record.time_seconds - HISTORY_SECONDS
        while len(self._kept) > 1 and (self._kept[0].time_seconds < oldest or self._num_bytes > MAX_HISTORY_BYTES):
            self._num_bytes -= self._kept.popleft().num_bytes

    def position(self, frame_index: int) -> int | None:
        """Where the frame of this index is, from 0 for the oldest; None where it is not kept."""
        for position, record in enumerate(self._kept):
            if record.frame_index == frame_index:
                return position
        return None

    def since(self, position: int) -> tuple[FrameRecord, ...]:
        """From this position on to the newest, in the order of time."""
        return tuple(islice(self._kept, position, None))

    def of(self, track_id: int) -> list[tuple[FrameRecord, int]]:
        """Each sighting of an identity with its row, oldest first; none for one that was not seen."""
        # The tuple is made in one step, so that another thread may ask while sightings are added.
        return [(one, one.rows[track_id]) for one in tuple(self._kept) if track_id in one.rows]


FIRST_SEEN_MEMORY_SECONDS: Final = 60.0
"""An identity that was not seen for so long is let go of; trackers give none up for less than its `max_lost_seconds`,
and no identity twice."""
SWEEP_SECONDS: Final = 10.0
"""Every so often they are looked through for those."""


class FirstSeen:
    """When each identity of one source was seen first."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        self._present: frozenset[int] = frozenset()
        self._last_seen: dict[int, float] = {}
        self._swept_seconds = 0.0

    def __len__(self) -> int:
        return len(self._began)

    def update(self, track_ids: Set[int], time_seconds: float) -> None:
        """Take in one frame, in which these were seen."""
        present = frozenset(track_ids)
        for identity in present - self._present:
            self._began.setdefault(identity, time_seconds)
            self._last_seen.pop(identity, None)
        for identity in self._present - present:
            self._last_seen[identity] = time_seconds
        self._present = present
        if time_seconds - self._swept_seconds >= SWEEP_SECONDS:
            self._sweep(time_seconds)

    def since(self, time_seconds: float) -> frozenset[int]:
        """Of the identities in the newest frame those that began after this."""
        return frozenset(identity for identity in self._present if self._began[identity] > time_seconds)

    def _sweep(self, time_seconds: float) -> None:
        self._swept_seconds = time_seconds
        gone = [one for one, seconds in self._last_seen.items() if time_seconds - seconds >= FIRST_SEEN_MEMORY_SECONDS]
        for identity in gone:
            del self._last_seen[identity], self._began[identity]
