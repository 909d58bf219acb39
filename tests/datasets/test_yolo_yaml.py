"""Descriptions of YOLO data sets, and the images that they list."""

import shutil

import pytest

from streamseg.datasets.problems import Problems
from streamseg.datasets.yolo_yaml import find_yolo_yaml, is_yolo_content, read_yolo_yaml
from streamseg.errors import DataError
from tests.support.yolo_data import COCO8_YAML, box_image, yolo_data_set

SIZE = (30, 40)
LABELLED = box_image(SIZE, 10, 6, 30, 21)


def two_splits(folder, yaml=COCO8_YAML):
    return yolo_data_set(folder, {"train": [LABELLED] * 3, "val": [LABELLED]}, yaml)


def found(file, split="train"):
    return [path.stem[-1] for path in read_yolo_yaml(file).image_files(split, Problems())]


def test_coco8_seg(tmp_path):
    data_set = read_yolo_yaml(two_splits(tmp_path))
    assert data_set.names == {0: "person", 1: "bicycle", 2: "car"}
    assert data_set.splits == {"train": ("images/train",), "val": ("images/val",)}
    assert [found(data_set.file, split) for split in ("train", "val")] == [["1", "2", "3"], ["1"]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param("names: [a, b]", {0: "a", 1: "b"}, id="list"),
        pytest.param("names: {0: a, 5: b}", {0: "a", 5: "b"}, id="numbers-with-gaps"),
        pytest.param("names: {'0': a}", {0: "a"}, id="numbers-as-text"),
        pytest.param("nc: 2\nnames: [a, yes]", {0: "a", 1: "True"}, id="name-is-no-text"),
        pytest.param("nc: 2", {0: "0", 1: "1"}, id="number-only"),
        pytest.param("", None, id="unknown"),
    ],
)
def test_names(tmp_path, names, expected):
    file = tmp_path / "data.yaml"
    file.write_text(f"train: images\n{names}\n", encoding="utf-8")
    assert read_yolo_yaml(file).names == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is not a YOLO data set", id="empty"),
        pytest.param("[a, b]", "is not a YOLO data set", id="list"),
        pytest.param("names: [a]", "needs train or val", id="no-split"),
        pytest.param("train:\nnames: [a]", "needs train or val", id="empty-split"),
        pytest.param(
            "train: 3\nnames: [a]", "train must be a folder, a text file or a list of them, got 3", id="number"
        ),
        pytest.param("train: [a, {}]\nnames: [a]", "train must be a folder", id="nested"),
        pytest.param('train: "a\\0b"\nnames: [a]', "train must be a folder", id="nul"),
        pytest.param("train: a\npath: 3\nnames: [a]", "path must be a folder, got 3", id="path"),
        pytest.param("train: a\nnames: a", "names must be a list of class names", id="names-are-text"),
        pytest.param("train: a\nnames: {}", "names must be a list of class names", id="no-names"),
        pytest.param("train: a\nnames: {-1: a}", "names must be a list of class names", id="negative"),
        pytest.param("train: a\nnames: {true: a}", "names must be a list of class names", id="boolean"),
        pytest.param("train: a\nnames: [a]\nnc: 2", "nc is 2, but names lists 1 classes", id="nc-contradicts"),
        pytest.param("train: a\nnc: 0", "nc must be the number of classes, 1 to", id="nc-zero"),
        pytest.param("train: a\nnc: 999999999999", "nc must be the number of classes", id="nc-huge"),
        pytest.param("train: a\ntrain: b\nnames: [a]", "key 'train' occurs twice", id="key-twice"),
        pytest.param("train: [", "is not valid YAML", id="broken"),
        pytest.param("train: !!python/object/apply:os.system ['true']", "is not valid YAML", id="python-object"),
        pytest.param("train: gone\nnames: [a]", "train gone does not exist in", id="missing-folder"),
        pytest.param("path: gone\ntrain: t\nnames: [a]", "gone; correct path and train", id="missing-root"),
        pytest.param("train: data.yaml\nnames: [a]", "neither a folder of images nor a .txt file", id="no-list"),
        pytest.param("train: empty\nnames: [a]", "train empty contains no images", id="no-images"),
        pytest.param("train: list.txt\nnames: [a]", "no images; for example, .* line 2: image b.png", id="lines"),
        pytest.param("train: bytes.txt\nnames: [a]", "is not a text in UTF-8", id="binary-list"),
        pytest.param("val: empty\nnames: [a]", r"has no images for train; add the key train \(it has val\)", id="val"),
    ],
)
def test_invalid_descriptions(tmp_path, text, message):
    file = tmp_path / "data.yaml"
    file.write_text(text, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("\nb.png\n", encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(DataError, match=message) as caught:
        read_yolo_yaml(file).image_files("train", Problems())
    assert str(tmp_path) in str(caught.value)


def move(folder, target):
    """Move the images and labels; their description stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / "coco8-seg", target)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("coco8-seg", id="beside-the-file"),
        pytest.param("datasets/coco8-seg", id="in-datasets"),
        pytest.param("../datasets/coco8-seg", id="in-datasets-beside-the-folder"),
    ],
)
def test_place_of_the_data(tmp_path, target):
    folder = tmp_path / "project"
    file = two_splits(folder)
    move(folder, folder / target)
    assert found(file) == ["1", "2", "3"]


def test_data_in_the_folder_of_the_file(tmp_path, caplog):
    """An absolute `path` of another machine: the folder was moved."""
    file = two_splits(tmp_path, COCO8_YAML.replace("path: coco8-seg", "path: /content/datasets/coco8-seg"))
    inner = shutil.move(file, tmp_path / "coco8-seg")
    assert found(tmp_path / "coco8-seg" / "coco8-seg.yaml") == ["1", "2", "3"]
    assert f"{inner}: path /content/datasets/coco8-seg does not exist" in caplog.text


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        pytest.param("[images/val, images/train]", ["1", "1", "2", "3"], id="list-of-folders"),
        pytest.param("images", ["1", "2", "3", "1"], id="subfolders"),
        pytest.param("[images/train, images/train]", ["1", "2", "3"], id="each-image-once"),
        pytest.param("../images/train", ["1", "2", "3"], id="roboflow"),
        pytest.param("images\\train", ["1", "2", "3"], id="backslash"),
        pytest.param("lists/train.txt", ["3", "1"], id="text-file"),
        pytest.param("[lists/train.txt, images/train]", ["3", "1", "2"], id="text-file-and-folder"),
    ],
)
def test_places_of_a_split(tmp_path, train, expected):
    file = two_splits(tmp_path, f"path: coco8-seg\ntrain: {train}\nnames: [a]\n")
    (tmp_path / "coco8-seg" / "lists").mkdir()
    lines = "./images/train/000000000003.png\n\n../images/train/000000000001.png\n"
    (tmp_path / "coco8-seg" / "lists" / "train.txt").write_text(lines, encoding="utf-8")
    assert found(file) == expected


def test_other_files_are_no_images(tmp_path):
    file, folder = two_splits(tmp_path), tmp_path / "coco8-seg" / "images" / "train"
    (folder / "notes.md").write_text("notes")
    (folder / "labels.cache").write_bytes(b"\0" * 100)
    (folder / "000000000001.png").rename(folder / "000000000001.jfif")
    assert found(file) == ["1", "2", "3"]


def test_circles_of_links_end(tmp_path):
    file, folder = two_splits(tmp_path), tmp_path / "coco8-seg" / "images" / "train"
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    assert found(file) == ["1", "2", "3"]


def test_missing_lines_are_collected(tmp_path):
    file = two_splits(tmp_path, f"train: {tmp_path}/list.txt\nnames: [a]\n")
    (tmp_path / "list.txt").write_text("gone.png\ncoco8-seg/images/val/000000000001.png", encoding="utf-8")
    problems = Problems()
    assert len(read_yolo_yaml(file).image_files("train", problems)) == 1
    assert [problem.message for problem in problems] == [f"{tmp_path}/list.txt, line 1: image gone.png does not exist"]


def test_file_of_a_folder(tmp_path):
    assert find_yolo_yaml(tmp_path / "gone") is None
    assert find_yolo_yaml(tmp_path) is None
    file = two_splits(tmp_path)
    assert find_yolo_yaml(tmp_path) == find_yolo_yaml(file) == file
    (tmp_path / "recipe.yaml").write_text("sources: []")
    (tmp_path / "broken.yaml").write_text("[")
    (tmp_path / "train.txt").write_text("")
    assert find_yolo_yaml(tmp_path) == file
    assert find_yolo_yaml(tmp_path / "train.txt") is None
    shutil.copy(file, tmp_path / "second.yml")
    with pytest.raises(DataError, match=r"contains several data sets: coco8-seg\.yaml, second\.yml; give one file"):
        find_yolo_yaml(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"train": "a", "names": ["a"]}, True),
        ({"val": "a", "nc": 1}, True),
        ({"train": "a"}, False),
        ({"names": ["a"]}, False),
        ({"sources": []}, False),
        (None, False),
        ([], False),
    ],
)
def test_content_of_a_data_set(content, expected):
    assert is_yolo_content(content) is expected
