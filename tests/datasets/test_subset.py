from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.datasets.coco_folder import CocoFolder
from streamseg.datasets.problems import Problems
from streamseg.datasets.sa1b import Sa1bFolder
from streamseg.datasets.subset import Subset
from streamseg.datasets.yolo_folder import YoloFolder
from streamseg.errors import DataError
from tests.support.datasets import coco_folder, write_sa1b_entry
from tests.support.images import rectangle
from tests.support.yolo_data import box_image, yolo_data_set

GREY = np.full((20, 30, 3), 90, dtype=np.uint8)
TRAINING, HELD_OUT = Subset(2, is_held_out=False), Subset(2, is_held_out=True)


@given(st.integers(2, 30), st.integers(40, 200))
def test_each_item_is_in_one_of_the_two_subsets(every, count):
    parts = [Subset(every, is_held_out=held).select(range(count), Path("data")) for held in (False, True)]
    assert sorted(parts[0] + parts[1]) == list(range(count))
    assert parts == [sorted(part) for part in parts]
    assert abs(len(parts[1]) - count / every) < 1


@pytest.mark.parametrize(
    ("every", "count", "expected"),
    [
        pytest.param(10, 30, [7, 17, 27], id="as in the released weights"),
        pytest.param(2, 5, [1, 3], id="least"),
        pytest.param(10, 8, [7], id="just one"),
    ],
)
def test_held_out_items(every, count, expected):
    assert Subset(every, is_held_out=True).select(range(count), Path("data")) == expected


def test_data_set_that_is_too_small():
    with pytest.raises(DataError, match="none of the 5 images of data is held out with hold_out 10"):
        Subset(10, is_held_out=True).select(range(5), Path("data"))


def test_position_does_not_depend_on_the_source_or_on_missing_files(tmp_path):
    images = [{"source": source} for source in "xxyyxx"]
    coco_folder(tmp_path / "a", [(GREY, [])] * 6, images=images)
    whole = CocoFolder(tmp_path / "a")
    names = [whole.entry(index).path.name for index in range(6)]
    (tmp_path / "a" / "images" / names[1]).unlink()
    for source, subset, expected in (
        ("x", TRAINING, [0, 4]),
        ("x", HELD_OUT, [5]),
        ("y", HELD_OUT, [3]),
        (None, HELD_OUT, [3, 5]),
    ):
        folder = CocoFolder(tmp_path / "a", source=source, subset=subset, problems=Problems())
        assert [folder.entry(index).path.name for index in range(len(folder))] == [names[index] for index in expected]


def test_source_without_a_held_out_image(tmp_path):
    coco_folder(tmp_path / "a", [(GREY, [])] * 3, images=[{"source": source} for source in "xyx"])
    with pytest.raises(DataError, match="has no image with source 'x'; available sources: y"):
        CocoFolder(tmp_path / "a", source="x", subset=HELD_OUT)


@pytest.mark.parametrize("with_problems", [False, True])
def test_other_formats(tmp_path, with_problems):
    (tmp_path / "s").mkdir()
    for number in range(5):
        write_sa1b_entry(tmp_path / "s", number, [rectangle((30, 40), 2, 2, 9, 12)], size=(30, 40))
    file = yolo_data_set(tmp_path / "y", {"train": [box_image((30, 40), 2, 2, 9, 12)] * 5})
    for opened, path in ((Sa1bFolder, tmp_path / "s"), (YoloFolder, file)):
        options = {"problems": Problems() if with_problems else None}
        parts = [opened(path, subset=subset, **options) for subset in (None, TRAINING, HELD_OUT)]
        every, *split = [[part.entry(index).path for index in range(len(part))] for part in parts]
        assert split == [every[::2], every[1::2]]
