"""The mask refiner as a graph in ONNX Runtime."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import onnxruntime
import torch

from streamseg.engines.onnx_session import open_session
from streamseg.errors import WeightsError
from streamseg.modeling.refiner import ObjectViews, Refiner, RefinerOutput
from streamseg.modeling.refiner.serialization import GRAPH_INPUTS, GRAPH_OUTPUTS

__all__ = ["OnnxRefiner", "open_refiner"]


class OnnxRefiner(Refiner):
    """A refiner run by ONNX Runtime on the CPU; corrections and quality equal those of the torch refiner to 1e-3."""

    def __init__(self, refiner: Refiner, session: onnxruntime.InferenceSession) -> None:
        """Copy a refiner's tensors.

        Args:
            refiner: the refiner that the graph was exported from.
            session: session of the graph that `refiner_to_graph` wrote for it.
        """
        super().__init__(refiner.project.in_channels, refiner.enter.out_channels, len(refiner.blocks))
        self.load_state_dict(refiner.state_dict())
        self.eval().requires_grad_(False)
        self._session = session

    def forward(self, views: ObjectViews) -> RefinerOutput:
        """See `Refiner.forward`."""
        # The maps are a strided view across objects; ONNX Runtime requires contiguous arrays.
        inputs = {name: getattr(views, name).contiguous().numpy() for name in GRAPH_INPUTS}
        corrections, quality = self._session.run(list(GRAPH_OUTPUTS), inputs)
        return RefinerOutput(torch.from_numpy(corrections), torch.from_numpy(quality))


def open_refiner(refiner: Refiner, text: str, *, path: str | Path) -> OnnxRefiner:
    """Load a refiner's graph to run in one thread.

    A run for the objects of one frame is short. On 2 cores, waking a second thread that had slept since the previous
    frame took longer than its half of the work (2.7 ms instead of 2.2 ms for 30 objects), and a second thread that
    spins in between tripled the CPU time.

    Args:
        refiner: the refiner that the graph was exported from.
        text: the graph in Base64, as stored in the metadata.
        path: file that contains the graph, for error messages.

    Raises:
        WeightsError: the text is not a graph.
    """
    try:
        graph = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise WeightsError(f"{path}: the refiner graph is damaged ({error}); export it again") from error
    return OnnxRefiner(refiner, open_session(graph, path=path, num_threads=1))
