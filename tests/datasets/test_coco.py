import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.datasets.coco import Annotation, annotation_mask, read_image, read_images
from streamseg.errors import DataError
from tests.support.datasets import coco_folder, compressed, uncompressed
from tests.support.images import crop_of, disc, paint, rectangle

SIZE = (30, 40)
MASK = disc(SIZE, 20, 15, 8)
IMAGE = paint([MASK], [(250, 20, 20)], SIZE)


def annotation(segmentation):
    return Annotation("annotation 7", segmentation, "object", is_part=False, is_crowd=False, area=None, box=None)


def read_everything(folder):
    for entry in read_images(folder):
        read_image(entry)
        for one in entry.annotations:
            annotation_mask(one, entry.size)


# ---- masks


@pytest.mark.slow
@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_both_run_length_formats_decode_to_the_mask(mask):
    expected = crop_of(mask)
    for segmentation in (compressed(mask), uncompressed(mask)):
        read = annotation_mask(annotation(segmentation), mask.shape)
        assert read.area == expected.area
        assert np.array_equal(read.full(mask.shape), mask)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.tuples(st.integers(0, 38), st.integers(1, 40)).filter(lambda pair: pair[0] < pair[1]),
    st.tuples(st.integers(0, 28), st.integers(1, 30)).filter(lambda pair: pair[0] < pair[1]),
)
def test_polygon_on_pixel_corners_is_a_rectangle(columns, rows):
    (x0, x1), (y0, y1) = columns, rows
    expected = rectangle(SIZE, x0, y0, x1, y1)
    polygon = annotation_mask(annotation([[x0, y0, x1, y0, x1, y1, x0, y1]]), SIZE)
    assert np.array_equal(polygon.full(SIZE), expected)
    assert (polygon.x, polygon.y, polygon.crop.shape) == (x0, y0, (y1 - y0, x1 - x0))


def test_several_polygons_form_one_mask():
    first, second = [2, 2, 8, 2, 8, 8, 2, 8], [6, 6, 20, 6, 20, 20, 6, 20]
    both = annotation_mask(annotation([first, second]), SIZE).full(SIZE)
    assert np.array_equal(both, rectangle(SIZE, 2, 2, 8, 8) | rectangle(SIZE, 6, 6, 20, 20))


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param(compressed(np.zeros(SIZE, dtype=np.bool_)), id="no-run"),
        pytest.param([[5, 5, 5, 5, 5, 5]], id="polygon-without-extent"),
        pytest.param([[40.2, 3, 40.8, 3, 40.5, 9]], id="polygon-beside-the-image-within-tolerance"),
    ],
)
def test_segmentation_without_pixels_is_an_empty_mask(segmentation):
    mask = annotation_mask(annotation(segmentation), SIZE)
    assert mask.area == 0
    assert not mask.full(SIZE).any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        pytest.param(None, "polygons [x, y, x, y, …] of at least 3 points, got None", id="none"),
        pytest.param([], "of at least 3 points, got []", id="no-ring"),
        pytest.param([[1, 1, 5, 5]], "of at least 3 points", id="two-points"),
        pytest.param([[1, 1, 5, 1, 5, 5, 9]], "of at least 3 points", id="odd-number-of-coordinates"),
        pytest.param([1, 1, 5, 1, 5, 5], "of at least 3 points", id="flat-list"),
        pytest.param([[1, 1, 5, 1, 5, "5"]], "of at least 3 points", id="text-in-a-polygon"),
        pytest.param([[1, 1, 5, None, 5, 5]], "of at least 3 points", id="null-in-a-polygon"),
        pytest.param([[1, 1, 5, float("nan"), 5, 5]], "of at least 3 points", id="nan-in-a-polygon"),
        pytest.param([[1, 1, float("inf"), 1, 5, 5]], "of at least 3 points", id="infinity-in-a-polygon"),
        pytest.param("abc", "run lengths, or polygons", id="text"),
        pytest.param([[1, 1, 60, 1, 60, 20]], "leaves the image of 40x30", id="polygon-to-the-right"),
        pytest.param([[1, 1, 5, 1, 5, 34]], "leaves the image of 40x30", id="polygon-below"),
        pytest.param([[-4, 1, 5, 1, 5, 5]], "leaves the image of 40x30", id="polygon-to-the-left"),
        pytest.param(compressed(MASK) | {"size": [40, 30]}, "for size [40, 30], but the image has", id="transposed"),
        pytest.param({"counts": [1200]}, "for size None, but the image has size [30, 40]", id="rle-without-size"),
        pytest.param({"size": [30, 40]}, "in whole pixels or a string, got None", id="rle-without-counts"),
        pytest.param({"size": [30, 40], "counts": [5, 3]}, "add up to 8 pixels", id="runs-too-short"),
        pytest.param({"size": [30, 40], "counts": [5, 3000]}, "add up to 3005 pixels", id="runs-too-long"),
        pytest.param({"size": [30, 40], "counts": [1203, -3]}, "in whole pixels or a string", id="negative-run"),
        pytest.param({"size": [30, 40], "counts": [600.5, 599.5]}, "in whole pixels or a string", id="half-pixels"),
        pytest.param({"size": [30, 40], "counts": "zzz"}, "compressed COCO mask", id="no-run-string"),
        pytest.param({"size": [30, 40], "counts": "11"}, "add up to 2 pixels", id="run-string-too-short"),
        pytest.param({"size": [30, 40], "counts": "ü"}, "compressed COCO mask", id="run-string-not-ascii"),
    ],
)
def test_invalid_segmentation_is_rejected(segmentation, message):
    with pytest.raises(DataError) as caught:
        annotation_mask(annotation(segmentation), SIZE)
    error = str(caught.value)
    assert error.startswith("annotation 7: ")
    assert message in error
    assert "\n" not in error


# ---- folders


@pytest.mark.parametrize(("image_id", "annotated"), [(1, "1"), ("1", 1), ("1", "1"), (1.0, 1), ("a", "a")])
def test_ids_may_be_numbers_or_texts(tmp_path, image_id, annotated):
    folder = coco_folder(tmp_path, [(IMAGE, [{"segmentation": compressed(MASK)}]), (IMAGE, [])])
    content = json.loads((folder / "instances.json").read_text())
    content["images"][0]["id"], content["annotations"][0]["image_id"] = image_id, annotated
    (folder / "instances.json").write_text(json.dumps(content))
    by_name = {entry.path.name: len(entry.annotations) for entry in read_images(folder)}
    assert by_name == {"001.png": 1, "002.png": 0}


def test_category_may_lack_a_name_or_be_referred_to_as_a_text(tmp_path):
    folder = coco_folder(tmp_path, [(IMAGE, [{"segmentation": compressed(MASK), "category_id": "7"}])])
    content = json.loads((folder / "instances.json").read_text())
    for category, label in (({"id": 7, "name": "cup"}, "cup"), ({"id": 7}, "7")):
        content["categories"] = [category]
        (folder / "instances.json").write_text(json.dumps(content))
        assert [one.label for one in read_images(folder)[0].annotations] == [label]


def test_images_are_sorted_by_id_with_their_annotations(tmp_path):
    def reorder(content):
        content["images"].reverse()
        content["annotations"][1]["image_id"] = 1
        content["categories"].append({"id": 4, "name": "cup"})

    folder = coco_folder(
        tmp_path,
        [
            (IMAGE, [{"segmentation": compressed(MASK), "iscrowd": 1, "area": 3.5, "bbox": [1, 2, 3, 4]}]),
            (IMAGE[:20], [{"segmentation": [], "category_id": 4, "level": "part"}]),
            (IMAGE, []),
        ],
        images=[{"source": "a"}, {}, {}],
        edit=reorder,
    )
    first, second, third = read_images(folder)
    assert [entry.path.name for entry in (first, second, third)] == ["001.png", "002.png", "003.png"]
    assert (first.size, second.size) == ((30, 40), (20, 40))
    assert (first.source, second.source) == ("a", None)
    crowd, part = first.annotations
    assert (crowd.is_crowd, crowd.is_part, crowd.label) == (True, False, "object")
    assert (crowd.area, crowd.box) == (3.5, (1, 2, 3, 4))
    assert (part.is_crowd, part.is_part, part.label) == (False, True, "cup")
    assert (part.area, part.box) == (None, None)
    assert third.annotations == ()


def test_image_is_decoded_as_rgb(tmp_path):
    folder = coco_folder(tmp_path, [(IMAGE, [])])
    assert np.array_equal(read_image(read_images(folder)[0]), IMAGE)


def broken(folder, text):
    coco_folder(folder, [(IMAGE, [])])
    (folder / "instances.json").write_bytes(text)


def as_folder(folder):
    (folder / "instances.json").mkdir()


def replace_image(folder, content):
    coco_folder(folder, [(IMAGE, [])])
    (folder / "images" / "001.png").unlink()
    if content is not None:
        (folder / "images" / "001.png").write_bytes(content)


def edited(change):
    def write(folder):
        coco_folder(folder, [(IMAGE, [{"segmentation": compressed(MASK)}]), (IMAGE, [])], edit=change)

    return write


def set_image(**keys):
    return edited(lambda content: content["images"][0].update(keys))


def set_annotation(**keys):
    return edited(lambda content: content["annotations"][0].update(keys))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda folder: None, "instances.json is missing", id="empty-folder"),
        pytest.param(as_folder, "cannot read", id="json-is-a-folder"),
        pytest.param(lambda folder: broken(folder, b"{"), "is not valid JSON", id="truncated"),
        pytest.param(lambda folder: broken(folder, b""), "is not valid JSON", id="empty-file"),
        pytest.param(lambda folder: broken(folder, b"\xff\xfe\x00"), "is not valid JSON", id="binary"),
        pytest.param(lambda folder: broken(folder, b"[" * 100_000), "is not valid JSON", id="nested-too-deeply"),
        pytest.param(lambda folder: broken(folder, b"[1, 2]"), "is not in COCO format", id="a-list"),
        pytest.param(
            lambda folder: broken(folder, b"{}"), "is not in COCO format: 'images' is missing", id="no-images"
        ),
        pytest.param(
            lambda folder: broken(folder, b'{"images": [], "annotations": []}'), "lists no image", id="empty-data-set"
        ),
        pytest.param(
            edited(lambda content: content.pop("annotations")), "'annotations' is missing", id="no-annotations"
        ),
        pytest.param(edited(lambda content: content["images"].append(7)), "not in COCO format", id="image-is-a-number"),
        pytest.param(
            edited(lambda content: content["annotations"].append("x")), "not in COCO format", id="annotation-is-text"
        ),
        pytest.param(
            edited(lambda c: c["images"][1].update(id=1)),
            "2 images with the same id 1 (001.png, 002.png)",
            id="two-images-of-one-id",
        ),
        pytest.param(set_image(id="a"), "belongs to image 1, which is not listed", id="id-that-no-annotation-has"),
        pytest.param(
            set_annotation(bbox=[5, 5, -9, 9]), "with sides of 0 or more, got [5, 5, -9, 9]", id="negative-side"
        ),
        pytest.param(set_annotation(area=-1), "of 0 or more, got -1", id="negative-area"),
        pytest.param(edited(lambda c: c["images"][0].pop("width")), "'width' is missing", id="no-width"),
        pytest.param(set_image(width="40"), "width and height in whole pixels", id="width-is-text"),
        pytest.param(set_image(height=0), "width and height in whole pixels", id="height-0"),
        pytest.param(set_image(file_name=None), "needs a file_name", id="no-file-name"),
        pytest.param(set_annotation(image_id=9), "belongs to image 9, which is not listed", id="unlisted-image"),
        pytest.param(edited(lambda c: c["annotations"][0].pop("image_id")), "'image_id' is missing", id="no-image-id"),
        pytest.param(
            set_annotation(area="big"), "must be a number of pixels of 0 or more, got 'big'", id="area-is-text"
        ),
        pytest.param(
            set_annotation(bbox=[1, 2, 3]),
            "[x, y, width, height] with sides of 0 or more, got [1, 2, 3]",
            id="short-bbox",
        ),
        pytest.param(set_annotation(segmentation=None), "annotation 1 in", id="no-segmentation"),
        pytest.param(set_image(width=41), "is 40x30, but instances.json lists it as 41x30", id="size-mismatch"),
        pytest.param(lambda folder: replace_image(folder, None), "is missing or unreadable", id="missing-image"),
        pytest.param(lambda folder: replace_image(folder, b""), "is missing or unreadable", id="empty-image-file"),
        pytest.param(lambda folder: replace_image(folder, b"GIF89a no"), "missing or unreadable", id="not-an-image"),
    ],
)
def test_broken_folder_is_rejected_in_one_line(tmp_path, write, message):
    write(tmp_path)
    with pytest.raises(DataError) as caught:
        read_everything(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "file/below"])
def test_missing_folder_is_rejected(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is not a COCO-format folder"):
        read_images(tmp_path / name)


def test_categories_are_optional(tmp_path):
    folder = coco_folder(
        tmp_path, [(IMAGE, [{"segmentation": compressed(MASK)}])], edit=lambda content: content.pop("categories")
    )
    assert json.loads((folder / "instances.json").read_text()).keys() == {"images", "annotations"}
    assert read_images(folder)[0].annotations[0].label == "object"
