import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.datasets.coco import annotation_mask, read_images
from streamseg.datasets.coco_folder import CocoFolder
from streamseg.errors import DataError
from streamseg.structures.grid import STRIDE_4
from streamseg.structures.instances import Instances
from streamseg.training.pseudo import MIN_AREA_PX, label_folder, pseudo_labels
from tests.support.datasets import coco_folder, compressed
from tests.support.images import crop_of, disc, paint, rectangle

SIZE = (60, 80)
LEFT, RIGHT = rectangle(SIZE, 4, 4, 24, 24), rectangle(SIZE, 40, 20, 60, 40)


def labels(masks, scores, labelled=(), *, min_score=0.5, max_overlap=0.1):
    return pseudo_labels(
        [crop_of(mask) for mask in masks],
        scores,
        [crop_of(mask) for mask in labelled],
        SIZE,
        min_score=min_score,
        max_overlap=max_overlap,
    )


@pytest.mark.parametrize(
    ("masks", "scores", "labelled", "expected"),
    [
        pytest.param([], [], [LEFT], [], id="no-detection"),
        pytest.param([LEFT], [0.9], [], [0.9], id="nothing-labelled"),
        pytest.param([LEFT, RIGHT], [0.6, 0.9], [], [0.9, 0.6], id="the-best-first"),
        pytest.param([LEFT], [0.5], [], [0.5], id="exactly-at-the-threshold"),
        pytest.param([LEFT], [0.49], [], [], id="below-the-threshold"),
        pytest.param([LEFT], [0.9], [LEFT], [], id="already-labelled"),
        pytest.param([rectangle(SIZE, 8, 8, 20, 20)], [0.9], [LEFT], [], id="part-of-a-labelled-object"),
        pytest.param([RIGHT], [0.9], [LEFT], [0.9], id="beside-a-labelled-object"),
        pytest.param([LEFT], [0.9], [rectangle(SIZE, 4, 4, 24, 6)], [0.9], id="a-tenth-is-labelled"),
        pytest.param([LEFT], [0.9], [rectangle(SIZE, 4, 4, 24, 7)], [], id="more-is-labelled"),
        pytest.param([LEFT, rectangle(SIZE, 6, 6, 24, 24)], [0.7, 0.8], [], [0.8], id="the-better-of-two"),
        pytest.param([rectangle(SIZE, 0, 0, 9, 11)], [0.9], [], [], id="99-pixels"),
        pytest.param([rectangle(SIZE, 0, 0, 10, 10)], [0.9], [], [0.9], id="100-pixels"),
        pytest.param([np.zeros(SIZE, dtype=bool)], [0.9], [], [], id="no-pixel"),
    ],
)
def test_selection_of_labels(masks, scores, labelled, expected):
    assert [label.score for label in labels(masks, scores, labelled)] == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_pixels_get_at_most_one_label(seed, max_overlap):
    rng = np.random.default_rng(seed)
    masks = [disc(SIZE, *rng.uniform(0, 60, 2), rng.uniform(3, 25)) for _ in range(10)]
    scores = rng.uniform(0, 1, 10)
    chosen = labels(masks[3:], list(scores[3:]), masks[:3], min_score=0.3, max_overlap=max_overlap)
    taken = np.any(masks[:3], axis=0)
    for label in chosen:
        full = label.mask.full(SIZE)
        assert not (full & taken).any()
        taken |= full
        assert label.score >= 0.3
        assert label.mask.area >= MIN_AREA_PX
        assert label.mask.crop.shape == crop_of(full).crop.shape  # no empty border
        whole = masks[3 + list(scores[3:]).index(label.score)]
        assert (full <= whole).all()
        assert label.mask.area >= (1 - max_overlap) * whole.sum() - 1e-9
    assert [label.score for label in chosen] == sorted((label.score for label in chosen), reverse=True)


# ---- folders


class TwoSquares:
    """A segmenter that detects the same two squares in every image, the first with a higher score."""

    def __call__(self, images):
        cells = torch.full((2, SIZE[0] // 4, SIZE[1] // 4), -9.0)
        cells[0, 1:6, 1:6] = 9
        cells[1, 5:10, 10:15] = 9
        boxes = torch.tensor([[4.0, 4, 24, 24], [40, 20, 60, 40]])
        return [Instances(boxes, torch.tensor([0.9, 0.6]), cells, STRIDE_4, SIZE) for _ in images]


def labelled_folder(path, **options):
    image = paint([LEFT, RIGHT], [(200, 0, 0), (0, 200, 0)], SIZE)
    mine = {"segmentation": compressed(LEFT), "id": 7, "note": "mine"}
    return coco_folder(path, [(image, [mine]), (image, [])], **options)


def test_unlabelled_objects_get_labels(tmp_path):
    folder = labelled_folder(tmp_path / "a", images=[{"licence": 3}, {}])
    seen = []
    options = {"min_score": 0.5, "max_overlap": 0.1, "on_image": lambda *done: seen.append(done)}
    assert label_folder(folder, tmp_path / "b", TwoSquares(), **options) == 3
    assert seen == [(1, 2), (2, 2)]
    before, after = (json.loads((tmp_path / name / "instances.json").read_text()) for name in "ab")
    assert after["images"] == before["images"]
    assert after["annotations"][:1] == before["annotations"]
    added = after["annotations"][1:]
    assert [(one["id"], one["image_id"], one["score"]) for one in added] == [(8, 1, 0.6), (9, 2, 0.9), (10, 2, 0.6)]
    assert all(one["pseudo"] is True and one["iscrowd"] == 0 and one["category_id"] == 1 for one in added)
    entries = read_images(tmp_path / "b")
    for entry, truths in zip(entries, ([LEFT, RIGHT], [LEFT, RIGHT]), strict=True):
        for annotation, truth in zip(entry.annotations, truths, strict=True):
            mask = annotation_mask(annotation, SIZE)
            assert (mask.full(SIZE) ^ truth).mean() < 0.02
    assert added[0]["area"] == annotation_mask(entries[0].annotations[1], SIZE).area
    assert len(CocoFolder(tmp_path / "b").sample(1).objects) == 2


def test_categories_are_optional(tmp_path):
    folder = labelled_folder(tmp_path / "a", edit=lambda content: content.pop("categories"))
    assert label_folder(folder, tmp_path / "b", TwoSquares(), min_score=0.8, max_overlap=0.1) == 1
    assert json.loads((tmp_path / "b" / "instances.json").read_text())["categories"] == [{"id": 1, "name": "object"}]


def test_existing_data_is_not_overwritten(tmp_path):
    folder = labelled_folder(tmp_path / "a")
    before = (folder / "instances.json").read_bytes()
    with pytest.raises(DataError, match="is not empty; choose another folder"):
        label_folder(folder, folder, TwoSquares(), min_score=0.5, max_overlap=0.1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another folder"):
        label_folder(folder, tmp_path / "file", TwoSquares(), min_score=0.5, max_overlap=0.1)
    with pytest.raises(DataError, match="cannot write into"):
        label_folder(folder, tmp_path / "file" / "below", TwoSquares(), min_score=0.5, max_overlap=0.1)
    assert (folder / "instances.json").read_bytes() == before


def test_missing_image_leaves_no_annotation_file(tmp_path):
    folder = labelled_folder(tmp_path / "a")
    (folder / "images" / "002.png").unlink()
    with pytest.raises(DataError, match=r"002\.png is missing"):
        label_folder(folder, tmp_path / "b", TwoSquares(), min_score=0.5, max_overlap=0.1)
    assert not (tmp_path / "b" / "instances.json").exists()
