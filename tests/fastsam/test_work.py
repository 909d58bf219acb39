"""`FastSAM.val`, `train` and `export`, and files written by predictions: whole calls as in scripts."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.errors import ConfigError, DataError, WeightsError
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.fastsam import FastSAM
from streamseg.segmentation import Segmenter
from streamseg.training.checkpoint import load_checkpoint
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video
from tests.support.yolo_data import box_image, yolo_data_set

pytestmark = pytest.mark.slow

SIZE = (60, 80)
TINY = {"imgsz": 32, "batch": 2, "workers": 0, "seed": 1, "amp": False}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working folder with weights, a data set and images, as in the examples of the originals."""
    monkeypatch.chdir(tmp_path)
    save_weights(lively_network().state_dict(), "FastSAM-n.safetensors", metadata={"imgsz": "96"})
    rows = [box_image(SIZE, 10 * k, 5 + k, 10 * k + 30, 45 + k) for k in range(4)]
    yolo_data_set(tmp_path, {"train": rows, "val": rows[:3]})
    return tmp_path


@pytest.fixture
def model(work):
    return FastSAM("FastSAM-n.safetensors", engine="torch").to("cpu")


# ---- val


def test_val_is_our_evaluation(model):
    metrics = model.val(data="coco8-seg.yaml", max_det=50, plots=True, verbose=False)
    with Segmenter(
        "FastSAM-n.safetensors", engine="torch", device="cpu", conf=0.001, max_det=50, masks="plain", scores="raw"
    ) as segmenter:
        expected = evaluate_proposals(segmenter, Path("coco8-seg.yaml"))
    assert repr(metrics.scores) == repr(expected)  # a nan is not equal to itself
    assert (metrics.scores.num_images, metrics.scores.num_objects) == (3, 3)
    assert (metrics.box.map, metrics.seg.map50) == (expected.box.precision, expected.mask.precision_50)
    assert all(value > 0 for value in metrics.speed.values())
    assert not Path("runs").exists()


def test_split_of_val(model):
    assert model.val(data="coco8-seg.yaml", split="train").scores.num_images == 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"data": "gone.yaml"}, DataError, "no data set gone.yaml", id="data"),
        pytest.param({"data": "coco8-seg.yaml", "split": "test"}, DataError, "no images for test", id="no split"),
        pytest.param(
            {"data": "coco8-seg.yaml", "split": "all"}, ConfigError, "train, val, test, got 'all'", id="split"
        ),
        pytest.param({"data": "coco8-seg.yaml", "imgsize": 64}, ConfigError, "did you mean 'imgsz'", id="typo"),
        pytest.param({"data": "coco8-seg.yaml", "augment": True}, ConfigError, "augment=True is not", id="augment"),
    ],
)
def test_errors_of_val(model, options, error, message):
    with pytest.raises(error, match=message) as raised:
        model.val(**options)
    assert "\n" not in str(raised.value)


def test_unusable_lines_are_skipped_and_named(model, work, caplog):
    (work / "coco8-seg/labels/val/000000000001.txt").write_text("0 0.1")
    assert model.val(data="coco8-seg.yaml").scores.num_objects == 2
    assert "skipped: " in caplog.text
    assert "000000000001.txt, line 1" in caplog.text


# ---- train


def test_train_for_20_steps(model, capsys, caplog):
    before = load_weights("FastSAM-n.safetensors")
    metrics = model.train(data="coco8-seg.yaml", epochs=10, patience=5, cache=True, lr0=1e-3, **TINY)
    path = Path("runs/segment/train/weights.safetensors")
    weights = load_weights(path)
    assert weights.metadata == {
        "recipe": "coco8-seg.yaml",
        "steps": "20",
        "size": "n",
        "imgsz": "32",
        "started_from_sha256": before.sha256,
    }
    assert not torch.equal(weights.state_dict["model.0.conv.weight"], before.state_dict["model.0.conv.weight"].half())
    assert metrics.scores.num_images == 3
    assert "train: patience, cache has no effect here" in caplog.text
    assert "20/20  box " in capsys.readouterr().err
    # The model is now the trained one.
    assert model.model_name == str(path)
    (found,) = model("coco8-seg/images/val/000000000001.png", conf=0.001)
    (expected,) = FastSAM(path, engine="torch")("coco8-seg/images/val/000000000001.png", conf=0.001)
    assert torch.equal(found.boxes.data, expected.boxes.data)


def test_run_is_resumed(model):
    first = {**TINY, "data": "coco8-seg.yaml", "name": "a", "val": False}
    model.train(epochs=1, **first)
    assert load_checkpoint(Path("runs/segment/a/last.ckpt"))["step"] == 2
    model.train(epochs=2, resume=True, **first)
    assert load_checkpoint(Path("runs/segment/a/last.ckpt"))["step"] == 4
    assert [path.name for path in Path("runs/segment").iterdir()] == ["a"]


def test_train_from_scratch(model):
    model.train(data="coco8-seg.yaml", epochs=0.5, pretrained=False, val=False, **TINY)
    assert "started_from_sha256" not in load_weights(model.model_name).metadata


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"data": "gone.yaml"}, DataError, "no data set gone.yaml", id="data"),
        pytest.param({"batch": -1}, ConfigError, "batch must be 1 or more: its size is not chosen", id="batch"),
        pytest.param({"device": 7}, ConfigError, "device 'cuda:7' is not available", id="device"),
        pytest.param({"resume": True}, DataError, "there is no checkpoint runs/segment/train/last.ckpt", id="resume"),
    ],
)
def test_errors_of_train(model, options, error, message):
    with pytest.raises(error, match=message) as raised:
        model.train(**{"data": "coco8-seg.yaml", "epochs": 1, **TINY} | options)
    assert "\n" not in str(raised.value)
    assert not Path("runs").exists()
    assert model.model_name == "FastSAM-n.safetensors"


# ---- export


def test_export(model, caplog):
    path = model.export(format="onnx", dynamic=True, imgsz=96)
    assert path == "FastSAM-n.onnx"
    assert "export: dynamic, imgsz has no effect here" in caplog.text
    image = blobs((96, 128), seed=2)
    (found,) = FastSAM(path)(image, device="cpu")
    (expected,) = model(image)
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.boxes.data, expected.boxes.data, atol=0.02, rtol=0)


def test_export_with_suppression(model):
    path = Path(model.export(nms=True, conf=0.3, iou=0.6, max_det=20))
    suppression = OnnxEngine(path.read_bytes(), path=path).suppression
    assert (suppression.conf, suppression.iou, suppression.max_det) == (0.3, 0.6, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"format": "engine"}, "format 'engine' is not available; available: onnx,", id="format"),
        pytest.param({"format": "torchscript"}, "'torchscript' is not available; available: onnx", id="torchscript"),
        pytest.param({"int8": True}, "use streamseg export --int8-calibration", id="int8"),
        pytest.param({"halff": True}, "did you mean 'half'", id="typo"),
        pytest.param({"nms": True, "conf": 3}, "conf must be 0..1", id="conf"),
    ],
)
def test_errors_of_export(model, options, message):
    with pytest.raises(ConfigError, match=message) as raised:
        model.export(**options)
    assert "\n" not in str(raised.value)
    assert not list(Path().glob("*.onnx"))


def test_graphs_are_neither_exported_nor_trained(model):
    graph = FastSAM(model.export())
    with pytest.raises(WeightsError, match="is a graph already"):
        graph.export()
    with pytest.raises(WeightsError, match=r"is a graph; train the \.pt or \.safetensors file"):
        graph.train(data="coco8-seg.yaml", epochs=1, **TINY)


# ---- files of predictions


def test_prediction_writes_files(model):
    cv2.imwrite("dogs.png", blobs((96, 128), seed=2))
    write_video(Path("street.mp4"), images=[blobs((96, 128), seed=seed) for seed in range(3)])
    (result,) = model.predict("dogs.png", save=True, save_txt=True, save_conf=True, retina_masks=True)
    assert result.save_dir == "runs/segment/predict"
    np.testing.assert_array_equal(cv2.imread("runs/segment/predict/dogs.png"), result.plot())
    labels = Path("runs/segment/predict/labels/dogs.txt").read_text().splitlines()
    assert len(labels) == len(result) > 0
    assert float(labels[0].split()[-1]) == pytest.approx(float(result.boxes.conf[0]), abs=1e-5)

    tracked = model.track("street.mp4", save=True, save_txt=True, name="tracks")
    assert len(tracked) == 3
    names = {path.name for path in Path("runs/segment/tracks").rglob("*.*")}
    assert "street.mp4" in names
    assert names <= {"street.mp4", *(f"street_{number}.txt" for number in (1, 2, 3))}
    first = Path("runs/segment/tracks/labels/street_1.txt").read_text().splitlines()
    assert [int(line.split()[-1]) for line in first] == [int(one) for one in tracked[0].boxes.id]


def test_prompts_limit_what_is_written(model):
    cv2.imwrite("dogs.png", blobs((96, 128), seed=2))
    (result,) = model.predict("dogs.png", bboxes=[10, 10, 60, 60], save_txt=True)
    assert len(result) == 1
    assert len(Path("runs/segment/predict/labels/dogs.txt").read_text().splitlines()) == 1


def test_an_unreadable_source_leaves_no_folder(model, caplog):
    caplog.set_level(logging.ERROR)
    with pytest.raises(DataError, match="the list of images is empty"):
        model.predict([], save=True)
    assert not Path("runs").exists()
