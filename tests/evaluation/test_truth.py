import numpy as np
import pytest

from streamseg.datasets.coco import read_images
from streamseg.errors import DataError
from streamseg.evaluation.truth import image_truth, labelled_images, size_masks
from tests.support.datasets import coco_folder, compressed
from tests.support.images import disc, paint, rectangle

SIZE = (60, 80)
DISC = disc(SIZE, 30, 30, 20)
CROWD = rectangle(SIZE, 60, 0, 80, 60)
EMPTY = np.zeros(SIZE, dtype=bool)


def folder_of(path, labels, count=1, **options):
    return coco_folder(path, [(paint([DISC], [(200, 9, 9)], SIZE), labels)] * count, **options)


def test_area_and_box_of_the_file_take_precedence(tmp_path):
    stated = {"segmentation": compressed(DISC), "area": 1234.5, "bbox": [1, 2, 30, 40]}
    folder = folder_of(tmp_path, [stated, {"segmentation": compressed(DISC)}])
    truth = image_truth(read_images(folder)[0])
    assert truth.areas.tolist() == [1234.5, DISC.sum()]
    assert truth.boxes.tolist() == [[1, 2, 31, 42], [10, 10, 50, 50]]


def test_crowds_and_empty_masks_are_not_prompted(tmp_path):
    labels = [
        {"segmentation": compressed(CROWD), "iscrowd": 1},
        {"segmentation": compressed(EMPTY)},
        {"segmentation": compressed(DISC)},
    ]
    truth = image_truth(read_images(folder_of(tmp_path, labels))[0])
    assert truth.objects == [2]
    assert truth.is_crowd.tolist() == [True, False, False]


def test_image_without_labels(tmp_path):
    truth = image_truth(read_images(folder_of(tmp_path, []))[0])
    assert truth.objects == []
    assert truth.boxes.shape == (0, 4)
    assert truth.areas.shape == truth.is_crowd.shape == (0,)


def test_size_ranges_include_both_borders():
    sizes = size_masks(np.array([1023.0, 1024.0, 9216.0, 9217.0]))
    assert {name: chosen.tolist() for name, chosen in sizes.items()} == {
        "small": [True, True, False, False],
        "medium": [False, True, True, False],
        "large": [False, False, True, True],
    }


def test_limit_takes_the_first_images(tmp_path):
    folder, seen = folder_of(tmp_path, [], count=3), []
    samples = list(labelled_images(folder, limit=2, on_image=lambda done, total: seen.append((done, total))))
    assert [image.shape for image, _ in samples] == [(*SIZE, 3)] * 2
    assert seen == [(1, 2), (2, 2)]


def break_last(content):
    content["annotations"][-1]["segmentation"]["size"] = [9, 9]


def move_last(content):
    content["annotations"][-1]["segmentation"] = [[70, 10, 95, 10, 95, 40]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(break_last, "the run lengths are for size [9, 9]", id="run lengths of another size"),
        pytest.param(move_last, "the polygon leaves the image of 80x60", id="polygon outside"),
        pytest.param(
            lambda content: content["images"][-1].update(file_name="no.png"), "no.png is missing", id="missing"
        ),
    ],
)
def test_all_labels_are_checked_before_the_first_image(tmp_path, edit, message):
    folder = folder_of(tmp_path, [{"segmentation": compressed(DISC)}], count=3, edit=edit)
    with pytest.raises(DataError) as caught:
        next(labelled_images(folder))
    assert message in str(caught.value)
