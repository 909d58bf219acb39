from dataclasses import replace

import numpy as np
import pytest
import torch

from streamseg.engines.export import export_graph, graph_metadata
from streamseg.errors import ConfigError
from streamseg.geometry import raster_logits, silhouettes
from streamseg.modeling.refiner import REFINER_RASTER, Refiner, calibrated_scores
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import CORRECTION_MARGIN, Instances
from streamseg.structures.mask_samples import SILHOUETTE_TILES, WIDENED_CELLS
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_network
from tests.support.refiners import (
    IMAGE_SIZE,
    PLACE,
    random_image,
    random_instances,
    random_prototypes,
    refined_file,
    trained_refiner,
)

pytestmark = pytest.mark.slow


def test_new_refiner_corrects_nothing():
    instances = random_instances()
    refined, scores = Refiner().eval().refine(instances, random_prototypes(), random_image(), PLACE)
    assert refined.corrections.shape == (3, REFINER_RASTER, REFINER_RASTER)
    assert not refined.corrections.any()
    assert torch.equal(refined.boxes, instances.boxes)
    assert ((scores > 0) & (scores < instances.scores)).all()  # the quality is below 1
    for plain, same in zip(instance_masks(instances), instance_masks(refined), strict=True):
        # The only difference is the margin around a box: refined masks are not clipped to the box.
        x, y = plain.x - same.x, plain.y - same.y
        inside = same.crop[y : y + plain.crop.shape[0], x : x + plain.crop.shape[1]]
        np.testing.assert_array_equal(inside, plain.crop)


def test_empty_instances_stay_empty():
    refined, scores = trained_refiner().refine(Instances.empty(IMAGE_SIZE), random_prototypes(), random_image(), PLACE)
    assert len(refined) == len(scores) == 0


def test_samples_are_those_of_the_corrected_masks():
    refined, _ = trained_refiner().refine(random_instances(), random_prototypes(), random_image(), PLACE)
    expected = raster_logits(refined, WIDENED_CELLS, margin=CORRECTION_MARGIN)
    torch.testing.assert_close(refined.samples.widened.float(), expected, atol=1e-2, rtol=1e-3)
    without = replace(refined, samples=None)
    assert torch.equal(silhouettes(refined, SILHOUETTE_TILES), silhouettes(without, SILHOUETTE_TILES))


def test_objects_are_refined_independently():
    instances = random_instances(4)
    together, scores = trained_refiner().refine(instances, random_prototypes(), random_image(), PLACE)
    for row in range(4):
        alone, score = trained_refiner().refine(instances[[row]], random_prototypes(), random_image(), PLACE)
        torch.testing.assert_close(alone.corrections[0], together.corrections[row], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(score[0], scores[row], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("calibration", "score", "quality", "expected"),
    [
        pytest.param([1, 0, 1], 0.4, 0.0, 0.2, id="product"),
        pytest.param([1, 0, 1], 0.3, 50.0, 0.3, id="full quality"),
        pytest.param([1, 0, 0.5], 0.4, -1.0986123, 0.2, id="square root of the quality"),
        pytest.param([1, 0, 0], 0.4, -5.0, 0.4, id="score alone"),
        pytest.param([0, 30, 1], 0.3, 0.0, 1.0, id="constant"),
        pytest.param([2, 0, 1], 0.5, 50.0, 0.5, id="slope"),
        pytest.param([1, 0, 1], 0.0, 0.0, 0.0, id="no score"),
        pytest.param([1, 0, 1], 1.0, 50.0, 1.0, id="full score"),
    ],
)
def test_calibrated_scores(calibration, score, quality, expected):
    found = calibrated_scores(
        torch.tensor(calibration, dtype=torch.float32), torch.tensor([score]), torch.tensor([quality])
    )
    assert found.item() == pytest.approx(expected, abs=1e-5)


# ---- in the segmenter


def segment(weights, **options):
    with Segmenter(weights, device="cpu", imgsz=160, conf=0.3, max_det=20, **options) as segmenter:
        return segmenter([blobs(IMAGE_SIZE)])[0]


def test_plain_masks_and_raw_scores_are_those_of_the_network(tmp_path):
    refined = refined_file(tmp_path, trained_refiner())
    alone = save_weights(lively_network().state_dict(), tmp_path / "alone.safetensors")
    expected = segment(alone, engine="torch")
    found = segment(refined, engine="torch", masks="plain", scores="raw")
    assert found.corrections is None
    for name in ("boxes", "scores", "mask_logits"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_sharp_masks_and_calibrated_scores_with_a_refiner_in_the_weights(tmp_path):
    path = refined_file(tmp_path, trained_refiner())
    plain = segment(path, engine="torch", masks="plain", scores="raw")
    sharp = segment(path, engine="torch", scores="raw")
    both = segment(path, engine="torch")
    scores_alone = segment(path, engine="torch", masks="plain")
    assert torch.equal(sharp.scores, plain.scores)
    assert sharp.corrections is not None
    assert sharp.corrections.any()
    assert (both.scores.diff() <= 0).all()
    assert not torch.equal(both.scores, plain.scores)
    assert scores_alone.corrections is None
    assert torch.equal(scores_alone.scores, both.scores)
    # The same objects in a different order.
    assert sorted(both.boxes.tolist()) == sorted(plain.boxes.tolist())
    row = both.boxes.tolist().index(sharp.boxes[0].tolist())
    assert torch.equal(both.corrections[row], sharp.corrections[0])


def test_graphs_contain_the_refiner(tmp_path):
    weights = load_weights(refined_file(tmp_path, trained_refiner()))
    path = tmp_path / "refined.onnx"
    path.write_bytes(export_graph(weights.network(), metadata=graph_metadata(weights)))
    by_torch, by_graph = segment(weights.path, engine="torch"), segment(path)
    assert len(by_torch) == len(by_graph)
    assert len(by_torch) > 3
    torch.testing.assert_close(by_graph.scores, by_torch.scores, rtol=0, atol=1e-3)
    torch.testing.assert_close(by_graph.corrections, by_torch.corrections, rtol=1e-3, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "sharp"}, "masks sharp require a refiner"),
        ({"scores": "calibrated"}, "scores calibrated require a refiner"),
        ({"masks": "sharp", "scores": "calibrated"}, "masks sharp and scores calibrated require"),
    ],
)
def test_sharp_masks_and_calibrated_scores_require_a_refiner(tmp_path, options, message):
    path = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    with pytest.raises(ConfigError, match=message):
        segment(path, engine="torch", **options)
