"""Films of drawn discs, followed by drawn answers."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch
from pictures import crop_of, disc, paint, rectangle

from streamseg.errors import DataError
from streamseg.evaluation.video import (
    FilmFrame,
    best_masks,
    evaluate_video,
    first_prompts,
    follow_prompt,
    follow_selection,
    follow_track,
)
from streamseg.structures.instances import GridTransform, Instances
from streamseg.structures.prompt import BoxPrompt

SIZE = (60, 100)


def instances_of(masks):
    """Instances whose masks are exactly these."""
    edges = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return Instances(
        torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
        torch.linspace(0.9, 0.6, len(masks)),
        torch.from_numpy(np.where(np.array(masks).reshape(-1, *SIZE), 4.0, -4.0)).float(),
        GridTransform(1, 1, 0, 0),
        SIZE,
    )


def moving(num_frames=10, step=3, start=20):
    """A disc that moves to the right."""
    return [disc(SIZE, start + step * index, 30, 11) for index in range(num_frames)]


OTHER = rectangle(SIZE, 0, 0, 18, 14)


def film(answers):
    return [
        FilmFrame(np.zeros((*SIZE, 3), np.uint8), instances_of(masks), index / 24)
        for index, masks in enumerate(answers)
    ]


def full(masks):
    return [mask.full(SIZE) for mask in masks]


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


@pytest.mark.parametrize("follow", [follow_selection, follow_track, follow_prompt])
@pytest.mark.parametrize("kind", ["box", "1 point"])
def test_the_object_is_followed(follow, kind):
    truth = moving()
    prompt = first_prompts(truth[0])[kind]
    masks = full(follow(prompt, film([[OTHER, mask] for mask in truth])))
    assert all((mask == true).all() for mask, true in zip(masks, truth, strict=True))


@pytest.mark.parametrize("follow", [follow_selection, follow_track, follow_prompt])
def test_frames_without_it_are_empty_and_it_is_found_again(follow):
    truth = moving(step=1)
    answers = [[OTHER, mask] if index not in (4, 5) else [OTHER] for index, mask in enumerate(truth)]
    masks = full(follow(first_prompts(truth[0])["box"], film(answers)))
    assert [bool(mask.any()) for mask in masks] == [True] * 4 + [False] * 2 + [True] * 4
    assert (masks[-1] == truth[-1]).all()


def test_only_identities_tell_the_object_from_what_lies_in_its_place():
    """A second disc comes to where the first one was: the box takes it for the first, its identity is another."""
    passing = moving(14, step=-4, start=74)
    answers = [[disc(SIZE, 20, 30, 11), other] if index < 9 else [other] for index, other in enumerate(passing)]
    prompt = first_prompts(answers[0][0])["box"]
    assert full(follow_selection(prompt, film(answers)))[-1].any()
    for follow in (follow_track, follow_prompt):
        assert not any(mask.any() for mask in full(follow(prompt, film(answers)))[9:])


def test_nothing_answers():
    far = BoxPrompt("far", (80, 45, 99, 59))
    for follow in (follow_selection, follow_track, follow_prompt):
        assert not any(mask.any() for mask in full(follow(far, film([[OTHER]] * 4))))
        assert not any(mask.any() for mask in full(follow(far, film([[]] * 4))))


def test_the_best_mask_is_as_good_as_any():
    truth = moving(4)
    near = rectangle(SIZE, 10, 18, 40, 42)
    shifted = [np.roll(mask, 2, axis=1) for mask in truth]
    frames = film([[near, mask, OTHER] for mask in shifted])
    masks = full(best_masks([crop_of(mask) for mask in truth], frames))
    assert all((mask == expected).all() for mask, expected in zip(masks, shifted, strict=True))


def test_prompts_of_a_mask():
    prompts = first_prompts(disc(SIZE, 40.5, 30.5, 10) | rectangle(SIZE, 0, 0, 3, 60))
    assert prompts["box"].box == (0, 0, 50, 60)
    assert prompts["1 point"].point_coords[0] == pytest.approx((40.5, 30.5), abs=1)


def test_the_point_lies_in_the_mask_where_its_middle_does_not():
    ring = disc(SIZE, 50, 30, 25) & ~disc(SIZE, 50, 30, 15)
    ((x, y),) = first_prompts(ring)["1 point"].point_coords
    assert ring[int(y), int(x)]


# ---- folders


def test_scores_of_films(tmp_path):
    folder = film_folder(tmp_path, {"slow": moving(8, 1), "fast": moving(6, 6)})
    seen = []
    scores = evaluate_video(red, folder, on_picture=lambda *one: seen.append(one))
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
