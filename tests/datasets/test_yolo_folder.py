import numpy as np
import pytest

from streamseg.datasets.problems import Problems
from streamseg.datasets.yolo_folder import YoloFolder
from streamseg.errors import DataError
from tests.support.images import rectangle
from tests.support.yolo_data import box_image, yolo_data_set

SIZE = (30, 40)
IMAGE, LINE = box_image(SIZE, 10, 6, 30, 21)


def test_sample_holds_image_and_objects(tmp_path):
    file = yolo_data_set(tmp_path, {"train": [(IMAGE, f"{LINE}\n0 0.5 0.5 0.2 0.2")], "val": [(IMAGE, None)] * 2})
    folder = YoloFolder(file, background_weight=0.4)
    sample = folder.sample(0)
    assert (len(folder), sample.background_weight) == (1, 0.4)
    assert np.array_equal(sample.image, IMAGE)
    assert np.array_equal(sample.objects[0].mask.full(SIZE), rectangle(SIZE, 10, 6, 30, 21))
    assert np.array_equal(sample.objects[1].mask.full(SIZE), rectangle(SIZE, 16, 12, 24, 18))
    assert not any(one.is_part or one.is_crowd for one in sample.objects)
    assert [len(YoloFolder(tmp_path, split="val").sample(index).objects) for index in range(2)] == [0, 0]


def test_large_images_are_shrunk(tmp_path):
    image, line = box_image((300, 400), 100, 60, 300, 210)
    sample = YoloFolder(yolo_data_set(tmp_path, {"train": [(image, line)]}), max_side=40).sample(0)
    assert sample.image.shape == (*SIZE, 3)
    assert np.array_equal(sample.objects[0].mask.full(SIZE), rectangle(SIZE, 10, 6, 30, 21))


def test_problems_are_collected(tmp_path):
    texts = [LINE, f"{LINE}\n0 0.1 0.1 1.4 0.1 0.5 0.9\nx", LINE]
    file = yolo_data_set(tmp_path, {"train": [(IMAGE, text) for text in texts]})
    (tmp_path / "coco8-seg/images/train/000000000003.png").write_bytes(b"no image")
    problems, seen = Problems(), []
    folder = YoloFolder(file, problems=problems, on_image=lambda done, total: seen.append((done, total)))
    assert [len(folder.sample(index).objects) for index in range(len(folder))] == [1, 1]
    assert problems.summary() == "1 image, 2 annotations skipped"
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(DataError, match=r"line 3: must be a class(.|\n)*000000000003\.png is not a readable image"):
        YoloFolder(file)


def test_other_folders_are_rejected(tmp_path):
    with pytest.raises(DataError, match=r"is not a YOLO data set; give its data\.yaml"):
        YoloFolder(tmp_path)
