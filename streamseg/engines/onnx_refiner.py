"""The refiner as a graph in ONNX Runtime."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import onnxruntime
import torch

from streamseg.engines.onnx_session import open_session
from streamseg.errors import WeightsError
from streamseg.modeling.refiner import Refined, Refiner, Views
from streamseg.modeling.refiner.serialization import GRAPH_INPUTS, GRAPH_OUTPUTS

__all__ = ["OnnxRefiner", "open_refiner"]


class OnnxRefiner(Refiner):
    """Answers as the refiner that its graph was made of, on the CPU: corrections and quality equal to 1e-3."""

    def __init__(self, refiner: Refiner, session: onnxruntime.InferenceSession) -> None:
        """Take over a refiner's tensors, and the session of the graph that `refiner_to_graph` made of it."""
        super().__init__(refiner.project.in_channels, refiner.enter.out_channels, len(refiner.blocks))
        self.load_state_dict(refiner.state_dict())
        self.eval().requires_grad_(False)
        self._session = session

    def forward(self, views: Views) -> Refined:
        """See `Refiner.forward`."""
        # The maps are a view across objects; ONNX Runtime wants them one after the other.
        inputs = {name: getattr(views, name).contiguous().numpy() for name in GRAPH_INPUTS}
        corrections, quality = self._session.run(list(GRAPH_OUTPUTS), inputs)
        return Refined(torch.from_numpy(corrections), torch.from_numpy(quality))


def open_refiner(refiner: Refiner, text: str, *, path: str | Path) -> OnnxRefiner:
    """Load a refiner's graph, to be run in one thread.

    What it takes for a frame's objects is short: on 2 cores, to wake a second thread that sleeps since the frame before
    took longer than its half of the work (2.2 ms for 30 objects became 2.7), and one that spins meanwhile took three
    times the processor's time.

    Args:
        refiner: whose graph it is.
        text: the graph, as metadata hold it.
        path: of the file that it comes from, for error messages.

    Raises:
        WeightsError: the text is no graph.
    """
    try:
        graph = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise WeightsError(f"{path}: the refiner's graph is damaged ({error}); export it again") from error
    return OnnxRefiner(refiner, open_session(graph, path=path, num_threads=1))
