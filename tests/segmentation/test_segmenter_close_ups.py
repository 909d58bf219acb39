"""The segmenter shows the network the windows of new prompts and small targets, and not of degraded images."""

import numpy as np
import pytest
import torch

from streamseg.segmentation import Segmenter
from streamseg.structures.degradation import Degradation
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from tests.support.networks import CountedRefiner, RecordingEngine, blobs

BOX = SearchRegions(prompted=np.array([[60.0, 40, 80, 60]]))
POINT = SearchRegions(points=np.array([[70.0, 50]]))
TWO_TARGETS = SearchRegions(followed=np.array([[60.0, 40, 80, 60], [200, 150, 220, 170]]))


@pytest.mark.parametrize(
    ("regions", "options", "num_windows"),
    [
        pytest.param(NO_REGIONS, {}, 0, id="no prompts"),
        pytest.param(SearchRegions(expected=BOX.prompted), {}, 0, id="expected objects"),
        pytest.param(BOX, {}, 1, id="a box"),
        pytest.param(POINT, {}, 2, id="a point"),
        pytest.param(SearchRegions(BOX.prompted, points=POINT.points), {"max_close_ups": 2}, 1, id="limit"),
        pytest.param(POINT, {"max_close_ups": 0}, 0, id="off"),
        pytest.param(POINT, {"masks": "plain"}, 0, id="plain masks"),
        pytest.param(POINT, {"refiner": None}, 0, id="without a refiner"),
    ],
)
def test_the_network_sees_new_prompts_enlarged(regions, options, num_windows):
    options = {"refiner": CountedRefiner()} | options
    engine = RecordingEngine(refiner=options.pop("refiner"))
    segmenter = Segmenter(engine=engine, imgsz=128, conf=1, expected_conf=1, **options)
    segmenter([blobs((96, 128), seed=1)], [regions])
    assert engine.shapes == [(1, 96, 128, 3)] + [(num_windows, 96, 128, 3)] * (num_windows > 0)


@pytest.mark.parametrize(
    ("size", "options", "num_windows"),
    [
        pytest.param((192, 256), {}, 1, id="one per frame"),
        pytest.param((192, 256), {"max_followed_close_ups": 8}, 2, id="limit"),
        pytest.param((192, 256), {"max_close_ups": 0}, 1, id="without those of new prompts"),
        pytest.param((192, 256), {"max_followed_close_ups": 0}, 0, id="off"),
        pytest.param((96, 128), {}, 0, id="an image that the network sees at its full size"),
        pytest.param((192, 256), {"masks": "plain"}, 0, id="plain masks"),
    ],
)
def test_the_network_sees_small_targets_enlarged(size, options, num_windows):
    engine = RecordingEngine(refiner=CountedRefiner())
    segmenter = Segmenter(engine=engine, imgsz=128, conf=1, expected_conf=1, **options)
    segmenter([blobs(size, seed=1)], [TWO_TARGETS])
    assert engine.shapes == [(1, 96, 128, 3)] + [(num_windows, 96, 128, 3)] * (num_windows > 0)


@pytest.mark.parametrize(("close_up", "size"), [(POINT, (96, 128)), (TWO_TARGETS, (192, 256))])
def test_close_ups_are_done_before_the_network_runs_again(close_up, size):
    """Who finishes the frame may be another thread, and only one may run the network."""
    engine = RecordingEngine(refiner=CountedRefiner())
    segmenter = Segmenter(engine=engine, imgsz=128, conf=1, expected_conf=1, max_followed_close_ups=2)
    images, regions = [blobs(size, seed=seed) for seed in range(2)], [close_up, NO_REGIONS]
    expected = segmenter(images, regions)
    engine.shapes.clear()
    begun = segmenter.begin_batch(images, regions)
    assert [shape[0] for shape in engine.shapes] == [2, 2]
    for finish, instances in zip(begun, expected, strict=True):
        found = finish()
        assert torch.equal(found.boxes, instances.boxes)
        assert torch.equal(found.mask_logits, instances.mask_logits)
    assert len(engine.shapes) == 2


def test_degraded_images_have_no_close_ups():
    engine = RecordingEngine(refiner=CountedRefiner())
    segmenter = Segmenter(engine=engine, imgsz=128, conf=1, expected_conf=1)
    segmenter.segment_batch([blobs((96, 128), seed=1)], [POINT], [Degradation(step=1, plain_masks=True)])
    assert len(engine.shapes) == 1
