"""The step synchronises nowhere, has static shapes, and stays within its budgets: proven on the meta device."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.nanodet import NanoDetConfig, build_nanodet
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.device.slab import Slab
from streamseg.segmentation.device.step import BatchShape, DeviceStep

SETTINGS = SelectionSettings(conf=0.25, iou=0.7, max_det=300, expected_conf=0.05)

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
    """Counts operations that launch a kernel; on CUDA, a convolution launches one more for its bias."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.__name__.split(".")[0]
        if name not in VIEWS:
            self.counts[name] += 1 + (name == "convolution" and args[2] is not None)
        return operation(*args, **(kwargs or {}))


def step_on_meta(name):
    with torch.device("meta"):
        network = NETWORKS[name]()
    return DeviceStep(TorchEngine(network, device="meta").predict, SETTINGS)


def run(step, shape):
    """Return the outputs and the number of kernels."""
    layout = shape.inputs()
    buffer = torch.empty(layout.num_bytes, dtype=torch.uint8, device="meta")
    with torch.no_grad(), CountKernels() as kernels:  # inference mode would hide the parts of composite operations
        outputs = step(layout.views(buffer))
        packed = Slab.like(outputs).pack(outputs)
    assert packed.shape == (Slab.like(outputs).num_bytes,)
    # Tensors made from numbers on the host are uploaded, which a CUDA graph does not permit.
    assert not kernels.counts.keys() & {"scalar_tensor", "lift_fresh", "_local_scalar_dense"}
    return outputs, kernels.counts.total()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "height", "width", "most"),
    [
        pytest.param("s", 384, 640, 620, id="s at 640"),
        pytest.param("x", 576, 1024, 750, id="x at 1024"),
        pytest.param("nanodet", 384, 640, 540, id="default weights' network"),
    ],
)
def test_step_runs_without_data_within_its_budget_of_kernels(name, height, width, most):
    outputs, num_kernels = run(step_on_meta(name), BatchShape(2, height, width, prompted=16, expected=64))
    assert outputs["boxes"].shape == (2, 300, 4)
    assert outputs["coefficients"].shape == (2, 300, 32)
    assert outputs["prototypes"].shape == (2, 32, height // 4, width // 4)
    assert ("embeddings" in outputs) is (name == "nanodet")
    assert num_kernels <= most


@pytest.mark.slow
def test_regions_cost_kernels_only_if_there_are_any():
    step = step_on_meta("nanodet")
    without, prompted, expected = (
        run(step, BatchShape(1, 384, 640, prompted=p, expected=e))[1] for p, e in ((0, 0), (16, 0), (0, 16))
    )
    assert without < min(prompted, expected)


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
