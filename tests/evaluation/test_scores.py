import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from streamseg.evaluation.scores import calibration, evaluate_scores, judged_proposals, reliability, spearman
from streamseg.evaluation.truth import ImageTruth
from tests.support.datasets import coco_folder, compressed
from tests.support.images import crop_of, disc, exact_instances, paint, rectangle

SIZE = (60, 80)
shares = st.floats(0, 1).map(lambda value: round(value, 2))
pairs = st.lists(st.tuples(shares, shares), min_size=1, max_size=40)


@pytest.mark.slow
@given(pairs)
def test_rank_correlation_equals_scipy(values):
    scores, ious = np.array(values).T
    assume(np.ptp(scores) > 0 and np.ptp(ious) > 0)
    assert spearman(scores, ious) == pytest.approx(spearmanr(scores, ious).statistic, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "ious", "expected"),
    [
        pytest.param([0.1, 0.5, 0.9], [0.2, 0.3, 0.9], 1, id="same order"),
        pytest.param([0.1, 0.5, 0.9], [0.9, 0.3, 0.2], -1, id="opposite"),
        pytest.param([0.5, 0.5], [0.1, 0.9], math.nan, id="constant score"),
        pytest.param([0.1, 0.9], [0.5, 0.5], math.nan, id="constant IoU"),
        pytest.param([0.5], [0.5], math.nan, id="one"),
        pytest.param([], [], math.nan, id="none"),
    ],
)
def test_rank_correlation_by_hand(scores, ious, expected):
    assert spearman(np.array(scores, dtype=float), np.array(ious, dtype=float)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.slow
@given(pairs)
def test_calibration_error_equals_its_definition(values):
    """Average the difference of the means of each proposal's bin over proposals."""
    scores, ious = np.array(values).T
    errors, errors_50 = [], []
    for score in scores:
        alike = [(s, i) for s, i in values if min(int(s * 10), 9) == min(int(score * 10), 9)]
        mean_score = np.mean([s for s, _ in alike])
        errors.append(abs(mean_score - np.mean([i for _, i in alike])))
        errors_50.append(abs(mean_score - np.mean([i >= 0.5 for _, i in alike])))
    figures = calibration(scores, ious)
    assert figures.calibration_error == pytest.approx(np.mean(errors), abs=1e-9)
    assert figures.calibration_error_50 == pytest.approx(np.mean(errors_50), abs=1e-9)
    assert figures.brier == pytest.approx(np.mean([(s - (i >= 0.5)) ** 2 for s, i in values]), abs=1e-9)
    assert figures.mean_iou == pytest.approx(np.mean(ious))
    assert sum(one.num_proposals for one in figures.reliability) == len(values)


def test_scores_equal_to_ious_are_calibrated():
    ious = np.linspace(0, 1, 101)
    figures = calibration(ious, ious)
    assert (figures.spearman, figures.calibration_error) == (pytest.approx(1), pytest.approx(0))


def test_score_at_a_border_belongs_to_the_upper_bin():
    bins = reliability(np.array([0.0, 0.1, 0.95, 1.0]), np.array([0.1, 0.2, 0.3, 0.6]))
    assert [one.num_proposals for one in bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (bins[9].mean_score, bins[9].mean_iou, bins[9].share_correct) == pytest.approx((0.975, 0.45, 0.5))
    assert math.isnan(bins[5].mean_iou)


def test_no_proposals_have_no_calibration():
    figures = calibration(np.zeros(0), np.zeros(0))
    assert figures.num_proposals == 0
    assert all(map(math.isnan, (figures.spearman, figures.calibration_error, figures.brier, figures.mean_iou)))


# ---- data sets

LEFT, RIGHT = rectangle(SIZE, 0, 0, 30, 40), disc(SIZE, 60, 30, 12)


def evaluate(path, found, scores, truth, **keys):
    image = paint(truth, [(200, 9, 9)] * len(truth), SIZE)
    folder = coco_folder(path, [(image, [{"segmentation": compressed(mask)} | keys for mask in truth])])
    return evaluate_scores(lambda images: [exact_instances(found, scores, size=SIZE)], folder)


def test_all_proposals_are_compared(tmp_path):
    half = rectangle(SIZE, 0, 0, 30, 28)  # IoU 0.7 with LEFT, and a box that fits as well
    far = rectangle(SIZE, 40, 50, 50, 60)
    scores = evaluate(tmp_path, [LEFT, half, far], [0.9, 0.6, 0.3], [LEFT, RIGHT])
    assert scores.num_images == 1
    assert scores.all_proposals.num_proposals == 3
    assert scores.all_proposals.mean_iou == pytest.approx((1 + 0.7 + 0) / 3)
    assert scores.all_proposals.spearman == pytest.approx(1)
    assert scores.on_objects.num_proposals == 2
    assert scores.on_objects.mean_iou == pytest.approx(0.85)


def test_right_box_with_wrong_mask_is_on_the_object(tmp_path):
    hollow = RIGHT & ~disc(SIZE, 60, 30, 11)
    scores = evaluate(tmp_path, [hollow], [0.95], [RIGHT])
    assert scores.on_objects.num_proposals == 1
    assert scores.on_objects.mean_iou == pytest.approx(hollow.sum() / RIGHT.sum())
    assert scores.on_objects.reliability[9].share_correct == 0


def test_proposals_in_a_crowd_are_omitted(tmp_path):
    scores = evaluate(tmp_path, [rectangle(SIZE, 5, 5, 20, 20), RIGHT], [0.9, 0.5], [LEFT], iscrowd=1)
    assert scores.all_proposals.num_proposals == 1
    assert scores.on_objects.num_proposals == 0


@pytest.mark.parametrize("truth", [pytest.param([], id="nothing labelled"), pytest.param([LEFT], id="nothing found")])
def test_no_proposals(tmp_path, truth):
    scores = evaluate(tmp_path, [], None, truth)
    assert scores.all_proposals.num_proposals == scores.on_objects.num_proposals == 0
    assert math.isnan(scores.on_objects.spearman)


@pytest.mark.parametrize(
    ("is_crowd", "every", "on_objects"),
    [
        pytest.param([False, True], ([0, 1], [0.8, 0.1]), ([0], [0.8]), id="crowd omitted"),
        pytest.param([False, False], ([0, 1, 2], [0.8, 0.1, 0.9]), ([0, 2], [0.8, 0.9]), id="no crowd"),
        pytest.param([True, True], ([1], [0.0]), ([], []), id="crowds only"),
    ],
)
def test_judged_proposals(is_crowd, every, on_objects):
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]], dtype=np.float64)
    truth = ImageTruth(
        masks=(crop_of(rectangle(SIZE, 0, 0, 10, 10)), crop_of(rectangle(SIZE, 20, 20, 30, 30))),
        boxes=boxes[[0, 2]],
        areas=np.array([100.0, 100.0]),
        is_crowd=np.array(is_crowd),
        labels=("cup", "cups"),
    )
    judged = judged_proposals(boxes, np.array([[0.8, 0.0], [0.1, 0.0], [0.0, 0.9]]), truth)
    assert (judged.every.tolist(), judged.best.tolist()) == every
    assert (judged.on_objects.tolist(), judged.own.tolist()) == on_objects
