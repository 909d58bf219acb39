import contextlib
import io
import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamseg.errors import DataError
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.support.datasets import coco_folder, coco_labels
from tests.support.images import disc, exact_instances, paint, rectangle

SIZE = (60, 80)


def instances_of(masks, scores=None, size=SIZE):
    scores = torch.linspace(0.9, 0.1, len(masks)).tolist() if scores is None else scores
    return exact_instances(masks, scores, size=size)


class ScriptedSegmenter:
    """Return one list of masks after the other, independent of the images."""

    def __init__(self, masks_per_image, size=SIZE):
        self._masks = iter(masks_per_image)
        self._size = size
        self.images = []

    def __call__(self, images):
        self.images += images
        return [instances_of(next(self._masks), size=self._size) for _ in images]


def folder_of(path, samples, size=SIZE, **options):
    """Write a folder whose images contain these masks."""
    return coco_folder(
        path, [(paint(masks, [(200, 9, 9)] * len(masks), size), coco_labels(masks)) for masks in samples], **options
    )


TWO = [rectangle(SIZE, 5, 5, 30, 15), rectangle(SIZE, 40, 20, 70, 50)]
ONE = [disc(SIZE, 30, 30, 20)]


# ---- by hand


def test_exact_masks_score_one(tmp_path):
    scores = evaluate_proposals(ScriptedSegmenter([TWO, ONE]), folder_of(tmp_path, [TWO, ONE]))
    assert (scores.num_images, scores.num_objects) == (2, 3)
    assert scores.box.recall == scores.mask.recall == {10: 1, 100: 1, 1000: 1}
    assert scores.mask.precision == pytest.approx(1)
    assert scores.mean_best_iou == pytest.approx(1)
    assert scores.found_by_category == {"object": 1}


def test_nothing_found_scores_zero(tmp_path):
    scores = evaluate_proposals(ScriptedSegmenter([[], []]), folder_of(tmp_path, [TWO, ONE]))
    assert (scores.num_images, scores.num_objects) == (2, 3)
    assert scores.box.recall == scores.mask.recall == {10: 0, 100: 0, 1000: 0}
    assert scores.mask.precision == scores.mean_best_iou == 0
    assert scores.found_by_category == {"object": 0}


def test_half_of_the_thresholds_by_hand(tmp_path):
    """25 x 10 pixels found as 18 x 10: IoU 0.72 reaches 0.50, 0.55, 0.60, 0.65 and 0.70, five of ten thresholds."""
    found = [rectangle(SIZE, 5, 5, 23, 15), TWO[1]]
    scores = evaluate_proposals(ScriptedSegmenter([found]), folder_of(tmp_path, [TWO]))
    assert scores.mask.recall[100] == scores.box.recall[100] == pytest.approx((1 + 0.5) / 2)
    assert scores.mean_best_iou == pytest.approx((0.72 + 1) / 2)
    assert scores.found_by_category == {"object": 1}


def test_masks_and_boxes_are_scored_separately(tmp_path):
    """A disc found as its box: the box is right, the filled box has IoU pi / 4 = 0.785, six thresholds of ten."""
    found = [rectangle(SIZE, 10, 10, 50, 50)]
    scores = evaluate_proposals(ScriptedSegmenter([found]), folder_of(tmp_path, [ONE]))
    assert scores.box.recall[100] == 1
    assert scores.mask.recall[100] == pytest.approx(0.6)


def test_recall_by_number_of_proposals(tmp_path):
    masks = [rectangle(SIZE, 13 * x, 19 * y, 13 * x + 9, 19 * y + 12) for x in range(6) for y in range(2)]
    noise = [rectangle(SIZE, x, 40, x + 20, 60) for x in range(0, 60, 2)]
    scores = evaluate_proposals(ScriptedSegmenter([masks]), folder_of(tmp_path / "a", [masks]))
    assert scores.mask.recall == {10: pytest.approx(10 / 12), 100: 1, 1000: 1}
    scores = evaluate_proposals(ScriptedSegmenter([noise + masks]), folder_of(tmp_path / "b", [masks]))
    assert scores.mask.recall == {10: 0, 100: 1, 1000: 1}
    assert 0 < scores.mask.precision < 0.5


def test_other_scores_rank_the_proposals(tmp_path):
    found, folder = [rectangle(SIZE, 50, 2, 60, 9), *TWO], folder_of(tmp_path, [TWO])
    own = evaluate_proposals(ScriptedSegmenter([found]), folder)
    assert own.mask.precision_50 < 0.7
    last_first = evaluate_proposals(ScriptedSegmenter([found]), folder, rank=lambda one: one.scores.flip(0))
    assert last_first.mask.precision_50 == pytest.approx(1)


def test_other_boxes_count_for_boxes_alone(tmp_path):
    scores = evaluate_proposals(
        ScriptedSegmenter([TWO]), folder_of(tmp_path, [TWO]), box=lambda found, masks: np.zeros((len(masks), 4))
    )
    assert scores.box.recall[1000] == 0
    assert scores.mask.recall[1000] == 1


def test_recall_by_size(tmp_path):
    size = (300, 400)
    small, medium = rectangle(size, 0, 0, 31, 31), rectangle(size, 50, 0, 110, 60)
    large, other = rectangle(size, 0, 100, 180, 280), rectangle(size, 200, 100, 380, 280)
    folder = folder_of(tmp_path, [[small, medium, large, other]], size=size)
    scores = evaluate_proposals(ScriptedSegmenter([[large, medium]], size), folder)
    assert scores.mask.recall_by_size == scores.box.recall_by_size == {"small": 0, "medium": 1, "large": 0.5}


def test_no_objects_have_no_score(tmp_path):
    scores = evaluate_proposals(ScriptedSegmenter([TWO]), folder_of(tmp_path, [[]]))
    assert (scores.num_images, scores.num_objects) == (1, 0)
    values = [
        *scores.box.recall.values(),
        *scores.mask.recall.values(),
        *scores.box.recall_by_size.values(),
        *scores.mask.recall_by_size.values(),
        scores.mask.precision,
        scores.mean_best_iou,
    ]
    assert all(map(math.isnan, values))
    assert scores.found_by_category == {}


def test_crowds_count_neither_as_objects_nor_as_mistakes(tmp_path):
    crowd = rectangle(SIZE, 60, 0, 80, 60)
    image = paint([*ONE, crowd], [(200, 9, 9)] * 2, SIZE)
    folder = coco_folder(tmp_path, [(image, coco_labels(ONE) + coco_labels([crowd], iscrowd=1))])
    within = [rectangle(SIZE, 62, y, 78, y + 9) for y in (2, 20, 40)]
    scores = evaluate_proposals(ScriptedSegmenter([within + ONE]), folder)
    assert scores.num_objects == 1
    assert scores.mask.recall[100] == 1
    assert scores.mask.precision == pytest.approx(1)


def test_recall_by_label(tmp_path):
    masks = [TWO[0], TWO[1], rectangle(SIZE, 0, 50, 20, 60)]
    annotations = coco_labels(masks)
    for annotation, label in zip(annotations, ("cup", "cup", "person"), strict=True):
        annotation["source_category"] = label
    folder = coco_folder(tmp_path, [(paint(masks, [(200, 9, 9)] * 3, SIZE), annotations)])
    assert evaluate_proposals(ScriptedSegmenter([masks[1:]]), folder).found_by_category == {"cup": 0.5, "person": 1}


# ---- compared with COCO's own program


def random_masks(rng, count):
    masks = []
    for _ in range(count):
        x, y = rng.uniform(0, SIZE[1]), rng.uniform(0, SIZE[0])
        masks.append(disc(SIZE, x, y, rng.uniform(4, 25)))
    return [mask for mask in masks if mask.any()]


def shifted(mask, rng):
    return np.roll(mask, tuple(rng.integers(-3, 4, 2)), axis=(0, 1))


def coco_eval(folder, answers, kind):
    """Run COCOeval on the folder's JSON, without classes."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "instances.json"))
        results = []
        for image_id, masks in enumerate(answers, start=1):
            instances = instances_of(masks)
            for mask, box, score in zip(masks, instances.boxes.tolist(), instances.scores.tolist(), strict=True):
                results.append(
                    {
                        "image_id": image_id,
                        "category_id": 1,
                        "score": score,
                        "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                        "segmentation": coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)),
                    }
                )
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [10, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0, :, :].mean(axis=0)  # (areas, limits)
    precision = evaluation.eval["precision"][:, :, 0, 0, 1]
    return recall, precision.mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_cocoeval(tmp_path, seed):
    rng = np.random.default_rng(seed)
    samples = [random_masks(rng, int(rng.integers(1, 6))) for _ in range(6)]
    answers = [[shifted(mask, rng) for mask in masks if rng.random() < 0.8] + random_masks(rng, 3) for masks in samples]
    folder = folder_of(tmp_path, samples)
    scores = evaluate_proposals(ScriptedSegmenter(answers), folder)
    for kind, recall, by_size in (
        ("bbox", scores.box.recall, scores.box.recall_by_size),
        ("segm", scores.mask.recall, scores.mask.recall_by_size),
    ):
        expected, precision = coco_eval(folder, answers, kind)
        assert list(recall.values()) == pytest.approx(expected[0].tolist())
        assert by_size["small"] == pytest.approx(expected[1, 2])
        assert by_size["medium"] == pytest.approx(expected[2, 2])
    assert scores.mask.precision == pytest.approx(precision)
    assert 0.1 < scores.mask.recall[100] < 0.9


def renumber(content):
    """Number categories from 3, annotations from 0, images from 100."""
    for number, annotation in enumerate(content["annotations"]):
        annotation.update(id=number, image_id=annotation["image_id"] + 99, category_id=3 + number % 2)
    for image in content["images"]:
        image["id"] += 99
    content["categories"] = [{"id": 3, "name": "cup"}, {"id": 4, "name": "cat"}]


def strip(content):
    """Remove the COCO keys that scores do not need."""
    for annotation in content["annotations"]:
        for key in ("id", "area", "bbox", "iscrowd", "category_id"):
            del annotation[key]
    del content["categories"]


@pytest.mark.parametrize("edit", [pytest.param(renumber, id="other-numbers"), pytest.param(strip, id="no-numbers")])
def test_numbers_and_categories_do_not_matter(tmp_path, edit):
    answers = [[TWO[0]], ONE]
    plain = evaluate_proposals(ScriptedSegmenter(answers), folder_of(tmp_path / "plain", [TWO, ONE]))
    other = evaluate_proposals(ScriptedSegmenter(answers), folder_of(tmp_path / "other", [TWO, ONE], edit=edit))
    assert plain.mask.recall[100] == pytest.approx(2 / 3)
    assert (other.num_objects, other.mean_best_iou) == (plain.num_objects, plain.mean_best_iou)
    for kind in ("box", "mask"):
        for name in ("recall", "recall_curve", "auc", "precision"):
            assert getattr(getattr(other, kind), name) == getattr(getattr(plain, kind), name)


# ---- the run


def test_segmenter_gets_every_image(tmp_path):
    folder = folder_of(tmp_path, [TWO, ONE])
    answers, seen = ScriptedSegmenter([[], []]), []
    evaluate_proposals(answers, folder, on_image=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert [tuple(image[30, 30]) for image in answers.images] == [(90, 90, 90), (200, 9, 9)]


def test_empty_mask_is_a_miss(tmp_path):
    nothing = Instances(
        torch.tensor([[5.0, 5.0, 30.0, 15.0]]),
        torch.ones(1),
        torch.full((1, *SIZE), -4.0),
        GridTransform(1, 1, 0, 0),
        SIZE,
    )
    scores = evaluate_proposals(lambda images: [nothing], folder_of(tmp_path, [TWO[:1]]))
    assert scores.box.recall[100] == 1
    assert scores.mask.recall[100] == scores.mean_best_iou == 0


def test_nothing_is_printed(tmp_path, capsys):
    evaluate_proposals(ScriptedSegmenter([ONE]), folder_of(tmp_path, [ONE]))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda path: None, "instances.json is missing", id="empty-folder"),
        pytest.param(lambda path: folder_of(path, []), "lists no image", id="no-image"),
        pytest.param(
            lambda path: (folder_of(path, [ONE]) / "images" / "001.png").unlink(), "001.png is missing", id="no-image"
        ),
        pytest.param(
            lambda path: folder_of(path, [ONE], edit=lambda content: content["images"][0].update(width=99)),
            "is 80x60, but instances.json lists it as 99x60",
            id="size-mismatch",
        ),
    ],
)
def test_invalid_folders_are_rejected(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(DataError) as caught:
        evaluate_proposals(ScriptedSegmenter([ONE]), tmp_path)
    assert message in str(caught.value)


# ---- the operating point


def best_f1(tmp_path, found, scores, truth):
    folder = folder_of(tmp_path, [truth])
    return evaluate_proposals(lambda images: [instances_of(found, scores)], folder).mask.best_f1


FAR = [rectangle(SIZE, 5, 40, 20, 55), rectangle(SIZE, 5, 20, 20, 35)]


@pytest.mark.parametrize(
    ("found", "scores", "expected"),
    [
        pytest.param(TWO, [0.9, 0.4], (0.4, 1, 1), id="both"),
        pytest.param([TWO[0], FAR[0]], [0.9, 0.4], (0.9, 1, 0.5), id="the false one is below"),
        pytest.param([FAR[0], *TWO], [0.9, 0.8, 0.7], (0.7, 2 / 3, 1), id="the false one is above"),
        pytest.param([TWO[0], FAR[0], TWO[1]], [0.5, 0.5, 0.5], (0.5, 2 / 3, 1), id="one score: one threshold"),
        pytest.param([TWO[0], FAR[0]], [0.5, 0.5], (0.5, 0.5, 0.5), id="equal scores are not separated"),
        pytest.param(FAR, [0.9, 0.8], (math.nan, 0, 0), id="all false"),
        pytest.param([], [], (math.nan, 0, 0), id="none"),
    ],
)
def test_best_f1(tmp_path, found, scores, expected):
    point = best_f1(tmp_path, found, scores, TWO)
    assert (point.conf, point.precision, point.recall) == pytest.approx(expected, nan_ok=True)


def test_best_f1_without_objects_is_nan(tmp_path):
    point = best_f1(tmp_path, FAR, [0.9, 0.8], [])
    assert math.isnan(point.conf)
    assert math.isnan(point.precision)
    assert math.isnan(point.recall)
