"""What is kept of the last seconds."""

from dataclasses import replace

import pytest
import torch

from streamseg.prompting import hypotheses, select
from streamseg.prompting.history import HISTORY_SECONDS, MAX_HISTORY_BYTES, SILHOUETTE_SIZE, FrameHistory, record_frame
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from tests.support.shapes import Shape, detect_shapes

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
    BoxPrompt("nowhere", (5, 200, 40, 230)),
]


@pytest.mark.parametrize("raster", [None, SILHOUETTE_SIZE, 10], ids=["plain", "corrected", "corrected-otherwise"])
def test_what_is_kept_answers_as_the_frame_itself(raster: int | None):
    frame = FRAME
    if raster is not None:
        frame = replace(FRAME, instances=FRAME.instances.corrected(torch.ones((len(FRAME), raster, raster))))
    kept = record_frame(frame, 3, 0.1).tracked
    same = [one.rows == other.rows for one, other in zip(select(frame, PROMPTS), select(kept, PROMPTS), strict=True)]
    assert sum(same) >= 0.98 * len(same)
    assert same[-2:] == [True, True]
    assert hypotheses(kept, PROMPTS[-2]).rows == hypotheses(frame, PROMPTS[-2]).rows


def test_identities_are_looked_up():
    record = record_frame(FRAME, 3, 0.1)
    assert record.rows == {4: 0, 2: 2, 9: 3}
    assert record.track_ids == (4, -1, 2, 9)
    assert record.mask_logits.shape == (4, SILHOUETTE_SIZE, SILHOUETTE_SIZE)
    assert record.embeddings is None


def test_it_is_small():
    assert record_frame(FRAME, 0, 0.0).num_bytes < 1300 * len(FRAME)


def test_of_nothing_there_is_nothing():
    nothing = Tracked(Instances.empty((48, 64), (12, 16)), torch.zeros(0, dtype=torch.int64))
    record = record_frame(nothing, 0, 0.0)
    assert (record.rows, record.num_bytes) == ({}, 0)
    assert select(record.tracked, PROMPTS[:2])[0].rows == ()


def test_old_frames_go_and_the_newest_stays():
    kept = FrameHistory()
    for index in range(100):
        kept.add(record_frame(FRAME, 2 * index, index / 10))
    assert len(kept) == HISTORY_SECONDS * 10 + 1
    assert kept.position(198) == len(kept) - 1
    assert kept.position(197) is None, "was dropped"
    assert kept.position(0) is None, "is too old"
    assert [one.frame_index for one in kept.since(len(kept) - 2)] == [196, 198]
    assert [row for _, row in kept.observations(2)] == [2] * len(kept)
    assert kept.observations(-1) == kept.observations(77) == []
    kept.add(record_frame(FRAME, 500, 60.0))
    assert len(kept) == 1


def test_bytes_are_bounded():
    crowd = Tracked(FRAME.instances[[0] * 3000], torch.arange(3000))
    kept = FrameHistory()
    for index in range(6):
        kept.add(record_frame(crowd, index, index / 100))
    assert MAX_HISTORY_BYTES / 2 < kept.num_bytes <= MAX_HISTORY_BYTES
    assert kept.position(5) is not None
