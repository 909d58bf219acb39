"""The CUDA sources, compiled by a host compiler, compute the references; fallbacks; the whole step with them."""

import numpy as np
import pytest
import torch

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.modeling.cuda_kernel import KERNELS, agree, started
from streamseg.modeling.nv12 import nv12_to_rgb
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.segmentation.device.appearance import DeviceEmbedding
from streamseg.segmentation.device.crop_pixels import TILE
from streamseg.segmentation.device.letterbox import DeviceLetterbox
from streamseg.segmentation.device.mask_runs import MaskRuns
from streamseg.segmentation.device.suppression import compact, suppress
from streamseg.structures.instances import CORRECTION_MARGIN
from streamseg.structures.nv12 import YuvColours
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from tests.support.host_cuda import NEEDS_COMPILER, compile_on_host, run_on_host
from tests.support.networks import blobs, lively_network
from tests.support.refiners import trained_refiner

CPU = torch.device("cpu")
SIZE = (90, 160)
PLACE = letterbox(SIZE, 128)
GRID = (PLACE.input_size[0] // 4, PLACE.input_size[1] // 4)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return a function that compiles a kernel once per number of threads."""
    functions = {}

    def get(kernel, num_threads):
        if (kernel.name, num_threads) not in functions:
            folder = tmp_path_factory.mktemp("cuda")
            functions[kernel.name, num_threads] = compile_on_host(kernel, folder, num_threads=num_threads)
        return functions[kernel.name, num_threads]

    return get


def random_boxes(batch, count, seed=0, *, whole=False):
    generator = torch.Generator().manual_seed(seed)
    limits = torch.tensor([SIZE[1], SIZE[0]], dtype=torch.float32)
    low = torch.rand(batch, count, 2, generator=generator) * limits * 0.8 - 4
    high = low + torch.rand(batch, count, 2, generator=generator) ** 2 * limits
    boxes = torch.cat([low, high], dim=2)
    if count:
        boxes[:, 0] = torch.tensor([0.0, 0, SIZE[1], SIZE[0]])
    if count > 1:
        boxes[:, 1, 2:] = boxes[:, 1, :2]  # no extent
    return boxes.round() if whole else boxes


def record(kernels, run):
    """Run something, and return the inputs and results of each call of kernels, by name."""
    calls = []
    for kernel in kernels:
        operation = kernel._operation

        def recorded(*inputs, kernel=kernel, operation=operation):
            results = operation(*inputs)
            calls.append((kernel, inputs, results))
            return results

        kernel._operation = recorded
    try:
        run()
    finally:
        for kernel in kernels:
            kernel._operation = getattr(torch.ops.streamseg, kernel.name)
    return calls


def suppression():
    for whole in (False, True):
        boxes = random_boxes(2, 70, 3, whole=whole)
        boxes[:, 20:60] = boxes[:, :1] + torch.arange(40.0)[:, None] * 9  # a chain that does not settle
        suppress(boxes, torch.rand(2, 70, generator=torch.Generator().manual_seed(1)) > 0.2, 0.7)
        suppress(boxes, torch.ones(2, 70, dtype=torch.bool), 0.3)
        suppress(boxes[:, :1].contiguous(), torch.zeros(2, 1, dtype=torch.bool), 0.7)


def compaction():
    for share in (0.0, 0.4, 1.0):
        taken = torch.rand(2, 37, generator=torch.Generator().manual_seed(2)) < share
        values = torch.arange(74).view(2, 37)
        compact(taken, 40, values, random_boxes(2, 37, 4), values.float())


def letterboxing():
    generator = torch.Generator().manual_seed(0)
    for size, imgsz in (((90, 160), 128), ((100, 75), 128), ((1, 7), 32), ((96, 128), 128), ((30, 40), 64)):
        images = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=generator)
        DeviceLetterbox(letterbox(size, imgsz), CPU)(images)


def scene(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2 * count, 1, 4, 5, generator=generator)
    logits = torch.nn.functional.interpolate(coarse, GRID, mode="bicubic").view(2, count, *GRID) * 5
    return random_boxes(2, count, seed), logits.contiguous(), torch.randn(2, count, 24, 24, generator=generator)


def masks(corrected):
    def run():
        for count, num_pixels, num_changes in ((6, 3 * TILE + 5, 500), (6, 90 * 160 * 4, 5000), (6, 90 * 160 * 4, 20)):
            boxes, logits, corrections = scene(count)
            runs = MaskRuns(SIZE, PLACE.to_image(4), GRID, num_pixels=num_pixels, num_changes=num_changes, device=CPU)
            runs(boxes, torch.arange(count).expand(2, -1) < 5, logits, corrections if corrected else None)
            runs(boxes, torch.zeros(2, count, dtype=torch.bool), logits, corrections if corrected else None)

    return run


def embedding():
    boxes, logits, _ = scene(5)
    logits[:, 2] = -1  # nothing inside
    generator = torch.Generator().manual_seed(9)
    pixels = torch.randint(0, 256, (2, *PLACE.input_size, 3), dtype=torch.uint8, generator=generator)
    prototypes = torch.randn(2, 32, *GRID, generator=generator)
    DeviceEmbedding(PLACE.to_image(4), CPU)(boxes, logits, prototypes, pixels)


def nv12():
    generator = torch.Generator().manual_seed(3)
    for height, width in ((4, 6), (5, 7), (1, 1)):
        luma = torch.randint(0, 256, (2, height, width), dtype=torch.uint8, generator=generator)
        sizes = (2, (height + 1) // 2, (width + 1) // 2, 2)
        chroma = torch.randint(0, 256, sizes, dtype=torch.uint8, generator=generator)
        for matrix in ("bt601", "bt709", "bt2020"):
            for is_full_range in (False, True):
                nv12_to_rgb(luma, chroma, YuvColours(matrix, is_full_range))


CASES = {
    "nv12_to_rgb": nv12,
    "letterboxed": letterboxing,
    "suppressed": suppression,
    "compacted": compaction,
    "crop_table": masks(corrected=True),
    "crop_pixels": masks(corrected=True),
    "crop_pixels, uncorrected": masks(corrected=False),
    "crop_changes": masks(corrected=True),
    "colour_bins": embedding,
    "prototype_statistics": embedding,
    "object_embeddings": embedding,
}


@pytest.mark.slow
@NEEDS_COMPILER
@pytest.mark.parametrize("num_threads", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_cuda_source_computes_the_reference(case, num_threads, compiled):
    kernel = KERNELS[case.split(",")[0]]
    calls = record([kernel], CASES[case])
    assert len(calls) > 0
    for _, inputs, expected in calls:
        found = run_on_host(kernel, compiled(kernel, num_threads), *inputs)
        assert agree(found, expected, tolerance=1e-4, flips=1e-3 if kernel.name == "crop_pixels" else 0.0)


def test_every_kernel_is_compared_with_its_reference():
    assert {case.split(",")[0] for case in CASES} == set(KERNELS)


def test_margin_of_crops_is_that_of_corrections():
    (_, inputs, _), *_ = record([KERNELS["crop_table"]], masks(corrected=True))
    assert inputs[3] == CORRECTION_MARGIN


@pytest.mark.slow
@NEEDS_COMPILER
def test_segmentation_with_the_cuda_sources_equals_that_without(compiled, monkeypatch):
    used = set()

    def on_host(kernel):
        def run(*inputs):
            used.add(kernel.name)
            launch = kernel.launch(*inputs)
            return kernel.reference(*inputs) if launch is None else started(compiled(kernel, 1), launch)

        return run

    images = [blobs((96, 144), seed) for seed in range(2)]
    regions = [SearchRegions(expected=np.array([[0.0, 0, 60, 50]])), NO_REGIONS]
    engine = TorchEngine(lively_network(), imgsz=96, refiner=trained_refiner(), selects=True)
    with Segmenter(engine=engine, embeddings=True, max_det=8) as segmenter:
        expected = segmenter.segment_batch(images, regions)
        for kernel in KERNELS.values():
            monkeypatch.setattr(kernel, "_operation", on_host(kernel))
        found = segmenter.segment_batch(images, regions)
    assert used == set(KERNELS) - {"nv12_to_rgb"}
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.boxes.equal(theirs.boxes)
        assert ours.scores.equal(theirs.scores)
        torch.testing.assert_close(ours.embeddings, theirs.embeddings, atol=1e-5, rtol=0)
        for one, other in zip(instance_masks(ours), instance_masks(theirs), strict=True):
            assert np.mean(one() != other()) < 1e-4
