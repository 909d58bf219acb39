"""The video protocol on sequences of drawn discs."""

import itertools
import json

import cv2
import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.evaluation.results import result_fields
from streamseg.evaluation.video import evaluate_video
from tests.support.images import paint
from tests.support.sequences import OTHER, SIZE, instances_of, moving


def sequence_folder(path, sequences):
    for name, masks in sequences.items():
        for kind in ("images", "masks"):
            (path / name / kind).mkdir(parents=True)
        for index, mask in enumerate(masks):
            image = paint([mask], [(200, 9, 9)], SIZE)
            cv2.imwrite(str(path / name / "images" / f"{index:05d}.png"), image[:, :, ::-1])
            cv2.imwrite(str(path / name / "masks" / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    return path


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
            "has 2 frames; 3 are required, as the first and the last are not scored",
            id="too short",
        ),
    ],
)
def test_invalid_sequences_are_rejected(tmp_path, spoil, message):
    folder = sequence_folder(tmp_path, {"sequence": moving(5)})
    spoil(folder / "sequence")
    with pytest.raises(DataError, match=message):
        evaluate_video(red, folder)


def test_folder_without_sequences(tmp_path):
    with pytest.raises(DataError, match="contains no sequence"):
        evaluate_video(red, tmp_path)
