"""Checks of whole data sets: everything unusable is found at once, and the rest is used."""

import numpy as np
import pytest

from streamseg.datasets.check import usable_images
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.datasets.problems import MAX_LINES, Problem, Problems
from streamseg.datasets.sa1b import Sa1bFolder
from streamseg.errors import DataError
from tests.support.datasets import coco_folder, compressed, write_sa1b_entry
from tests.support.images import disc, paint

SIZE = (30, 40)
MASK = disc(SIZE, 20, 15, 8)
IMAGE = paint([MASK], [(250, 20, 20)], SIZE)


def folder_of(path, edit=lambda content: None, count=3):
    """Write `count` images with two annotations each: ids 1 and 2, 3 and 4 …"""
    return coco_folder(path, [(IMAGE, [{"segmentation": compressed(MASK)}] * 2)] * count, edit=edit)


def set_image(**keys):
    return lambda content: content["images"][1].update(keys)


def set_annotation(**keys):
    return lambda content: content["annotations"][2].update(keys)


def without_image(*keys):
    return lambda content: [content["images"][1].pop(key) for key in keys]


ONE_IMAGE = {"images": 1, "annotations": 0, "rings": 0}
ONE_ANNOTATION = {"images": 0, "annotations": 1, "rings": 0}
ORPHANS = {"images": 1, "annotations": 2, "rings": 0}
"""The annotations of an image that lost its id belong to no listed image."""
NOTHING = {"images": 0, "annotations": 0, "rings": 0}


@pytest.mark.parametrize(
    ("edit", "counts", "left"),
    [
        pytest.param(lambda content: None, NOTHING, [2, 2, 2], id="valid"),
        pytest.param(set_image(width=40.0, height=30.0), NOTHING, [2, 2, 2], id="whole-floats"),
        pytest.param(set_image(id=2.0), NOTHING, [2, 2, 2], id="id-as-float"),
        pytest.param(set_image(width=40.5), ONE_IMAGE, [2, 2], id="fraction"),
        pytest.param(set_image(width=True), ONE_IMAGE, [2, 2], id="boolean"),
        pytest.param(set_image(width=41), ONE_IMAGE, [2, 2], id="another-size"),
        pytest.param(set_image(file_name="no.png"), ONE_IMAGE, [2, 2], id="missing-file"),
        pytest.param(set_image(file_name="a\0b"), ONE_IMAGE, [2, 2], id="name-with-nul"),
        pytest.param(set_image(file_name="\ud800"), ONE_IMAGE, [2, 2], id="name-that-is-no-text"),
        pytest.param(set_image(file_name=""), ONE_IMAGE, [2, 2], id="empty-name"),
        pytest.param(without_image("width"), ONE_IMAGE, [2, 2], id="no-width"),
        pytest.param(set_image(id=1), ORPHANS | {"images": 2}, [2], id="colliding-ids"),
        pytest.param(set_image(id=1, file_name="001.png"), ORPHANS, [2, 2], id="image-listed-twice"),
        pytest.param(set_annotation(segmentation=[]), ONE_ANNOTATION, [2, 1, 2], id="empty-segmentation"),
        pytest.param(set_annotation(segmentation=[[0, 0, 99, 0, 99, 9]]), ONE_ANNOTATION, [2, 1, 2], id="outside"),
        pytest.param(set_annotation(image_id=77), ONE_ANNOTATION, [2, 1, 2], id="unlisted-image"),
        pytest.param(set_annotation(image_id=[2]), ONE_ANNOTATION, [2, 1, 2], id="image-id-is-a-list"),
        pytest.param(set_annotation(iscrowd="maybe"), ONE_ANNOTATION, [2, 1, 2], id="iscrowd-is-text"),
        pytest.param(set_annotation(bbox=[1, 2]), ONE_ANNOTATION, [2, 1, 2], id="short-bbox"),
        pytest.param(lambda c: c["annotations"].append("x"), ONE_ANNOTATION, [2, 2, 2], id="annotation-is-text"),
        pytest.param(lambda c: c["images"].append(7), ONE_IMAGE, [2, 2, 2], id="image-is-a-number"),
    ],
)
def test_one_problem_among_many_is_skipped_and_counted(tmp_path, edit, counts, left):
    folder, problems = folder_of(tmp_path, edit), Problems()
    found = [len(entry.annotations) for entry in usable_images(folder, problems)]
    assert (found, problems.counts()) == (left, counts)
    assert all(str(folder) in problem.message for problem in problems)
    opened = Problems()
    samples = CocoFolder(folder, problems=opened)
    assert [len(samples.sample(index).objects) for index in range(len(samples))] == left
    assert list(opened) == list(problems)


def break_three(content):
    content["images"][0]["width"] = "wide"
    content["annotations"][2]["segmentation"] = [[1, 1, 5, 5]]
    content["annotations"][4]["area"] = "big"


def test_without_a_collector_all_problems_are_refused_at_once(tmp_path):
    folder = folder_of(tmp_path, break_three)
    (tmp_path / "images" / "003.png").unlink()
    with pytest.raises(DataError) as caught:
        usable_images(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    for part in ("image 1 needs", "annotation 3 in", "annotation 5 in", "003.png is missing"):
        assert sum(part in line for line in lines) == 1


@pytest.mark.parametrize(
    ("value", "is_crowd"),
    [
        *((value, False) for value in (0, "0", 0.0, False, "false", None, "")),
        *((value, True) for value in (1, "1", 1.0, True, "True")),
    ],
)
def test_iscrowd_means_what_it_says(tmp_path, value, is_crowd):
    folder = folder_of(tmp_path, set_annotation(iscrowd=value))
    assert CocoFolder(folder).sample(1).objects[0].is_crowd is is_crowd


@pytest.mark.parametrize("open_folder", [usable_images, lambda path, problems: CocoFolder(path, problems=problems)])
def test_folder_without_usable_image_is_an_error(tmp_path, open_folder):
    folder = folder_of(tmp_path, count=1)
    (folder / "images" / "001.png").unlink()
    with pytest.raises(DataError, match=r"none of the images of .* is usable; for example, .*001\.png"):
        open_folder(folder, Problems())


def test_limit_applies_to_the_listed_images(tmp_path):
    folder, problems = folder_of(tmp_path, set_image(width=41)), Problems()
    assert len(usable_images(folder, problems, limit=2)) == 1
    assert len(problems) == 1


def break_segmentation(content):
    content["annotations"][0]["segmentation"]["size"] = [9, 9]


def test_sa1b_folder_is_checked_as_a_whole(tmp_path):
    for number in range(5):
        edit = break_segmentation if number == 2 else lambda content: None
        write_sa1b_entry(tmp_path, number, [MASK, disc(SIZE, 8, 8, 5)], size=SIZE, edit=edit)
    (tmp_path / "sa_1.json").write_text("broken")
    (tmp_path / "sa_3.png").unlink()
    problems, seen = Problems(), []
    folder = Sa1bFolder(tmp_path, problems=problems, on_image=lambda done, total: seen.append((done, total)))
    assert [len(folder.sample(index).objects) for index in range(len(folder))] == [2, 1, 2]
    assert problems.summary() == "2 images, 1 annotation skipped"
    assert seen[-1] == (5, 5)


def test_sa1b_folder_without_usable_image_is_an_error(tmp_path):
    (tmp_path / "sa_1.json").write_text("broken")
    with pytest.raises(DataError, match="none of the images of"):
        Sa1bFolder(tmp_path, problems=Problems())


def test_valid_folder_is_read_as_without_a_check(tmp_path):
    folder = folder_of(tmp_path)
    checked, plain = CocoFolder(folder, problems=Problems()), CocoFolder(folder)
    assert len(checked) == len(plain) == 3
    for index in range(3):
        one, other = checked.sample(index), plain.sample(index)
        assert np.array_equal(one.image, other.image)
        assert [a.mask.area for a in one.objects] == [b.mask.area for b in other.objects]


def test_long_lists_of_problems_are_cut(tmp_path):
    problems = Problems()
    for number in range(MAX_LINES + 5):
        problems.add(Problem("image", tmp_path, f"image {number}"))
    problems.add(Problem("image", tmp_path, "image 0"))
    assert len(problems.lines()) == MAX_LINES + 1
    assert problems.lines()[-1] == "… and 5 more problems"
    assert problems.summary() == f"{MAX_LINES + 5} images skipped"
