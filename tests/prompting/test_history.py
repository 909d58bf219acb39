"""Compact records of frames, and the history of the last seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.prompting import hypotheses, select
from streamseg.prompting.history import (
    HISTORY_SECONDS,
    MAX_HISTORY_BYTES,
    NUM_CELLS,
    SILHOUETTE_SIZE,
    FrameHistory,
    mask_areas,
    record_frame,
    shares_inside,
    silhouette_ious,
)
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from tests.support.shapes import Shape, detect_shapes
from tests.support.tracked_shapes import frame_of

SHAPES = [
    Shape(80, 120, 60, 90),
    Shape(80, 120, 20, 24, "rectangle", score=0.8),
    Shape(250, 60, 70, 50, "ring", score=0.7),
    Shape(180, 190, 60, 60, "triangle", score=0.6),
]
FRAME = Tracked(detect_shapes(SHAPES), torch.tensor([4, -1, 2, 9]))
PROMPTS = [
    *[PointPrompt(f"{x},{y}", ((x, y),), (1,)) for x in range(5, 320, 15) for y in range(5, 240, 15)],
    BoxPrompt("box", (50, 75, 110, 165)),
    BoxPrompt("no match", (5, 200, 40, 230)),
]


@pytest.mark.parametrize(
    "raster", [None, SILHOUETTE_SIZE, 10], ids=["plain", "corrected", "corrected-on-another-raster"]
)
def test_prompts_select_the_same_from_a_record(raster: int | None):
    frame = FRAME
    if raster is not None:
        frame = replace(FRAME, instances=FRAME.instances.corrected(torch.ones((len(FRAME), raster, raster))))
    compact = record_frame(frame, 3, 0.1).tracked
    same = [one.rows == other.rows for one, other in zip(select(frame, PROMPTS), select(compact, PROMPTS), strict=True)]
    assert sum(same) >= 0.98 * len(same)
    assert same[-2:] == [True, True]
    assert hypotheses(compact, PROMPTS[-2]).rows == hypotheses(frame, PROMPTS[-2]).rows


def test_rows_by_track_id():
    record = record_frame(FRAME, 3, 0.1)
    assert record.rows == {4: 0, 2: 2, 9: 3}
    assert record.track_ids == (4, -1, 2, 9)
    assert record.mask_logits.shape == (4, SILHOUETTE_SIZE, SILHOUETTE_SIZE)
    assert record.embeddings is None


def test_record_is_small():
    assert record_frame(FRAME, 0, 0.0).num_bytes < 1300 * len(FRAME)


def test_frame_without_objects():
    nothing = Tracked(Instances.empty((48, 64), (12, 16)), torch.zeros(0, dtype=torch.int64))
    record = record_frame(nothing, 0, 0.0)
    assert (record.rows, record.num_bytes) == ({}, 0)
    assert select(record.tracked, PROMPTS[:2])[0].rows == ()


def test_mask_areas():
    full = np.ones((1, NUM_CELLS), np.bool_)
    assert mask_areas(np.array([[0.0, 0, 10, 20]]), full) == pytest.approx([1.3**2 * 200])
    assert mask_areas(np.zeros((0, 4)), np.zeros((0, NUM_CELLS), np.bool_)).shape == (0,)


def test_silhouette_ious():
    full, half, none = np.ones(NUM_CELLS, bool), np.arange(NUM_CELLS) < NUM_CELLS / 2, np.zeros(NUM_CELLS, bool)
    ious = silhouette_ious(np.stack([full, half, none]), np.stack([half, none]))
    assert ious.tolist() == [[0.5, 0], [1, 0], [0, 0]]


def test_shares_inside():
    whole, part = Shape(100, 120, 100, 100, "rectangle"), Shape(100, 120, 40, 40, "rectangle")
    overlapping, beside = Shape(150, 120, 40, 40, "rectangle"), Shape(250, 120, 40, 40, "rectangle")
    ring = Shape(100, 120, 90, 90, "ring")
    record = record_frame(frame_of([(1, whole), (2, part), (3, overlapping), (4, beside), (5, ring)]), 0, 0.0)
    shares = shares_inside(record, [1, 2, 3, 1, 0], [0, 0, 0, 4, 1])
    assert shares == pytest.approx([1, 0.5, 0, 0, 0.16], abs=0.09)
    assert shares_inside(record, [], []).shape == (0,)


def test_old_records_are_dropped_but_not_the_newest():
    history = FrameHistory()
    for index in range(100):
        history.add(record_frame(FRAME, 2 * index, index / 10))
    assert len(history) == HISTORY_SECONDS * 10 + 1
    assert history.position(198) == len(history) - 1
    assert history.position(197) is None, "the frame was dropped"
    assert history.position(0) is None, "the frame is too old"
    assert [one.frame_index for one in history.since(len(history) - 2)] == [196, 198]
    assert [row for _, row in history.observations(2)] == [2] * len(history)
    assert history.observations(-1) == history.observations(77) == []
    history.add(record_frame(FRAME, 500, 60.0))
    assert len(history) == 1


@pytest.mark.slow
def test_memory_is_limited():
    crowd = Tracked(FRAME.instances[[0] * 3000], torch.arange(3000))
    history = FrameHistory()
    for index in range(6):
        history.add(record_frame(crowd, index, index / 100))
    assert MAX_HISTORY_BYTES / 2 < history.num_bytes <= MAX_HISTORY_BYTES
    assert history.position(5) is not None
