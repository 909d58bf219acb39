"""A command line made for the official FastSAM program."""

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
from streamseg.cli.fastsam_flags import has_official_flags, job_of_official_flags
from streamseg.cli.main import build_parser, main
from streamseg.cli.segment import segmentation_config
from streamseg.config import TrackingConfig
from streamseg.errors import ConfigError, DataError, StreamsegError
from streamseg.fastsam.mode import ReferenceSegmenter
from streamseg.fastsam.reference_matching import ReferenceMatcher
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


# ---- what is asked


@pytest.mark.parametrize(
    ("flags", "prompts"),
    [
        pytest.param(["--img_path", "a.jpg"], EVERYTHING, id="nothing"),
        pytest.param(["--point_prompt", "[[0,0]]", "--box_prompt", "[[0,0,0,0]]"], EVERYTHING, id="their defaults"),
        pytest.param(
            ["--point_prompt", "[[520,360],[620,300]]", "--point_label", "[1,0]"],
            (PointPrompt("point0", ((520, 360), (620, 300)), (1, 0)),),
            id="points",
        ),
        pytest.param(
            ["--point_prompt", "[[520,360]]"], (PointPrompt("point0", ((520, 360),), (0,)),), id="no label is 0"
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "[1,0,1]"],
            (PointPrompt("point0", ((5, 6),), (1,)),),
            id="labels left over",
        ),
        pytest.param(["--point_prompt", "[[0,0],[5,6]]"], EVERYTHING, id="the first point decides"),
        pytest.param(["--box_prompt", "[[570,200,230,400]]"], (BoxPrompt("box0", (570, 200, 800, 600)),), id="xywh"),
        pytest.param(
            ["--box_prompt", "[[1,2,3,4],[5,6,7,8]]"],
            (BoxPrompt("box0", (1, 2, 4, 6)), BoxPrompt("box1", (5, 6, 12, 14))),
            id="two boxes",
        ),
        pytest.param(["--box_prompt", "[[5,6,0,8]]"], EVERYTHING, id="a box without width"),
        pytest.param(
            ["--box_prompt", "((1., 2, 3, 4),)"], (BoxPrompt("box0", (1, 2, 4, 6)),), id="as Python writes it"
        ),
        pytest.param(
            ["--box_prompt", "[[1,2,3,4]]", "--point_prompt", "[[5,6]]", "--text_prompt", "a dog"],
            (BoxPrompt("box0", (1, 2, 4, 6)),),
            id="a box comes before a text and points",
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--text_prompt", "a dog"],
            (TextPrompt("text0", "a dog"),),
            id="a text comes before points",
        ),
        pytest.param(
            ["--output", "x/", "--boxes", "[[1,2,3,4]]"], (BoxPrompt("box0", (1, 2, 3, 4)),), id="our box: xyxy"
        ),
    ],
)
def test_prompts(flags, prompts):
    assert job_of_official_flags(parse(*flags)).prompts == prompts


def test_their_defaults():
    args = parse("--img_path", "a.jpg", "--model_path", "s.pt")
    job = job_of_official_flags(args)
    config = segmentation_config(args, job.segmentation)
    assert (config.imgsz, config.conf, config.iou, config.weights) == (1024, 0.4, 0.9, "s.pt")
    assert (config.max_det, config.device) == (300, "auto")
    assert (job.mode, job.retina_masks, job.finish) == ("fastsam", True, None)
    assert (job.folder, job.image_name) == (Path("output"), "a.jpg")


def test_flags_win_over_their_defaults():
    args = parse("--img_path", "a.jpg", "--imgsz", "640", "--conf", "0.25", "--iou", "0.7", "--device", "cpu")
    config = segmentation_config(args, job_of_official_flags(args).segmentation)
    assert (config.imgsz, config.conf, config.iou, config.device) == (640, 0.25, 0.7, "cpu")


def test_what_is_not_given_at_all():
    job = job_of_official_flags(parse("--output", "there/"))
    assert (job.source, job.segmentation["weights"]) == ("./images/dogs.jpg", "./weights/FastSAM.pt")
    with_input = job_of_official_flags(parse("a.jpg", "--point_prompt", "[[5,6]]"))
    assert (with_input.source, with_input.segmentation.get("weights")) == ("a.jpg", None)


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        pytest.param(["--output", "there/"], "there/dogs.jpg", id="a folder"),
        pytest.param(["--output", "there/run-"], "there/run-dogs.jpg", id="no slash: the beginning of the name"),
        pytest.param([], "output/dogs.jpg", id="by default"),
        pytest.param(["--out", "ours"], "ours/dogs.jpg", id="our flag is a folder"),
    ],
)
def test_where_the_picture_goes(flags, place):
    job = job_of_official_flags(parse("--img_path", "pictures/dogs.jpg", *flags))
    assert job.image_name is not None
    assert job.folder / job.image_name == Path(place)


@pytest.mark.parametrize(
    ("word", "meaning"), [("True", True), ("False", False), ("true", True), ("0", False), ("1", True), ("", False)]
)
def test_switches_mean_what_they_say(word, meaning):
    job = job_of_official_flags(parse("--retina", word, "--better_quality", word))
    assert job.retina_masks is meaning
    assert (job.finish is not None) is meaning


def test_ours_can_be_asked_for_by_their_flags():
    assert job_of_official_flags(parse("--img_path", "a.jpg", "--prompting", "default")).mode == "streamseg"


def test_our_own_flags_are_not_theirs():
    assert not has_official_flags(parse("a.jpg", "--imgsz", "640", "--conf", "0.3", "--iou", "0.8", "--device", "cpu"))
    assert not has_official_flags(parse("a.jpg", "--prompting", "reference", "--points", "[[1,2]]"))
    assert has_official_flags(parse("a.jpg", "--retina", "True"))


def test_they_are_not_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    shown = capsys.readouterr().out
    assert "--mode" in shown
    assert "model_path" not in shown
    assert "withContours" not in shown


# ---- mistakes

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
def test_lists_that_cannot_be_read(flag, text):
    with pytest.raises(DataError, match=rf"^{flag} must be \[\[.*, got ") as caught:
        job_of_official_flags(parse("--img_path", "a.jpg", flag, text))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(alphabet="[](),-.0123456789eE 'jx:{}", max_size=40))
def test_any_text_is_prompts_or_one_line(text):
    for flag in ("--point_prompt", "--box_prompt"):
        try:
            prompts = job_of_official_flags(parse("--img_path", "a.jpg", f"{flag}={text}")).prompts
        except StreamsegError as error:
            prompts = ()
            assert "\n" not in str(error)  # noqa: PT017
        assert len(prompts) <= 40


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "1"], DataError, "--point_label must be", id="no list"
        ),
        pytest.param(
            ["--point_prompt", "[[5,6]]", "--point_label", "[2]"], DataError, "labels must be 1", id="other label"
        ),
        pytest.param(["--point_prompt", "[[5,6],[7,8]]"], DataError, "2 points and 1 labels", id="too few labels"),
        pytest.param(["--box_prompt", "[[5,6,-2,3]]"], DataError, "x0 < x1", id="turned around"),
        pytest.param(["--text_prompt", " "], DataError, "empty text", id="empty text"),
        pytest.param(["--text_prompt", "a", "--text", "b"], ConfigError, "--text_prompt and --text", id="two texts"),
        pytest.param(["a.jpg"], ConfigError, "--img_path and INPUT say the same", id="two inputs"),
        pytest.param(
            ["--weights", "default", "--model_path", "s.pt"], ConfigError, "--model_path and --w", id="two weights"
        ),
        pytest.param(["--out", "a", "--output", "b"], ConfigError, "--output and --out", id="two places"),
        pytest.param(
            ["--boxes", "[[1,2,3,4]]", "--box_prompt", "[[1,2,3,4]]"], ConfigError, "--box_prompt and", id="boxes"
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(flags, error, message):
    with pytest.raises(error, match=message) as caught:
        job_of_official_flags(parse("--img_path", "b.jpg", *flags))
    assert "\n" not in str(caught.value)


# ---- a whole run


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return str(save_weights(lively_network("n", seed=1).state_dict(), folder / "n.safetensors"))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "dogs.jpg"
    cv2.imwrite(str(path), blobs((120, 160), seed=9))
    return path


@pytest.fixture
def official(weights, picture, tmp_path):
    """Runs an official command line on the picture; gives the exit code, the results and the picture that was made."""

    def call(*flags):
        out = tmp_path / "results"
        common = ["--model_path", weights, "--img_path", str(picture), "--imgsz", "128", "--output", f"{out}/"]
        code = main(["segment", *common, *flags])
        if code:
            return code, None, None
        assert sorted(path.name for path in out.iterdir()) == ["dogs.jpg", "instances.json"]
        return code, json.loads((out / "instances.json").read_text()), cv2.imread(str(out / "dogs.jpg"))

    return call


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
def test_a_run_gives_the_answers_of_reference_mode(official, weights, picture, flags):
    code, results, drawn = official(*flags)
    assert code == 0
    assert drawn.shape == (120, 160, 3)
    job = job_of_official_flags(parse("--img_path", str(picture), *flags))
    pipeline = Pipeline(
        ReferenceSegmenter(weights, imgsz=128, conf=0.4, iou=0.9),
        tracking=TrackingConfig(enabled=False),
        prompts=job.prompts,
        matcher=ReferenceMatcher(job.retina_masks),
    )
    (message,) = pipeline([make_frame(image=load_image(picture))])
    assert [one["area"] for one in results] == [one.area for one in message.objects]
    assert all(one["segmentation"]["size"] == list(message.mask_size) for one in results)
    assert results


def test_points_on_several_objects_are_one_result(official):
    _, everything, _ = official()
    first, second = everything[0]["bbox"], everything[-1]["bbox"]
    _, merged, _ = official("--box_prompt", "[[1,1,5,5]]")
    assert len(merged) == 1
    points = [[int(x + width / 2), int(y + height / 2)] for x, y, width, height in (first, second)]
    _, merged, _ = official("--point_prompt", json.dumps(points), "--point_label", "[1,1]")
    assert len(merged) <= 1
    assert [one["track_id"] for one in merged] == [-1] * len(merged)


def test_switches_change_the_picture(official):
    pictures = {
        flags: official(*flags)[2]
        for flags in ((), ("--withContours", "True"), ("--randomcolor", "False"), ("--better_quality", "True"))
    }
    plain = pictures.pop(())
    for flags, drawn in pictures.items():
        assert not np.array_equal(drawn, plain), flags
    np.testing.assert_array_equal(official("--withContours", "False", "--better_quality", "False")[2], plain)


def test_better_quality_is_in_the_results_too(official):
    _, before, _ = official()
    _, after, _ = official("--better_quality", "True")
    assert len(after) == len(before)
    assert [one["area"] for one in after] != [one["area"] for one in before]
    assert all(coco_to_crop(one["segmentation"]).area == one["area"] for one in after)


def test_our_flag_for_the_mode(weights, picture, tmp_path, capsys):
    common = ["segment", str(picture), "--weights", weights, "--imgsz", "128", "--conf", "0.4", "--no-overlay"]
    nowhere = ["--boxes", "[[1, 1, 3, 3]]"]
    assert main([*common, "--out", str(tmp_path / "ours"), *nowhere]) == 0
    assert main([*common, "--out", str(tmp_path / "theirs"), *nowhere, "--prompting", "reference"]) == 0
    ours, theirs = (json.loads((tmp_path / name / "instances.json").read_text()) for name in ("ours", "theirs"))
    # Ours looks into the box, theirs takes the best of what was found elsewhere, however bad.
    assert [one["bbox"] for one in ours] == [[1, 1, 2, 2]]
    assert len(theirs) == 1
    assert theirs[0]["bbox"][2] > 2


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
def test_mistakes_are_one_line_exit_code_2_and_leave_nothing(official, tmp_path, capsys, flags, message):
    code, *_ = official(*flags)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert line.startswith("streamseg: ")
    assert message in line
    assert not (tmp_path / "results").exists()


def test_a_switch_that_is_neither_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["segment", "--img_path", "a.jpg", "--retina", "maybe"])
    assert caught.value.code == 2
    assert "argument --retina: True or False, got 'maybe'" in capsys.readouterr().err


def test_no_input_at_all_is_one_line(capsys):
    assert main(["segment"]) == 2
    assert "nothing to segment; give a picture" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["folder", "*.jpg", "rtsp://127.0.0.1/x", "0"])
def test_they_take_one_picture(source, tmp_path):
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / "folder") if source == "folder" else source
    with pytest.raises(ConfigError, match="the official flags take one picture"):
        job_of_official_flags(parse("--img_path", path))
