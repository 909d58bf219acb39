"""`engine: device` gives the results of the host, on both architectures, with and without refiner."""

import os

import numpy as np
import pytest
import torch

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import silhouettes
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.prompting.history import record_frame
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.segmentation.duplicates import ranking_scores
from streamseg.structures.degradation import Degradation
from streamseg.structures.instances import Tracked
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from tests.support.networks import blobs, lively_network
from tests.support.refiners import trained_refiner

NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available() and not os.environ.get("FAIL_WITHOUT_CUDA"), reason="needs a CUDA GPU"
)
SIZE = (96, 144)
BOX = SearchRegions(prompted=np.array([[10.0, 10, 60, 50]]))
REGIONS = [
    SearchRegions(prompted=np.array([[10.0, 10, 60, 50]]), expected=np.array([[70.0, 20, 120, 80]])),
    NO_REGIONS,
    SearchRegions(expected=np.array([[0.0, 0, 30, 30], [40, 10, 90, 60]])),
    NO_REGIONS,
]

UNPROMPTED = [SearchRegions(expected=REGIONS[0].expected), *REGIONS[1:]]
"""The same without a prompted box, with which corrected masks are left to the host."""


def nanodet():
    """Return a network with embeddings whose scores cover 0..1."""
    network = build_nanodet(NanoDetConfig(embedding_channels=8), seed=0).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for box, score in zip(network.box, network.score, strict=True):
            torch.nn.init.normal_(box.weight, std=0.3)
            torch.nn.init.normal_(score.weight, std=0.5)
            score.bias.zero_()
            box.bias -= 0.5 * torch.arange(network.config.reg_max).repeat(4)  # small boxes are most likely
    return network


NETWORKS = {"yolov8": lively_network, "nanodet": nanodet}


def pair(architecture, *, refined=False, half=False, device="cpu", **options):
    """Return two segmenters of the same network: on the host, and on the device."""
    refiner = trained_refiner() if refined else None
    return [
        Segmenter(
            engine=TorchEngine(
                NETWORKS[architecture](), device=device, half=half, imgsz=96, refiner=refiner, selects=selects
            ),
            embeddings=True,
            **{"max_det": 8, **options},
        )
        for selects in (False, True)
    ]


@pytest.fixture(scope="module")
def images():
    return [blobs(SIZE, seed) for seed in range(4)]


def on_both(segmenters, images, regions, *options):
    """Return the results of the host and of the device; those of the device with capacities that fit."""
    host, device = segmenters
    device.segment_batch(images, regions, *options)
    return host.segment_batch(images, regions, *options), device.segment_batch(images, regions, *options)


def assert_equal(found, expected, *, exact=True, refined=False):
    """Compare instances: exactly, or with the tolerances of another order of sums."""
    assert len(found) == len(expected) > 0
    limits = {"atol": 0.0 if exact else 0.01, "rtol": 0.0}
    scores = {"atol": 1e-4 if exact and refined else 1e-3 if not exact else 0.0, "rtol": 0.0}
    torch.testing.assert_close(found.boxes, expected.boxes, **limits)
    torch.testing.assert_close(found.scores, expected.scores, **scores)
    torch.testing.assert_close(found.embeddings, expected.embeddings, atol=1e-6 if exact else 0.02, rtol=0)
    ours, theirs = (
        np.concatenate([silhouettes(one, 16).numpy().ravel(), *(mask().ravel() for mask in instance_masks(one))])
        for one in (found, expected)
    )
    # The amplified refiner of this test turns a pixel that is rounded the other way into other corrections.
    assert (ours != theirs).mean() <= (1e-3 if not exact else 1e-4 if refined else 1e-5)
    assert not found.mask_logits.is_fetched  # nothing above needed more than what came back
    recorded, record = (
        record_frame(Tracked(one, torch.arange(len(one))), 0, 0.0).mask_logits.astype(np.float32)
        for one in (found, expected)
    )
    np.testing.assert_allclose(recorded, record, atol=0.02 if exact else 0.2, rtol=2e-3)
    ranking, expected_ranking = ranking_scores(found), ranking_scores(expected)
    torch.testing.assert_close(ranking, expected_ranking, atol=5e-3 if exact else 0.05, rtol=0)
    assert not found.mask_logits.is_fetched
    if exact:
        assert found.mask_logits.values_on_host().equal(expected.mask_logits)
        np.testing.assert_array_equal(found.features().values, expected.features().values)
        assert (found.corrections is None) is (expected.corrections is None)
        if expected.corrections is not None:
            torch.testing.assert_close(found.corrections + 0, expected.corrections, atol=0.02, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["yolov8", "nanodet"])
@pytest.mark.parametrize("refined", [False, True], ids=["plain", "refined"])
def test_single_images_equal_the_host(images, architecture, refined):
    segmenters = pair(architecture, refined=refined)
    for image, regions in zip(images[:3], (UNPROMPTED if refined else REGIONS)[:3], strict=True):
        (expected,), (found,) = on_both(segmenters, [image], [regions])
        assert_equal(found, expected, refined=refined)
    assert segmenters[1]._device.num_left == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refined", "prompted"),
    [(False, SearchRegions(points=np.array([[40.0, 40.0]]))), (True, BOX)],
    ids=["point", "box"],
)
def test_images_with_points_or_fitted_boxes_are_left_to_the_host(images, refined, prompted):
    segmenters = pair("yolov8", refined=refined)
    regions = [prompted, NO_REGIONS]
    both = on_both(segmenters, images[:2], regions)
    assert [len(one) for one in both[0]] == [len(one) for one in both[1]]
    torch.testing.assert_close(both[0][0].boxes, both[1][0].boxes, atol=0.01, rtol=0.0)  # another order of sums
    assert segmenters[1]._device.num_left >= 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 4])
def test_batches_equal_the_host(images, count):
    segmenters = pair("yolov8", refined=True)
    both = on_both(segmenters, images[:count], UNPROMPTED[:count])
    for expected, found in zip(*both, strict=True):
        # A batch of 3 is padded to 4, which may change the order of sums in convolutions.
        assert_equal(found, expected, exact=False, refined=True)
    segmenters[1].close()


@pytest.mark.slow
def test_images_of_several_sizes_and_qualities(images):
    segmenters = pair("yolov8", refined=True, max_det=4)
    mixed = [images[0], images[1][:60], images[2], images[3][:, :100]]
    degradations = [Degradation(), Degradation(), Degradation(plain_masks=True), Degradation(imgsz_scale=0.5)]
    both = on_both(segmenters, mixed, UNPROMPTED, degradations)
    for expected, found, image in zip(*both, mixed, strict=True):
        assert found.image_size == image.shape[:2]
        assert (found.corrections is None) is (expected.corrections is None)
        assert_equal(found, expected, exact=False, refined=True)


@pytest.mark.slow
def test_half_precision_equals_the_host(images):
    (expected,), (found,) = on_both(pair("nanodet", refined=True, half=True), images[:1], UNPROMPTED[:1])
    assert_equal(found, expected, refined=True)


@pytest.mark.slow
def test_image_without_objects_has_no_rows(images):
    host, device = pair("yolov8", refined=True, conf=1.0)
    (expected,), (found,) = (one.segment_batch(images[:1], [NO_REGIONS]) for one in (host, device))
    assert len(found) == len(expected) == 0
    assert found.embeddings.shape == expected.embeddings.shape
    assert found.mask_logits.shape == expected.mask_logits.shape
    assert instance_masks(found) == []
    assert found.masks == ()


@pytest.mark.slow
def test_image_with_more_objects_than_fit_is_left_to_the_host(images):
    host, device = pair("yolov8", max_det=300, iou=0.95, conf=0.01)
    large = [blobs((256, 256), 1)]
    for one in (host, device):
        one.imgsz = 256
    (expected,), (found,) = (one.segment_batch(large, [NO_REGIONS]) for one in (host, device))
    assert len(expected) > 64
    assert device._device.num_left == 1
    assert found.boxes.equal(expected.boxes)
    (again,) = device.segment_batch(large, [NO_REGIONS])  # with a larger capacity
    assert device._device.num_left == 1
    assert again.boxes.equal(expected.boxes)
    assert again.scores.equal(expected.scores)


@pytest.mark.slow
def test_image_that_the_device_cannot_select_is_left_to_the_host():
    # 1,344 anchors above the threshold are more than fit.
    host, device = pair("yolov8", max_det=20, conf=0.0)
    for one in (host, device):
        one.imgsz = 256
    (expected,), (found,) = (one.segment_batch([blobs((256, 256), 1)], [NO_REGIONS]) for one in (host, device))
    assert device._device.num_left == 1
    assert found.boxes.equal(expected.boxes)
    assert found.scores.equal(expected.scores)


@pytest.mark.slow
def test_warmup_prepares_batches_with_and_without_prompts(images):
    device = pair("yolov8", refined=True)[1]
    device.warmup(SIZE, num_images=2)
    plans = device._device._batches._plans
    assert [(shape.batch, shape.prompted) for shape in plans] == [(2, 0), (2, 16)]
    assert all(plan._run is not None for plan in plans.values())
    before = set(plans)
    device.segment_batch(images[:2], REGIONS[1:3])
    assert set(plans) == before


@NEEDS_CUDA
@pytest.mark.parametrize("half", [False, True])
def test_cuda_graphs_equal_the_host(images, half):
    host, device = pair("yolov8", refined=True, half=half, device="cuda:0")
    for row in (0, 1, 2, 0, 1):  # eager, captured, replayed
        (expected,), (found,) = (one.segment_batch([images[row]], [UNPROMPTED[row]]) for one in (host, device))
        assert_equal(found, expected, exact=False, refined=True)
    device.close()
