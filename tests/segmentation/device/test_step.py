"""The step synchronises nowhere, has static shapes, and stays within its budgets: proven on the meta device."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.modeling.cuda_kernel import KERNELS
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.refiner import Refiner
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.shapes import BatchShape
from streamseg.segmentation.device.slab import Slab
from streamseg.segmentation.device.step import DeviceStep, StepOptions

SETTINGS = SelectionSettings(conf=0.25, iou=0.7, max_det=300, expected_conf=0.05)
META = torch.device("meta")

VIEWS = {
    *("view", "_unsafe_view", "permute", "transpose", "t", "split", "split_with_sizes", "expand", "slice", "unsqueeze"),
    *("alias", "select", "detach", "as_strided", "unbind", "squeeze", "empty", "empty_like"),
}
"""Operations that launch no kernel."""

NETWORKS = {
    "s": partial(build_yolov8, "s", reg_max=16),
    "x": partial(build_yolov8, "x", reg_max=26),
    "nanodet": partial(build_nanodet, NanoDetConfig(embedding_channels=32)),
}


class CountKernels(TorchDispatchMode):
    """Counts operations that launch a kernel; on CUDA, a convolution launches one more for a bias that is not fused."""

    def __init__(self, *, separate=False):
        """Count the operations of references in place of the CUDA functions, if `separate`."""
        super().__init__()
        self.separate = separate
        self.counts = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.__name__.split(".")[0]
        if self.separate and operation.namespace == "streamseg" and name in KERNELS:
            with self:
                return KERNELS[name].reference(*args)
        if name not in VIEWS:
            self.counts[name] += 1 + (name == "convolution" and args[2] is not None)
        return operation(*args, **(kwargs or {}))


def run(name, shape, *, sharp=False, embeds=True, separate=False):
    """Return the results and the number of kernels."""
    with META:
        network = NETWORKS[name]()
        refiner = Refiner() if sharp else None
    options = StepOptions(SETTINGS, refiner, sharp, embeds)
    step = DeviceStep(TorchEngine(network, device="meta").predict, options, shape, META)
    layout = shape.inputs()
    buffer = torch.empty(layout.num_bytes, dtype=torch.uint8, device="meta")
    step(layout.views(buffer))  # the first run allocates constants
    with (
        torch.no_grad(),
        CountKernels(separate=separate) as kernels,
    ):  # inference mode would hide the parts of composite operations
        results = step(layout.views(buffer))
        packed = Slab.like(results.returned).pack(results.returned)
    assert packed.shape == (Slab.like(results.returned).num_bytes,)
    # Tensors made from numbers on the host are uploaded, which a CUDA graph does not permit.
    assert not kernels.counts.keys() & {"scalar_tensor", "lift_fresh", "_local_scalar_dense"}
    return results, kernels.counts


BUDGETS = [
    pytest.param("s", 640, False, 0, 255, id="s at 640"),
    pytest.param("s", 640, False, 64, 345, id="s at 640, live"),
    pytest.param("x", 1024, False, 0, 350, id="x at 1024"),
    pytest.param("x", 1024, False, 64, 440, id="x at 1024, live"),
    pytest.param("nanodet", 640, True, 64, 440, id="nanodet with refiner, live"),
]
"""Network, input size, refiner, capacities for search regions, most kernels per batch. The live ones have prompts."""


@pytest.mark.slow
@pytest.mark.parametrize("separate", [False, True], ids=["fused", "references"])
@pytest.mark.parametrize(("name", "imgsz", "sharp", "regions", "most"), BUDGETS)
def test_step_runs_without_data_within_its_budget_of_kernels(name, imgsz, sharp, regions, most, separate):
    place = letterbox((720, 1280), imgsz)
    shape = BatchShape(place, 2, 64, 720 * 1280, prompted=regions // 4, expected=regions, refines=sharp)
    results, counts = run(name, shape, sharp=sharp, separate=separate)
    assert results.returned["boxes"].shape == (2, 64, 4)
    assert results.returned["changes"].shape == (2, shape.changes)
    assert results.kept["prototypes"].shape == (2, 32, *shape.grid_size)
    assert results.returned["embeddings"].shape == (2, 64, 132)
    assert ("features" in results.kept) is (name == "nanodet")
    assert ("corrections" in results.kept) is ("calibrated" in results.returned) is sharp
    assert separate or counts.total() <= most
    assert bool(counts.keys() & KERNELS.keys()) is not separate


@pytest.mark.slow
@pytest.mark.parametrize("sharp", [False, True])
def test_slab_of_50_objects_is_small(sharp):
    shape = BatchShape(letterbox((720, 1280), 640), 1, 64, 720 * 1280, prompted=16, expected=64, refines=sharp)
    results, _ = run("nanodet", shape, sharp=sharp)
    assert Slab.like(results.returned).num_bytes <= 200_000


@pytest.mark.parametrize("name", ["item", "nonzero", "bool", "numpy"])
def test_meta_device_detects_synchronisation(name):
    values = torch.empty(3, device="meta")
    violations = {
        "item": lambda: values[0].item(),
        "nonzero": values.nonzero,
        "bool": lambda: bool(values[0] > 0),
        "numpy": values.numpy,
    }
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        violations[name]()
