"""Random networks with outputs like those of trained ones, and their graphs."""

from __future__ import annotations

from functools import cache

import onnx
from onnx import helper

from benchmarks.lively import blobs, lively_network
from streamseg.engines.engine import Raw
from streamseg.engines.export import export_graph
from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.refiner import Refiner
from streamseg.modeling.refiner.network import RefinerOutput
from streamseg.modeling.refiner.views import ObjectViews
from streamseg.structures.arrays import ImageArray

__all__ = ["CountedRefiner", "RecordingEngine", "blobs", "later_graph", "lively_graph", "lively_network"]


@cache
def lively_graph(*, half: bool = False) -> bytes:
    """Return `lively_network` of size n and seed 0 as an ONNX file."""
    return export_graph(lively_network(), half=half)


def later_graph(graph: bytes) -> bytes:
    """Return an ONNX file of the package as one of a later version."""
    model = onnx.load_from_string(graph)
    helper.set_model_props(model, {"streamseg_graph": "999"})
    return model.SerializeToString()


class CountedRefiner(Refiner):
    """Records the number of objects of each run."""

    def __init__(self) -> None:
        super().__init__()
        self.num_objects: list[int] = []

    def forward(self, views: ObjectViews) -> RefinerOutput:
        self.num_objects.append(len(views.logits))
        return super().forward(views)


class RecordingEngine(TorchEngine):
    """Runs `lively_network`, and records the shapes of its batches."""

    def __init__(self, *, refiner: Refiner | None) -> None:
        super().__init__(lively_network(), refiner=refiner)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: ImageArray) -> Raw:
        self.shapes.append(images.shape)
        return super().run(images)
