import numpy as np
import pytest
import torch

from streamseg.datasets.samples import LabelledObject, Sample
from streamseg.errors import DataError
from streamseg.modeling.refiner import REFINER_RASTER
from streamseg.structures.mask import CropMask
from streamseg.training.refiner_examples import MAX_OTHERS, MAX_PER_TARGET, NEAR_IOU, RefineSettings, collect_examples
from tests.support.networks import lively_network

pytestmark = pytest.mark.slow

SETTINGS = RefineSettings(num_images=8, imgsz=96)


def image_of_squares(rng):
    """Draw bright squares on noise."""
    image = rng.integers(0, 80, (96, 96, 3), dtype=np.uint8)
    objects = []
    for _ in range(4):
        x, y, side = (int(value) for value in (*rng.integers(0, 60, 2), rng.integers(16, 36)))
        image[y : y + side, x : x + side] = rng.integers(150, 255, 3)
        objects.append(LabelledObject(CropMask(np.ones((side, side), dtype=bool), x, y), is_part=False))
    return Sample(image, tuple(objects))


@pytest.fixture(scope="module")
def collected():
    return collect_examples(lively_network(share_above_half=0.3), image_of_squares, SETTINGS)


def test_shapes_and_ranges_of_examples(collected):
    examples, num_training = collected
    count = len(examples)
    assert 0 < num_training < count
    assert examples.views.maps.shape == (count, 32, REFINER_RASTER, REFINER_RASTER)
    assert examples.truth.shape == examples.views.logits.shape == (count, REFINER_RASTER, REFINER_RASTER)
    assert (examples.box_iou[:num_training] > NEAR_IOU).any()
    assert (examples.box_iou[:num_training] < NEAR_IOU).any()  # includes some that are no object
    assert (examples.box_iou[num_training:] < NEAR_IOU).any()  # held out: a sample of all detections
    assert (examples.completeness == 1).float().mean() > 0.5  # all squares are labelled except hidden ones
    assert ((examples.completeness >= 0) & (examples.completeness <= 1)).all()
    assert (examples.outside >= 0).all()
    assert ((examples.scores > 0) & (examples.scores <= 1)).all()
    assert examples.is_known[:num_training].any()
    assert not examples.is_known[num_training:].any()  # calibration is about detections
    assert (examples.scores[examples.is_known] == 1).all()


def test_truth_fills_the_raster_if_boxes_agree(collected):
    """Most targets here fill their boxes: if a box agrees well, the target fills most of the inner raster."""
    examples, _ = collected
    good = examples[examples.box_iou > 0.6]
    inner = good.truth[:, 6:18, 6:18].float().mean() / 255
    assert inner > 0.7


def test_progress_counts_images_and_detections(collected):
    examples, _ = collected
    counted = []
    again, _ = collect_examples(
        lively_network(share_above_half=0.3),
        image_of_squares,
        SETTINGS,
        on_image=lambda done, count: counted.append((done, count)),
    )
    assert [done for done, _ in counted] == list(range(1, 9))
    assert counted[-1][1] == len(again)
    assert torch.equal(again.views.logits, examples.views.logits)  # seeded
    assert counted[0][1] <= 5 * MAX_PER_TARGET + 4 * MAX_PER_TARGET * 4 + MAX_OTHERS


def test_earlier_networks_alternate_only_in_training(collected):
    examples, num_training = collected
    counts = {}
    for name, earlier in {
        "alone": [],
        "with itself": [lively_network(share_above_half=0.3)],
        "blind": [blind()],
    }.items():
        counts[name] = []
        mixed, num_mixed = collect_examples(
            lively_network(share_above_half=0.3),
            image_of_squares,
            SETTINGS,
            earlier=earlier,
            on_image=lambda done, count, name=name: counts[name].append(count),
        )
        assert torch.equal(mixed.views.logits[num_mixed:], examples.views.logits[num_training:])
    assert counts["with itself"] == counts["alone"]
    new = {name: np.diff([0, *of]) for name, of in counts.items()}
    # Seven of eight images are for training; every second of these is processed by a network that detects nothing.
    np.testing.assert_array_equal(new["blind"][[0, 2, 4, 6, 7]], new["alone"][[0, 2, 4, 6, 7]])
    assert (new["blind"][[1, 3, 5]] == 0).all()
    assert (new["alone"][[1, 3, 5]] > 0).all()


def blind():
    """Return a network that detects nothing."""
    network = lively_network()
    for branch in network.model[22].cv3:
        torch.nn.init.constant_(branch[-1].bias, -50.0)
    return network


def test_no_detections_is_an_error():
    with pytest.raises(DataError, match="found 0 objects near a target in 2 images"):
        collect_examples(blind(), image_of_squares, RefineSettings(num_images=2, imgsz=96))
