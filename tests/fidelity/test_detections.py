"""Kept rows of scripted candidates, compared with the reference: see golden/reference/README.md."""

import numpy as np
import pytest

from streamseg.engines import Raw
from streamseg.segmentation import Segmenter
from tests.golden.reference import scripted
from tests.support.fidelity import LAST_WITH_PROMPTER, OFFICIAL, PRESENT, VERSIONS, candidate_difference, golden

pytestmark = pytest.mark.slow

TIED = {("ties", OFFICIAL), ("all_equal", OFFICIAL), ("ties", PRESENT), ("all_equal", PRESENT)}
"""Sets with equal scores, and the releases that order them arbitrarily."""


class CandidateEngine:
    """Return scripted candidates; all mask logits of a row equal its number."""

    name = "scripted"
    refiner = None
    suppression = None
    device = "cpu"
    half = False
    imgsz = 1024
    input_size = None
    max_batch = None

    def __init__(self, boxes, scores):
        coefficients = np.zeros((1, len(boxes), 32), np.float32)
        coefficients[0, :, 0] = np.arange(len(boxes))
        height, width = scripted.CANDIDATE_INPUT
        prototypes = np.ones((1, 32, height // 4, width // 4), np.float32)
        self.raw = Raw(boxes[None], scores[None], coefficients, prototypes)

    def run(self, images):
        assert images.shape == (1, *scripted.CANDIDATE_INPUT, 3)
        return self.raw

    def close(self):
        pass


@pytest.mark.parametrize("setting", scripted.NMS_SETTINGS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", scripted.candidates())
def test_same_rows_in_the_same_order(name, version, setting):
    same, same_up_to_ties = candidate_difference(name, setting, version)
    assert same or ((name, version) in TIED and same_up_to_ties)


@pytest.mark.parametrize("setting", scripted.NMS_SETTINGS)
@pytest.mark.parametrize("name", sorted(set(scripted.candidates()) - {"without_extent", "beyond_the_input"}))
def test_segmenter_keeps_the_same_rows(name, setting):
    boxes, scores = scripted.candidates()[name]
    conf, iou, max_det = scripted.NMS_SETTINGS[setting]
    rows = golden("detections", LAST_WITH_PROMPTER)[f"{name}/{setting}"]
    image = np.zeros((*scripted.CANDIDATE_INPUT, 3), np.uint8)
    with Segmenter(engine=CandidateEngine(boxes, scores), conf=conf, iou=iou, max_det=max_det) as segmenter:
        (instances,) = segmenter([image])
    np.testing.assert_array_equal(instances.mask_logits[:, 0, 0].numpy(), rows)
    np.testing.assert_array_equal(instances.boxes.numpy(), boxes[rows])
    np.testing.assert_array_equal(instances.scores.numpy(), scores[rows])


def test_objects_without_extent_in_the_image_are_omitted_though_the_reference_keeps_them():
    boxes, scores = scripted.candidates()["beyond_the_input"]
    image = np.zeros((*scripted.CANDIDATE_INPUT, 3), np.uint8)
    (instances,) = Segmenter(engine=CandidateEngine(boxes, scores), conf=0.4, iou=0.9)([image])
    assert golden("detections", PRESENT)["beyond_the_input/official_script"].tolist() == [0, 1, 2, 3]
    assert instances.mask_logits[:, 0, 0].tolist() == [0, 1]
    assert instances.boxes.tolist() == [[0, 0, 30, 40], [990, 700, 1024, 768]]


def test_score_must_exceed_conf():
    rows = golden("detections", OFFICIAL)["score_at_conf/official_script"]
    _, scores = scripted.candidates()["score_at_conf"]
    assert np.float32(0.4) in scores
    assert scores[rows].min() == np.nextafter(np.float32(0.4), np.float32(1))
