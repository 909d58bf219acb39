"""The table of the tracking benchmark."""

import numpy as np

from benchmarks.object_tracking.sequences import Step
from benchmarks.tracking import TRACKERS, compare
from tests.support.stages import make_instances

SIZE = (200, 400)


def sequence_of(num_frames: int = 12) -> list[Step]:
    """Return frames with a moving box and a row that does not count."""
    steps = []
    for index in range(num_frames):
        boxes = [(2 * index, 20, 2 * index + 50, 70), (300, 90, 350, 150)]
        instances = make_instances(boxes, image_size=SIZE)
        steps.append(Step(instances, index / 30, np.array([7]), np.array([[1.0, 0.0]]), np.array([True, False])))
    return steps


def test_one_row_per_tracker_with_all_seeds_added():
    requested = []

    def sequences(seed: int) -> list[Step]:
        requested.append(seed)
        return sequence_of()

    rows = compare("sequence", sequences, [4, 5])
    assert requested == [4, 5]
    assert [row.tracker for row in rows] == list(TRACKERS)
    for row in rows:
        assert (row.variant, row.num_frames, row.num_truth) == ("sequence", 24, 24)
        assert (row.switches, row.id_precision) == (0, 1.0)
        assert 0.5 < row.idf1 < 1.0, "the first frames are tentative"
        assert row.update_ms > 0
