import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.datasets.coco_folder import CocoFolder
from streamseg.errors import DataError
from tests.support.datasets import coco_folder, compressed, uncompressed
from tests.support.images import crop_of, disc, paint, rectangle

SIZE = (30, 40)
RED = (250, 20, 20)
MASK = disc(SIZE, 20, 15, 8)


def labelled_image(*masks, size=SIZE, **keys):
    return paint(masks, [RED] * len(masks), size), [{"segmentation": compressed(mask), **keys} for mask in masks]


def covered(sample, colour=RED, tolerance=60):
    """Return the pixels of approximately this colour."""
    return np.abs(sample.image.astype(int) - colour).max(axis=2) < tolerance


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_sample_holds_image_and_objects(tmp_path):
    image, annotations = labelled_image(MASK, disc(SIZE, 8, 8, 5))
    annotations[1] |= {"level": "part"}
    annotations.append({"segmentation": uncompressed(rectangle(SIZE, 30, 0, 40, 30)), "iscrowd": 1})
    folder = CocoFolder(coco_folder(tmp_path, [(image, annotations)]), background_weight=0.4)
    assert len(folder) == 1
    sample = folder.sample(0)
    assert np.array_equal(sample.image, image)
    assert sample.background_weight == 0.4
    assert [(one.is_part, one.is_crowd) for one in sample.objects] == [(False, False), (True, False), (False, True)]
    assert np.array_equal(sample.objects[0].mask.full(SIZE), MASK)


def test_all_segmentation_formats_give_the_same_object(tmp_path):
    mask = rectangle(SIZE, 5, 6, 25, 20)
    forms = [compressed(mask), uncompressed(mask), [[5, 6, 25, 6, 25, 20, 5, 20]]]
    sample = CocoFolder(
        coco_folder(tmp_path, [(paint([mask], [RED], SIZE), [{"segmentation": form} for form in forms])])
    ).sample(0)
    assert [(one.mask.x, one.mask.y, one.mask.crop.shape) for one in sample.objects] == [(5, 6, (14, 20))] * 3
    assert all(one.mask.crop.all() for one in sample.objects)


def test_categories_are_merged(tmp_path):
    """The samples are those of a folder with a single category."""

    def add_categories(content):
        content["categories"] = [{"id": 4, "name": "cup"}, {"id": 9, "name": "person"}]
        for annotation, category in zip(content["annotations"], (4, 9, 7), strict=True):
            annotation["category_id"] = category

    image, annotations = labelled_image(MASK, disc(SIZE, 8, 8, 5), rectangle(SIZE, 30, 2, 38, 9))
    annotations[2] |= {"source_category": "shoe"}
    plain, named = (
        CocoFolder(coco_folder(tmp_path / name, [(image, annotations)], edit=edit)).sample(0).objects
        for name, edit in (("plain", lambda content: None), ("named", add_categories))
    )
    assert len(plain) == len(named) == 3
    for one, other in zip(plain, named, strict=True):
        assert np.array_equal(one.mask.full(SIZE), other.mask.full(SIZE))
        assert (one.is_part, one.is_crowd) == (other.is_part, other.is_crowd) == (False, False)


def test_image_without_objects(tmp_path):
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image()])).sample(0)
    assert sample.objects == ()


def test_empty_mask_is_omitted(tmp_path):
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image(np.zeros(SIZE, dtype=np.bool_), MASK)])).sample(0)
    assert len(sample.objects) == 1


# ---- one source of several


def test_source_selects_part_of_the_folder(tmp_path):
    coco_folder(
        tmp_path,
        [labelled_image(), labelled_image(MASK), labelled_image()],
        images=[{"source": "a"}, {"source": "b"}, {"source": "a"}],
    )
    assert [len(CocoFolder(tmp_path, source=source)) for source in (None, "a", "b")] == [3, 2, 1]
    assert len(CocoFolder(tmp_path, source="b").sample(0).objects) == 1


def test_unknown_source_lists_available_sources(tmp_path):
    coco_folder(tmp_path, [labelled_image(), labelled_image()], images=[{"source": "b"}, {"source": "a"}])
    with pytest.raises(DataError, match=r"has no image with source 'c'; available sources: a, b$"):
        CocoFolder(tmp_path, source="c")


# ---- large images


@settings(max_examples=25, deadline=None)
@given(st.integers(120, 300), st.integers(120, 300), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.05, 0.4))
def test_shrunk_mask_stays_on_its_object(tmp_path_factory, height, width, x, y, extent):
    size = (height, width)
    mask = disc(size, x * width, y * height, max(extent * min(size), 12))
    folder = CocoFolder(coco_folder(tmp_path_factory.mktemp("folder"), [labelled_image(mask, size=size)]), max_side=100)
    sample = folder.sample(0)
    assert max(sample.image.shape) == 100
    assert sample.image.shape[0] == pytest.approx(height * 100 / max(size), abs=0.51)
    full = sample.objects[0].mask.full(sample.image.shape[:2])
    truth = np.abs(sample.image.astype(int) - RED).max(axis=2) <= 80  # half red, half grey at the edge
    assert iou(full, truth) > 0.95


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(rectangle((200, 300), 0, 0, 300, 200), id="the-whole-image"),
        pytest.param(rectangle((200, 300), 270, 170, 300, 200), id="lower-right-corner"),
        pytest.param(rectangle((200, 300), 299, 0, 300, 200), id="last-column"),
        pytest.param(rectangle((200, 300), 0, 199, 300, 200), id="last-row"),
        pytest.param(rectangle((200, 300), 299, 199, 300, 200), id="last-pixel"),
        pytest.param(rectangle((200, 300), 0, 0, 1, 1), id="first-pixel"),
    ],
)
def test_shrunk_mask_stays_inside_the_image(tmp_path, mask):
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image(mask, size=(200, 300))]), max_side=64).sample(0)
    assert sample.image.shape == (43, 64, 3)
    for one in sample.objects:
        one.mask.full((43, 64))  # raises if it does not fit
        assert one.mask.area == pytest.approx(mask.sum() * 64**2 / 300**2, abs=80)


def test_mask_too_small_after_shrinking_is_omitted(tmp_path):
    speckles = np.zeros((200, 300), dtype=np.bool_)
    speckles[::20, ::20] = True
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image(speckles, size=(200, 300))]), max_side=32).sample(0)
    assert sample.objects == ()


def test_very_elongated_image_keeps_one_pixel(tmp_path):
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image(size=(1, 700))]), max_side=64).sample(0)
    assert sample.image.shape == (1, 64, 3)


def test_small_images_are_not_enlarged(tmp_path):
    assert CocoFolder(coco_folder(tmp_path, [labelled_image(MASK)]), max_side=64).sample(0).image.shape == (*SIZE, 3)


# ---- reading


def test_cache_evicts_the_least_recently_used(tmp_path):
    folder = CocoFolder(
        coco_folder(tmp_path, [labelled_image(), labelled_image(MASK), labelled_image()]),
        cache_px=2 * SIZE[0] * SIZE[1],
    )
    for index in (0, 1, 0, 2):
        folder.sample(index)
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    folder.sample(0)  # used again before 2
    folder.sample(2)
    with pytest.raises(DataError, match=r"002\.png is missing"):
        folder.sample(1)


def test_image_larger_than_the_cache_is_read_every_time(tmp_path):
    folder = CocoFolder(coco_folder(tmp_path, [labelled_image(MASK)]), cache_px=10)
    assert len(folder.sample(0).objects) == len(folder.sample(0).objects) == 1
    (tmp_path / "images" / "001.png").unlink()
    with pytest.raises(DataError):
        folder.sample(0)


def test_broken_image_is_reported_on_read(tmp_path):
    coco_folder(
        tmp_path,
        [labelled_image(MASK), labelled_image(MASK)],
        edit=lambda content: content["images"][1].update(height=31),
    )
    folder = CocoFolder(tmp_path)
    folder.sample(0)
    with pytest.raises(DataError, match=r"002\.png is 40x30, but instances\.json lists it as 40x31"):
        folder.sample(1)


def test_mask_covers_its_colour(tmp_path):
    sample = CocoFolder(coco_folder(tmp_path, [labelled_image(MASK)])).sample(0)
    assert np.array_equal(sample.objects[0].mask.full(SIZE), covered(sample))
    assert sample.objects[0].mask.crop.shape == crop_of(MASK).crop.shape
