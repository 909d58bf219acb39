import numpy as np
import pytest
import torch

from streamseg.engines.export import export_graph, graph_metadata
from streamseg.errors import ConfigError
from streamseg.modeling.refiner import REFINER_RASTER, Refiner, calibrated
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Instances
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_network
from tests.support.refiners import IMAGE_SIZE, PLACE, picture, prototypes, refined_file, some_instances, trained


def test_a_fresh_refiner_corrects_nothing():
    instances = some_instances()
    refined, scores = Refiner().eval().refine(instances, prototypes(), picture(), PLACE)
    assert refined.corrections.shape == (3, REFINER_RASTER, REFINER_RASTER)
    assert not refined.corrections.any()
    assert torch.equal(refined.boxes, instances.boxes)
    assert ((scores > 0) & (scores < instances.scores)).all()  # the quality is below 1
    for plain, same in zip(instance_masks(instances), instance_masks(refined), strict=True):
        # The room around a box is the only difference: masks are no longer cut at it.
        x, y = plain.x - same.x, plain.y - same.y
        inside = same.crop[y : y + plain.crop.shape[0], x : x + plain.crop.shape[1]]
        np.testing.assert_array_equal(inside, plain.crop)


def test_no_instances_stay_none():
    refined, scores = trained().refine(Instances.empty(IMAGE_SIZE), prototypes(), picture(), PLACE)
    assert len(refined) == len(scores) == 0


def test_each_object_is_seen_by_itself():
    instances = some_instances(4)
    together, scores = trained().refine(instances, prototypes(), picture(), PLACE)
    for row in range(4):
        alone, score = trained().refine(instances[[row]], prototypes(), picture(), PLACE)
        torch.testing.assert_close(alone.corrections[0], together.corrections[row], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(score[0], scores[row], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("calibration", "score", "quality", "expected"),
    [
        pytest.param([1, 0], 0.4, 0.0, 0.2, id="the product"),
        pytest.param([1, 0], 0.3, 50.0, 0.3, id="of full quality"),
        pytest.param([0, 30], 0.3, 0.0, 1.0, id="constant"),
        pytest.param([2, 0], 0.5, 50.0, 0.5, id="slope"),
        pytest.param([1, 0], 0.0, 0.0, 0.0, id="no score"),
        pytest.param([1, 0], 1.0, 50.0, 1.0, id="full score"),
    ],
)
def test_calibrated_scores(calibration, score, quality, expected):
    answer = calibrated(torch.tensor(calibration, dtype=torch.float32), torch.tensor([score]), torch.tensor([quality]))
    assert answer.item() == pytest.approx(expected, abs=1e-5)


# ---- in the segmenter


def answers(weights, **options):
    with Segmenter(weights, device="cpu", imgsz=160, conf=0.3, max_det=20, **options) as segmenter:
        return segmenter([blobs(IMAGE_SIZE)])[0]


def test_plain_and_raw_are_the_network_alone(tmp_path):
    refined = refined_file(tmp_path, trained())
    alone = save_weights(lively_network().state_dict(), tmp_path / "alone.safetensors")
    wanted = answers(alone, engine="torch")
    found = answers(refined, engine="torch", masks="plain", scores="raw")
    assert found.corrections is None
    for name in ("boxes", "scores", "mask_logits"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))


def test_sharp_masks_and_calibrated_scores_where_the_weights_bring_a_refiner(tmp_path):
    path = refined_file(tmp_path, trained())
    plain = answers(path, engine="torch", masks="plain", scores="raw")
    sharp = answers(path, engine="torch", scores="raw")
    both = answers(path, engine="torch")
    scores_alone = answers(path, engine="torch", masks="plain")
    assert torch.equal(sharp.scores, plain.scores)
    assert sharp.corrections is not None
    assert sharp.corrections.any()
    assert (both.scores.diff() <= 0).all()
    assert not torch.equal(both.scores, plain.scores)
    assert scores_alone.corrections is None
    assert torch.equal(scores_alone.scores, both.scores)
    # The same objects, ranked anew.
    assert sorted(both.boxes.tolist()) == sorted(plain.boxes.tolist())
    row = both.boxes.tolist().index(sharp.boxes[0].tolist())
    assert torch.equal(both.corrections[row], sharp.corrections[0])


def test_graphs_carry_the_refiner(tmp_path):
    weights = load_weights(refined_file(tmp_path, trained()))
    path = tmp_path / "refined.onnx"
    path.write_bytes(export_graph(weights.network(), metadata=graph_metadata(weights)))
    by_torch, by_graph = answers(weights.path, engine="torch"), answers(path)
    assert len(by_torch) == len(by_graph)
    assert len(by_torch) > 3
    torch.testing.assert_close(by_graph.scores, by_torch.scores, rtol=0, atol=1e-3)
    torch.testing.assert_close(by_graph.corrections, by_torch.corrections, rtol=1e-3, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "sharp"}, "masks sharp need a refiner"),
        ({"scores": "calibrated"}, "scores calibrated need a refiner"),
        ({"masks": "sharp", "scores": "calibrated"}, "masks sharp and scores calibrated need"),
    ],
)
def test_without_a_refiner_they_cannot_be_asked_for(tmp_path, options, message):
    path = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    with pytest.raises(ConfigError, match=message):
        answers(path, engine="torch", **options)
