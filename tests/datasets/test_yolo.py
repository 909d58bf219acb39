"""Labels of YOLO data sets: lines, files without labels, and everything that is skipped or refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamseg.datasets.check import usable_entries, usable_images
from streamseg.datasets.masks import annotation_mask
from streamseg.datasets.problems import Problems
from streamseg.datasets.yolo import label_path, read_yolo_images
from streamseg.errors import DataError
from tests.support.images import rectangle
from tests.support.yolo_data import box_image, yolo_data_set

SIZE = (30, 40)
IMAGE, LINE = box_image(SIZE, 10, 6, 30, 21)
MASK = rectangle(SIZE, 10, 6, 30, 21)
TRIANGLE = "0 0.1 0.1 0.9 0.1 0.5 0.9"


def data_set(folder, *texts):
    return yolo_data_set(folder, {"train": [(IMAGE, text) for text in texts]})


def masks_of(entry):
    return [annotation_mask(one, entry.size).full(entry.size) for one in entry.annotations]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param(LINE, ["car"], id="polygon"),
        pytest.param("2 0.5 0.45 0.5 0.5", ["car"], id="box"),
        pytest.param(LINE + "\r\n", ["car"], id="windows-line-end"),
        pytest.param(f"\n\n  {LINE}  \n", ["car"], id="blank-lines-and-spaces"),
        pytest.param("\ufeff" + LINE, ["car"], id="byte-order-mark"),
        pytest.param(LINE.replace(" ", "\t"), ["car"], id="tabs"),
        pytest.param("2.0" + LINE[1:], ["car"], id="class-as-float"),
        pytest.param(f"{LINE}\n0{LINE[1:]}", ["car", "person"], id="same-outline-of-two-classes"),
        pytest.param("", [], id="empty-file"),
        pytest.param(None, [], id="no-file"),
    ],
)
def test_lines_are_objects(tmp_path, text, labels):
    (entry,) = read_yolo_images(data_set(tmp_path, text), "train")
    assert (entry.size, entry.path.name) == (SIZE, "000000000001.png")
    assert [one.label for one in entry.annotations] == labels
    assert all(np.array_equal(mask, MASK) for mask in masks_of(entry))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("2 0.1 0.1 0.5 0.5 0.9", "got 6 values", id="odd-coordinate"),
        pytest.param("2 0.1 0.1", "got 3 values", id="one-point"),
        pytest.param("2", "got 1 values", id="class-only"),
        pytest.param(TRIANGLE + " 0.87", "got 8 values", id="score-at-the-end"),
        pytest.param("cat 0.1 0.1 0.9 0.1 0.5 0.9", "the class must be a whole number from 0, got 'cat'", id="name"),
        pytest.param("-1 0.1 0.1 0.9 0.1 0.5 0.9", "the class must be a whole number", id="negative-class"),
        pytest.param("0.5 0.1 0.1 0.9 0.1 0.5 0.9", "the class must be a whole number", id="fractional-class"),
        pytest.param("nan 0.1 0.1 0.9 0.1 0.5 0.9", "the class must be a whole number", id="nan-class"),
        pytest.param("3 0.1 0.1 0.9 0.1 0.5 0.9", "class 3 is not in names, which has 0 to 2", id="unknown-class"),
        pytest.param("0 0.1 0.1 0.9 x 0.5 0.9", "coordinates must be numbers, got", id="text"),
        pytest.param("0 0.1 nan 0.9 0.1 0.5 0.9", "coordinates must be fractions", id="nan"),
        pytest.param("0 0.1 inf 0.9 0.1 0.5 0.9", "coordinates must be fractions", id="infinite"),
        pytest.param("0 12 3 36 3 20 27", "fractions of the image's sides, 0 to 1, got 12", id="pixels"),
        pytest.param("0 0.1 0.1 1.3 0.1 0.5 0.9", "the polygon leaves the image of 40x30", id="outside"),
        pytest.param("0 0.5 0.5 0 0.2", "must be above 0, got 0 and 0.2", id="box-without-width"),
        pytest.param("0 0.5 0.5 0.2 -0.2", "must be above 0", id="box-with-negative-height"),
        pytest.param(LINE, "repeats an earlier line", id="repeated"),
    ],
)
def test_invalid_line_is_named_and_skipped(tmp_path, line, message):
    file, problems = data_set(tmp_path, f"{LINE}\n\n{line}\n{TRIANGLE}"), Problems()
    (entry,) = usable_entries(read_yolo_images(file, "train", problems), problems)
    assert [one.id for one in entry.annotations] == ["1", "4"]
    (problem,) = problems
    assert problem.message.startswith(f"{tmp_path}/coco8-seg/labels/train/000000000001.txt, line 3: ")
    assert message in problem.message
    assert problems.counts() == {"images": 0, "annotations": 1, "rings": 0}


def test_invalid_lines_are_refused_all_at_once(tmp_path):
    with pytest.raises(DataError) as caught:
        read_yolo_images(data_set(tmp_path, "x", f"{LINE}\n0 1 2\n7 {LINE[2:]}"), "train")
    assert [line.partition(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines()] == [
        "000000000001.txt, line 1",
        "000000000002.txt, line 2",
        "000000000002.txt, line 3",
    ]


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        pytest.param(lambda image, labels: image.write_bytes(b"no image"), "is not a readable image", id="image"),
        pytest.param(lambda image, labels: labels.write_bytes(b"\xff\xfe\0"), "is not a text in UTF-8", id="binary"),
        pytest.param(lambda image, labels: (labels.unlink(), labels.mkdir()), "cannot read", id="labels-are-a-folder"),
    ],
)
def test_unreadable_file_costs_one_image(tmp_path, breaks, message):
    file, problems, folder = data_set(tmp_path, LINE, LINE), Problems(), tmp_path / "coco8-seg"
    breaks(folder / "images/train/000000000001.png", folder / "labels/train/000000000001.txt")
    assert [entry.path.stem for entry in read_yolo_images(file, "train", problems)] == ["000000000002"]
    assert [problem.kind for problem in problems] == ["image"]
    assert message in next(iter(problems)).message


def test_data_set_without_readable_image_is_refused(tmp_path):
    file = data_set(tmp_path, LINE)
    (tmp_path / "coco8-seg/images/train/000000000001.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"lists no readable image for train; for example, .*000000000001\.png"):
        read_yolo_images(file, "train", Problems())


def test_data_set_without_any_label_file_is_logged(tmp_path, caplog):
    assert len(read_yolo_images(data_set(tmp_path, None, None), "train")) == 2
    assert "none of the 2 images for train has a label file; that of the first would be" in caplog.text
    caplog.clear()
    read_yolo_images(data_set(tmp_path, "", None), "train")
    assert not caplog.text


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        pytest.param("a/images/train/b.jpg", "a/labels/train/b.txt", id="usual"),
        pytest.param("images/b.c.jpg", "labels/b.c.txt", id="dot-in-name"),
        pytest.param("images/a/images/b.jpg", "images/a/labels/b.txt", id="last-folder-counts"),
        pytest.param("a/images.jpg", "a/images.txt", id="file-name-does-not-count"),
        pytest.param("a/myimages/b.png", "a/myimages/b.txt", id="beside-the-image"),
    ],
)
def test_label_path(image, labels):
    assert label_path(Path(image)) == Path(labels)


def test_labels_refer_to_the_upright_image(tmp_path):
    """An EXIF turn by 90 degrees: stored 40x30, displayed 30x40."""
    file = yolo_data_set(tmp_path, {"val": [(IMAGE, "0 0.5 0.25 1 0.5")]})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(IMAGE).save(tmp_path / "coco8-seg/images/val/000000000001.png", exif=exif)
    (entry,) = usable_images(file, Problems())
    assert entry.size == (40, 30)
    assert np.array_equal(masks_of(entry)[0], rectangle((40, 30), 0, 0, 30, 20))


@given(
    st.tuples(st.integers(0, 30), st.integers(1, 10)),
    st.tuples(st.integers(0, 20), st.integers(1, 10)),
)
def test_rectangles_of_whole_pixels_are_exact(tmp_path_factory, columns, rows):
    x0, x1, y0, y1 = columns[0], sum(columns), rows[0], sum(rows)
    image, line = box_image(SIZE, x0, y0, x1, y1)
    folder = tmp_path_factory.mktemp("yolo")
    (entry,) = read_yolo_images(yolo_data_set(folder, {"train": [(image, line)]}), "train")
    assert np.array_equal(masks_of(entry)[0], rectangle(SIZE, x0, y0, x1, y1))
