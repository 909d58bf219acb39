"""Films of drawn discs, followed by drawn answers."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from streamseg.errors import DataError
from streamseg.evaluation.video import evaluate_video
from tests.support.films import OTHER, SIZE, instances_of, moving
from tests.support.pictures import paint


def film_folder(path, films):
    for name, masks in films.items():
        for kind in ("images", "masks"):
            (path / name / kind).mkdir(parents=True)
        for index, mask in enumerate(masks):
            picture = paint([mask], [(200, 9, 9)], SIZE)
            cv2.imwrite(str(path / name / "images" / f"{index:05d}.png"), picture[:, :, ::-1])
            cv2.imwrite(str(path / name / "masks" / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    return path


def red(images):
    """A segmenter that finds what is red."""
    answers = []
    for image in images:
        mask = (image[:, :, 0] > 150) & (image[:, :, 1] < 50)
        answers.append(instances_of([mask, OTHER] if mask.any() else [OTHER]))
    return answers


def test_scores_of_films(tmp_path):
    folder = film_folder(tmp_path, {"slow": moving(8, 1), "fast": moving(6, 6)})
    seen = []
    scores = evaluate_video(red, folder, on_image=lambda *one: seen.append(one))
    assert (scores.num_films, scores.num_frames, seen[-1]) == (2, 14, (14, 14))
    assert scores.best.region_and_contour == pytest.approx(1)
    for by_name in scores.by_prompt.values():
        for of in by_name.values():
            assert set(of.films) == {"slow", "fast"}
            assert of.films["slow"].region_and_contour == pytest.approx(1)
            assert of.region_and_contour <= scores.best.region_and_contour
    json.dumps(dataclasses.asdict(scores))


def test_the_first_and_the_last_frame_do_not_count(tmp_path):
    masks = moving(5, 1)
    folder = film_folder(tmp_path, {"film": [masks[0], masks[1], masks[2], masks[3], OTHER]})
    answers = iter([[masks[0]], [masks[1]], [masks[2]], [masks[3]], [masks[4]]])
    scores = evaluate_video(lambda images: [instances_of(next(answers))], folder)
    assert scores.by_prompt["box"]["selection"].region_and_contour == pytest.approx(1)


def test_the_first_frames_only(tmp_path):
    assert evaluate_video(red, film_folder(tmp_path, {"film": moving(6)}), limit=4).num_frames == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda film: (film / "masks" / "00002.png").unlink(), "has no mask", id="no mask"),
        pytest.param(
            lambda film: (film / "masks" / "00002.png").write_bytes(b""), "00002.png is not", id="broken mask"
        ),
        pytest.param(lambda film: (film / "images" / "00002.png").write_bytes(b""), "00002.png is not", id="broken"),
        pytest.param(
            lambda film: cv2.imwrite(str(film / "masks" / "00002.png"), np.zeros((5, 7), np.uint8)),
            "00002.png is 7x5, its picture is 100x60",
            id="another size",
        ),
        pytest.param(
            lambda film: cv2.imwrite(str(film / "masks" / "00000.png"), np.zeros(SIZE, np.uint8)),
            "the first mask of .* is empty",
            id="empty first mask",
        ),
        pytest.param(
            lambda film: [(film / "images" / f"0000{index}.png").unlink() for index in (2, 3, 4)],
            "has 2 frames; the first and the last are not scored, it needs 3",
            id="too short",
        ),
    ],
)
def test_films_that_cannot_be_scored(tmp_path, spoil, message):
    folder = film_folder(tmp_path, {"film": moving(5)})
    spoil(folder / "film")
    with pytest.raises(DataError, match=message):
        evaluate_video(red, folder)


def test_no_film(tmp_path):
    with pytest.raises(DataError, match="holds no film"):
        evaluate_video(red, tmp_path)
