import numpy as np
import pytest
import torch

from streamseg.config import SegmentationConfig
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import ConfigError, DataError, EngineError, StreamsegError
from streamseg.fastsam.mode import ReferenceSegmenter
from streamseg.geometry import box_iou
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.weights import save_weights
from tests.support.networks import CountedRefiner, blobs, lively_network
from tests.support.scripted_engine import ScriptedEngine, grey


def segment(objects, *, size=(64, 64), half=False, **options):
    """Return the instances of one image for which the network predicts `objects`."""
    engine = ScriptedEngine({7: objects}, half=half)
    (instances,) = Segmenter(engine=engine, imgsz=64, **options)([grey(7, size)])
    return instances


def far_apart(scores):
    return [([i * 4, 0, i * 4 + 3, 60], score) for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("objects", "options", "scores"),
    [
        pytest.param([], {}, [], id="none"),
        pytest.param(far_apart([0.3, 0.9, 0.5]), {}, [0.9, 0.5, 0.3], id="descending"),
        pytest.param(far_apart([0.25, 0.26, 0.1]), {"conf": 0.25}, [0.26], id="conf is exclusive"),
        pytest.param(far_apart([0.9, 0.8, 0.7, 0.6]), {"max_det": 2}, [0.9, 0.8], id="the best max_det"),
        pytest.param(
            [([0, 0, 40, 40], 0.8), ([1, 1, 41, 41], 0.9), ([1, 1, 20, 20], 0.7)], {"iou": 0.7}, [0.9, 0.7], id="nms"
        ),
        pytest.param([([0, 0, 40, 40], 0.8), ([0, 0, 40, 40], 0.9)], {"iou": 1}, [0.9, 0.8], id="iou 1 keeps all"),
        pytest.param([([-20, -20, -4, -4], 0.9), ([4, 4, 8, 8], 0.5)], {}, [0.5], id="outside the image"),
        pytest.param([([4, 4, 4, 8], 0.9), ([9, 9, 4, 4], 0.8)], {}, [], id="without extent"),
        pytest.param([([4, 4, 8, 8], float("nan"))], {"conf": 0}, [], id="NaN score"),
    ],
)
def test_selected_objects(objects, options, scores):
    instances = segment(objects, **options)
    assert instances.scores.tolist() == pytest.approx(scores)
    assert instances.boxes.shape == (len(scores), 4)
    assert instances.mask_logits.shape == (len(scores), 16, 16)


def test_boxes_are_clipped_and_in_image_pixels():
    # 36 x 128 fits into 64 as 18 x 64, between 7 rows of padding above and 7 below.
    instances = segment([([8, 9, 16, 11], 0.9), ([-3, 0, 99, 20], 0.8)], size=(36, 128))
    assert instances.image_size == (36, 128)
    assert instances.boxes.tolist() == [[16, 4, 32, 8], [0, 0, 128, 26]]
    assert instances.grid_to_image == (8, 8, 0, -14)


@pytest.mark.parametrize("half", [False, True])
def test_logits_are_the_coefficients_times_the_prototypes(half):
    # Rows follow the scores: anchor 1, then 0; anchor 1 has the negative prototype.
    instances = segment([([0, 0, 20, 20], 0.5), ([30, 30, 60, 60], 0.9)], half=half)
    assert instances.mask_logits.dtype == torch.float32
    assert instances.mask_logits[:, 0, 0].tolist() == [-1, 1]
    empty, full = instance_masks(instances)
    assert empty.area == 0
    assert full.area == 400


def test_image_without_objects_in_a_batch_has_no_rows():
    engine = ScriptedEngine({10: far_apart([0.9]), 30: far_apart([0.8, 0.7])})
    found = Segmenter(engine=engine, imgsz=64)([grey(10), grey(20), grey(30)])
    assert engine.shapes == [(3, 64, 64, 3)]
    assert [len(instances) for instances in found] == [1, 0, 2]
    assert found[1].boxes.shape == (0, 4)
    assert found[1].mask_logits.shape == (0, 16, 16)
    assert found[1].image_size == (64, 64)


def test_equal_shapes_share_a_batch_and_results_keep_their_order():
    engine = ScriptedEngine({value: far_apart([value / 100]) for value in (40, 50, 60, 70, 80)})
    sizes = [(64, 64), (32, 64), (128, 128), (64, 32), (16, 32)]
    images = [grey(value, size) for value, size in zip((40, 50, 60, 70, 80), sizes, strict=True)]
    found = Segmenter(engine=engine, imgsz=64)(images)
    assert sorted(engine.shapes) == [(1, 64, 32, 3), (2, 32, 64, 3), (2, 64, 64, 3)]
    assert [round(float(instances.scores[0]), 2) for instances in found] == [0.4, 0.5, 0.6, 0.7, 0.8]
    assert [instances.image_size for instances in found] == sizes


@pytest.mark.parametrize(
    ("num_images", "max_batch", "batches"),
    [
        pytest.param(3, 1, [1, 1, 1], id="one by one"),
        pytest.param(5, 2, [2, 2, 1], id="pairs and a remainder"),
        pytest.param(2, 4, [2], id="fewer than possible"),
    ],
)
def test_batches_are_split_at_max_batch(num_images, max_batch, batches):
    engine = ScriptedEngine({value: far_apart([value / 100]) for value in range(40, 45)}, max_batch=max_batch)
    segmenter = Segmenter(engine=engine, imgsz=64)
    found = segmenter([grey(40 + i) for i in range(num_images)])
    assert [shape[0] for shape in engine.shapes] == batches
    assert [round(float(instances.scores[0]), 2) for instances in found] == [0.4, 0.41, 0.42, 0.43, 0.44][:num_images]
    segmenter.warmup((64, 64), num_images=num_images)
    assert [shape[0] for shape in engine.shapes[len(batches) :]] == [size for size in batches for _ in range(2)]


def test_engine_with_fixed_size_gets_that_size():
    # 36 x 128 fits into 96 x 64 as 18 x 64, between 39 rows of padding.
    engine = ScriptedEngine({7: [([8, 39, 16, 48], 0.9)]}, input_size=(96, 64))
    segmenter = Segmenter(engine=engine)
    (instances,) = segmenter([grey(7, (36, 128))])
    segmenter.warmup((720, 1280))
    assert engine.shapes == [(1, 96, 64, 3)] * 3
    assert instances.boxes.tolist() == [[16, 0, 32, 18]]
    assert instances.grid_to_image == (8, 8, 0, -78)
    assert instances.image_size == (36, 128)


def test_images_of_all_sizes_share_a_batch_with_a_fixed_size():
    engine = ScriptedEngine({}, input_size=(96, 64))
    Segmenter(engine=engine)([grey(1, (36, 128)), grey(2), grey(3, (128, 36))])
    assert engine.shapes == [(3, 96, 64, 3)]


@pytest.mark.parametrize("imgsz", [None, 96, 70])
def test_imgsz_that_agrees_with_the_fixed_size(imgsz):
    assert Segmenter(engine=ScriptedEngine({}, input_size=(64, 96)), imgsz=imgsz).engine.input_size == (64, 96)


def test_imgsz_that_contradicts_the_fixed_size():
    engine = ScriptedEngine({}, input_size=(64, 96))
    with pytest.raises(EngineError, match=r"imgsz 640 contradicts .* 64x96 \(H x W\) only; omit imgsz") as caught:
        Segmenter(engine=engine, imgsz=640)
    assert "\n" not in str(caught.value)
    assert engine.closed


def test_no_images():
    engine = ScriptedEngine({})
    assert Segmenter(engine=engine)([]) == []
    assert engine.shapes == []


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), "a.jpg"])
def test_with_regions_one_invalid_image_rejects_the_batch(image):
    engine = ScriptedEngine({})
    with pytest.raises(DataError, match="an image must be"):
        Segmenter(engine=engine)([grey(7), image], [NO_REGIONS] * 2)
    assert engine.shapes == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(np.zeros((4, 4, 2), np.uint8), "an image must be", id="two channels"),
        pytest.param(np.full((4, 4, 3), 9.0), "must be 0..1, got 9..9", id="floats above 1"),
        pytest.param("missing.jpg", "missing.jpg cannot be read: No such file", id="missing file"),
        pytest.param(None, "an image must be .*; got NoneType", id="None"),
        pytest.param([grey(7)], "an image must be .*; got list", id="list in the list"),
    ],
)
def test_one_invalid_image_rejects_the_batch(image, message):
    engine = ScriptedEngine({})
    with pytest.raises(StreamsegError, match=message) as caught:
        Segmenter(engine=engine)([grey(7), image])
    assert "\n" not in str(caught.value)
    assert engine.shapes == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imgsz": 16}, r"imgsz must be 32..4096, got 16"),
        ({"conf": 1.5}, r"conf must be 0..1, got 1.5"),
        ({"iou": -0.1}, r"iou must be 0..1, got -0.1"),
        ({"max_det": 0}, r"max_det must be 1..3000, got 0"),
    ],
)
def test_values_out_of_range_are_rejected(options, message):
    with pytest.raises(ConfigError, match=message):
        Segmenter(engine=ScriptedEngine({}), **options)


def test_stages_are_timed():
    segmenter = Segmenter(engine=ScriptedEngine({}), imgsz=64)
    segmenter([grey(1), grey(2), grey(3, (32, 64))])
    assert {name: stage.num_values for name, stage in segmenter.timer.stages.items()} == {
        "preprocess": 2,
        "network": 2,
        "postprocess": 2,
    }


def test_warmup_runs_the_shape_of_later_images():
    engine = ScriptedEngine({})
    segmenter = Segmenter(engine=engine, imgsz=64)
    segmenter.warmup((36, 64), num_images=3)
    segmenter([grey(1, (36, 64))] * 3)
    assert engine.shapes[0] == engine.shapes[-1]
    assert segmenter.timer.stages["network"].num_values == 1


def test_context_manager_closes_the_engine():
    engine = ScriptedEngine({})
    with Segmenter(engine=engine):
        assert not engine.closed
    assert engine.closed


@pytest.mark.slow
def test_from_config(tmp_path):
    path = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    config = SegmentationConfig(
        weights=str(path), engine="torch", device="cpu", half=True, imgsz=320, conf=0.4, iou=0.5, max_det=7
    )
    segmenter = Segmenter.from_config(config)
    assert (segmenter.engine.name, segmenter.engine.device, segmenter.engine.half) == ("torch", "cpu", True)
    assert (segmenter.imgsz, segmenter.conf, segmenter.iou, segmenter.max_det) == (320, 0.4, 0.5, 7)


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [False, True])
def test_embeddings_are_computed_if_enabled(tmp_path, enabled: bool):
    path = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    config = SegmentationConfig(weights=str(path), engine="torch", device="cpu", imgsz=128, conf=0.01)
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    (found,) = Segmenter.from_config(config, embeddings=enabled)([image])
    assert len(found)
    if not enabled:
        assert found.embeddings is None
        return
    assert found.embeddings is not None
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(found)))


# ---- with a network


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(engine=TorchEngine(lively_network()), imgsz=128)


def assert_alike(found, expected):
    assert len(found) == len(expected)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=0.05, rtol=0)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.mask_logits, expected.mask_logits, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_batch_equals_its_images_one_by_one(segmenter):
    images = [blobs(size, seed) for seed, size in enumerate([(96, 128), (192, 256), (128, 96), (96, 128)])]
    together = segmenter(images)
    assert all(len(instances) > 3 for instances in together)
    for image, instances in zip(images, together, strict=True):
        assert_alike(segmenter([image])[0], instances)


@pytest.mark.slow
def test_documented_properties_of_the_result(segmenter):
    num_whole = 0
    for seed in range(4):
        (instances,) = segmenter([blobs((150, 200), seed)])
        assert 0 < len(instances) <= 300
        assert (instances.scores[1:] <= instances.scores[:-1]).all()
        assert instances.scores.min() > 0.25
        assert (instances.boxes >= 0).all()
        assert (instances.boxes <= torch.tensor([200, 150, 200, 150])).all()
        assert (instances.boxes[:, 2:] > instances.boxes[:, :2]).all()
        # Boxes clipped at the border were compared before clipping.
        whole = ((instances.boxes > 0) & (instances.boxes < torch.tensor([200, 150, 200, 150]))).all(dim=1)
        overlaps = torch.triu(box_iou(instances.boxes[whole], instances.boxes[whole]), diagonal=1)
        assert (overlaps <= 0.7).all()
        num_whole += int(whole.sum())
    assert num_whole > 5


@pytest.mark.slow
def test_image_is_not_modified(segmenter):
    image = blobs((96, 128))
    before = image.copy()
    image.flags.writeable = False
    segmenter([image])
    assert (image == before).all()


def test_input_size_defaults_to_that_of_the_weights():
    assert Segmenter(engine=ScriptedEngine({})).imgsz == 96
    assert Segmenter(engine=ScriptedEngine({}), imgsz=64).imgsz == 64


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_both_engines_read_the_input_size_of_the_weights(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    path = save_weights(lively_network().state_dict(), tmp_path / "w.safetensors", metadata={"imgsz": "384"})
    assert Segmenter(path, engine=engine, device="cpu").imgsz == 384


@pytest.mark.slow
def test_device_engine_equals_the_torch_engine(tmp_path):
    path = save_weights(lively_network().state_dict(), tmp_path / "n.safetensors")
    # Three shapes: batches overlap, and more are started than may be in flight.
    images = [blobs(size, seed) for seed, size in enumerate([(96, 128), (128, 96), (128, 128), (96, 128)])]
    regions = [SearchRegions(expected=np.array([[10.0, 10, 60, 60]]))] + [NO_REGIONS] * 3
    results = []
    for engine in ("torch", "device"):
        with Segmenter(path, engine=engine, device="cpu", imgsz=128, embeddings=True) as segmenter:
            segmenter.warmup((96, 128), num_images=2)
            results.append(segmenter(images, regions))
            assert segmenter([]) == []
    for one, other in zip(*results, strict=True):
        assert len(one) == len(other) > 0
        for name in ("boxes", "scores", "mask_logits", "embeddings"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-3, rtol=1e-4)


# ---- degradations

PLAIN = Degradation(step=1, plain_masks=True)
SMALL = Degradation(step=2, plain_masks=True, imgsz_scale=0.5)


def test_degraded_images_skip_the_refiner_and_are_smaller():
    refiner = CountedRefiner()
    segmenter = Segmenter(engine=TorchEngine(lively_network(), refiner=refiner), imgsz=128, conf=0)
    images = [blobs((96, 128), seed=seed) for seed in range(3)]
    whole, plain, small = segmenter.segment_batch(images, [NO_REGIONS] * 3, [NO_DEGRADATION, PLAIN, SMALL])
    assert len(refiner.num_objects) == 1
    assert whole.corrections is not None
    assert plain.corrections is None
    assert small.corrections is None
    assert [one.mask_logits.shape[1:] for one in (whole, plain, small)] == [(24, 32), (24, 32), (16, 16)]
    assert small.image_size == (96, 128)
    alone = segmenter.segment_batch(images[:1], [NO_REGIONS])[0]
    torch.testing.assert_close(alone.boxes, whole.boxes, atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", [Segmenter, ReferenceSegmenter])
def test_the_rest_after_the_network_may_be_done_later(kind):
    segmenter = kind(engine=TorchEngine(lively_network()), imgsz=128, conf=0)
    images = [blobs(size, seed) for seed, size in enumerate([(96, 128), (128, 96), (96, 128)])]
    options = ([NO_REGIONS] * 3, [NO_DEGRADATION, SMALL, NO_DEGRADATION])
    expected = segmenter.segment_batch(images, *options)
    num_measured = segmenter.timer.stages["postprocess"].num_values
    begun = segmenter.begin_batch(images, *options)
    assert segmenter.timer.stages["postprocess"].num_values == num_measured
    segmenter.segment_batch(images[::-1], [NO_REGIONS] * 3)  # another run of the network in between
    for finish, instances in zip(begun, expected, strict=True):
        found = finish()
        assert len(found) > 3
        for name in ("boxes", "scores", "mask_logits"):
            assert torch.equal(getattr(found, name), getattr(instances, name)), name
    assert segmenter.begin_batch([], []) == []


@pytest.mark.parametrize(
    ("engine", "degradation", "is_offered"),
    [
        pytest.param(ScriptedEngine({}), SMALL, True, id="smaller"),
        pytest.param(ScriptedEngine({}), PLAIN, False, id="no-refiner-to-skip"),
        pytest.param(ScriptedEngine({}, input_size=(64, 64)), SMALL, False, id="fixed-size"),
        pytest.param(ScriptedEngine({}), Degradation(step=1, every_nth=2), False, id="costs-the-same-per-frame"),
    ],
)
def test_offered_degradations(engine: ScriptedEngine, degradation: Degradation, is_offered: bool):
    assert Segmenter(engine=engine, imgsz=64).offers(degradation) is is_offered


def test_refiner_can_be_skipped():
    with Segmenter(engine=TorchEngine(lively_network(), refiner=CountedRefiner()), imgsz=64) as segmenter:
        assert segmenter.offers(PLAIN)


def test_one_degradation_per_image():
    with pytest.raises(ValueError, match="1 degradations for 2 images"):
        Segmenter(engine=ScriptedEngine({}), imgsz=64).segment_batch([grey(1)] * 2, [NO_REGIONS] * 2, [PLAIN])


@pytest.mark.slow
def test_warmup_runs_the_refiner():
    refiner = CountedRefiner()
    segmenter = Segmenter(engine=TorchEngine(lively_network(), refiner=refiner), imgsz=64)
    segmenter.warmup((36, 64), num_images=2)
    assert refiner.num_objects == [1]
