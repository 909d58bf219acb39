"""The baseline tracker that associates by boxes alone."""

import torch

from benchmarks.object_tracking.box_tracker import BoxTracker
from streamseg.config import TrackingConfig
from streamseg.structures.instances import Tracked
from tests.support.stages import make_instances

SIZE = (200, 400)
FPS = 30.0


def track(boxes_per_frame: list[list[tuple[int, int, int, int]]]) -> list[Tracked]:
    tracker = BoxTracker(TrackingConfig())
    return [
        tracker.update(make_instances(boxes, image_size=SIZE), index / FPS)
        for index, boxes in enumerate(boxes_per_frame)
    ]


def test_moving_boxes_keep_their_identities():
    boxes_per_frame = [
        [(2 * index, 20, 2 * index + 50, 70), (300 - index, 90, 350 - index, 150)] for index in range(12)
    ]
    ids = [tracked.track_ids.tolist() for tracked in track(boxes_per_frame)]
    assert ids[0] == [-1, -1], "tentative at first"
    assert ids[-1] == ids[6] == [1, 2]


def test_identity_survives_some_frames_without_its_box():
    boxes = [(40, 20, 90, 70)]
    ids = [tracked.track_ids.tolist() for tracked in track([boxes] * 8 + [[]] * 5 + [boxes])]
    assert ids[7] == ids[-1] == [1]
    assert ids[9] == []


def test_distant_box_is_another_object():
    ids = [tracked.track_ids.tolist() for tracked in track([[(0, 0, 50, 50)]] * 8 + [[(300, 100, 350, 150)]] * 8)]
    assert (ids[7], ids[-1]) == ([1], [2])


def test_no_boxes():
    (tracked,) = track([[]])
    assert torch.equal(tracked.track_ids, torch.zeros(0, dtype=torch.int64))
