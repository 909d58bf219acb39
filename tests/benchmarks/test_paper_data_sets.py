"""Data sets as they are published: whole, elsewhere, broken."""

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


def test_lvis_pictures_lie_where_their_address_says(data):
    with lvis_folder(data / "lvis", data / "coco", 2) as folder:
        pictures = read_images(folder)
        assert len(pictures) == 2
        assert all(read_image(picture).shape == (*SIZE, 3) for picture in pictures)
        assert [len(picture.annotations) for picture in pictures] == [2, 2]
        assert not any(annotation.is_crowd for picture in pictures for annotation in picture.annotations)


def test_pictures_may_lie_in_a_folder_of_pictures(data, tmp_path):
    shutil.copytree(data / "coco" / "annotations", tmp_path / "annotations")
    shutil.copytree(data / "coco" / "val2017", tmp_path / "images" / "val2017")
    with coco_folder(tmp_path, 1) as folder:
        (picture,) = read_images(folder)
        assert picture.path == tmp_path / "images" / "val2017" / "001.png"


def edit_coco(data, folder, edit):
    shutil.copytree(data / "coco", folder)
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return folder


def test_what_is_no_mask_is_left_out_and_told(data, tmp_path, capsys):
    def edit(content):
        content["annotations"][1]["segmentation"] = [[3, 4, 5, 6]]

    with coco_folder(edit_coco(data, tmp_path / "coco", edit), None) as folder:
        assert [len(picture.annotations) for picture in read_images(folder)] == [1, 2, 2]
    assert "instances_val2017.json: 1 annotations left out, such as annotation 2 in " in capsys.readouterr().err


def move_to_train(content):
    for image in content["images"][1:]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image['file_name']}"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        pytest.param(move_to_train, r"2 of the 3 images of .* are missing, such as .*train2017/002\.png", id="train"),
        pytest.param(lambda content: content.pop("images"), "is not in COCO format: KeyError", id="no-pictures"),
        pytest.param(lambda content: content["images"].append(3), "is not in COCO format: TypeError", id="no-picture"),
        pytest.param(lambda content: content["images"][0].pop("height"), "KeyError 'height'", id="no-size"),
    ],
)
def test_data_that_are_not_whole_are_one_line(data, tmp_path, edit, says):
    folder = edit_coco(data, tmp_path / "coco", edit)
    with pytest.raises(DataError, match=says), coco_folder(folder, None):
        pass


def test_a_file_that_is_cut_off_is_one_line(data, tmp_path):
    shutil.copytree(data / "coco", tmp_path / "coco")
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text('{"images": [')
    with pytest.raises(DataError, match="is not valid JSON"), coco_folder(tmp_path / "coco", None):
        pass


@pytest.mark.parametrize("above", [pytest.param(0, id="data"), pytest.param(2, id="archive")])
def test_bsds_drawings_come_out_of_their_files(data, tmp_path, above):
    inside = ("", "data", "BSR/BSDS500/data")[above]
    shutil.copytree(data / "bsds", tmp_path / inside, dirs_exist_ok=True)
    with bsds_folder(tmp_path, None) as folder:
        scores = evaluate_detector(lambda image: OUTLINE.astype(np.float32), folder)
    assert (scores.num_pictures, scores.num_drawings) == (3, 6)
    assert scores.ods == 1


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(
            lambda root: (root / "groundTruth/test/200.mat").write_bytes(b"x" * 200), "200.mat holds no", id="garbage"
        ),
        pytest.param(lambda root: (root / "groundTruth/test/200.mat").write_bytes(b""), "200.mat holds no", id="empty"),
        pytest.param(lambda root: (root / "images/test/100.jpg").unlink(), "100.jpg is missing, though", id="picture"),
        pytest.param(lambda root: shutil.rmtree(root / "groundTruth"), "has no groundTruth/test", id="folder"),
    ],
)
def test_bsds_that_is_not_whole_is_one_line(data, tmp_path, damage, says):
    shutil.copytree(data / "bsds", tmp_path / "bsds")
    damage(tmp_path / "bsds")
    with pytest.raises(DataError, match=says), bsds_folder(tmp_path / "bsds", None):
        pass
