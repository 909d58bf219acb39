"""Command lines written for Ultralytics' yolo, with `streamseg` in front."""

from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.cli.main import main
from streamseg.cli.yolo import MODE_NAMES, parse_words
from streamseg.errors import ConfigError
from streamseg.fastsam.keys import MODES
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video
from tests.support.yolo_data import box_image, yolo_data_set

# ---- words


def parsed(line):
    command = parse_words(shlex.split(line))
    return command.mode, command.model, dict(command.values)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "segment predict model=FastSAM-s.pt source=path/to/bus.jpg imgsz=640",
            ("predict", "FastSAM-s.pt", {"source": "path/to/bus.jpg", "imgsz": 640}),
            id="the FastSAM page",
        ),
        pytest.param(
            "predict model=FastSAM-s.pt source='https://ultralytics.com/images/bus.jpg'",
            ("predict", "FastSAM-s.pt", {"source": "https://ultralytics.com/images/bus.jpg"}),
            id="without a task, an address",
        ),
        pytest.param(
            "task=segment mode=predict model=a.pt source=0 show=False",
            ("predict", "a.pt", {"source": "0"}),
            id="task and mode as keys",
        ),
        pytest.param(
            "segment val model=FastSAM-s.pt data=coco8.yaml imgsz=640 batch=1 device=cpu",
            ("val", "FastSAM-s.pt", {"data": "coco8.yaml", "imgsz": 640, "device": "cpu"}),
            id="val",
        ),
        pytest.param(
            "segment train data=coco8-seg.yaml model=yolov8n-seg.pt epochs=100 imgsz=640 lr0=0.01 amp=true",
            (
                "train",
                "yolov8n-seg.pt",
                {"data": "coco8-seg.yaml", "epochs": 100.0, "imgsz": 640, "lr0": 0.01, "amp": True},
            ),
            id="train",
        ),
        pytest.param(
            "export model=FastSAM-s.pt format=onnx half dynamic",
            ("export", "FastSAM-s.pt", {"format": "onnx", "half": True}),
            id="switches by name",
        ),
        pytest.param("source=a.jpg", ("predict", "default", {"source": "a.jpg"}), id="only a source"),
        pytest.param(
            "segment track source=a.mp4 save_txt=True save=False conf=.5 iou=0,",
            ("track", "default", {"source": "a.mp4", "save_txt": True, "save": False, "conf": 0.5, "iou": 0.0}),
            id="numbers, and a comma",
        ),
        pytest.param(
            "predict source=a=b.jpg name=None imgsz=None line_width=3 project=2024",
            ("predict", "default", {"source": "a=b.jpg", "name": "None", "line_width": 3, "project": "2024"}),
            id="None, and texts",
        ),
        pytest.param(
            "predict source=a.jpg bboxes=[439,237,524,709] points='[[1, 2], [3, 4]]' labels=1,0",
            (
                "predict",
                "default",
                {
                    "source": "a.jpg",
                    "bboxes": [439, 237, 524, 709],
                    "points": [[1, 2], [3, 4]],
                    "labels": [1, 0],
                },
            ),
            id="prompts",
        ),
        pytest.param(
            "predict source=a.jpg imgsz=640,640 points='(1,2),(3,4)' labels=1",
            ("predict", "default", {"source": "a.jpg", "imgsz": [640, 640], "points": [[1, 2], [3, 4]], "labels": 1}),
            id="other forms of lists",
        ),
        pytest.param("val prompting=default", ("val", "default", {}), id="streamseg's rules"),
    ],
)
def test_words(line, expected):
    assert parsed(line) == expected


def test_modes_are_those_of_the_table():
    assert MODE_NAMES == MODES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("detect predict source=a", "task 'detect' is not available; the only task is segment", id="task"),
        pytest.param("task=obb source=a", "task 'obb' is not available", id="task key"),
        pytest.param("segment benchmark", "'benchmark' is neither a mode nor KEY=VALUE; modes are predict,", id="mode"),
        pytest.param("mode=benchmark", "mode 'benchmark' is not available; available: predict, track, val,", id="key"),
        pytest.param("predict val", "predict and val are both modes; give one of them", id="two modes"),
        pytest.param("predikt source=a", "'predikt' is neither .*; did you mean 'predict'?", id="misspelled mode"),
        pytest.param("predict save_tx source=a", "did you mean 'save_txt'?", id="misspelled switch"),
        pytest.param("predict bus.jpg", "a source is source=bus.jpg", id="a bare source"),
        pytest.param("predict source=a imgz=640", "unknown option 'imgz'; did you mean 'imgsz'?", id="misspelled key"),
        pytest.param("predict source=a qqq=1", "unknown option 'qqq'; available options: bboxes, conf,", id="no key"),
        pytest.param("predict source=", "source has no value; write source=VALUE", id="no value"),
        pytest.param("predict source=a conf=high", "conf must be a number, got 'high'", id="number"),
        pytest.param("train epochs=[1]", r"epochs must be a number, got '\[1\]'", id="list"),
        pytest.param("predict source=a half=maybe", "half must be True or False, got 'maybe'", id="switch"),
        pytest.param("predict source=a max_det=2.5", "max_det must be a whole number, got '2.5'", id="whole number"),
        pytest.param("predict source=a show=True", "show=True is not available here: ", id="unavailable"),
        pytest.param("predict source=a show", "show=True is not available here: ", id="unavailable switch"),
        pytest.param("predict source=a classes=0", "classes='0' is not available here: there is one class", id="class"),
        pytest.param(
            "predict source=a points=" + "[" * 5000, r"points must be a number or a list of numbers", id="deep"
        ),
        pytest.param(
            "predict source=a imgsz=big", "imgsz must be a number or a list of numbers, got 'big'", id="imgsz"
        ),
    ],
)
def test_invalid_lines_are_one_line_with_exit_code_2(capsys, tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        parse_words(shlex.split(line))
    assert main(["yolo", *shlex.split(line)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


@given(st.lists(st.text(alphabet="abcdeglimnoprstuvz_=0123456789.,[]() -", max_size=20), max_size=5))
def test_any_words_are_parsed_or_a_one_line_error(words):
    try:
        command = parse_words(words)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert command.mode in MODES


# ---- whole lines, in a folder as their READMEs assume

SIZE = (60, 80)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights(lively_network().state_dict(), "n.safetensors", metadata={"imgsz": "96"})
    return tmp_path


@pytest.fixture
def data(work):
    rows = [box_image(SIZE, 10 * k, 5 + k, 10 * k + 30, 45 + k) for k in range(4)]
    return yolo_data_set(work, {"train": rows, "val": rows})


def yolo(line):
    return main(["yolo", *shlex.split(line)])


@pytest.mark.slow
def test_predict(work, capsys):
    Path("images").mkdir()
    for seed in range(2):
        cv2.imwrite(f"images/{seed}.jpg", blobs((96, 128), seed=seed))
    line = "segment predict model=n.safetensors source=images save_txt=True save_conf agnostic_nms=True conf=0.4"
    assert yolo(line) == 0
    captured = capsys.readouterr()
    count = sum(len(path.read_text().splitlines()) for path in Path("runs/segment/predict/labels").iterdir())
    assert captured.out == f"2 images, {count} objects -> runs/segment/predict\n"
    assert captured.err.startswith("without effect here: agnostic_nms\n")
    assert cv2.imread("runs/segment/predict/1.jpg").shape == (96, 128, 3)
    assert yolo(f"{line} save=False save_txt=False imgsz=64") == 0
    assert "->" not in capsys.readouterr().out
    assert [path.name for path in Path("runs/segment").iterdir()] == ["predict"]


@pytest.mark.slow
def test_track(work, capsys):
    write_video(Path("street.mp4"), images=[blobs((96, 128), seed=3)] * 3)
    assert yolo("track model=n.safetensors source=street.mp4 save_txt name=a") == 0
    assert "3 images, " in capsys.readouterr().out
    lines = Path("runs/segment/a/labels/street_3.txt").read_text().splitlines()
    assert [int(line.split()[-1]) >= 0 for line in lines] == [True] * len(lines)
    assert Path("runs/segment/a/street.mp4").stat().st_size > 0


@pytest.mark.slow
def test_val(data, capsys):
    assert yolo("segment val model=n.safetensors data=coco8-seg.yaml imgsz=64 max_det=50") == 0
    out = capsys.readouterr().out
    assert out.startswith("4 objects in 4 images, classes as one\n")
    assert [line.split()[0] for line in out.splitlines()[1:] if line.strip()] == ["precision", "─" * 44, "box", "mask"]


@pytest.mark.slow
def test_train_then_use_the_weights(data, capsys):
    tiny = "epochs=1 batch=2 imgsz=32 workers=0 seed=1 amp=False patience=5"
    assert yolo(f"segment train model=n.safetensors data=coco8-seg.yaml {tiny}") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "wrote runs/segment/train/weights.safetensors"
    assert "4 objects in 4 images" in captured.out
    assert captured.err.startswith("without effect here: patience\n")
    assert "2/2  box " in captured.err
    assert load_weights("runs/segment/train/weights.safetensors").metadata["steps"] == "2"
    assert yolo("val model=runs/segment/train/weights.safetensors data=coco8-seg.yaml") == 0


@pytest.mark.slow
def test_export(work, capsys):
    assert yolo("export model=n.safetensors format=onnx opset=12") == 0
    captured = capsys.readouterr()
    assert captured.out == "wrote n.onnx\n"
    assert captured.err == "without effect here: opset\n"
    assert yolo("export model=n.safetensors format=openvino") == 2
    assert "format 'openvino' is not available; available: onnx" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("predict model=n.safetensors", "no source; write source=INPUT", id="source"),
        pytest.param("predict model=n.safetensors source=gone.jpg", "gone.jpg: no such file or folder", id="image"),
        pytest.param("predict model=gone.pt source=a.jpg", "no weights at gone.pt", id="weights"),
        pytest.param("predict model=n.safetensors source=a.jpg conf=7", "conf must be 0..1, got 7", id="conf"),
        pytest.param("predict source=a.jpg prompting=mine", "prompting must be reference or default", id="rules"),
        pytest.param("val model=n.safetensors", "no data set coco8-seg.yaml in ., datasets", id="default data"),
        pytest.param("train model=n.safetensors data=a.jpg epochs=1", "a.jpg", id="no data set"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(work, capsys, line, message):
    cv2.imwrite("a.jpg", blobs((96, 128)))
    assert yolo(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error
    assert sorted(path.name for path in work.iterdir()) == ["a.jpg", "n.safetensors"]


@pytest.mark.parametrize("words", [[], ["help"]])
def test_help(capsys, words):
    assert main(["yolo", *words]) == 0
    assert "[segment] MODE KEY=VALUE" in capsys.readouterr().out
