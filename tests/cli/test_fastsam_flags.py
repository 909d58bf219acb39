"""Command lines written for the official FastSAM program."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.capture.images import load_image
from streamseg.cli.fastsam_flags import has_fastsam_flags, job_from_fastsam_flags
from streamseg.cli.main import build_parser, main
from streamseg.cli.segment import segmentation_config
from streamseg.config import TrackingConfig
from streamseg.datasets.writers import image_objects
from streamseg.errors import ConfigError, DataError, StreamsegError
from streamseg.fastsam.mode import ReferenceSegmenter
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.fastsam.reference_selection import better_quality
from streamseg.pipeline import Pipeline
from streamseg.rle import coco_to_crop
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, TextPrompt
from streamseg.weights import save_weights
from tests.support.frames import make_frame
from tests.support.networks import blobs, lively_network

EVERYTHING = (EverythingPrompt(),)
PARSER = build_parser()


def parse(*flags: str) -> argparse.Namespace:
    return PARSER.parse_args(["segment", *flags])


# ---- prompts


@pytest.mark.parametrize(
    ("flags", "prompts"),
    [
        pytest.param(["--img_path", "a.jpg"], EVERYTHING, id="no prompts"),
        pytest.param(["--point_prompt", "[[0,0]]", "--box_prompt", "[[0,0,0,0]]"], EVERYTHING, id="their defaults"),
        pytest.param(
            ["--point_prompt", "[[520,360],[620,300]]", "--point_label", "[1,0]"],
            (PointPrompt("point0", ((520, 360), (620, 300)), (1, 0)),),
            id="points",
        ),
        pytest.param(
            ["--point_prompt", "[[520,360]]"], (PointPrompt("point0", ((520, 360),), (0,)),), id="missing labels are 0"
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "[1,0,1]"],
            (PointPrompt("point0", ((5, 6),), (1,)),),
            id="extra labels",
        ),
        pytest.param(["--point_prompt", "[[0,0],[5,6]]"], EVERYTHING, id="the first point decides"),
        pytest.param(["--box_prompt", "[[570,200,230,400]]"], (BoxPrompt("box0", (570, 200, 800, 600)),), id="xywh"),
        pytest.param(
            ["--box_prompt", "[[1,2,3,4],[5,6,7,8]]"],
            (BoxPrompt("box0", (1, 2, 4, 6)), BoxPrompt("box1", (5, 6, 12, 14))),
            id="two boxes",
        ),
        pytest.param(["--box_prompt", "[[5,6,0,8]]"], EVERYTHING, id="a box without width"),
        pytest.param(["--box_prompt", "((1., 2, 3, 4),)"], (BoxPrompt("box0", (1, 2, 4, 6)),), id="Python literals"),
        pytest.param(
            ["--box_prompt", "[[1,2,3,4]]", "--point_prompt", "[[5,6]]", "--text_prompt", "a dog"],
            (BoxPrompt("box0", (1, 2, 4, 6)),),
            id="a box precedes a text and points",
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--text_prompt", "a dog"],
            (TextPrompt("text0", "a dog"),),
            id="a text precedes points",
        ),
        pytest.param(
            ["--output", "x/", "--boxes", "[[1,2,3,4]]"], (BoxPrompt("box0", (1, 2, 3, 4)),), id="--boxes: xyxy"
        ),
    ],
)
def test_prompts(flags, prompts):
    assert job_from_fastsam_flags(parse(*flags)).prompts == prompts


def test_defaults():
    args = parse("--img_path", "a.jpg", "--model_path", "s.pt")
    job = job_from_fastsam_flags(args)
    config = segmentation_config(args, job.segmentation)
    assert (config.imgsz, config.conf, config.iou, config.weights) == (1024, 0.4, 0.9, "s.pt")
    assert (config.max_det, config.device) == (300, "auto")
    assert (job.mode, job.retina_masks, job.finish) == ("fastsam", True, None)
    assert (job.folder, job.image_name) == (Path("output"), "a.jpg")


def test_flags_override_defaults():
    args = parse("--img_path", "a.jpg", "--imgsz", "640", "--conf", "0.25", "--iou", "0.7", "--device", "cpu")
    config = segmentation_config(args, job_from_fastsam_flags(args).segmentation)
    assert (config.imgsz, config.conf, config.iou, config.device) == (640, 0.25, 0.7, "cpu")


def test_missing_input_and_weights():
    job = job_from_fastsam_flags(parse("--output", "there/"))
    assert (job.source, job.segmentation["weights"]) == ("./images/dogs.jpg", "./weights/FastSAM.pt")
    with_input = job_from_fastsam_flags(parse("a.jpg", "--point_prompt", "[[5,6]]"))
    assert (with_input.source, with_input.segmentation.get("weights")) == ("a.jpg", None)


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        pytest.param(["--output", "there/"], "there/dogs.jpg", id="a folder"),
        pytest.param(["--output", "there/run-"], "there/run-dogs.jpg", id="no slash: prefix of the name"),
        pytest.param([], "output/dogs.jpg", id="by default"),
        pytest.param(["--out", "folder"], "folder/dogs.jpg", id="--out is a folder"),
    ],
)
def test_path_of_the_output_image(flags, path):
    job = job_from_fastsam_flags(parse("--img_path", "images/dogs.jpg", *flags))
    assert job.image_name is not None
    assert job.folder / job.image_name == Path(path)


@pytest.mark.parametrize(
    ("word", "value"), [("True", True), ("False", False), ("true", True), ("0", False), ("1", True), ("", False)]
)
def test_switches(word, value):
    job = job_from_fastsam_flags(parse("--retina", word, "--better_quality", word))
    assert job.retina_masks is value
    assert (job.finish is not None) is value


def test_mode_can_be_overridden():
    assert job_from_fastsam_flags(parse("--img_path", "a.jpg", "--prompting", "default")).mode == "streamseg"


def test_streamsegs_flags_are_not_fastsams():
    assert not has_fastsam_flags(parse("a.jpg", "--imgsz", "640", "--conf", "0.3", "--iou", "0.8", "--device", "cpu"))
    assert not has_fastsam_flags(parse("a.jpg", "--prompting", "reference", "--points", "[[1,2]]"))
    assert has_fastsam_flags(parse("a.jpg", "--retina", "True"))


def test_flags_are_not_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    shown = capsys.readouterr().out
    assert "--mode" in shown
    assert "model_path" not in shown
    assert "withContours" not in shown


# ---- errors

LISTS = [
    pytest.param("--point_prompt", "[[1,2]", id="not closed"),
    pytest.param("--point_prompt", "[[1,2,3]]", id="three numbers"),
    pytest.param("--point_prompt", "[1,2]", id="a flat point"),
    pytest.param("--point_prompt", "[]", id="empty"),
    pytest.param("--point_prompt", "[[]]", id="an empty point"),
    pytest.param("--point_prompt", "['12']", id="a string"),
    pytest.param("--point_prompt", "[[1,True]]", id="a boolean"),
    pytest.param("--point_prompt", "[[1,1e999]]", id="infinite"),
    pytest.param("--point_prompt", f"[[1,1{'0' * 400}]]", id="more than a float"),
    pytest.param("--point_prompt", "[" * 5000, id="deep"),
    pytest.param("--point_prompt", "[[1,2]]," * 20000, id="long"),
    pytest.param("--point_prompt", "__import__('os').abort()", id="code"),
    pytest.param("--point_prompt", "[[1,2+3]]", id="a sum"),
    pytest.param("--box_prompt", "[[1,2,3]]", id="three sides"),
    pytest.param("--box_prompt", "{1: 2}", id="a dictionary"),
    pytest.param("--box_prompt", "(1,2,3,4)", id="a flat box"),
    pytest.param("--box_prompt", "[[1,2,3j,4]]", id="complex"),
    pytest.param("--box_prompt", "[[1,2\0,3,4]]", id="a zero byte"),
]


@pytest.mark.parametrize(("flag", "text"), LISTS)
def test_invalid_lists(flag, text):
    with pytest.raises(DataError, match=rf"^{flag} must be \[\[.*, got ") as caught:
        job_from_fastsam_flags(parse("--img_path", "a.jpg", flag, text))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(alphabet="[](),-.0123456789eE 'jx:{}", max_size=40))
def test_any_text_gives_prompts_or_a_one_line_error(text):
    for flag in ("--point_prompt", "--box_prompt"):
        try:
            prompts = job_from_fastsam_flags(parse("--img_path", "a.jpg", f"{flag}={text}")).prompts
        except StreamsegError as error:
            prompts = ()
            assert "\n" not in str(error)  # noqa: PT017
        assert len(prompts) <= 40


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "1"], DataError, "--point_label must be", id="not a list"
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "[2]"], DataError, "labels must be 1", id="other label"
        ),
        pytest.param(["--point_prompt", "[[5,6],[7,8]]"], DataError, "2 points and 1 label", id="too few labels"),
        pytest.param(["--box_prompt", "[[5,6,-2,3]]"], DataError, "x0 < x1", id="inverted box"),
        pytest.param(["--text_prompt", " "], DataError, "empty text", id="empty text"),
        pytest.param(["--text_prompt", "a", "--text", "b"], ConfigError, "--text_prompt and --text", id="two texts"),
        pytest.param(["a.jpg"], ConfigError, "--img_path and INPUT have the same meaning", id="two inputs"),
        pytest.param(
            ["--weights", "default", "--model_path", "s.pt"], ConfigError, "--model_path and --w", id="two weights"
        ),
        pytest.param(["--out", "a", "--output", "b"], ConfigError, "--output and --out", id="two outputs"),
        pytest.param(
            ["--boxes", "[[1,2,3,4]]", "--box_prompt", "[[1,2,3,4]]"], ConfigError, "--box_prompt and", id="boxes"
        ),
    ],
)
def test_invalid_flags_are_one_line(flags, error, message):
    with pytest.raises(error, match=message) as caught:
        job_from_fastsam_flags(parse("--img_path", "b.jpg", *flags))
    assert "\n" not in str(caught.value)


# ---- whole runs


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return str(save_weights(lively_network("n", seed=1).state_dict(), folder / "n.safetensors"))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "dogs.jpg"
    cv2.imwrite(str(path), blobs((120, 160), seed=9))
    return path


@pytest.fixture
def run(weights, image, tmp_path):
    """Run a command line with FastSAM's flags; return the exit code, the results and the output image."""

    def call(*flags):
        out = tmp_path / "results"
        common = ["--model_path", weights, "--img_path", str(image), "--imgsz", "128", "--output", f"{out}/"]
        code = main(["segment", *common, *flags])
        if code:
            return code, None, None
        assert sorted(path.name for path in out.iterdir()) == ["dogs.jpg", "instances.json"]
        return code, json.loads((out / "instances.json").read_text())["annotations"], cv2.imread(str(out / "dogs.jpg"))

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param([], id="everything"),
        pytest.param(["--point_prompt", "[[80,60],[30,30]]", "--point_label", "[1,1]"], id="points"),
        pytest.param(["--box_prompt", "[[40,30,60,50]]"], id="a box"),
        pytest.param(["--retina", "False"], id="plain masks"),
        pytest.param(
            ["--retina", "False", "--box_prompt", "[[40,30,60,50]]", "--withContours", "True"], id="plain, box"
        ),
    ],
)
def test_run_gives_the_results_of_fastsam_mode(run, weights, image, flags):
    code, results, drawn = run(*flags)
    assert code == 0
    assert drawn.shape == (120, 160, 3)
    job = job_from_fastsam_flags(parse("--img_path", str(image), *flags))
    pipeline = Pipeline(
        ReferenceSegmenter(weights, imgsz=128, conf=0.4, iou=0.9),
        tracking=TrackingConfig(enabled=False),
        prompts=job.prompts,
        matcher=ReferenceMatcher(job.retina_masks),
    )
    (message,) = pipeline([make_frame(image=load_image(image))])
    # Results are at the size of the image, also if the masks are at that of the network's input.
    assert [one["area"] for one in results] == [one.area for one in image_objects(message)]
    assert all(one["segmentation"]["size"] == [120, 160] for one in results)
    assert results


@pytest.mark.slow
def test_points_on_several_objects_give_one_result(run):
    _, everything, _ = run()
    first, second = everything[0]["bbox"], everything[-1]["bbox"]
    _, merged, _ = run("--box_prompt", "[[1,1,5,5]]")
    assert len(merged) == 1
    points = [[int(x + width / 2), int(y + height / 2)] for x, y, width, height in (first, second)]
    _, merged, _ = run("--point_prompt", json.dumps(points), "--point_label", "[1,1]")
    assert len(merged) <= 1
    assert [one["track_id"] for one in merged] == [-1] * len(merged)


@pytest.mark.slow
def test_switches_change_the_output_image(run):
    images = {
        flags: run(*flags)[2]
        for flags in ((), ("--withContours", "True"), ("--randomcolor", "False"), ("--better_quality", "True"))
    }
    plain = images.pop(())
    for flags, drawn in images.items():
        assert not np.array_equal(drawn, plain), flags
    np.testing.assert_array_equal(run("--withContours", "False", "--better_quality", "False")[2], plain)


@pytest.mark.slow
def test_better_quality_changes_the_results(run):
    _, before, _ = run()
    _, after, _ = run("--better_quality", "True")
    assert len(after) == len(before)
    assert [one["area"] for one in after] != [one["area"] for one in before]
    assert all(coco_to_crop(one["segmentation"]).area == one["area"] for one in after)


@pytest.mark.slow
@pytest.mark.parametrize("retina", ["True", "False"])
def test_better_quality_keeps_the_mask_space(weights, image, retina):
    job = job_from_fastsam_flags(parse("--img_path", str(image), "--better_quality", "True", "--retina", retina))
    pipeline = Pipeline(
        ReferenceSegmenter(weights, imgsz=160, conf=0.4, iou=0.9),
        tracking=TrackingConfig(enabled=False),
        prompts=job.prompts,
        matcher=ReferenceMatcher(job.retina_masks),
    )
    (before,) = pipeline([make_frame(image=load_image(image))])
    after = job.finish(before)
    assert [one.mask.space for one in after.objects] == [one.mask.space for one in before.objects]
    for one in after.objects:
        canvas = one.mask()
        assert canvas.shape == (120, 160)
        assert (one.mask.centroid is None) == (one.area == 0)
        expected = better_quality(next(b.mask for b in before.objects if b.box == one.box).full(before.mask_size))
        np.testing.assert_array_equal(one.mask.full(before.mask_size), expected)


@pytest.mark.slow
def test_prompting_flag(weights, image, tmp_path, capsys):
    common = ["segment", str(image), "--weights", weights, "--imgsz", "128", "--conf", "0.4", "--no-overlay"]
    nowhere = ["--boxes", "[[1, 1, 3, 3]]"]
    assert main([*common, "--out", str(tmp_path / "streamseg"), *nowhere]) == 0
    assert main([*common, "--out", str(tmp_path / "fastsam"), *nowhere, "--prompting", "reference"]) == 0
    streamseg, fastsam = (
        json.loads((tmp_path / name / "instances.json").read_text())["annotations"] for name in ("streamseg", "fastsam")
    )
    # streamseg segments inside the box; FastSAM selects the best of all found objects, however poor.
    assert [one["bbox"] for one in streamseg] == [[1, 1, 2, 2]]
    assert len(fastsam) == 1
    assert fastsam[0]["bbox"][2] > 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--text_prompt", "the yellow dog"], "texts need encoders", id="text"),
        pytest.param(
            ["--point_prompt", "oops"], "--point_prompt must be [[x1,y1],[x2,y2],...], got 'oops'", id="no list"
        ),
        pytest.param(["--point_prompt", "[[500,20]]"], "160", id="point outside"),
        pytest.param(["--box_prompt", "[[500,20,9,9]]"], "160", id="box outside"),
        pytest.param(["--conf", "7"], "--conf", id="conf out of range"),
    ],
)
def test_errors_are_one_line_exit_code_2_and_write_nothing(run, tmp_path, capsys, flags, message):
    code, *_ = run(*flags)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert line.startswith("streamseg: ")
    assert message in line
    assert not (tmp_path / "results").exists()


def test_invalid_switch(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["segment", "--img_path", "a.jpg", "--retina", "maybe"])
    assert caught.value.code == 2
    assert "argument --retina: must be True or False, got 'maybe'" in capsys.readouterr().err


def test_missing_input(capsys):
    assert main(["segment"]) == 2
    assert "no input; give an image" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["folder", "*.jpg", "rtsp://127.0.0.1/x", "0"])
def test_only_one_image_is_accepted(source, tmp_path):
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / "folder") if source == "folder" else source
    with pytest.raises(ConfigError, match="FastSAM's flags accept one image"):
        job_from_fastsam_flags(parse("--img_path", path))
