import numpy as np
import pytest
import torch
from networks import blobs, lively_network

from streamseg.errors import ConfigError, WeightsError
from streamseg.geometry import letterbox, raster_points, sample_logits
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.segmentation.export import export_graph, graph_metadata
from streamseg.segmentation.refiner import (
    PREFIX,
    RASTER,
    Refiner,
    calibrated,
    refiner_from_state_dict,
    refiner_from_text,
    refiner_to_text,
    views,
)
from streamseg.segmentation.weights import load_weights, save_weights
from streamseg.structures.instances import CORRECTION_MARGIN, Instances

IMAGE_SIZE = (90, 120)
PLACE = letterbox(IMAGE_SIZE, 160)  # 120x160 in 128x160: padding above and below


def trained(num_masks=32, seed=1):
    """A refiner that answers something, as a trained one does."""
    torch.manual_seed(seed)
    refiner = Refiner(num_masks)
    torch.nn.init.normal_(refiner.correct.weight, std=2.0)
    torch.nn.init.normal_(refiner.judge.weight, std=2.0)
    refiner.calibration.copy_(torch.tensor([0.8, -0.2]))
    return refiner.eval()


def some_instances(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand((count, 2), generator=generator) * 40
    boxes = torch.cat([corner, corner + 10 + torch.rand((count, 2), generator=generator) * 30], dim=1)
    logits = torch.randn((count, 32, 40), generator=generator)
    return Instances(boxes, torch.rand(count, generator=generator), logits, PLACE.to_image(4), IMAGE_SIZE)


def picture(seed=0):
    return blobs(PLACE.input_size, seed)


def prototypes(seed=0):
    return torch.randn((32, 32, 40), generator=torch.Generator().manual_seed(seed))


def test_a_fresh_refiner_corrects_nothing():
    instances = some_instances()
    refined, scores = Refiner().eval().refine(instances, prototypes(), picture(), PLACE)
    assert refined.corrections.shape == (3, RASTER, RASTER)
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


def test_views_lie_where_the_objects_are():
    instances = some_instances()
    height, width = PLACE.input_size
    # Maps and pixels that tell where they are, in pixels of the input.
    x = (torch.arange(width // 4) + 0.5) * 4
    y = (torch.arange(height // 4) + 0.5) * 4
    maps = torch.stack([x.expand(height // 4, -1), y[:, None].expand(-1, width // 4)])
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3)).copy()
    seen = views(instances, maps, torch.from_numpy(ramp), PLACE)
    across, down = raster_points(instances.boxes, RASTER, margin=CORRECTION_MARGIN)
    scale_x, scale_y, offset_x, offset_y = PLACE.to_image()
    wanted_x = ((across - offset_x) / scale_x)[:, None, :].expand(-1, RASTER, -1)
    wanted_y = ((down - offset_y) / scale_y)[:, :, None].expand(-1, -1, RASTER)
    # Beyond the outermost cell centres the maps continue as they are there.
    torch.testing.assert_close(seen.maps[:, 0], wanted_x.clamp(2, width - 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen.maps[:, 1], wanted_y.clamp(2, height - 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen.pixels[:, 0] * 255, (wanted_x - 0.5).clamp(0, width - 1), rtol=0, atol=1e-2)
    rows = torch.arange(3)[:, None, None]
    torch.testing.assert_close(seen.logits, sample_logits(instances, rows, across[:, None], down[:, :, None]))
    extent = (instances.boxes[:, 2:] - instances.boxes[:, :2]).prod(dim=1).sqrt() / scale_x
    torch.testing.assert_close(seen.sides, extent, rtol=1e-3, atol=0)


def test_projecting_first_is_the_same_as_sampling_first():
    refiner, instances, colours = trained(), some_instances(), torch.from_numpy(picture())
    sampled = views(instances, prototypes(), colours, PLACE).maps
    projected = refiner.project(prototypes()[None])[0]
    first = views(instances, projected, colours, PLACE).maps
    torch.testing.assert_close(first, refiner.project(sampled), rtol=1e-4, atol=1e-4)


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


# ---- in a file


def refined_file(tmp_path, refiner):
    tensors = {**lively_network().state_dict(), **{PREFIX + name: t for name, t in refiner.state_dict().items()}}
    return save_weights(tensors, tmp_path / "refined.safetensors")


def test_weights_bring_their_refiner(tmp_path):
    weights = load_weights(refined_file(tmp_path, trained()))
    assert weights.network().config.num_masks == 32
    found = weights.refiner()
    assert found is not None
    for name, tensor in trained().state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_weights_without_one():
    assert refiner_from_state_dict(lively_network().state_dict(), num_masks=32) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda own: own.pop("fine.weight"), "refiner.fine.weight.*shape none", id="missing"),
        pytest.param(lambda own: own.pop("enter.weight"), "refiner.enter.weight is missing", id="width unknown"),
        pytest.param(lambda own: own.update(other=torch.zeros(3)), "refiner.other.*needs none", id="left over"),
        pytest.param(lambda own: own.update({"join.bias": torch.zeros(3)}), r"refiner.join.bias.*\(3,\)", id="shape"),
        pytest.param(
            lambda own: own.update({"enter.weight": torch.zeros(9999, 8, 1, 1)}), "absurd", id="absurdly wide"
        ),
    ],
)
def test_a_broken_refiner_is_refused(change, message):
    own = dict(trained().state_dict())
    change(own)
    with pytest.raises(WeightsError, match=message):
        refiner_from_state_dict({PREFIX + name: tensor for name, tensor in own.items()}, num_masks=32)


def test_a_refiner_for_other_prototypes_is_refused():
    own = {PREFIX + name: tensor for name, tensor in trained().state_dict().items()}
    with pytest.raises(WeightsError, match="project"):
        refiner_from_state_dict(own, num_masks=16)


def test_as_text_in_half_precision():
    found = refiner_from_text(refiner_to_text(trained()), num_masks=32)
    for name, tensor in trained().state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("text", ["", "not base64!", "aGVsbG8="], ids=["empty", "no base64", "no tensors"])
def test_damaged_text_is_refused(text):
    with pytest.raises(WeightsError, match="refiner in the metadata is damaged"):
        refiner_from_text(text, num_masks=32)


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
    torch.testing.assert_close(by_graph.scores, by_torch.scores, rtol=0, atol=2e-3)  # the graph's is in half precision
    torch.testing.assert_close(by_graph.corrections, by_torch.corrections, rtol=0.01, atol=0.05)


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
