"""`FastSAM`: sources, options and results, by both sets of rules."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from streamseg.errors import ConfigError, DataError, EngineError, SourceError, WeightsError
from streamseg.fastsam import FastSAM, FastSAMPredictor, Results
from streamseg.fastsam.reference_masks import as_reference, native_masks, plain_masks, stacked
from streamseg.modeling.network import Network
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.synthetic import SceneRenderer
from streamseg.weights import save_weights
from tests.support.checkpoints import official_checkpoint
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video

IMAGE = blobs((120, 161), seed=5)[:, :, ::-1].copy()
"""BGR."""
RENDERER = SceneRenderer(960, 540, num_objects=8, seed=3)
FRAME = 60


@pytest.fixture(scope="module")
def network() -> Network:
    return lively_network()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, network) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    return save_weights(network.state_dict(), folder / "lively.safetensors", metadata={"imgsz": "160"})


@pytest.fixture(scope="module")
def model(weights) -> FastSAM:
    return FastSAM(weights, engine="torch")


@pytest.fixture(scope="module")
def streamseg_model(weights) -> FastSAM:
    return FastSAM(weights, engine="torch", prompting="default")


@pytest.fixture(scope="module")
def instances(weights):
    return Segmenter(weights, engine="torch", device="cpu", conf=0.4, iou=0.9)([IMAGE[:, :, ::-1]])[0]


def same(first: Results, second: Results, *, atol=1e-4) -> None:
    torch.testing.assert_close(first.boxes.data, second.boxes.data, atol=atol, rtol=0)
    assert torch.equal(first.masks.data, second.masks.data)


# ---- rules


@pytest.mark.slow
def test_retina_masks_by_fastsams_rules(model, instances):
    (result,) = model(IMAGE, device="cpu", retina_masks=True, conf=0.4, iou=0.9)
    assert len(result) == len(instances) > 10
    expected = as_reference(instances)
    np.testing.assert_array_equal(result.masks.data, stacked(native_masks(expected), (120, 161)))
    torch.testing.assert_close(result.boxes.xyxy, expected.boxes)
    assert torch.equal(result.boxes.conf, instances.scores)
    assert result.boxes.cls.unique().tolist() == [0]


@pytest.mark.slow
def test_plain_masks_by_fastsams_rules(model, instances):
    (result,) = model(IMAGE, conf=0.4, iou=0.9)
    assert result.masks.shape[1:] == (128, 160)
    np.testing.assert_array_equal(result.masks.data, stacked(plain_masks(as_reference(instances)), (128, 160)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("retina", "size"), [pytest.param(True, (120, 161), id="retina"), pytest.param(False, (119, 160), id="plain")]
)
def test_masks_by_streamsegs_rules(streamseg_model, instances, retina, size):
    (result,) = streamseg_model(IMAGE, retina_masks=retina, conf=0.4, iou=0.9)
    np.testing.assert_array_equal(result.masks.data, stacked(instance_masks(instances, size=size), size))
    assert torch.equal(result.boxes.xyxy, instances.boxes)


@pytest.mark.slow
@pytest.mark.parametrize("prompting", ["reference", "default"])
@pytest.mark.parametrize("retina", [True, False])
def test_boxes_select_the_objects_of_a_scene(prompting, retina):
    frame, truth = RENDERER.render(FRAME), RENDERER.truth(FRAME)
    predictor = FastSAMPredictor({"model": "default", "conf": 0.3, "retina_masks": retina}, prompting=prompting)
    everything = predictor(frame[:, :, ::-1].copy())
    overlaps = []
    for box, mask, is_part in zip(truth.boxes, truth.masks, truth.is_part, strict=True):
        if not is_part and mask.area > 4000:
            (selected,) = predictor.prompt(everything, bboxes=box)
            expected = mask.full(RENDERER.size)
            found = selected.masks.at_image_size().any(axis=0)
            overlaps.append((found & expected).sum() / (found | expected).sum())
    assert len(overlaps) >= 4
    assert np.median(overlaps) > 0.6


# ---- options


@pytest.mark.slow
def test_official_checkpoint_gives_the_same_results(tmp_path, model, network):
    path = official_checkpoint(network, tmp_path / "FastSAM-s.pt", half=False, imgsz=160)
    same(FastSAM(str(path), engine="torch")(IMAGE)[0], model(IMAGE)[0])


@pytest.mark.slow
def test_weights_are_read_once(tmp_path, network):
    path = save_weights(network.state_dict(), tmp_path / "gone.safetensors", metadata={"imgsz": "96"})
    model = FastSAM(path, engine="torch")
    path.unlink()
    for options in ({}, {"conf": 0.5}, {"imgsz": 64}, {"device": "cpu"}, {"device": "cpu", "half": True}):
        assert len(model(IMAGE, **options)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param({}, (128, 160), id="size of the weights"),
        pytest.param({"imgsz": 96}, (96, 96), id="smaller"),
        pytest.param({"imgsz": 300}, (256, 320), id="rounded up"),
    ],
)
def test_imgsz(model, options, size):
    assert model(IMAGE, **options)[0].masks.shape[1:] == size


@pytest.mark.slow
def test_conf_and_max_det(model):
    scores = model(IMAGE)[0].boxes.conf
    assert scores.min() > 0.25
    assert model(IMAGE, conf=0.6)[0].boxes.conf.tolist() == scores[scores > 0.6].tolist()
    assert len(model(IMAGE, max_det=3)[0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("retina", [True, False])
@pytest.mark.parametrize("prompts", [{}, {"bboxes": [10, 10, 50, 50]}, {"points": [10, 10]}], ids=str)
def test_image_without_objects_has_no_rows(model, streamseg_model, retina, prompts):
    for one in (model, streamseg_model):
        (result,) = one(IMAGE, conf=1.0, retina_masks=retina, **prompts)
        assert len(result) == 0
        assert result.boxes.shape == (0, 6)
        assert result.masks.shape[0] == 0
        assert result.masks.xy == []
        assert result.plot().shape == IMAGE.shape


def test_other_attributes_of_results(model):
    (result,) = model(IMAGE, verbose=False)
    assert result.names == model.names == {0: "object"}
    assert result.orig_img is IMAGE
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert all(took > 0 for took in result.speed.values())
    assert model.task == "segment"
    assert model.device.type in ("cpu", "cuda")
    assert model.to("cpu") is model


# ---- sources


@pytest.mark.slow
def test_same_image_from_all_sources(tmp_path, model):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), IMAGE)
    pil = Image.fromarray(IMAGE[:, :, ::-1])
    expected = model(IMAGE)[0]
    for source in (str(path), path, pil, [IMAGE], [path], str(tmp_path), str(tmp_path / "*.png")):
        (result,) = model(source)
        same(result, expected)
        np.testing.assert_array_equal(result.orig_img, IMAGE)
    assert model(str(path))[0].path == str(path)
    assert model(pil)[0].path == "image0.jpg"


def test_arrays_are_bgr(model):
    assert not torch.equal(model(IMAGE)[0].boxes.data, model(IMAGE[:, :, ::-1].copy())[0].boxes.data)


@pytest.mark.slow
def test_images_do_not_affect_each_other(model):
    images = [IMAGE, blobs((90, 60), seed=1), IMAGE]
    for together, image in zip(model(images), images, strict=True):
        same(together, model(image)[0])


def test_stream_reads_images_on_demand(tmp_path, model):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    stream = model([tmp_path / "a.png", tmp_path / "missing.png"], stream=True)
    assert len(next(stream)) > 0
    with pytest.raises(SourceError, match="missing"):
        next(stream)


@pytest.mark.slow
def test_endless_source_requires_stream(model):
    with pytest.raises(ConfigError, match="use stream=True"):
        model("scene")
    stream = model.predict("scene", True, points=[[640, 360]])
    assert isinstance(next(stream), Results)
    stream.close()


def test_video(tmp_path, model):
    path = write_video(tmp_path / "video.mp4", 6)
    assert len(model(path)) == 6
    assert len(list(model(str(path), stream=True, vid_stride=3))) == 2


# ---- tracking


@pytest.mark.slow
def test_identities_persist():
    model = FastSAM("default")
    frames = [RENDERER.render(FRAME + step)[:, :, ::-1].copy() for step in range(4)]
    results = model.track(frames, conf=0.4, imgsz=448, tracker="bytetrack.yaml")
    first = results[0].boxes.id.tolist()
    assert len(first) == len(set(first)) > 3
    for result in results:
        assert result.boxes.is_track
        assert len(set(result.boxes.id.tolist()) & set(first)) >= len(first) - 1
        assert len(result.masks) == len(result.boxes) == len(result.instances)
    assert min(model.track(frames[:1], conf=0.4)[0].boxes.id) == 1
    stream = model.track(frames[:1], stream=True, persist=True, conf=0.4)
    assert set(next(stream).boxes.id.tolist()) == set(model.track(frames[:1], conf=0.4)[0].boxes.id.tolist())


def test_track_without_objects(model):
    (result,) = model.track(IMAGE, conf=1.0)
    assert result.boxes.shape == (0, 7)
    assert result.boxes.id.tolist() == []


# ---- errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(lambda model: model(IMAGE, conf=2), ConfigError, "conf must be 0..1", id="conf"),
        pytest.param(lambda model: model(IMAGE, imgsz=8), ConfigError, "imgsz must be", id="imgsz"),
        pytest.param(lambda model: model(IMAGE, retina=True), ConfigError, "unknown option 'retina'", id="option"),
        pytest.param(lambda model: model(IMAGE, show=True), ConfigError, "show", id="show"),
        pytest.param(lambda model: model(IMAGE, device="abacus"), EngineError, "no device 'abacus'", id="device"),
        pytest.param(lambda model: model(IMAGE, texts="a dog"), WeightsError, "encoders", id="text"),
        pytest.param(lambda model: model(IMAGE, labels=[1]), DataError, "labels are given without points", id="labels"),
        pytest.param(lambda model: model("nowhere.png"), SourceError, "nowhere", id="source"),
        pytest.param(lambda model: model([]), DataError, "empty", id="empty list"),
        pytest.param(lambda model: model(None), DataError, "NoneType", id="None"),
    ],
)
def test_errors_are_one_line(model, call, error, message):
    with pytest.raises(error, match=message) as raised:
        call(model)
    assert "\n" not in str(raised.value)


def test_missing_weights_are_named_immediately(tmp_path):
    with pytest.raises(WeightsError, match=r"mine\.pt"):
        FastSAM(tmp_path / "mine.pt")


def test_prompting_has_two_values():
    with pytest.raises(ConfigError, match="must be reference or default, got 'own'"):
        FastSAM("default", prompting="own")
