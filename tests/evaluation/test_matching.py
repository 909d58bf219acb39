"""COCO's matching, compared with COCO's own program on small data sets full of edge cases."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamseg.datasets.coco import read_images
from streamseg.evaluation.matching import FALSE, IGNORED, NEVER, RANGES, TRUE, match_image
from streamseg.evaluation.overlap import box_ious, mask_ious
from streamseg.evaluation.proposals import score_matches
from streamseg.evaluation.truth import image_truth
from tests.support.data import data_folder
from tests.support.images import crop_of, disc, rectangle

SIZE = (120, 120)
LIMITS = [10, 100, 1000]

# Few corners and few scores: equal boxes, equal overlaps and equal scores are common.
boxes = st.tuples(*[st.sampled_from([0, 4, 8, 10, 16, 32])] * 2, *[st.sampled_from([8, 10, 16, 32, 64, 96, 110])] * 2)
areas = st.sampled_from([None, 0.0, 1023.5, 1024.0, 1024.5, 9215.0, 9216.0, 9217.0, 2e10])
truths = st.lists(st.tuples(boxes, areas, st.booleans()), max_size=6)
proposals = st.lists(st.tuples(boxes, st.sampled_from([0.0, 0.1, 0.5, 0.9])), max_size=14)
data_sets = st.lists(st.tuples(truths, proposals), min_size=1, max_size=3)


def coco_scores(samples, kind):
    """Recall (T, areas, limits) and precision (T, areas) of COCOeval; -1 if there is no object."""
    annotations, results, sizes = [], [], []
    for image_id, (truth, found) in enumerate(samples, start=1):
        for mask, box, area, is_crowd in truth:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": int(is_crowd),
                    "area": area,
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "segmentation": coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)),
                }
            )
        sizes.append(truth[0][0].shape if truth else SIZE)
        for mask, box, score in found:
            place = {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
            shape = {"segmentation": coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))}
            results.append(
                {"image_id": image_id, "category_id": 1, "score": score} | (place if kind == "bbox" else shape)
            )
    images = [{"id": number, "height": size[0], "width": size[1]} for number, size in enumerate(sizes, start=1)]
    truth = COCO()
    truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results) if results else COCO(), kind)
        evaluation.params.maxDets = LIMITS
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["recall"][:, 0], evaluation.eval["precision"][:, :, 0, :, 1].mean(axis=1)


def own_matches(samples, kind):
    matches = []
    for truth, found in samples:
        is_crowd = np.array([entry[3] for entry in truth], dtype=bool)
        truth_areas = np.array([entry[2] for entry in truth], dtype=float)
        scores = np.array([entry[2] for entry in found], dtype=float)
        if kind == "bbox":
            ious = box_ious(corners(found), corners(truth), is_crowd)
            own_areas = (corners(found)[:, 2:] - corners(found)[:, :2]).prod(axis=1)
        else:
            ious = mask_ious([crop_of(entry[0]) for entry in found], [crop_of(entry[0]) for entry in truth], is_crowd)
            own_areas = np.array([entry[0].sum() for entry in found], dtype=float)
        matches.append(match_image(ious, scores, own_areas, truth_areas, is_crowd))
    return matches


def corners(entries):
    return np.array([entry[1] for entry in entries], dtype=float).reshape(-1, 4)


def assert_agreement(samples, kind):
    """Compare all figures that both programs compute."""
    scores = score_matches(own_matches(samples, kind))
    recall, precision = coco_scores(samples, kind)
    recall, precision = np.where(recall < 0, np.nan, recall), np.where(precision < 0, np.nan, precision)
    expected = recall.mean(axis=0)  # (areas, limits)
    assert list(scores.recall.values()) == pytest.approx(expected[0].tolist(), abs=1e-6, nan_ok=True)
    assert list(scores.recall_by_size.values()) == pytest.approx(expected[1:, -1].tolist(), abs=1e-6, nan_ok=True)
    assert list(scores.recall_by_iou.values()) == pytest.approx(recall[:, 0, -1].tolist(), abs=1e-6, nan_ok=True)
    assert scores.precision == pytest.approx(precision[:, 0].mean(), abs=1e-6, nan_ok=True)
    assert scores.precision_50 == pytest.approx(precision[0, 0], abs=1e-6, nan_ok=True)
    assert scores.precision_75 == pytest.approx(precision[5, 0], abs=1e-6, nan_ok=True)
    by_size = precision[:, 1:].mean(axis=0).tolist()
    assert list(scores.precision_by_size.values()) == pytest.approx(by_size, abs=1e-6, nan_ok=True)
    return scores


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data_sets, st.sampled_from(["bbox", "segm"]))
def test_all_figures_equal_cocoeval(samples, kind):
    assert_agreement([drawn(truth, found) for truth, found in samples], kind)


def drawn(truth, found):
    """Convert boxes (x, y, w, h) to masks and corners; cut a third of the area from the proposals' masks."""
    labelled, answered = [], []
    for (x, y, width, height), area, is_crowd in truth:
        mask = rectangle(SIZE, x, y, x + width, y + height)
        labelled.append((mask, (x, y, x + width, y + height), mask.sum() if area is None else area, is_crowd))
    for (x, y, width, height), score in found:
        mask = rectangle(SIZE, x, y, x + width, y + height) & ~rectangle(SIZE, 0, 10, 20, 40)
        answered.append((mask, (x, y, x + width, y + height), score))
    return labelled, answered


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_images_with_many_proposals_agree_with_cocoeval(seed, kind):
    """Use more proposals than the lower limits, with recall strictly between 0 and 1."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(4):
        masks = [disc(SIZE, *rng.uniform(5, 115, 2), rng.uniform(4, 55)) for _ in range(int(rng.integers(2, 12)))]
        found = [np.roll(mask, tuple(rng.integers(-4, 5, 2)), axis=(0, 1)) for mask in masks for _ in range(12)]
        samples.append(
            (
                [(mask, tight(mask), mask.sum(), rng.random() < 0.2) for mask in masks],
                [(mask, tight(mask), round(rng.random(), 2)) for mask in found],
            )
        )
    scores = assert_agreement(samples, kind)
    assert 0.1 < scores.recall[10] < scores.recall[100] < 0.99
    assert 0.05 < scores.precision < 0.9


def tight(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.slow
def test_real_labels_agree_with_cocoeval():
    """Use COCO's polygons, crowds and areas; the proposals are shifted copies of the labels."""
    data = data_folder()
    if data is None:
        pytest.skip("no data folder; set STREAMSEG_DATA")
    rng = np.random.default_rng(0)
    samples = []
    for entry in read_images(data / "eval-coco")[:8]:
        truth = image_truth(entry)
        masks = [mask.full(entry.size) for mask in truth.masks]
        labelled = list(zip(masks, truth.boxes, truth.areas, truth.is_crowd, strict=True))
        moved = [np.roll(mask, tuple(rng.integers(-5, 6, 2)), axis=(0, 1)) for mask in masks for _ in range(3)]
        samples.append((labelled, [(mask, tight(mask), round(rng.random(), 1)) for mask in moved]))
    for kind in ("bbox", "segm"):
        assert 0.2 < assert_agreement(samples, kind).precision < 0.9


# ---- by hand

ALL = list(RANGES).index("all")


def match(ious, scores=None, *, truth_areas=None, is_crowd=None, **options):
    ious = np.array(ious, dtype=float)
    scores = np.linspace(0.9, 0.1, len(ious)) if scores is None else np.array(scores, dtype=float)
    return match_image(
        ious,
        scores,
        np.full(len(ious), 50.0),
        np.full(ious.shape[1], 50.0) if truth_areas is None else np.array(truth_areas, dtype=float),
        np.zeros(ious.shape[1], dtype=bool) if is_crowd is None else np.array(is_crowd),
        **options,
    )


def test_better_score_takes_the_object():
    matches = match([[0.6], [0.9]], [0.4, 0.5])
    assert matches.scores.tolist() == [0.5, 0.4]
    assert matches.outcomes[ALL, 0].tolist() == [TRUE, FALSE]
    assert matches.ranks[ALL, :, 0].tolist() == [0] * 9 + [NEVER]


def test_taken_object_leaves_the_second_best():
    matches = match([[0.9, 0.6], [0.8, 0.55]])
    assert matches.ranks[ALL, 0].tolist() == [0, 1]
    assert matches.ranks[ALL, 2].tolist() == [0, NEVER]


def test_equal_overlaps_take_the_last_object():
    assert match([[0.7, 0.7]]).ranks[ALL, 0].tolist() == [NEVER, 0]


def test_equal_scores_keep_their_order():
    assert match([[0.6], [0.9]], [0.5, 0.5]).ranks[ALL, 0].tolist() == [0]


def test_objects_precede_crowds_and_crowds_match_repeatedly():
    matches = match([[0.6, 0.9], [0.6, 0.9], [0.0, 0.9]], is_crowd=[False, True])
    assert matches.outcomes[ALL, 0].tolist() == [TRUE, IGNORED, IGNORED]
    assert matches.outcomes[ALL, 5].tolist() == [IGNORED, IGNORED, IGNORED]
    assert matches.counts[ALL].tolist() == [True, False]


def test_area_at_a_border_belongs_to_both_sizes():
    matches = match([[0.9]], truth_areas=[1024])
    assert dict(zip(RANGES, matches.counts[:, 0].tolist(), strict=True)) == {
        "all": True,
        "small": True,
        "medium": True,
        "large": False,
    }


def test_max_proposals():
    matches = match([[0.9], [0.8]], [0.1, 0.2], max_proposals=1)
    assert matches.scores.tolist() == [0.2]
    assert matches.outcomes.shape == (4, 10, 1)
    assert matches.ranks[ALL, 0].tolist() == [0]


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 2)])
def test_no_proposals_or_objects(shape):
    matches = match(np.zeros(shape), np.full(shape[0], 0.5))
    assert matches.outcomes.shape == (4, 10, shape[0])
    assert matches.ranks.shape == (4, 10, shape[1])
    assert not (matches.ranks < NEVER).any()
