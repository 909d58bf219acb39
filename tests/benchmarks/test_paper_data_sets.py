"""Published data sets: complete, in other locations, invalid."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.paper.data_sets import bsds_folder, coco_folder, lvis_folder
from streamseg.datasets.coco import read_image, read_images
from streamseg.errors import DataError
from streamseg.evaluation.edges import evaluate_detector
from tests.support.published import OUTLINE, SIZE, published


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return published(tmp_path_factory.mktemp("data"))


def test_lvis_images_are_located_by_their_url(data):
    with lvis_folder(data / "lvis", data / "coco", 2) as folder:
        images = read_images(folder)
        assert len(images) == 2
        assert all(read_image(image).shape == (*SIZE, 3) for image in images)
        assert [len(image.annotations) for image in images] == [2, 2]
        assert not any(annotation.is_crowd for image in images for annotation in image.annotations)


def test_coco_images_may_be_in_a_folder_of_images(data, tmp_path):
    shutil.copytree(data / "coco" / "annotations", tmp_path / "annotations")
    shutil.copytree(data / "coco" / "val2017", tmp_path / "images" / "val2017")
    with coco_folder(tmp_path, 1) as folder:
        (image,) = read_images(folder)
        assert image.path == tmp_path / "images" / "val2017" / "001.png"


def edit_coco(data, folder, edit):
    shutil.copytree(data / "coco", folder)
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return folder


def test_invalid_annotations_are_skipped_and_reported(data, tmp_path, capsys):
    def edit(content):
        content["annotations"][1]["segmentation"] = [[3, 4, 5, 6]]

    with coco_folder(edit_coco(data, tmp_path / "coco", edit), None) as folder:
        assert [len(image.annotations) for image in read_images(folder)] == [1, 2, 2]
    assert "instances_val2017.json: 1 annotations skipped, such as annotation 2 in " in capsys.readouterr().err


def move_to_train(content):
    for image in content["images"][1:]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image['file_name']}"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(move_to_train, r"2 of the 3 images of .* are missing, such as .*train2017/002\.png", id="train"),
        pytest.param(lambda content: content.pop("images"), "is not in COCO format: KeyError", id="no-images"),
        pytest.param(lambda content: content["images"].append(3), "is not in COCO format: TypeError", id="no-image"),
        pytest.param(lambda content: content["images"][0].pop("height"), "KeyError 'height'", id="no-size"),
    ],
)
def test_incomplete_data_are_a_one_line_error(data, tmp_path, edit, message):
    folder = edit_coco(data, tmp_path / "coco", edit)
    with pytest.raises(DataError, match=message), coco_folder(folder, None):
        pass


def test_truncated_file_is_a_one_line_error(data, tmp_path):
    shutil.copytree(data / "coco", tmp_path / "coco")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text('{"images": [')
    with pytest.raises(DataError, match="is not valid JSON"), coco_folder(tmp_path / "coco", None):
        pass


@pytest.mark.parametrize("above", [pytest.param(0, id="data"), pytest.param(2, id="archive")])
def test_bsds_drawings_are_extracted(data, tmp_path, above):
    inside = ("", "data", "BSR/BSDS500/data")[above]
    shutil.copytree(data / "bsds", tmp_path / inside, dirs_exist_ok=True)
    with bsds_folder(tmp_path, None) as folder:
        scores = evaluate_detector(lambda image: OUTLINE.astype(np.float32), folder)
    assert (scores.num_images, scores.num_drawings) == (3, 6)
    assert scores.ods == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda root: (root / "groundTruth/test/200.mat").write_bytes(b"x" * 200),
            "200.mat contains",
            id="garbage",
        ),
        pytest.param(lambda root: (root / "groundTruth/test/200.mat").write_bytes(b""), "200.mat contains", id="empty"),
        pytest.param(lambda root: (root / "images/test/100.jpg").unlink(), "100.jpg is missing, though", id="image"),
        pytest.param(lambda root: shutil.rmtree(root / "groundTruth"), "contains neither groundTruth", id="folder"),
    ],
)
def test_incomplete_bsds_is_a_one_line_error(data, tmp_path, damage, message):
    shutil.copytree(data / "bsds", tmp_path / "bsds")
    damage(tmp_path / "bsds")
    with pytest.raises(DataError, match=message), bsds_folder(tmp_path / "bsds", None):
        pass
