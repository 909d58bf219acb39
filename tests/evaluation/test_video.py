"""The video protocol on sequences of drawn discs."""

import itertools
import json

import cv2
import numpy as np
import pytest

from streamseg.datasets.problems import Problems
from streamseg.errors import DataError
from streamseg.evaluation.prompt_tracking import select_every_frame
from streamseg.evaluation.results import result_fields
from streamseg.evaluation.video import FPS, evaluate_video
from tests.support.sequences import OTHER, SIZE, instances_of, moving, sequence_folder


def red(images, regions=None):
    """Find the red object of each image."""
    found = []
    for image in images:
        mask = (image[:, :, 0] > 150) & (image[:, :, 1] < 50)
        found.append(instances_of([mask, OTHER] if mask.any() else [OTHER]))
    return found


@pytest.mark.slow
def test_scores_of_sequences(tmp_path):
    folder = sequence_folder(tmp_path, {"slow": moving(8, 1), "fast": moving(6, 6)})
    seen = []
    scores = evaluate_video(red, folder, on_image=lambda *one: seen.append(one))
    assert (scores.num_sequences, scores.num_frames, seen[-1]) == (2, 14, (14, 14))
    assert scores.best.region_and_contour == pytest.approx(1)
    for by_name in scores.by_prompt.values():
        for of in by_name.values():
            assert set(of.sequences) == {"slow", "fast"}
            assert of.sequences["slow"].region_and_contour == pytest.approx(1)
            assert of.region_and_contour <= scores.best.region_and_contour
    json.dumps(result_fields(scores))


def test_first_and_last_frame_are_not_scored(tmp_path):
    masks = moving(5, 1)
    folder = sequence_folder(tmp_path, {"sequence": [masks[0], masks[1], masks[2], masks[3], OTHER]})
    masks_per_frame = itertools.cycle([[mask] for mask in masks])
    scores = evaluate_video(lambda images, regions=None: [instances_of(next(masks_per_frame))], folder)
    assert scores.by_prompt["box"]["selection"].region_and_contour == pytest.approx(1)


def test_limit_uses_the_first_frames(tmp_path):
    assert evaluate_video(red, sequence_folder(tmp_path, {"sequence": moving(6)}), limit=4).num_frames == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda sequence: (sequence / "masks" / "00002.png").unlink(), "has no mask; expected", id="no mask"
        ),
        pytest.param(
            lambda sequence: (sequence / "masks" / "00002.png").write_bytes(b""), "00002.png is not", id="broken mask"
        ),
        pytest.param(
            lambda sequence: (sequence / "images" / "00002.png").write_bytes(b""), "00002.png is not", id="broken"
        ),
        pytest.param(
            lambda sequence: cut(sequence / "images" / "00002.png"), "00002.png .* is truncated", id="cut image"
        ),
        pytest.param(
            lambda sequence: cut(sequence / "masks" / "00002.png"), "00002.png .* is truncated", id="cut mask"
        ),
        pytest.param(
            lambda sequence: cv2.imwrite(str(sequence / "masks" / "00002.png"), np.zeros((5, 7), np.uint8)),
            "00002.png is 7x5, its image is 100x60",
            id="another size",
        ),
        pytest.param(
            lambda sequence: cv2.imwrite(str(sequence / "masks" / "00000.png"), np.zeros(SIZE, np.uint8)),
            "the first mask of .* is empty",
            id="empty first mask",
        ),
        pytest.param(
            lambda sequence: [(sequence / "images" / f"0000{index}.png").unlink() for index in (2, 3, 4)],
            "has 2 usable frames; 3 are required, as the first and the last are not scored",
            id="too short",
        ),
    ],
)
def test_invalid_sequences_are_rejected(tmp_path, spoil, message):
    folder = sequence_folder(tmp_path, {"sequence": moving(5)})
    spoil(folder / "sequence")
    with pytest.raises(DataError, match=message):
        evaluate_video(red, folder)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 20])


@pytest.mark.parametrize(
    ("spoil", "skipped"),
    [
        pytest.param([lambda one: (one / "masks" / "00002.png").unlink()], 1, id="no mask"),
        pytest.param([lambda one: cut(one / "images" / "00002.png")], 1, id="cut image"),
        pytest.param([lambda one: cut(one / "images" / "00000.png")], 1, id="the first frame is cut"),
        pytest.param(
            [lambda one: cut(one / "images" / "00001.png"), lambda one: (one / "masks" / "00004.png").write_bytes(b"")],
            2,
            id="two frames",
        ),
    ],
)
@pytest.mark.slow
def test_unusable_frames_are_skipped_and_the_times_of_others_kept(tmp_path, spoil, skipped):
    folder = sequence_folder(tmp_path, {"a": moving(8, 1), "b": moving(6, 1)})
    for change in spoil:
        change(folder / "a")
    problems, times = Problems(), {}

    def keep_times(prompt, frames):
        times.setdefault(len(frames), [round(frame.time_seconds * FPS) for frame in frames])
        return select_every_frame(prompt, frames)

    scores = evaluate_video(red, folder, methods={"selection": keep_times}, problems=problems)
    assert problems.counts()["images"] == skipped
    assert (scores.num_sequences, scores.num_frames) == (2, 14 - skipped)
    missing = {int(problem.file.stem) for problem in problems}
    assert times[8 - skipped] == sorted(set(range(8)) - missing)
    assert scores.best.region_and_contour == pytest.approx(1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda one: cv2.imwrite(str(one / "masks" / "00000.png"), np.zeros(SIZE, np.uint8)),
            "empty",
            id="empty mask",
        ),
        pytest.param(lambda one: [path.unlink() for path in (one / "images").iterdir()], "no images", id="no images"),
        pytest.param(
            lambda one: [cut(path) for path in sorted((one / "images").iterdir())[2:]],
            "2 usable frames",
            id="too short",
        ),
    ],
)
def test_unusable_sequences_are_skipped(tmp_path, spoil, message):
    folder = sequence_folder(tmp_path, {"a": moving(5, 1), "b": moving(5, 1)})
    spoil(folder / "a")
    problems = Problems()
    scores = evaluate_video(red, folder, problems=problems)
    assert set(scores.best.sequences) == {"b"}
    assert (scores.num_sequences, scores.num_frames) == (1, 5)
    assert message in [problem.message for problem in problems][-1]
    spoil(folder / "b")
    with pytest.raises(DataError, match="none of the images"):
        evaluate_video(red, folder, problems=Problems())


def test_all_problems_are_named_before_a_frame_is_segmented(tmp_path):
    folder = sequence_folder(tmp_path, {"a": moving(5, 1), "b": moving(5, 1)})
    (folder / "a" / "masks" / "00001.png").unlink()
    (folder / "b" / "images" / "00003.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        evaluate_video(lambda images, regions=None: pytest.fail("segmented"), folder)
    assert len(str(error.value).splitlines()) == 2


def test_folder_without_sequences(tmp_path):
    with pytest.raises(DataError, match="contains no sequence"):
        evaluate_video(red, tmp_path)
