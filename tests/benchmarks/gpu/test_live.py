"""Cameras through the runtime on a machine on which the network starves."""

import threading

import numpy as np

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.live import Camera, run_cameras
from streamseg.structures.instances import Instances

S1 = next(case for case in CASES if case.name == "s1").at(64)
SIZE = (48, 64)


class StarvedSegmenter:
    """Finds nothing. Each batch takes longer than a runtime waits for its threads when it ends."""

    def __init__(self):
        self.num_started = self.num_ended = 0
        self._never = threading.Event()

    def __call__(self, images, regions=None):
        self.num_started += 1
        self._never.wait(1.3)
        self.num_ended += 1
        return [Instances.empty(SIZE) for _ in images]

    def warmup(self, size, *, num_images):
        pass


def test_nothing_uses_the_segmenter_after_a_run():
    segmenter = StarvedSegmenter()
    camera = Camera("camera0", [np.zeros((*SIZE, 3), dtype=np.uint8)], 30.0)
    before = set(threading.enumerate())
    values = run_cameras([camera], segmenter, S1, 0.2, most_seconds=30.0)
    assert values["messages"] >= 1
    assert segmenter.num_started == segmenter.num_ended >= 2
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "segment"]
