"""Comparison without and with refiner: matching of rows, selection of compared and shown objects, tables."""

import cv2
import numpy as np
import pytest
import torch

from benchmarks.harness import Timing
from benchmarks.refinement import Comparison, before_and_after, main, mask_tables, score_table, time_table, verdicts
from benchmarks.refiner_comparison.crops import (
    CAPTION_PX,
    GAP_PX,
    MAX_IMAGE_BYTES,
    at_percentiles,
    draw,
    rows_of_tiles,
)
from benchmarks.refiner_comparison.pairs import MIN_ZOOM_PX, Found, OnceEngine, found_objects, same_rows, zoom
from streamseg.engines import Raw
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.weights import save_weights
from tests.support.datasets import coco_folder, coco_labels
from tests.support.images import crop_of, disc, paint, rectangle
from tests.support.networks import lively_network

SIZE = (64, 96)
IMAGE = paint([disc(SIZE, 30, 30, 18)], [(200, 9, 9)], SIZE)


def some_instances(boxes, logits):
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.1, len(boxes)),
        mask_logits=torch.tensor(logits, dtype=torch.float32)[:, None, None].expand(-1, 4, 6).contiguous(),
        grid_to_image=GridTransform(4.0, 4.0, 0.0, 0.0),
        image_size=SIZE,
    )


def found(plain_iou, sharp_iou, *, area=100.0):
    crop = crop_of(disc(SIZE, 30, 30, 6))
    return Found(
        area,
        (plain_iou, sharp_iou),
        (0.5, 0.6),
        (0.2, 0.4),
        zoom(IMAGE, {"plain": crop, "sharp": crop, "truth": crop}),
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([0.3], [0], id="one value for all three"),
        pytest.param([0.1, 0.2], [1], id="two"),
        pytest.param([value / 100 for value in range(101)], [75, 85, 95], id="ascending"),
        pytest.param([1 - value / 100 for value in range(101)], [25, 15, 5], id="descending"),
        pytest.param([0.5] * 101, [75, 85, 95], id="ties by their order"),
    ],
)
def test_objects_at_percentiles(values, expected):
    assert at_percentiles(values) == expected


@pytest.mark.parametrize(
    ("boxes", "logits"),
    [
        pytest.param([], [], id="none"),
        pytest.param([[0, 0, 9, 9], [0, 0, 5, 9], [3, 3, 4, 4]], [1, 2, 3], id="by their boxes"),
        pytest.param([[0, 0, 9, 9], [0, 0, 9, 9], [3, 3, 4, 4]], [1, 2, 3], id="two equal boxes"),
    ],
)
def test_rows_are_matched_in_another_order(boxes, logits):
    plain = some_instances(boxes, logits)
    sharp = plain[[2, 0, 1][: len(boxes)]]
    again = sharp[same_rows(plain, sharp).tolist()]
    assert torch.equal(again.boxes, plain.boxes)
    assert torch.equal(again.mask_logits, plain.mask_logits)


@pytest.mark.parametrize("rows", [pytest.param([0], id="one is missing"), pytest.param([0, 0], id="one is another")])
def test_different_objects_are_rejected(rows):
    plain = some_instances([[0, 0, 9, 9], [0, 0, 5, 9]], [1, 2])
    with pytest.raises(ValueError, match=r"the other|the same objects"):
        same_rows(plain, plain[rows])


def test_engine_runs_the_same_images_once():
    class Counting:
        name, num_runs = "counting", 0

        def run(self, images):
            self.num_runs += 1
            empty = np.zeros((len(images), 0), np.float32)
            return Raw(boxes=empty, scores=empty, mask_coefficients=empty, prototypes=empty)

    counting = Counting()
    once = OnceEngine(counting)
    images = np.zeros((1, 32, 32, 3), np.uint8)
    assert once.run(images) is once.run(images.copy())
    once.run(images + 1)
    once.run(np.zeros((1, 32, 64, 3), np.uint8))
    assert counting.num_runs == 3
    assert once.name == "counting"


def test_compared_proposal_has_the_best_mean_iou():
    target = rectangle(SIZE, 10, 10, 30, 30)
    good, half, far = target, rectangle(SIZE, 10, 10, 20, 30), rectangle(SIZE, 60, 40, 70, 50)
    plain = [crop_of(mask) for mask in (good, half, far)]
    sharp = [crop_of(mask) for mask in (far, good, far)]  # the refiner spoils the first proposal and repairs the second
    (one,) = found_objects(IMAGE, plain, sharp, [crop_of(target)], np.array([400.0]))
    assert one.iou == pytest.approx((0.5, 1.0))
    assert one.gain == pytest.approx(0.5)
    assert one.boundary[1] == one.narrow[1] == 1.0
    assert one.boundary[0] < 1.0


@pytest.mark.parametrize(
    ("num_proposals", "area", "num_found", "is_shown"),
    [
        pytest.param(1, 400.0, 1, True, id="small"),
        pytest.param(1, 96.0**2, 1, True, id="medium"),
        pytest.param(1, 96.0**2 + 1, 1, False, id="large ones are not shown"),
        pytest.param(0, 400.0, 0, False, id="no proposal"),
    ],
)
def test_found_objects(num_proposals, area, num_found, is_shown):
    crop = crop_of(rectangle(SIZE, 10, 10, 30, 30))
    objects = found_objects(IMAGE, [crop] * num_proposals, [crop] * num_proposals, [crop], np.array([area]))
    assert [one.zoom is not None for one in objects] == [is_shown] * num_found


@pytest.mark.parametrize(
    ("mask", "side"),
    [
        pytest.param(disc(SIZE, 48, 32, 15), 42, id="1.4 times its extent"),
        pytest.param(disc(SIZE, 3, 3, 2), MIN_ZOOM_PX, id="tiny, in the corner"),
        pytest.param(rectangle(SIZE, 0, 0, 96, 64), 64, id="limited by the image"),
    ],
)
def test_zoom_is_a_square_in_the_image(mask, side):
    crop = zoom(IMAGE, {"plain": crop_of(mask), "sharp": crop_of(mask & False), "truth": crop_of(mask)})
    assert crop.pixels.shape == (side, side, 3)
    assert {one.shape for one in crop.masks.values()} == {(side, side)}
    assert not crop.masks["sharp"].any()
    if side < 64:
        assert crop.masks["truth"].sum() == mask.sum()


def test_image_has_a_row_for_each_object(tmp_path):
    objects = [found(0.5, 0.5 + gain / 200) for gain in range(21)]
    path = tmp_path / "crops" / "crops.png"
    choice = draw(objects, path)
    assert choice.shown == ((0.5, 0.575), (0.5, 0.585), (0.5, 0.595))
    assert (choice.num_objects, choice.median_gain, choice.share_worse) == (21, pytest.approx(0.05), 0.0)
    assert path.stat().st_size <= MAX_IMAGE_BYTES
    assert cv2.imread(str(path)).shape[0] > cv2.imread(str(path)).shape[1]
    assert rows_of_tiles(objects[:2], 50).shape == (2 * (CAPTION_PX + 50 + GAP_PX) - GAP_PX, 3 * 54 - GAP_PX, 3)


def test_no_candidates_write_no_file(tmp_path):
    assert draw([], tmp_path / "crops.png") is None
    assert not list(tmp_path.iterdir())


def test_table_ends_with_the_difference():
    table = before_and_after("title", ("", "a", "b"), {"plain": (0.25, 0.5), "sharp": (0.5, 0.25)})
    assert table.rows == (("plain", 0.25, 0.5), ("sharp", 0.5, 0.25), ("gain", 0.25, -0.25))


def test_tables_without_images():
    results = Comparison().results()
    tables = (*mask_tables(results), score_table(results))
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    timings = {"plain": Timing(10.0, 20.0, 20.0, 3), "sharp": Timing(11.0, 21.0, 30.0, 3)}
    assert time_table(30, 448, timings).rows[1] == ("sharp", 11.0, 21.0, pytest.approx(1.1), pytest.approx(1.05))
    words = [line.rpartition(" ")[2] for line in verdicts(results, timings)]
    assert words == ["missed", "reached", "missed"]


@pytest.mark.slow
def test_command(tmp_path, capsys, monkeypatch):
    mask = disc(SIZE, 30, 30, 18)
    folder = coco_folder(tmp_path / "data" / "eval-coco", [(IMAGE, coco_labels([mask]))] * 2)
    refiner = Refiner()
    tensors = lively_network().state_dict() | {
        REFINER_PREFIX + name: value for name, value in refiner.state_dict().items()
    }
    weights = tmp_path / "weights.safetensors"
    save_weights(tensors, weights)
    options = ["--weights", weights, "--data", folder.parent, "--imgsz", 96, "--runs", 1, "--objects", 3, "--limit", 1]
    files = ["--json", tmp_path / "results.json", "--crops", "coco", "--picture", tmp_path / "crops.png"]
    monkeypatch.setattr("sys.argv", ["refinement", *map(str, [*options, *files])])
    assert main() == 0
    printed = capsys.readouterr().out
    assert "1 objects in 1 images" in printed
    assert (tmp_path / "results.json").is_file()
