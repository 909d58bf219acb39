"""Runs in FastSAM mode: the official program's boxes, masks and matches in a pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.config import SegmentationConfig, TextConfig
from streamseg.errors import ConfigError
from streamseg.fastsam.mode import FastSAMMode, ReferenceSegmenter
from streamseg.fastsam.reference_masks import as_reference
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.fastsam.reference_text import ReferenceTextSelector
from streamseg.segmentation import Segmenter
from streamseg.structures.degradation import Degradation
from streamseg.structures.prompt import BoxPrompt, PointPrompt
from streamseg.structures.search_regions import SearchRegions
from streamseg.wire import decode, encode
from tests.support.frames import make_frame
from tests.support.stages import RIGHT, make_fastsam_pipeline, make_pipeline, seeded_weights


def test_boxes_are_snapped_before_tracking():
    boxes = [[0.0, 0.0, 63.0, 47.0], RIGHT]
    frame = make_frame()
    pipeline = make_fastsam_pipeline(boxes=boxes)
    result = pipeline.finish(frame, pipeline.segment([frame])[0])
    # 20 pixels are nearly half of this image: the smaller box reaches three borders.
    assert result.tracked.instances.boxes.tolist() == [[0, 0, 64, 48], [40, 0, 64, 48]]
    assert [one.box for one in result.message.objects] == [(0, 0, 64, 48), (40, 0, 64, 48)]
    assert make_pipeline(boxes=boxes)([frame])[0].objects[0].box == tuple(boxes[0])


def test_points_are_merged_and_every_box_matches():
    prompts = [PointPrompt("both", ((10, 20), (50, 20)), (1, 1)), BoxPrompt("box", (28, 20, 30, 22))]
    message = make_fastsam_pipeline(prompts=prompts)([make_frame()])[0]
    assert [(one.track_id, one.prompt_ids) for one in message.objects] == [(1, ("box",)), (-1, ("both",))]
    default = make_pipeline(prompts=prompts)([make_frame()])[0]
    assert [one.prompt_ids for one in default.objects] == [("both",)]
    assert default.objects[0].track_id >= 0


def test_merged_mask_on_the_wire():
    prompts = [PointPrompt("both", ((10, 20), (50, 20)), (1, 1))]
    message = make_fastsam_pipeline(prompts=prompts)([make_frame()])[0]
    (sent,) = message.objects
    (received,) = decode(encode(message)).objects
    assert (received.track_id, received.prompt_ids, received.area) == (-1, ("both",), sent.area)
    np.testing.assert_array_equal(received.mask.full((48, 64)), sent.mask.full((48, 64)))


@pytest.fixture(scope="module")
def config() -> SegmentationConfig:
    return SegmentationConfig(weights=str(seeded_weights()), engine="torch", device="cpu", imgsz=64, conf=0, max_det=5)


@pytest.mark.slow
def test_segmenter_ignores_search_regions(config: SegmentationConfig):
    image = np.full((48, 64, 3), 90, np.uint8)
    segmenter = FastSAMMode().open_segmenter(config, embeddings=True)
    assert isinstance(segmenter, ReferenceSegmenter)
    box = SearchRegions(prompted=np.array([[4.0, 4.0, 20.0, 20.0]]))
    (found,) = segmenter([image], [box])
    plain = Segmenter.from_config(config.model_copy(update={"masks": "plain", "scores": "raw"}))
    expected = as_reference(plain([image])[0])
    assert found.boxes.tolist() == expected.boxes.tolist()
    assert found.embeddings is None


@pytest.mark.parametrize("retina_masks", [True, False])
def test_matcher(retina_masks: bool):
    assert FastSAMMode(retina_masks).prompt_matcher() == ReferenceMatcher(retina_masks)


def test_masks_have_one_size():
    with pytest.raises(ConfigError, match=r"set publish\.mask_scale to 1\.0, got 0\.5"):
        FastSAMMode().prompt_matcher(mask_scale=0.5)


def test_text_matcher(tmp_path):
    assert isinstance(FastSAMMode().text_matcher(TextConfig(encoders=str(tmp_path))), ReferenceTextSelector)


def test_quality_is_never_reduced():
    segmenter = FastSAMMode().open_segmenter(
        SegmentationConfig(weights=str(seeded_weights()), imgsz=64), embeddings=True
    )
    assert not segmenter.offers(Degradation(step=1, plain_masks=True, imgsz_scale=0.5))
