"""The device detector equals the host detector, on both architectures."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.detections import HostDetector
from streamseg.segmentation.device import DeviceDetector
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from tests.support.networks import blobs, lively_network

NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available() and not os.environ.get("FAIL_WITHOUT_CUDA"), reason="needs a CUDA GPU"
)
SETTINGS = SelectionSettings(conf=0.25, iou=0.7, max_det=50, expected_conf=0.05)
SIZE = (64, 96)
PLACES = [letterbox((96, 144), 96), letterbox((60, 96), 96), letterbox((64, 96), 96)]
REGIONS = [
    SearchRegions(prompted=np.array([[10.0, 10, 60, 50]]), expected=np.array([[70.0, 20, 120, 80]])),
    NO_REGIONS,
    SearchRegions(expected=np.array([[0.0, 0, 30, 30], [40, 10, 90, 60]])),
]


def nanodet():
    """Return a network with embeddings whose scores cover 0..1."""
    network = build_nanodet(NanoDetConfig(embedding_channels=8), seed=0).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for box, score in zip(network.box, network.score, strict=True):
            torch.nn.init.normal_(box.weight, std=0.3)
            torch.nn.init.normal_(score.weight, std=0.5)
            score.bias.zero_()
    return network


@pytest.fixture(scope="module")
def images():
    return np.stack([blobs(SIZE, seed) for seed in range(3)])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["yolov8", "nanodet"])
@pytest.mark.parametrize("half", [False, True])
def test_device_equals_host(images, architecture, half):
    engine = TorchEngine(lively_network() if architecture == "yolov8" else nanodet(), half=half)
    device = DeviceDetector(engine, SETTINGS)
    for count in (3, 1):
        # The batch of 3 is padded to 4, which may change the order of sums in convolutions: boxes to 0.01 pixels.
        exact = count == 1
        batch = images[:count], PLACES[:count], REGIONS[:count]
        found, expected = device.submit(*batch)(), HostDetector(engine, SETTINGS).submit(*batch)()
        assert len(found) == len(expected) == count
        for one, other in zip(found, expected, strict=True):
            assert len(one.boxes) == len(other.boxes) > 0
            for field in dataclasses.fields(one):
                ours, theirs = getattr(one, field.name), getattr(other, field.name)
                if theirs is None:
                    assert ours is None
                    continue
                assert ours.dtype == theirs.dtype
                tolerance = {"atol": 0, "rtol": 0} if exact else {"atol": 0.01, "rtol": 1e-3}
                if exact or not half:
                    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), **tolerance)
    assert device.num_repeated == 0
    device.close()


@NEEDS_CUDA
@pytest.mark.parametrize("half", [False, True])
def test_cuda_graphs_equal_the_host(images, half):
    engine = TorchEngine(lively_network(), device="cuda:0", half=half)
    device, host = DeviceDetector(engine, SETTINGS), HostDetector(engine, SETTINGS)
    batches = [(images[row : row + 1], PLACES[row : row + 1], REGIONS[row : row + 1]) for row in (0, 1, 2, 0)]
    pending = [device.submit(*batch) for batch in batches]  # more than slots, all of one graph
    for result, batch in zip(pending, batches, strict=True):
        (found,), (expected,) = result(), host.submit(*batch)()
        torch.testing.assert_close(found.boxes, expected.boxes, atol=0.01, rtol=0)
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-3, rtol=0)
        np.testing.assert_allclose(found.prototypes, expected.prototypes, atol=2e-3)
    device.close()


@pytest.mark.slow
def test_batch_that_the_device_cannot_select_is_selected_on_the_host():
    # 1,344 anchors above the threshold are more than fit.
    settings = dataclasses.replace(SETTINGS, conf=0.0, max_det=20)
    large = np.stack([blobs((256, 256), 1)])
    batch = large, [letterbox((256, 256), 256)], [NO_REGIONS]
    engine = TorchEngine(lively_network())
    device = DeviceDetector(engine, settings)
    (found,), (expected,) = device.submit(*batch)(), HostDetector(engine, settings).submit(*batch)()
    assert device.num_repeated == 1
    assert found.boxes.equal(expected.boxes)
    assert found.scores.equal(expected.scores)
    device.close()
