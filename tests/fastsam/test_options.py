"""Keyword options: accepted, ignored, or rejected with the alternative."""

from __future__ import annotations

import pytest
import torch

from streamseg.errors import ConfigError
from streamseg.fastsam.options import Options, device_name, read_options


def test_defaults_of_the_originals():
    assert read_options({}) == Options(
        device=None, retina_masks=False, imgsz=None, conf=0.25, iou=0.7, max_det=300, half=False, vid_stride=1
    )


def test_given_options():
    given = {"device": "cpu", "retina_masks": True, "imgsz": 1024, "conf": 0.4, "iou": 0.9}
    assert read_options(given) == Options(**given)


@pytest.mark.parametrize(
    "values",
    [
        {"verbose": False, "task": "segment", "mode": "predict", "stream_buffer": True, "agnostic_nms": True},
        {"save": False, "show": False, "classes": None, "augment": False},
        {"imgsz": None, "conf": None, "device": None},
        {"epochs": 3, "optimizer": "SGD", "patience": 50},
    ],
)
def test_ignored_options(values):
    assert read_options(values) == Options()


@pytest.mark.parametrize("imgsz", [640, [640], (640, 640), [640, 640]])
def test_forms_of_imgsz(imgsz):
    assert read_options({"imgsz": imgsz}).imgsz == 640


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"show": True}, "show=True is not available here: show the array that plot", id="show"),
        pytest.param({"save_frames": True}, "save=True writes a video", id="frames"),
        pytest.param({"save": "yes"}, "save must be True or False, got 'yes'", id="switch"),
        pytest.param({"conf": "0.5"}, "conf must be a number, got '0.5'", id="number"),
        pytest.param({"max_det": 2.5}, "max_det must be a whole number, got 2.5", id="whole number"),
        pytest.param({"name": " "}, "name must be a text, got ' '", id="blank"),
        pytest.param({"line_width": 0}, "line_width must be 1 or more, got 0", id="line width"),
        pytest.param({"classes": [0]}, "one class", id="classes"),
        pytest.param({"retina_mask": True}, "unknown option 'retina_mask'; did you mean 'retina_masks'?", id="typo"),
        pytest.param({"bbox": [1, 2, 3, 4]}, "did you mean 'bboxes'?", id="prompt"),
        pytest.param({"xyz": 1}, "available options: bboxes, conf, device", id="nothing near"),
        pytest.param({"imgsz": (384, 640)}, "imgsz must be one number", id="two sides"),
        pytest.param({"imgsz": "640"}, "imgsz must be a number or a list of numbers, got '640'", id="text"),
        pytest.param({"imgsz": []}, "imgsz must be one number", id="no side"),
        pytest.param({"vid_stride": 0}, "vid_stride must be 1 or more", id="stride"),
    ],
)
def test_rejected_options(values, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_options(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        pytest.param("cpu", "cpu", id="cpu"),
        pytest.param(torch.device("cpu"), "cpu", id="torch"),
        pytest.param(torch.device("cuda", 1), "cuda:1", id="torch with number"),
        pytest.param("cuda", "cuda:0", id="cuda"),
        pytest.param(2, "cuda:2", id="number"),
        pytest.param("0", "cuda:0", id="number as text"),
    ],
)
def test_devices(device, name):
    assert device_name(device) == name


@pytest.mark.parametrize("device", [None, "", "auto"])
def test_default_device(device):
    assert device_name(device) == ("cuda:0" if torch.cuda.is_available() else "cpu")


def test_mps_becomes_the_cpu_with_a_warning():
    with pytest.warns(UserWarning, match="mps is not supported"):
        assert device_name(torch.device("mps")) == "cpu"
