"""Boxes that the masks of followed targets are fitted to."""

from dataclasses import replace

import pytest
import torch

from streamseg.structures.prompt import BoxPrompt
from tests.support.tracked_shapes import BOTH, CUP, OTHERS, Run, click, frame_of, shifted

OWN = (50.0, 75.0, 110.0, 165.0)
"""The network's box of the cup."""
DRAWN = (53.0, 75.0, 110.0, 156.0)
PROMPT = BoxPrompt("p", DRAWN)


def prompted(objects, own=OWN):
    """A frame in which the network was asked for the drawn box, which is the first row's."""
    tracked = frame_of(objects)
    boxes = tracked.instances.boxes.clone()
    own_boxes, boxes[0] = boxes.clone(), torch.tensor(DRAWN)
    own_boxes[0] = torch.tensor(own)
    return replace(tracked, instances=replace(tracked.instances, boxes=boxes, own_boxes=own_boxes))


def fit_boxes(frames, prompt=PROMPT):
    run = Run()
    return [run(frame, prompt)[0].fit_box for frame in frames]


def moved(x):
    return frame_of([(1, shifted(CUP, x)), *OTHERS])


def test_box_in_later_frames_has_the_edges_of_the_drawn_one():
    first, *later = fit_boxes([prompted(BOTH), moved(10), moved(20)])
    assert first is None  # fitted to the drawn box when it was segmented
    assert later == [pytest.approx((62.1, 75, 120, 158.7)), pytest.approx((72.1, 75, 130, 158.7))]


def test_box_drawn_on_objects_found_without_it():
    assert fit_boxes([frame_of(BOTH), moved(10)]) == [
        pytest.approx((52.1, 75, 110, 158.7)),
        pytest.approx((62.1, 75, 120, 158.7)),
    ]


@pytest.mark.parametrize(
    ("frames", "prompt"),
    [
        pytest.param([frame_of(BOTH), moved(10)], click(CUP.x, CUP.y), id="a click has no edges"),
        pytest.param([prompted(BOTH, own=(0, 0, 0, 0)), moved(10)], PROMPT, id="no box of the network there"),
        pytest.param([prompted(BOTH), frame_of(OTHERS)], PROMPT, id="lost"),
        pytest.param([frame_of(OTHERS), frame_of([])], PROMPT, id="nothing found"),
    ],
)
def test_no_box(frames, prompt):
    assert fit_boxes(frames, prompt) == [None, None]


def test_another_hypothesis_has_no_edges():
    objects = [(1, CUP), (2, replace(CUP, width=56, height=84, score=0.8)), *OTHERS]
    run = Run()
    (first,) = run(frame_of(objects), PROMPT)
    (stepped,) = run(frame_of(objects), replace(PROMPT, step=1))
    assert {first.rows, stepped.rows} == {(0,), (1,)}
    assert first.fit_box is not None
    assert stepped.fit_box is None
