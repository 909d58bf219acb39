"""`streamseg segment`: prompts of the command line, outputs and errors."""

from __future__ import annotations

import json

import av
import cv2
import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.cli.segment_job import parse_prompts
from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network
from tests.support.videos import write_video

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("points", "labels", "boxes", "expected"),
    [
        pytest.param(None, None, None, (EverythingPrompt(),), id="without prompts everything"),
        pytest.param("[[5, 6.5]]", None, None, (PointPrompt("point0", ((5.0, 6.5),), (1,)),), id="a point"),
        pytest.param(
            "[[5, 6], [7, 8]]", "[1, 0]", None, (PointPrompt("point0", ((5.0, 6.0), (7.0, 8.0)), (1, 0)),), id="labels"
        ),
        pytest.param(
            "[[[5, 6]], [[7, 8]]]",
            "[[1], [0]]",
            None,
            (PointPrompt("point0", ((5.0, 6.0),), (1,)), PointPrompt("point1", ((7.0, 8.0),), (0,))),
            id="two objects",
        ),
        pytest.param(None, None, "[[1, 2, 3, 4]]", (BoxPrompt("box0", (1.0, 2.0, 3.0, 4.0)),), id="a box"),
        pytest.param(None, None, "[1, 2, 3, 4]", (BoxPrompt("box0", (1.0, 2.0, 3.0, 4.0)),), id="a bare box"),
    ],
)
def test_valid_prompts(points, labels, boxes, expected):
    assert parse_prompts(points, labels, boxes) == expected


@pytest.mark.parametrize(
    ("points", "labels", "boxes", "message"),
    [
        pytest.param("[[5, 6]", None, None, "--points is not valid JSON", id="not JSON"),
        pytest.param("oops", None, None, "--points has the wrong form; give x,y", id="words"),
        pytest.param("1,2,3", None, None, "--points has the wrong form; give x,y", id="three numbers without brackets"),
        pytest.param("5", None, None, "--points must be a non-empty list", id="a number"),
        pytest.param("[]", None, None, "--points must be a non-empty list", id="empty"),
        pytest.param("[5, 6]", None, None, "--points must be", id="a flat point"),
        pytest.param('[["5", 6]]', None, None, "--points must be", id="a string"),
        pytest.param("[[5, NaN]]", None, None, "--points must be", id="not finite"),
        pytest.param("[[true, 6]]", None, None, "--points must be", id="a boolean"),
        pytest.param("[[5, 6, 7]]", None, None, r"each point must be a finite \[x, y\]", id="three numbers"),
        pytest.param("[[5, 6]]", "[1, 0]", None, "1 point and 2 labels", id="one label too many"),
        pytest.param("[[5, 6]]", "[2]", None, "labels must be 1", id="unknown label"),
        pytest.param("[[5, 6]]", "1", None, "--labels must be", id="labels not a list"),
        pytest.param("[[[5, 6]]]", "[1]", None, "--labels must be nested", id="labels nested otherwise"),
        pytest.param(None, "[1]", None, "--labels needs --points", id="labels without points"),
        pytest.param(None, None, "[[1, 2, 3]]", "four finite numbers", id="three sides"),
        pytest.param(None, None, "[[3, 2, 1, 4]]", "x0 < x1", id="inverted box"),
        pytest.param(None, None, "box", "--boxes has the wrong form", id="box not JSON"),
    ],
)
def test_invalid_prompts_are_one_line(points, labels, boxes, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_prompts(points, labels, boxes)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    return str(
        save_weights(lively_network("n", seed=1).state_dict(), tmp_path_factory.mktemp("weights") / "n.safetensors")
    )


@pytest.fixture
def segment(weights, tmp_path):
    """Run the command with a small network; return the exit code and the output folder."""

    def call(source, *flags):
        out = tmp_path / "results"
        small = ["--weights", weights, "--engine", "torch", "--imgsz", "128", "--conf", "0.5", "--max_det", "20"]
        return main(["segment", str(source), "--out", str(out), *small, *flags]), out

    return call


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "000000000042.png"
    cv2.imwrite(str(path), blobs((120, 160), seed=9))
    return path


def annotations(out):
    return json.loads((out / "instances.json").read_text())["annotations"]


def test_image_gives_an_overlay_and_coco_results(segment, image):
    code, out = segment(image)
    assert code == 0
    results = annotations(out)
    assert 1 <= len(results) <= 20
    assert {one["image_id"] for one in results} == {42}
    assert all(one["segmentation"]["size"] == [120, 160] for one in results)
    overlay = cv2.imread(str(out / "000000000042.png"))
    assert overlay.shape == (120, 160, 3)
    assert not np.array_equal(overlay, cv2.imread(str(image)))


def test_short_forms_and_other_names_give_the_same_results(segment, image, weights, tmp_path):
    _, out = segment(image, "--points", "[[80, 60], [10, 20]]", "--labels", "[1, 0]")
    small = ["--weights", weights, "--engine", "torch", "--imgsz", "128", "--conf", "0.5", "--max_det", "20"]
    short = ["--source", str(image), "--points", "80,60 10,20", "--labels", "1,0"]
    assert main(["predict", *short, "--out", str(tmp_path / "short"), *small]) == 0
    assert (tmp_path / "short" / "instances.json").read_text() == (out / "instances.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["a.jpg", "--source", "b.jpg"], "give one input, not a.jpg and --source b.jpg", id="two inputs"),
        pytest.param(["0"], "for '0' use: streamseg run", id="camera"),
        pytest.param([], "no input; give an image", id="no input"),
    ],
)
def test_input_is_one_file(arguments, message, capsys):
    assert main(["track", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_results_are_read_by_pycocotools(segment, image):
    from pycocotools import mask as coco_mask

    _, out = segment(image)
    for one in annotations(out):
        assert coco_mask.area(one["segmentation"]) == one["area"] > 0


def test_video_gives_a_video(segment, tmp_path):
    code, out = segment(write_video(tmp_path / "clip.mp4", 6))
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["clip.mp4", "images", "instances.json"]
    results = annotations(out)
    assert {one["image_id"] for one in results} <= set(range(6))
    assert [one["timestamp_seconds"] for one in results] == pytest.approx([one["image_id"] / 25 for one in results])


def test_joined_recordings_give_one_time_line(segment, tmp_path, capsys):
    path = write_video(tmp_path / "clip.ts", 10)
    path.write_bytes(path.read_bytes() * 2)
    code, out = segment(path)
    assert code == 0
    with av.open(str(out / "clip.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(20 / 25, abs=1 / 25)
    assert "1 discontinuity of the time stamps mended (restart 1)" in capsys.readouterr().out


def test_folder_gives_an_overlay_per_image_without_name_collisions(segment, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "a.jpg", "b.png"):
        cv2.imwrite(str(folder / name), blobs((96, 96), seed=3))
    code, out = segment(folder)
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a-1.png", "a.png", "b.png", "images", "instances.json"]


def test_point_selects_at_most_one_object(segment, image):
    code, out = segment(image, "--points", "[[80, 60]]", "--no-overlay")
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["images", "instances.json"]
    assert len(annotations(out)) <= 1


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        pytest.param("missing.jpg", [], "missing.jpg", id="missing image"),
        pytest.param("missing.mp4", [], "missing.mp4", id="missing video"),
        pytest.param("words.mp4", [], "words.mp4", id="not a video"),
        pytest.param("words.png", [], "words.png", id="not an image"),
        pytest.param("cut.mp4", [], "cut.mp4", id="video without its index"),
        pytest.param("cut.mkv", [], "cut.mkv", id="video that ends in the middle of a frame"),
        pytest.param("empty", [], "empty", id="empty folder"),
        pytest.param("000000000042.png", ["--points", "oops"], "--points has the wrong form", id="points not JSON"),
        pytest.param("000000000042.png", ["--vid-stride", "0"], "--vid_stride must be 1 or more", id="stride of 0"),
        pytest.param("000000000042.png", ["--points", "[[500, 20]]"], "160", id="point outside"),
        pytest.param("000000000042.png", ["--boxes", "[[500, 20, 600, 40]]"], "160", id="box outside"),
        pytest.param("000000000042.png", ["--conf", "7"], "--conf", id="conf out of range"),
        pytest.param("000000000042.png", ["--weights", "none.safetensors"], "none.safetensors", id="no weights"),
        pytest.param("rtsp://127.0.0.1:9/x", [], "streamseg run", id="a live source"),
        pytest.param("0", [], "streamseg run", id="a webcam"),
    ],
)
def test_invalid_input_is_one_line_and_writes_nothing(segment, image, capsys, source, flags, message):
    folder = image.parent
    (folder / "words.mp4").write_text("no video at all")
    (folder / "words.png").write_text("no image at all")
    (folder / "empty").mkdir()
    for name, codec in (("cut.mp4", "libx264"), ("cut.mkv", "mjpeg")):
        content = write_video(folder / f"whole{name}", 12, codec=codec).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 6 // 10])
    known = source.startswith("rtsp") or source == "0"
    code, out = segment(source if known else folder / source, *flags)
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert message in lines[-1]
    assert lines[-1].startswith("streamseg: ")
    assert not out.exists()


def test_failure_keeps_earlier_results(segment, image):
    _, out = segment(image)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    code, _ = segment(image, "--points", "[[500, 20]]")
    assert code == 2
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
