"""`FastSAMPrompt` against the official program's results, and its plots."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from streamseg.errors import DataError, SourceError, WeightsError
from streamseg.fastsam import FastSAMPrompt, Masks, Results
from tests.support.fastsam_results import GOLDEN, rectangles, results_of

OFFICIAL = np.load(GOLDEN / "prompts_8.2.60.npz")
POINTS = sorted({name.split("/")[1] for name in OFFICIAL.files if name.startswith("points/")})
GOLDEN_MASKS = OFFICIAL["masks"]

BIG, SMALL = (4, 4, 60, 50), (10, 10, 30, 30)
MASKS = rectangles(BIG, SMALL)
IMAGE = np.dstack([np.full((60, 80), value, np.uint8) for value in (200, 90, 30)])
"""Blue in BGR."""


def prompt_of(masks=MASKS, *, image=IMAGE, prompting="reference", **options) -> FastSAMPrompt:
    return FastSAMPrompt(image, [results_of(masks, image=IMAGE, prompting=prompting)], **options)


# ---- FastSAM's rules


@pytest.mark.parametrize("name", POINTS)
def test_points_match_the_recorded_results(name):
    prompt = FastSAMPrompt(np.zeros((60, 80, 3), np.uint8), [results_of(GOLDEN_MASKS)], device="cpu")
    mask = prompt.point_prompt(OFFICIAL[f"points/{name}/points"].tolist(), OFFICIAL[f"points/{name}/labels"].tolist())
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, OFFICIAL[f"points/{name}/official"][None])


@pytest.mark.parametrize("number", range(len(OFFICIAL["boxes/names"])), ids=OFFICIAL["boxes/names"].tolist())
@pytest.mark.parametrize("keyword", ["bbox", "bboxes"])
def test_boxes_match_the_recorded_results(number, keyword):
    prompt = FastSAMPrompt(np.zeros((60, 80, 3), np.uint8), [results_of(GOLDEN_MASKS)])
    masks = prompt.box_prompt(**{keyword: OFFICIAL["boxes/boxes"][number].tolist()})
    assert masks.dtype == np.float32
    np.testing.assert_array_equal(masks, GOLDEN_MASKS[OFFICIAL["boxes/rows"][number]][None])


def test_masks_of_another_size_match_the_recorded_results():
    size = tuple(OFFICIAL["scaled/size"].tolist())
    result = results_of(GOLDEN_MASKS)
    masks = Masks(result.masks.data, size)
    image = np.zeros((*size, 3), np.uint8)
    prompt = FastSAMPrompt(image, [Results(image, "a", result.boxes, masks, instances=result.instances)])
    points = OFFICIAL["scaled/points"].tolist()
    np.testing.assert_array_equal(prompt.point_prompt(points)[0], OFFICIAL["scaled/canvas"])
    np.testing.assert_array_equal(
        prompt.box_prompt(OFFICIAL["scaled/box"].tolist())[0], GOLDEN_MASKS[OFFICIAL["scaled/row"]]
    )


def test_everything_prompt_returns_a_float_tensor():
    everything = prompt_of().everything_prompt()
    assert everything.dtype == torch.float32
    np.testing.assert_array_equal(everything.numpy(), MASKS)


def test_two_boxes_on_one_object_return_one_mask():
    prompt = prompt_of()
    assert prompt.box_prompt(bboxes=[BIG, SMALL]).shape == (2, 60, 80)
    assert prompt.box_prompt(bboxes=[BIG, (5, 5, 60, 50)]).shape == (1, 60, 80)


# ---- streamseg's rules


LIKELY_SMALL = rectangles(SMALL, BIG)
"""The small one has the higher score."""


def test_streamsegs_rules_select_the_most_likely_object_or_none():
    prompt = prompt_of(LIKELY_SMALL, prompting="default")
    np.testing.assert_array_equal(prompt.point_prompt([[20, 20]]), LIKELY_SMALL[[0]])
    np.testing.assert_array_equal(prompt.point_prompt([[50, 40]]), LIKELY_SMALL[[1]])
    assert prompt.point_prompt([[20, 20], [50, 40]], [0, 1]).shape == (0, 60, 80)
    assert prompt.point_prompt([[70, 55]]).shape == (0, 60, 80)
    np.testing.assert_array_equal(prompt.box_prompt(bboxes=[BIG, SMALL]), LIKELY_SMALL[[1, 0]])
    assert prompt.box_prompt([65, 52, 79, 59]).shape == (0, 60, 80)


def test_rules_can_be_set_per_prompt_object():
    fastsam = prompt_of(LIKELY_SMALL, prompting="reference")
    streamseg = FastSAMPrompt(IMAGE, fastsam.results, prompting="default")
    assert fastsam.point_prompt([[20, 20]]).sum() == LIKELY_SMALL[1].sum()
    assert streamseg.point_prompt([[20, 20]]).sum() == LIKELY_SMALL[0].sum()


# ---- no objects, invalid input


def test_no_objects(tmp_path):
    prompt = prompt_of(MASKS[:0])
    assert prompt.everything_prompt().shape == (0, 60, 80)
    assert prompt.box_prompt(bbox=[1, 2, 30, 40]).shape == (0, 60, 80)
    assert prompt.point_prompt([[1, 2]]).shape == (1, 60, 80)
    assert not prompt.point_prompt([[1, 2]]).any()
    path = prompt.plot(prompt.everything_prompt(), tmp_path / "a.png")
    np.testing.assert_array_equal(cv2.imread(str(path)), IMAGE)


def test_text_without_encoders():
    with pytest.raises(WeightsError, match="encoders"):
        prompt_of().text_prompt(text="a photo of a dog")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda prompt: prompt.box_prompt(), "needs bbox=", id="no box"),
        pytest.param(lambda prompt: prompt.box_prompt([1, 2, 3]), "boxes must be", id="three numbers"),
        pytest.param(lambda prompt: prompt.point_prompt([[1, 2]], [1, 0]), "1 point and 2 labels", id="labels"),
        pytest.param(lambda prompt: prompt.plot(MASKS), "needs output_path", id="no path"),
        pytest.param(lambda prompt: prompt.plot("masks", "a.png"), "must be masks", id="text as masks"),
        pytest.param(lambda prompt: prompt.plot(np.zeros(5), "a.png"), r"got \(5,\)", id="one dimension"),
    ],
)
def test_errors_are_one_line(call, message):
    with pytest.raises(DataError, match=message) as error:
        call(prompt_of())
    assert "\n" not in str(error.value)


def test_image_must_match_results():
    with pytest.raises(DataError, match="list of results is empty"):
        FastSAMPrompt(IMAGE, [])
    with pytest.raises(DataError, match=r"\(30, 80\), but the results belong to an image of \(60, 80\)"):
        FastSAMPrompt(IMAGE[:30], [results_of(MASKS)])
    with pytest.raises(DataError, match="float64"):
        FastSAMPrompt(IMAGE / 255, [results_of(MASKS)])
    with pytest.raises(SourceError, match="nowhere"):
        FastSAMPrompt("nowhere.png", [results_of(MASKS)])


# ---- plots


@pytest.fixture
def file(tmp_path) -> Path:
    cv2.imwrite(str(tmp_path / "dog.png"), IMAGE)
    return tmp_path / "dog.png"


@pytest.mark.parametrize(
    "pick",
    [
        pytest.param(lambda file: file, id="path"),
        pytest.param(lambda file: str(file), id="text"),
        pytest.param(lambda file: Image.open(file), id="PIL"),
        pytest.param(lambda file: IMAGE, id="the BGR array of the model"),
        pytest.param(lambda file: np.ascontiguousarray(IMAGE[:, :, ::-1]), id="an RGB array"),
    ],
)
def test_file_has_the_right_colours(file, pick):
    path = prompt_of(MASKS, image=pick(file)).plot(MASKS[[1]], file.parent / "out.png", withContours=False)
    written = cv2.imread(str(path))
    np.testing.assert_array_equal(written[52:], IMAGE[52:])
    # 0.6 of the palette's first colour, an orange, and 0.4 of the image.
    assert written[20, 20].tolist() == pytest.approx([80, 0.6 * 159 + 36, 0.6 * 230 + 12], abs=1)


def test_plotted_array_keeps_the_channel_order():
    bgr, rgb = prompt_of(), prompt_of(image=np.ascontiguousarray(IMAGE[:, :, ::-1]))
    np.testing.assert_array_equal(bgr.plot_to_result(MASKS)[:, :, ::-1], rgb.plot_to_result(MASKS))
    assert (IMAGE[0, 0] == [200, 90, 30]).all()


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param(MASKS, id="bool array"),
        pytest.param(MASKS.astype(np.float64), id="float array"),
        pytest.param(torch.from_numpy(MASKS).float(), id="tensor"),
        pytest.param(list(MASKS), id="list of arrays"),
        pytest.param([torch.from_numpy(mask) for mask in MASKS], id="list of tensors"),
        pytest.param([{"segmentation": mask, "area": 1} for mask in MASKS], id="list of dicts"),
        pytest.param(results_of(MASKS), id="Results"),
        pytest.param([results_of(MASKS)], id="list of Results"),
        pytest.param([results_of(MASKS[:1]).numpy(), results_of(MASKS[1:])], id="two Results"),
    ],
)
def test_forms_of_annotations(annotations):
    prompt = prompt_of()
    np.testing.assert_array_equal(prompt.plot_to_result(annotations), prompt.plot_to_result(MASKS))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"bboxes": [SMALL]}, id="box"),
        pytest.param({"points": [[20, 20]]}, id="point"),
        pytest.param({"points": [[20, 20]], "point_label": [0]}, id="background point"),
        pytest.param({"mask_random_color": False}, id="one colour"),
        pytest.param({"withContours": False}, id="no outlines"),
    ],
)
def test_drawing_options(options):
    prompt = prompt_of()
    assert (prompt.plot_to_result(MASKS, **options) != prompt.plot_to_result(MASKS)).any()


def test_better_quality_removes_thin_parts():
    masks = rectangles((10, 10, 40, 40), (50, 10, 55, 50))
    prompt = prompt_of(masks)
    smooth = prompt.plot_to_result(masks, withContours=False)
    rough = prompt.plot_to_result(masks, withContours=False, better_quality=False)
    np.testing.assert_array_equal(smooth[:, 50:], IMAGE[:, 50:])
    assert (rough[15:45, 51:54] != IMAGE[15:45, 51:54]).any(axis=2).all()


def test_colours_are_the_same_at_every_call():
    prompt = prompt_of()
    np.testing.assert_array_equal(prompt.plot_to_result(MASKS), prompt.plot_to_result(MASKS))


def test_former_names_of_options(tmp_path):
    prompt = prompt_of()
    first = prompt.plot(MASKS, output_path=tmp_path / "a.png", bboxes=[SMALL], withContours=False)
    second = prompt.plot(annotations=MASKS, output=tmp_path / "b.png", bbox=SMALL, with_contours=False)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("path", "written"),
    [
        pytest.param("output/dog2.jpg", "output/dog2.jpg", id="file in a new folder"),
        pytest.param("output", "output/dog.png", id="new folder"),
        pytest.param("output/", "output/dog.png", id="folder with a slash"),
        pytest.param(".", "dog.png", id="current folder"),
    ],
)
def test_output_paths(file, monkeypatch, path, written):
    monkeypatch.chdir(file.parent)
    prompt = prompt_of(image=str(file))
    assert prompt.plot(MASKS, path) == Path(written)
    assert (cv2.imread(written) != IMAGE).any()


def test_frame_of_a_video_is_named_after_the_video(tmp_path):
    result = results_of(MASKS, image=IMAGE, path="videos/walk.mp4")
    assert FastSAMPrompt(IMAGE, result).plot(MASKS, tmp_path).name == "walk.mp4.png"
