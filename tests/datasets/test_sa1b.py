import numpy as np
import pytest

from streamseg.datasets.sa1b import Sa1bFolder, contains_sa1b
from streamseg.errors import DataError
from tests.support.datasets import write_sa1b_entry
from tests.support.images import disc, rectangle

SIZE = (30, 40)
RED = (250, 20, 20)
MASK = disc(SIZE, 20, 15, 8)
OTHER = rectangle(SIZE, 2, 2, 9, 12)


def write_entry(folder, number, masks=(MASK,), *, size=SIZE, **keys):
    return write_sa1b_entry(folder, number, masks, size=size, **keys)


def read_everything(folder, **options):
    opened = Sa1bFolder(folder, **options)
    return [opened.sample(index) for index in range(len(opened))]


def test_sample_holds_image_and_all_masks(tmp_path):
    image = write_entry(tmp_path, 1, [MASK, OTHER])
    folder = Sa1bFolder(tmp_path, background_weight=0.7)
    assert len(folder) == 1
    sample = folder.sample(0)
    assert np.array_equal(sample.image, image)
    assert np.array_equal([one.mask.full(SIZE) for one in sample.objects], [MASK, OTHER])
    assert not any(one.is_part or one.is_crowd for one in sample.objects)
    assert sample.background_weight == 0.7


def test_subfolders_are_read_in_order_of_names(tmp_path):
    for number, inner in ((3, "b"), (12, "a/deep"), (5, "."), (2, "a")):
        write_entry(tmp_path / inner, number)
    (tmp_path / "a" / "notes.json").write_text("{}")
    (tmp_path / "a" / "sa_9.txt").write_text("")
    folder = Sa1bFolder(tmp_path)
    names = [folder.entry(index).path.relative_to(tmp_path).as_posix() for index in range(len(folder))]
    assert names == ["a/deep/sa_12.png", "a/sa_2.png", "b/sa_3.png", "sa_5.png"]


@pytest.mark.parametrize(
    ("options", "num_objects"),
    [
        pytest.param({}, 3, id="all"),
        pytest.param({"min_predicted_iou": 0.9}, 2, id="by-predicted-iou"),
        pytest.param({"min_stability_score": 0.9}, 2, id="by-stability"),
        pytest.param({"min_predicted_iou": 0.9, "min_stability_score": 0.9}, 1, id="by-both"),
        pytest.param({"min_predicted_iou": 0.92}, 2, id="threshold-is-inclusive"),
        pytest.param({"min_predicted_iou": 1.0}, 0, id="above-all"),
    ],
)
def test_masks_are_filtered_by_quality(tmp_path, options, num_objects):
    third = rectangle(SIZE, 30, 2, 38, 12)
    write_entry(tmp_path, 1, [MASK, OTHER, third], predicted_iou=[0.92, 0.99, 0.5], stability_score=[0.5, 0.95, 0.95])
    assert len(read_everything(tmp_path, **options)[0].objects) == num_objects


def test_entries_are_read_lazily(tmp_path):
    write_entry(tmp_path, 1)
    (tmp_path / "sa_2.json").write_text("broken")
    folder = Sa1bFolder(tmp_path)
    assert len(folder) == 2
    assert len(folder.sample(0).objects) == 1
    with pytest.raises(DataError, match="is not valid JSON"):
        folder.sample(1)


def test_large_images_are_shrunk_with_their_masks(tmp_path):
    size = (300, 400)
    write_entry(tmp_path, 1, [disc(size, 200, 150, 80)], size=size)
    sample = read_everything(tmp_path, max_side=100)[0]
    assert sample.image.shape == (75, 100, 3)
    assert sample.objects[0].mask.area == pytest.approx(np.pi * 20**2, rel=0.03)


def test_images_are_cached(tmp_path):
    write_entry(tmp_path, 1)
    folder = Sa1bFolder(tmp_path)
    first = folder.sample(0)
    (tmp_path / "sa_1.png").unlink()
    assert folder.sample(0) is first


def test_detection_of_the_format(tmp_path):
    assert not contains_sa1b(tmp_path)
    write_entry(tmp_path / "deep" / "inside", 1)
    assert contains_sa1b(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(lambda c: c.pop("image"), "is not in SA-1B format: KeyError 'image'", id="no-image"),
        pytest.param(lambda c: c.pop("annotations"), "KeyError 'annotations'", id="no-annotations"),
        pytest.param(lambda c: c["annotations"].append(3), "is not in SA-1B format", id="annotation-is-a-number"),
        pytest.param(lambda c: c["image"].update(width="40"), "width and height in whole pixels", id="width-is-text"),
        pytest.param(lambda c: c["image"].update(width=41), "40x30, but sa_1.json lists it as 41x30", id="other-size"),
        pytest.param(
            lambda c: c["image"].update(file_name="sa_7.jpg"),
            "sa_7.jpg is missing or unreadable, though sa_1.json lists it",
            id="missing-image",
        ),
        pytest.param(
            lambda c: c["annotations"][0]["segmentation"].update(size=[40, 30]),
            "the run lengths are for size [40, 30], but the image has size [30, 40]",
            id="rle-of-another-size",
        ),
        pytest.param(lambda c: c["annotations"][0].update(area="big"), "must be a number of pixels", id="area-is-text"),
        pytest.param(lambda c: c["annotations"][0].pop("predicted_iou"), "KeyError 'predicted_iou'", id="no-quality"),
        pytest.param(
            lambda c: c["annotations"][0].update(predicted_iou="good"),
            "predicted_iou must be a number, got 'good'",
            id="quality-is-text",
        ),
    ],
)
def test_broken_entry_is_rejected_in_one_line(tmp_path, edit, message):
    write_entry(tmp_path, 1, edit=edit)
    with pytest.raises(DataError) as caught:
        read_everything(tmp_path, min_predicted_iou=0.5)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quality_is_optional_without_threshold(tmp_path):
    write_entry(tmp_path, 1, edit=lambda content: content["annotations"][0].pop("predicted_iou"))
    assert len(read_everything(tmp_path)[0].objects) == 1


def test_folder_without_images_is_rejected(tmp_path):
    with pytest.raises(DataError, match=r"contains no sa_\*\.json"):
        Sa1bFolder(tmp_path)
    with pytest.raises(DataError, match=r"cannot list .*: No such file or directory"):
        Sa1bFolder(tmp_path / "nowhere")
