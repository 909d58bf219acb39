"""Edge maps of drawn masks, and the benchmark's scores on small sets."""

import json

import cv2
import numpy as np
import pytest
import torch

from streamseg.datasets.problems import Problems
from streamseg.errors import DataError
from streamseg.evaluation.edge_maps import edge_map, ridge_normals, sobel, suppress
from streamseg.evaluation.edge_matching import EdgeCounts
from streamseg.evaluation.edges import THRESHOLDS, evaluate_detector, evaluate_edges, score_edges
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.support.data import data_folder
from tests.support.datasets import coco_folder
from tests.support.images import disc, paint, rectangle

SIZE = (80, 120)
CELL = 2


def instances_of(masks, scores, size=SIZE):
    """Instances on a grid of 2 pixels per cell that approximate these masks."""
    edges, logits = [], []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        cover = cv2.resize(mask.astype(np.float32), (size[1] // CELL, size[0] // CELL), interpolation=cv2.INTER_AREA)
        logits.append(8 * cover - 4)
    return Instances(
        torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(np.array(logits, np.float32)).reshape(-1, size[0] // CELL, size[1] // CELL),
        GridTransform(CELL, CELL, 0, 0),
        size,
    )


def outline_of(mask):
    return mask & ~(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def edges_folder(path, samples):
    """Write a folder of samples (image, drawings)."""
    coco_folder(path, [(image, []) for image, _ in samples])
    (path / "gt").mkdir()
    names = [image["file_name"] for image in json.loads((path / "instances.json").read_text())["images"]]
    for name, (_, drawings) in zip(names, samples, strict=True):
        for annotator, drawing in enumerate(drawings):
            cv2.imwrite(str(path / "gt" / f"{name.rpartition('.')[0]}_{annotator}.png"), drawing.astype(np.uint8) * 255)
    return path


DISC, BOX = disc(SIZE, 35, 40, 22), rectangle(SIZE, 70, 20, 106, 60)


# ---- edge maps


@pytest.mark.parametrize("mask", [pytest.param(DISC, id="disc"), pytest.param(BOX, id="rectangle")])
def test_edge_of_a_mask_is_its_outline(mask):
    strength = edge_map(instances_of([mask], [0.9]))
    lines = suppress(strength, ridge_normals(strength))
    strong = lines > 0.5 * strength.max()
    distances = cv2.distanceTransform((~outline_of(mask)).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert distances[strong].max() <= 1.5
    found = cv2.distanceTransform((~strong).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert np.mean(found[outline_of(mask)] <= 2) > 0.97
    assert np.count_nonzero(strong) < 1.2 * np.count_nonzero(outline_of(mask))


def test_corrections_move_the_outline():
    """The left half of the mask is corrected away, and the right edge moves into the margin of the box."""
    alone = instances_of([BOX], [0.9])
    corrections = torch.zeros(1, 24, 24)
    corrections[:, 3:-3, :12] = -20
    corrections[:, 3:-3, 12:-1] = 20
    lines = edge_map(alone.corrected(corrections))
    columns = lines[30:50].mean(axis=0)  # BOX spans 70 to 106
    assert columns[72] < 0.1 * columns.max()
    assert abs(int(columns[:100].argmax()) - 88) <= 1
    assert 106 <= int(columns[100:].argmax()) + 100 <= 112
    empty = Instances(torch.zeros(1, 4), torch.ones(1), torch.ones(1, 4, 4), GridTransform(1, 1, 0, 0), (4, 4))
    assert not edge_map(empty.corrected(torch.ones(1, 24, 24))).any()


def test_instances_are_weighted_by_score():
    strong, weak = (edge_map(instances_of([DISC], [score])) for score in (0.8, 0.2))
    assert strong == pytest.approx(4 * weak, abs=1e-6)


def test_no_edges_outside_the_box():
    """Logits extend beyond the box; logits of another object must not add outlines."""
    both = instances_of([DISC | BOX], [0.9])
    alone = Instances(
        torch.tensor([[13.0, 18.0, 57.0, 62.0]]), both.scores, both.mask_logits, both.grid_to_image, both.image_size
    )
    strength = edge_map(alone)
    assert strength[:, :58].max() > 0.05
    assert not strength[:, 60:].any()


def test_max_of_two_equal_outlines_equals_one():
    one, two = (edge_map(instances_of([DISC] * count, [0.5] * count)) for count in (1, 2))
    assert two == pytest.approx(one, abs=1e-6)


def test_votes_are_summed_under_the_root():
    one, two = (edge_map(instances_of([DISC] * count, [0.5] * count), combine="votes") for count in (1, 2))
    assert one.max() > 0.1
    assert two == pytest.approx(np.sqrt(2) * one, abs=1e-6)


def test_votes_of_nearby_outlines_merge_between_them():
    """Masks of one object differ by a pixel or two; the edge lies between their outlines."""
    near = disc(SIZE, 35, 40, 24)
    both = edge_map(instances_of([DISC, near], [0.5, 0.5]), combine="votes")
    row = both[40, 50:66]
    assert 50 + int(np.argmax(row)) in (57, 58, 59)


def test_no_instances_have_no_edges():
    strength = edge_map(Instances.empty(SIZE))
    assert strength.shape == SIZE
    assert not suppress(strength, ridge_normals(strength)).any()


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135, 170])
def test_normals_of_a_ridge(degrees):
    y, x = np.mgrid[:41, :41] - 20.0
    across = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
    normals = ridge_normals(np.exp(-(across**2) / 8).astype(np.float32))[:, 20, 20]
    assert abs(normals @ [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) == pytest.approx(1, abs=1e-3)


def test_ridge_becomes_a_line_of_full_strength():
    y, _ = np.mgrid[:40, :60]
    strength = np.exp(-((y - 19.3) ** 2) / 8).astype(np.float32)
    lines = suppress(strength, ridge_normals(strength))
    assert np.flatnonzero(lines[:, 30] > 1e-6).tolist() == [19]
    assert lines[19, 30] == strength[19, 30]


def test_ridge_between_two_pixels_is_kept():
    y, _ = np.mgrid[:40, :60]
    strength = np.exp(-((y - 19.5) ** 2) / 8).astype(np.float32)
    assert np.count_nonzero(suppress(strength, ridge_normals(strength))[:, 30] > 1e-6) == 1


def test_sobel_is_in_values_per_pixel():
    y, x = np.mgrid[:10, :12].astype(np.float32)
    magnitude, along_x, along_y = sobel(3 * x - 4 * y)
    assert (magnitude[5, 5], along_x[5, 5], along_y[5, 5]) == pytest.approx((5, 3, -4))


# ---- figures


def counts_of(found, right, drawn, recalled):
    """Counts at every threshold; the last value of each list applies to all remaining thresholds."""

    def full(values):
        return np.array(list(values) + [values[-1]] * (99 - len(values)), dtype=np.int64)

    return EdgeCounts(full(found), full(right), full([drawn]), full(recalled))


def test_scores_by_hand():
    """Up to 0.50 all edges, half of them right, recall 1; above, only right edges, recall 0.5."""
    one = counts_of([200] * 50 + [50], [100] * 50 + [50], 100, [100] * 50 + [50])
    scores = score_edges([one], num_drawings=1)
    # Half-way between the two, precision and recall are both 0.75.
    assert scores.ods == pytest.approx(0.75)
    assert scores.ods_threshold == pytest.approx(0.505)
    assert scores.ois == pytest.approx(2 / 3)
    assert scores.average_precision == pytest.approx(np.linspace(1, 0.5, 51).sum() * 0.01)
    assert scores.recall_at_half_precision == pytest.approx(1)


def test_ois_uses_the_best_threshold_of_each_image():
    """One image is best at low thresholds, the other at high ones: OIS uses both, ODS a single one."""
    low = counts_of([100] * 50 + [0], [100] * 50 + [0], 100, [100] * 50 + [0])
    high = counts_of([400] * 50 + [100], [100] * 50 + [100], 100, [100])
    scores = score_edges([low, high], num_drawings=2)
    assert scores.ois == pytest.approx(1)
    assert scores.ods < 0.9


def test_nothing_found_scores_zero():
    nothing = counts_of([0], [0], 100, [0])
    scores = score_edges([nothing], num_drawings=1)
    assert (scores.ods, scores.ois, scores.average_precision, scores.recall_at_half_precision) == (0, 0, 0, 0)


# ---- folders


def test_perfect_masks_score_high(tmp_path):
    image = paint([DISC, BOX], [(200, 9, 9), (9, 200, 9)], SIZE)
    folder = edges_folder(tmp_path, [(image, [outline_of(DISC) | outline_of(BOX)] * 2), (image, [outline_of(DISC)])])
    answers = iter([instances_of([DISC, BOX], [0.9, 0.8]), instances_of([DISC], [0.3])])
    seen = []
    scores = evaluate_edges(lambda images: [next(answers)], folder, on_image=lambda *one: seen.append(one))
    assert (scores.num_images, scores.num_drawings) == (2, 3)
    assert scores.ods > 0.9
    assert scores.ois >= scores.ods - 1e-9
    assert len(scores.precision) == len(scores.recall) == len(THRESHOLDS)
    assert seen == [(1, 2), (2, 2)]


def test_limit_uses_the_first_images(tmp_path):
    image = paint([DISC], [(200, 9, 9)], SIZE)
    folder = edges_folder(tmp_path, [(image, [outline_of(DISC)])] * 3)
    assert evaluate_detector(lambda image: np.zeros(SIZE, np.float32), folder, limit=2).num_images == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda gt: [file.unlink() for file in gt.iterdir()], "contains no drawing", id="no drawing"),
        pytest.param(
            lambda gt: [file.write_bytes(b"") for file in gt.iterdir()], "is not a readable image", id="broken"
        ),
        pytest.param(
            lambda gt: [cv2.imwrite(str(file), np.zeros((5, 7), np.uint8)) for file in gt.iterdir()],
            "is 7x5; the image is 120x80",
            id="another size",
        ),
    ],
)
def test_invalid_drawings_are_rejected(tmp_path, spoil, message):
    folder = edges_folder(tmp_path, [(paint([DISC], [(200, 9, 9)], SIZE), [outline_of(DISC)])])
    spoil(folder / "gt")
    with pytest.raises(DataError, match=message):
        evaluate_detector(lambda image: np.zeros(SIZE, np.float32), folder)


def test_unusable_images_and_drawings_are_skipped(tmp_path):
    image = paint([DISC], [(200, 9, 9)], SIZE)
    folder = edges_folder(tmp_path, [(image, [outline_of(DISC)])] * 4)
    (folder / "gt" / "001_0.png").unlink()
    (folder / "gt" / "002_0.png").write_bytes(b"")
    (folder / "images" / "003.png").write_bytes(b"no image")
    problems = Problems()
    scores = evaluate_detector(lambda image: np.zeros(SIZE, np.float32), folder, problems=problems)
    assert (scores.num_images, scores.num_drawings) == (1, 1)
    assert problems.summary() == "3 images skipped"


def test_annotators_agree_with_each_other(tmp_path):
    """Use the first drawing of each image as prediction: people score about 0.8 on this set, and no detector 1."""
    data = data_folder()
    if data is None or not (data / "eval-edges").is_dir():
        pytest.skip("the folder eval-edges is missing; set STREAMSEG_DATA")
    drawings = iter(sorted((data / "eval-edges" / "gt").glob("*_0.png")))
    scores = evaluate_detector(
        lambda image: (cv2.imread(str(next(drawings)), cv2.IMREAD_GRAYSCALE) > 0).astype(np.float32),
        data / "eval-edges",
        limit=4,
    )
    assert scores.precision[0] == 1
    assert 0.4 < scores.recall[0] < 0.95
